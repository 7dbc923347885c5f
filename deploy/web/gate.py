"""Who may see which page of the site, and whose browser may change something."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.web.door import HEADERS
from deploy.web.posted_form import posted_form
from deploy.web.session import Session, Sessions
from deploy.web.users import Role
from listener.audit_query import Person

__all__ = [
    "Gate",
    "checked_form",
    "cookie_name",
    "for_role",
    "own_origin",
    "person_of",
    "session_of",
]

_LOG = logging.getLogger("wristmir.web")
_CONTENT_POLICY: Final = HEADERS["Content-Security-Policy"] + "; connect-src 'self'"
# Origin is sent as "null" with no-referrer; this one tells other sites nothing either
_REFERRER: Final = "same-origin"
_SAFE: Final = ("GET", "HEAD")
Page = Callable[[Request], Awaitable[Response]]


def cookie_name(*, secure: bool) -> str:
    """Return the name of the session's cookie; over https one that no other host can set."""
    return "__Host-wristmir" if secure else "wristmir"


@dataclass(frozen=True, eq=False)
class Gate:
    """Finds a request's session, and refuses what comes from another site.

    Every answer bears the headers that keep pages from loading, or being loaded by, anything else.
    A request by another host's name (DNS rebinding) is refused, and one that changes something
    unless its Origin is this site's own (`checked_form` looks at the session's token besides).

    Parameters
    ----------
    app
        The pages.
    sessions
        Who is signed in.
    hosts
        Hosts, with ports where there are, by which browsers reach the site.
    secure
        Whether they do by https.
    provider
        Scheme and host of the OpenID provider, to which signing out may lead; empty for none.
    """

    app: ASGIApp
    sessions: Sessions
    hosts: frozenset[str]
    secure: bool
    provider: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers.update({**HEADERS, "Content-Security-Policy": self._content_policy})
                headers["Referrer-Policy"] = _REFERRER
                if self.secure:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        try:
            await self._answer(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - a request ends here; it is recorded
            # the class alone: another library's message may hold a value
            _LOG.error("a page failed: %s", type(error).__name__)
            if not begun:
                await PlainTextResponse("That did not work.", 500)(
                    scope, receive, send_with_headers
                )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if headers.get("host", "") not in self.hosts:
            await PlainTextResponse("This host is not served here.", 421)(scope, receive, send)
            return
        if scope["method"] not in _SAFE and not self._is_own(headers):
            await PlainTextResponse("Not sent by this site.", 403)(scope, receive, send)
            return
        key = Request(scope).cookies.get(cookie_name(secure=self.secure), "")
        session = self.sessions.find(key) if key else None
        state = {**scope.get("state", {}), "session": session, "session_key": key}
        await self.app({**scope, "state": state}, receive, send)

    @property
    def _content_policy(self) -> str:
        there = f"form-action 'self' {self.provider}".rstrip()
        return _CONTENT_POLICY.replace("form-action 'self'", there)

    def _is_own(self, headers: Headers) -> bool:
        origin = urlsplit(headers.get("origin", ""))
        scheme = "https" if self.secure else "http"
        return origin.scheme == scheme and origin.netloc == headers.get("host")


def own_origin(request: Request, *, secure: bool) -> str:
    """Return scheme and host by which a browser reaches the site; the gate knows the host."""
    return f"{'https' if secure else 'http'}://{request.headers['host']}"


def session_of(request: Request) -> Session | None:
    """Return the session of a request, None where nobody is signed in."""
    session: Session | None = request.state.session
    return session


def person_of(request: Request, name: str = "") -> Person:
    """Return who asks, for the audit trail: who is signed in, or the name that was given."""
    session = session_of(request)
    address = request.client.host if request.client else ""
    return Person(session.user.name if session else name, address=address)


def for_role(role: Role | None, page: Page) -> Page:
    """Return the page for those who are signed in and have a role, any one where it is None.

    Others are sent to sign in, and come back to where they wanted to.
    """

    @wraps(page)
    async def guarded(request: Request) -> Response:
        session = session_of(request)
        if session is None:
            if request.method not in _SAFE:
                raise HTTPException(401)
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
        if role is not None and not session.may(role):
            raise HTTPException(403)
        return await page(request)

    return guarded


async def checked_form(request: Request) -> dict[str, str]:
    """Return a form's fields once it has shown the token of the session.

    Raises
    ------
    HTTPException
        403 where it does not: another site's page may have made the browser send it.
    """
    sent, session = await posted_form(request), session_of(request)
    token = sent.get("csrf", "").encode("utf-8", "replace")
    if session is None or not secrets.compare_digest(token, session.csrf.encode("ascii")):
        raise HTTPException(403)
    return sent
