"""`wristmir web`: the site as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from ipaddress import ip_address
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from deploy.decoding import decoder_limits
from deploy.errors import ServiceUnavailableError
from deploy.kept_results import KeptResults
from deploy.settings import Settings
from deploy.state import (
    key_of_site,
    open_answers,
    open_feedback,
    open_ledger,
    open_outbox,
)
from deploy.web.bearer import BearerTokens
from deploy.web.dicomweb import dicomweb_app
from deploy.web.login_pages import LoginPages
from deploy.web.matches import matches_app
from deploy.web.oidc_pages import OidcPages
from deploy.web.page import Pages
from deploy.web.pictures import Pictures
from deploy.web.provider import Provider
from deploy.web.result_pages import ResultPages
from deploy.web.session import Sessions
from deploy.web.settings import WebSettings
from deploy.web.site import Lifespan, site
from deploy.web.status_pages import StatusPages
from deploy.web.users import Users
from deploy.web.viewer_links import ViewerLinks
from listener.audit import Audit
from listener.ledger import Ledger
from listener.service import notify
from listener.tls import server_context
from pipeline.decoder import Decoder
from pipeline.dictionary import dictionary
from pipeline.uid import KeyedUids

__all__ = ["WebServer", "open_site", "serve_web"]

_LOG = logging.getLogger("wristmir.web")
_WATCHDOG_SECONDS: Final = 10.0


class WebServer:
    """Serves the site at the configured address.

    Parameters
    ----------
    settings
        Of the pages.

    Raises
    ------
    ServiceUnavailableError
        Where the port cannot be had.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._server: uvicorn.Server | None = None
        try:
            self._socket = _listening(settings)
        except OSError as error:
            text = (
                f"{settings.host} port {settings.port} cannot be had ({error.strerror}): web.port"
            )
            raise ServiceUnavailableError(text) from error

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts by which browsers reach it."""
        if self._settings.public_host:
            return frozenset({self._settings.public_host})
        host, port = self._settings.host, self._socket.getsockname()[1]
        names = {f"[{host}]" if ":" in host else host}
        if host in ("127.0.0.1", "::1"):
            names.add("localhost")
        usual = 443 if self._settings.is_tls else 80
        return frozenset({f"{one}:{port}" for one in names} | (names if port == usual else set()))

    @property
    def address(self) -> str:
        """Where people find it."""
        scheme = "https" if self._settings.is_secure else "http"
        return self._settings.public_url or f"{scheme}://{sorted(self.hosts)[0]}"

    def run(self, app: ASGIApp) -> None:
        """Serve until `stop` is called, or the process is told to end (SIGINT, SIGTERM)."""
        self._server = uvicorn.Server(self._config(app))
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return; from any thread."""
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Let the port go."""
        self._socket.close()

    def _config(self, app: ASGIApp) -> uvicorn.Config:
        settings = self._settings
        return uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="on",
            access_log=False,  # addresses name results and studies
            log_config=None,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            ssl_context_factory=self._context if settings.is_tls else None,
            timeout_graceful_shutdown=5,
            limit_concurrency=200,
        )

    def _context(self, _config: Any, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        settings = self._settings
        return server_context(settings.certificate, settings.private_key, settings.minimum_version)


@contextmanager
def open_site(settings: Settings, server: WebServer, lifespan: Lifespan) -> Iterator[ASGIApp]:
    """Join the parts of the site, and take them apart again.

    Raises
    ------
    ServiceUnavailableError
        Where no service has made a ledger yet, or this account is not its owner.
    ConfigurationError
        Where the accounts, or the authorities of the OpenID provider, cannot be read.
    """
    key, web = key_of_site(settings), settings.web
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings, upgrade=False))
        audit = stack.enter_context(Audit(settings.listener, site_key=key))
        users = Users(settings.users_file)
        provider = Provider(web.oidc) if web.oidc.is_on else None
        if not users.all() and provider is None:
            _LOG.warning("nobody can sign in yet: wristmir users add NAME --role radiologist")
        login = web.login
        sessions = Sessions(users, login.idle_minutes * 60, login.session_hours * 3600)
        uids = KeyedUids(key)
        pages = Pages(dictionary(settings.pipeline.results.language))
        viewer = ViewerLinks(web.viewer_url, settings.pipeline.references, uids)
        results = ResultPages(
            pages=pages,
            records=stack.enter_context(closing(open_answers(settings))),
            feedback=stack.enter_context(closing(open_feedback(settings))),
            outbox=stack.enter_context(closing(open_outbox(settings))),
            pictures=Pictures(stack.enter_context(Decoder(decoder_limits(settings))), ledger),
            ledger=ledger,
            audit=audit,
            viewer=viewer,
        )
        status = StatusPages(Pages(), settings, ledger, uids, audit)
        logins = LoginPages(pages, users, sessions, audit, web.is_secure, provider)
        outside = OidcPages(provider, logins).routes() if provider else []
        yield site(
            pages,
            [*logins.routes(), *outside, *results.routes(), *status.routes()],
            sessions,
            server.hosts,
            secure=web.is_secure,
            provider=web.oidc.origin if provider else "",
            beside=_for_programs(settings, ledger, audit),
            lifespan=lifespan,
        )


def serve_web(settings: Settings) -> None:
    """Serve the site until SIGTERM or SIGINT; tell systemd when it is ready, and that it lives."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # the server's own handlers end it, then raise the signal again for those from before
        signal.signal(number, lambda *_: None)
    with closing(WebServer(settings.web)) as server, open_site(settings, server, _alive) as app:
        _LOG.info("the pages are at %s", server.address)
        server.run(app)
    _LOG.info("stopped")


def _for_programs(settings: Settings, ledger: Ledger, audit: Audit) -> list[BaseRoute]:
    """Return what programs may ask for that show a token; nothing where none is given out."""
    if settings.web.tokens is None:
        return []
    tokens = BearerTokens(settings.web.tokens)
    shows_originals = settings.pipeline.references == "original"
    kept = KeptResults(settings.state_dir, settings.pipeline.keep_results_days)
    archive = dicomweb_app(kept, tokens, audit, settings.listener.retrieval)
    matches = matches_app(ledger, tokens, audit, shows_originals=shows_originals)
    return [*matches.routes, Mount("/dicomweb", archive)]


@asynccontextmanager
async def _alive(_app: Starlette) -> AsyncIterator[None]:
    """Feed the watchdog from the loop that answers requests."""

    async def feed() -> None:
        while True:
            notify("WATCHDOG=1")
            await asyncio.sleep(_WATCHDOG_SECONDS)

    notify("READY=1")
    feeding = asyncio.create_task(feed())
    try:
        yield
    finally:
        notify("STOPPING=1")
        feeding.cancel()


def _listening(settings: WebSettings) -> socket.socket:
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, settings.port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening
