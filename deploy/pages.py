"""Whether the pages can be served and signed in to, as `wristmir doctor` looks."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.certificates import look_at_files
from deploy.errors import ConfigurationError, ProviderError
from deploy.settings import Settings
from deploy.web.bearer import BearerTokens
from deploy.web.oidc_pages import BACK
from deploy.web.oidc_settings import OidcSettings
from deploy.web.provider import Provider
from deploy.web.settings import WebSettings
from deploy.web.users import Role, User, Users
from listener.errors import CredentialsError
from listener.tls import server_context

__all__ = ["look_at_pages"]

Look = Iterator[tuple[str, str]]


def look_at_pages(settings: Settings) -> Look:
    """Yield a verdict and its words for everything that the pages rest on.

    Looked at: who reaches them and by which certificate, that they answer, who may sign in by local
    accounts and by the OpenID provider, the programs' tokens, the site's key, and whether the
    service's account may read and write where they do.
    """
    web, users = settings.web, Users(settings.users_file).all()
    if not (users or web.oidc.is_on or web.tokens or _answers(web)):
        yield "ok", "not in use: `wristmir users add`, then start wristmir-web.service"
        return
    yield from _address(web)
    yield from _accounts(users, web)
    if web.oidc.is_on:
        yield from _provider(web)
    if web.tokens is not None:
        try:
            BearerTokens(web.tokens)
            yield "ok", f"{web.tokens}: programs show its tokens"
        except ConfigurationError as error:
            yield "error", str(error)
    yield from _files(settings)


def _address(web: WebSettings) -> Look:
    if web.is_tls:
        try:
            server_context(web.certificate, web.private_key, web.minimum_version)
        except CredentialsError as error:
            yield "error", error.detail
        else:
            yield from look_at_files(web.certificate, web.private_key, None)
        where = f"port {web.port} over TLS"
    elif web.public_url:
        where = f"port {web.port} of this machine, behind a proxy at {web.public_url}"
    else:
        where = f"port {web.port} of this machine alone"
    if _answers(web):
        yield "ok", f"something listens on {where}, as it should when running"
    else:
        way = "start wristmir-web.service, which `wristmir serve` does not do"
        yield "warning", f"nothing listens on {where}: {way}"


def _accounts(users: Sequence[User], web: WebSettings) -> Look:
    counts = {role: sum(role in user.roles for user in users) for role in Role}
    told = ", ".join(f"{number} as {role}" for role, number in counts.items())
    if users:
        yield "ok", f"{len(users)} local accounts: {told}"
    elif web.oidc.is_on:
        yield "warning", "no local account: nobody gets in while the OpenID provider is down"
    else:
        yield "warning", "nobody can sign in: wristmir users add NAME --role radiologist"


def _provider(web: WebSettings) -> Look:
    oidc = web.oidc
    try:
        signs = asyncio.run(_asked(oidc))
    except (ProviderError, ConfigurationError) as error:
        yield "error", f"OpenID provider: {error}"
        return
    yield "ok", f"OpenID provider {oidc.issuer} answers; its keys: {signs}"
    back = f"{web.public_url or 'the address of the pages'}{BACK}"
    yield "ok", f"it has to know the redirect address {back}"
    if not oidc.radiologists:
        yield "warning", "web.oidc.radiologists is empty: nobody sees results by the provider"


async def _asked(oidc: OidcSettings) -> int:
    """Return how many keys the provider signs by, once it and the client's secret are of use."""
    provider = Provider(oidc)
    await provider.question("https://localhost" + BACK, "state", "nonce", "v" * 43)
    return len(list(await provider.keys()))


def _files(settings: Settings) -> Look:
    key = settings.state_dir / "site.key"
    if not key.exists():
        yield "warning", f"{key} is not there yet; the first service that starts makes it"
    elif stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield "error", f"{key}: others may read it; chmod 600"
    wrong = [path for path in _written(settings) if not _is_usable(path)]
    for path in wrong:
        yield "error", f"{path} cannot be read and written by this account"
    if not wrong:
        yield "ok", f"what the pages read and write in {settings.state_dir} is theirs"


def _written(settings: Settings) -> Iterator[Path]:
    state = settings.state_dir
    yield state
    for name in ("answers", "feedback", "outbox"):
        path = state / f"{name}.sqlite3"
        if path.exists():
            yield path
    if settings.users_file.exists():
        yield settings.users_file.parent


def _is_usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def _answers(web: WebSettings) -> bool:
    if web.port == 0:  # a free one is taken: nobody knows which
        return False
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(web.host, web.host)  # noqa: S104  compared
    try:
        with socket.create_connection((host, web.port), timeout=2):
            return True
    except OSError:
        return False
