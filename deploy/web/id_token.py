"""Who has signed in, by the OpenID provider's word, once that is proved to be its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from deploy.errors import SignInError
from deploy.web.oidc_settings import OidcSettings
from deploy.web.provider import Provider
from deploy.web.users import Role

__all__ = ["IdToken", "read_id_token"]

_LONGEST: Final = 64 << 10
_LONGEST_HEADER: Final = 8 << 10  # some providers put their certificates in
_LONGEST_NAME: Final = 64


@dataclass(frozen=True)
class IdToken:
    """A proved ID token: who it is, in which roles, and the token itself for signing out."""

    name: str
    roles: frozenset[Role]
    text: str


async def read_id_token(
    provider: Provider,
    tokens: Mapping[str, Any],
    nonce: str,
    began: float,
    clock: Callable[[], float] = time.time,
) -> IdToken:
    """Prove the ID token of a token endpoint's answer (OpenID Connect Core 1.0, section 3.1.3.7).

    Signature by a key of the provider and an algorithm of the settings, issuer, audience,
    authorized party, expiry, time of issue, nonce, and the access token's hash where it is there.
    Keys named in the token itself count for nothing. For a key that is not known the provider is
    asked once more.

    Parameters
    ----------
    provider
        Whose word it has to be.
    tokens
        The token endpoint's answer.
    nonce, began
        Of this sign-in: its nonce, and when it was begun (seconds since 1970).
    clock
        Seconds since 1970.

    Raises
    ------
    SignInError
        Where it is not proved, or names nobody.
    ProviderError
        Where the provider's keys cannot be had.
    """
    text = tokens.get("id_token")
    if not isinstance(text, str) or len(text) > _LONGEST:
        message = "the provider's answer holds no ID token"
        raise SignInError(message)
    settings = provider.settings
    try:
        try:
            signed = _signed(text, await provider.keys(), settings)
        except InvalidKeyIdError:
            signed = _signed(text, await provider.keys(anew=True), settings)
        claims = _claims(signed, settings, nonce, tokens.get("access_token"))
        claims.validate(now=int(clock()), leeway=settings.clock_skew_seconds)
    except JoseError as error:
        message = f"the ID token is not proved: {_words(error)}"
        raise SignInError(message) from None
    except (ValueError, TypeError, KeyError):
        message = "the ID token cannot be read"
        raise SignInError(message) from None
    if claims["iat"] < int(began) - settings.clock_skew_seconds:
        message = "the ID token is older than the sign-in"
        raise SignInError(message)
    return IdToken(_name(claims, settings), _roles(claims, settings), text)


def _signed(text: str, keys: KeySet, settings: OidcSettings) -> jwt.Token:
    # other header parameters are the provider's own affair; keys are taken from none of them
    registry = JWSRegistry(algorithms=list(settings.algorithms), strict_check_header=False)
    registry.max_header_length = _LONGEST_HEADER
    return jwt.decode(text, keys, registry=registry)


def _claims(
    signed: jwt.Token, settings: OidcSettings, nonce: str, access_token: Any
) -> CodeIDToken:
    wanted = {
        "iss": {"essential": True, "value": settings.issuer},
        "aud": {"essential": True, "value": settings.client_id},
        "sub": {"essential": True},
        "nonce": {"essential": True, "value": nonce},
    }
    given = {
        "nonce": nonce,
        "client_id": settings.client_id,
        "access_token": access_token if isinstance(access_token, str) else None,
    }
    return CodeIDToken(signed.claims, signed.header, wanted, given)


def _name(claims: Mapping[str, Any], settings: OidcSettings) -> str:
    said = claims.get(settings.name_claim)
    name = said.strip().lower() if isinstance(said, str) else ""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        text = f"the ID token has no {settings.name_claim} that can be a name here"
        raise SignInError(text)
    return name


def _roles(claims: Mapping[str, Any], settings: OidcSettings) -> frozenset[Role]:
    said = _at(claims, settings.roles_claim)
    values = {said} if isinstance(said, str) else set()
    if isinstance(said, list):
        values = {one for one in said if isinstance(one, str)}
    wanted = {Role.RADIOLOGIST: settings.radiologists, Role.IT: settings.it}
    return frozenset(role for role, names in wanted.items() if values & set(names))


def _at(claims: Mapping[str, Any], place: str) -> Any:
    """Return a claim by its name, or by a path of names with dots between them."""
    if place in claims:
        return claims[place]
    found: Any = claims
    for name in place.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _words(error: JoseError) -> str:
    """Return the kind of a fault, and which claim: never a claim's value."""
    claim = getattr(error, "claim", None)
    kind = type(error).__name__.removesuffix("Error")
    return f"{kind} ({claim})" if isinstance(claim, str) and claim.isidentifier() else kind
