"""What an administrator may set of TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from listener.frozen_settings import FrozenSettings

__all__ = ["TlsSettings", "TlsVersion"]

TlsVersion = Literal["1.2", "1.3"]


class TlsSettings(FrozenSettings):
    """How the receiver speaks TLS (DICOM PS3.15 annex B.12); it does where it has a certificate."""

    port: int = Field(
        default=2762,
        ge=0,
        le=65535,
        description="Port of its own for TLS; 0 takes a free one. Peers move to it one by one.",
    )
    only: bool = Field(
        default=False,
        description="Whether `listener.port` stays shut, once every peer speaks TLS.",
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file of the receiver's certificate, with intermediates; unset for no TLS. "
        "These files are read anew when they change, for new connections.",
    )
    private_key: Path | None = Field(
        default=None, description="PEM file of its key, without a password."
    )
    authorities: Path | None = Field(
        default=None,
        description="PEM file of the authorities that may vouch for peers' certificates.",
    )
    minimum_version: TlsVersion = Field(default="1.2", description="Oldest TLS version: 1.2, 1.3.")
    require_client_certificate: bool = Field(
        default=True,
        description="Whether every peer has to show a certificate of those authorities; if not, "
        "only those that are bound to one.",
    )

    @property
    def is_on(self) -> bool:
        """Whether TLS is spoken at all."""
        return self.certificate is not None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.is_on and self.private_key is None:
            msg = "`certificate` needs its `private_key`"
            raise ValueError(msg)
        if self.is_on and self.require_client_certificate and self.authorities is None:
            msg = "client certificates need `authorities` that vouch for them"
            raise ValueError(msg)
        if not self.is_on and (self.only or self.private_key or self.authorities):
            msg = "TLS needs a `certificate`"
            raise ValueError(msg)
        return self
