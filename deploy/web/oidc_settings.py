"""Settings of signing in by an OpenID provider: frozen, typed, an unknown key is an error."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["OidcSettings"]


class OidcSettings(BaseModel):
    """Which OpenID provider vouches for people, and whom it lets in as what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str | None = Field(
        default=None,
        description="issuer of the hospital's OpenID provider, as its discovery document names it, "
        "such as https://login.example.org/realms/hospital; unset for local accounts alone. No "
        "other host is asked",
    )
    client_id: str | None = Field(
        default=None,
        description="name under which the plugin is registered there; its redirect address is that "
        "of the pages followed by /login/oidc/back, and after signing out /login",
    )
    client_secret: Path | None = Field(
        default=None,
        description="file of the client's secret, which nobody else may read; systemd's "
        "LoadCredential hands it over. Unset for a public client, whom PKCE alone protects",
    )
    label: str | None = Field(
        default=None,
        min_length=1,
        max_length=60,
        description="what the button says after `Sign in with`; unset for the hospital's account",
    )
    ask: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="whom a page names to those who have no role here; unset for the IT department",
    )
    authorities: Path | None = Field(
        default=None,
        description="PEM file of the authorities that may vouch for the provider's certificate; "
        "unset for those of the system",
    )
    scopes: tuple[str, ...] = Field(
        default=("openid", "profile"),
        description="what is asked for; `openid` has to be among them",
    )
    algorithms: tuple[Literal["RS256", "PS256", "ES256"], ...] = Field(
        default=("RS256",),
        min_length=1,
        description="how an ID token may be signed: RS256, PS256, ES256; nothing else is believed",
    )
    clock_skew_seconds: float = Field(
        default=30.0,
        ge=0,
        le=120,
        description="by how much the provider's clock may differ from this one",
    )
    name_claim: str = Field(
        default="preferred_username",
        min_length=1,
        description="claim of the ID token that names a person, to the audit trail too: one that "
        "the provider gives to nobody else",
    )
    roles_claim: str = Field(
        default="groups",
        min_length=1,
        description="claim of the ID token that tells the roles, such as groups, or "
        "realm_access.roles, where a dot leads into it",
    )
    radiologists: tuple[str, ...] = Field(
        default=(), description="values of that claim that let one see results"
    )
    it: tuple[str, ...] = Field(
        default=(), description="values of it that let one see how the service stands"
    )
    loopback_http: bool = Field(
        default=False,
        description="whether a provider on this machine may be spoken to without TLS: for trials",
    )

    @property
    def is_on(self) -> bool:
        """Whether people may sign in so."""
        return self.issuer is not None

    @property
    def origin(self) -> str:
        """Scheme, host and port of the provider."""
        parts = urlsplit(self.issuer or "")
        return f"{parts.scheme}://{parts.netloc}"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.issuer is None:
            if self.client_id or self.client_secret or self.radiologists or self.it:
                msg = "`issuer` is missing"
                raise ValueError(msg)
            return self
        parts = urlsplit(self.issuer)
        if parts.query or parts.fragment or parts.username or not parts.hostname:
            msg = "`issuer` is an address without a question, a fragment or a name in it"
            raise ValueError(msg)
        if parts.scheme != "https" and not (self.loopback_http and _is_plain_loopback(parts)):
            msg = "`issuer` begins with https://"
            raise ValueError(msg)
        if not self.client_id:
            msg = "`client_id` is missing"
            raise ValueError(msg)
        if not (self.radiologists or self.it):
            msg = "nobody has a role: name values of `roles_claim` in `radiologists` or `it`"
            raise ValueError(msg)
        if "openid" not in self.scopes:
            msg = "`scopes` lacks openid"
            raise ValueError(msg)
        return self


def _is_plain_loopback(parts: SplitResult) -> bool:
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
