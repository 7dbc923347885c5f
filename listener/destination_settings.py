"""What an administrator may set of a system that results are sent to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from listener.ae_title import AETitle
from listener.frozen_settings import FrozenSettings
from listener.tls_settings import TlsVersion

__all__ = ["DestinationSettings"]


class DestinationSettings(FrozenSettings):
    """One system that results are sent to, or that is told what became of its requests."""

    name: str = Field(min_length=1, description="How other settings refer to this destination.")
    ae_title: AETitle = Field(description="Its AE title.")
    host: str = Field(min_length=1, description="Its host name or address.")
    port: int = Field(ge=1, le=65535, description="Its port.")
    timeout_seconds: float = Field(
        default=30.0, gt=0, description="How long to wait for its connection and each answer."
    )
    commitment: Literal["ask", "require", "never"] = Field(
        default="ask",
        description="Storage commitment: `ask` counts results as delivered when it has committed "
        "to them, or has stored them where it offers no commitment; `require` waits for an offer; "
        "`never` counts what it has stored.",
    )
    commitment_seconds: float = Field(
        default=300.0,
        gt=0,
        description="It is asked again when its word has not come for so long; the wait doubles.",
    )
    tls: bool = Field(default=False, description="Whether it is spoken to over TLS.")
    authorities: Path | None = Field(
        default=None,
        description="PEM file of the authorities that may vouch for it; needed for TLS.",
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file of the client certificate that is shown to it, with intermediates.",
    )
    private_key: Path | None = Field(
        default=None, description="PEM file of that certificate's key, without a password."
    )
    minimum_version: TlsVersion = Field(default="1.2", description="Oldest TLS version: 1.2, 1.3.")
    check_host_name: bool = Field(
        default=True,
        description="Whether its certificate must bear the name or address in `host`.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        given = (self.authorities, self.certificate, self.private_key)
        if self.tls and self.authorities is None:
            msg = "a destination with `tls` needs `authorities`"
            raise ValueError(msg)
        if not self.tls and any(given):
            msg = "a destination with certificates needs `tls = true`"
            raise ValueError(msg)
        if (self.certificate is None) is not (self.private_key is None):
            msg = "`certificate` and `private_key` go together"
            raise ValueError(msg)
        return self
