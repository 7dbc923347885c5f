"""Settings of the web pages: frozen, typed, an unknown key is an error."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from deploy.web.oidc_settings import OidcSettings
from listener.tls_settings import TlsVersion

__all__ = ["LoginSettings", "WebSettings"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoginSettings(_Frozen):
    """How people sign in."""

    kind: Literal["password"] = Field(
        default="password",
        description="`password`: accounts in a local file, made by `wristmir users add`",
    )
    users: Path | None = Field(
        default=None, description="file of the accounts; unset for `users` in state_dir"
    )
    idle_minutes: float = Field(
        default=60.0, gt=0, le=1440, description="who does nothing for so long is signed out"
    )
    session_hours: float = Field(
        default=12.0, gt=0, le=168, description="and so is everybody after so long"
    )


class WebSettings(_Frozen):
    """Where the pages are served, and to whom."""

    host: str = Field(
        default="127.0.0.1",
        description="address to listen on; one that others reach needs `certificate`",
    )
    port: int = Field(
        default=8080, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#@\s]+$",
        description="address that browsers use, such as https://wristmir.example.org, where it is "
        "another than host and port: behind a proxy, which has to keep the Host header",
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file of the pages' certificate, with intermediates; unset for no TLS",
    )
    private_key: Path | None = Field(
        default=None, description="PEM file of its key, without a password"
    )
    minimum_version: TlsVersion = Field(default="1.2", description="oldest TLS version: 1.2, 1.3")
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="addresses of proxies whose X-Forwarded-For is believed, for the audit trail "
        "and the count of failed sign-ins; no header is believed of anybody else",
    )
    viewer_url: str | None = Field(
        default=None,
        pattern=r"^https?://.*\{studies\}",
        description="address that opens studies side by side in the hospital's viewer; {studies} "
        "becomes their Study Instance UIDs, by commas. OHIF: https://ohif.example.org/viewer?"
        "StudyInstanceUIDs={studies}&hangingprotocolId=@ohif/hpCompare",
    )
    tokens: Path | None = Field(
        default=None,
        description="file of the programs that may ask for matches over HTTP and fetch results by "
        "DICOMweb, one a line: a name and its bearer token's SHA-256 (mode 0600); unset for none",
    )
    login: LoginSettings = Field(default=LoginSettings(), description="how people sign in")
    oidc: OidcSettings = Field(
        default=OidcSettings(),
        description="signing in by the hospital's OpenID provider, beside the local accounts",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ip_address(proxy)
        return proxies

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken here."""
        return self.certificate is not None

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the pages by https."""
        return self.is_tls or (self.public_url or "").startswith("https:")

    @property
    def public_host(self) -> str | None:
        """Host, and port where there is one, that browsers use; None for those of the socket."""
        return urlsplit(self.public_url).netloc if self.public_url else None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            msg = "`certificate` and `private_key` belong together"
            raise ValueError(msg)
        if self.is_tls and (self.public_url or "https:").startswith("http:"):
            msg = "`public_url` begins with https:// where there is a certificate"
            raise ValueError(msg)
        if not self.is_tls and not _is_loopback(self.host):
            msg = "`host` is reached by others: passwords would cross the network in clear; "
            raise ValueError(msg + "give it `certificate` and `private_key`, or a proxy beside it")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
