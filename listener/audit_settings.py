"""What an administrator may set of the audit trail."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from listener.frozen_settings import FrozenSettings

__all__ = ["AuditDestinationSettings", "AuditSettings"]


class AuditDestinationSettings(FrozenSettings):
    """One place that audit messages go to."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="Its name, by which what waits for it is kept: letters, digits, - and _.",
    )
    kind: Literal["file", "udp", "tls"] = Field(
        description="`file`, one message a line; `udp` or `tls`, a syslog collector."
    )
    path: Path | None = Field(
        default=None,
        description="For a file: its absolute path; the service units may write below "
        "/var/log/wristmir. logrotate may move it: that is noticed.",
    )
    host: str | None = Field(
        default=None, min_length=1, description="For syslog: the collector's host name or address."
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="For syslog: the collector's port; unset for 514 (UDP) or 6514 (TLS).",
    )
    authorities: Path | None = Field(
        default=None,
        description="For TLS: PEM file of the authorities that may vouch for the collector.",
    )
    certificate: Path | None = Field(
        default=None,
        description="For TLS: PEM file of the certificate that is shown to it, with intermediates.",
    )
    private_key: Path | None = Field(
        default=None, description="For TLS: PEM file of that certificate's key, without a password."
    )
    minimum_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="For TLS: the oldest version, 1.2 or 1.3."
    )
    check_host_name: bool = Field(
        default=True,
        description="For TLS: whether its certificate must bear the name or address in `host`.",
    )
    timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long to wait for its connection and each answer."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        is_file = self.kind == "file"
        of_network = (self.host, self.port)
        of_tls = (self.authorities, self.certificate, self.private_key)
        if is_file and (self.path is None or not self.path.is_absolute()):
            msg = "an audit file needs an absolute `path`"
            raise ValueError(msg)
        if (is_file and any(of_network)) or (not is_file and self.path is not None):
            msg = "`path` is for a file, `host` and `port` are for syslog"
            raise ValueError(msg)
        if not is_file and self.host is None:
            msg = "a syslog collector needs a `host`"
            raise ValueError(msg)
        if self.tls and self.authorities is None:
            msg = "a collector over TLS needs `authorities`"
            raise ValueError(msg)
        if not self.tls and any(of_tls):
            msg = "certificates are for a collector over TLS"
            raise ValueError(msg)
        if (self.certificate is None) is not (self.private_key is None):
            msg = "`certificate` and `private_key` go together"
            raise ValueError(msg)
        return self

    @property
    def tls(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.kind == "tls"

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The collector's host and port."""
        return self.host or "", self.port or (6514 if self.tls else 514)


class AuditSettings(FrozenSettings):
    """The audit trail: messages of DICOM PS3.15 section A.5; none without a destination."""

    destinations: tuple[AuditDestinationSettings, ...] = Field(
        default=(),
        description="Where audit messages go: each gets them all, in order. What one that is down "
        "has not got waits on disk. Empty for no audit trail.",
    )
    source_id: str = Field(
        default="WRISTMIR", min_length=1, description="What the messages call this system."
    )
    site_id: str = Field(
        default="", description="What they call its site, where identifiers are not unique."
    )
    max_waiting: int = Field(
        default=100000,
        ge=100,
        description="Messages that may wait on disk (about 2 KB each); the oldest are dropped "
        "beyond, and counted.",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [destination.name for destination in self.destinations]
        if len(set(names)) < len(names):
            msg = "a name stands twice in `audit.destinations`"
            raise ValueError(msg)
        return self
