"""Who may see the pages: the browser of whoever was told their address."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Door", "new_token"]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address is the key
    "X-Content-Type-Options": "nosniff",
}
"""What keeps pages from loading, or being loaded by, anything else."""


def new_token() -> str:
    """Return a token that nobody guesses: 256 bits, fit for an address."""
    return secrets.token_urlsafe(32)


class Door:
    """Lets a request through to an application only with the token, and only to this machine.

    The token is the first step of the path, so that other users of the machine, and pages of other
    sites, cannot name an address. A Host header that is not of the loopback interface is of a name
    that somebody else has pointed here (DNS rebinding). What is refused is a plain 404. Every
    answer bears the headers that keep pages from loading, or being loaded by, anything else.

    Parameters
    ----------
    app
        What is behind the door; it sees paths without the token.
    token
        From `new_token`.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._start = f"/{token}/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        path = scope["path"].encode("utf-8", "surrogatepass")
        size = len(self._start)
        if not secrets.compare_digest(path[:size], self._start) or not _is_loopback(scope):
            await PlainTextResponse("Not found.", 404)(scope, receive, send_with_headers)
            return
        behind = path[size - 1 :]
        inner = {**scope, "path": behind.decode("utf-8", "replace"), "raw_path": behind}
        await self._app(inner, receive, send_with_headers)


def _is_loopback(scope: Scope) -> bool:
    host, _, port = Headers(scope=scope).get("host", "").partition(":")
    return host in ("127.0.0.1", "localhost") and port == str(scope["server"][1])
