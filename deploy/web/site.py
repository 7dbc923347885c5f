"""The site: every page behind one gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from deploy.web.gate import Gate, for_role, session_of
from deploy.web.page import STATIC, Pages
from deploy.web.session import Sessions
from deploy.web.users import Role

__all__ = ["Lifespan", "site"]

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
_SAID = (401, 403, 404, 409)


def site(
    pages: Pages,
    routes: Sequence[BaseRoute],
    sessions: Sessions,
    hosts: frozenset[str],
    *,
    secure: bool,
    provider: str = "",
    beside: Sequence[BaseRoute] = (),
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """Return the site.

    Parameters
    ----------
    pages
        Make the page of a problem.
    routes
        Of the pages, each guarded by a role (`deploy.web.gate.for_role`).
    sessions, hosts, secure, provider
        For the gate.
    beside
        Routes that guard themselves and know no session, such as an interface for programs.
    lifespan
        What goes on while the site is served.
    """

    async def problem(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.headers.get("accept") == "application/json":
            return PlainTextResponse("", status)
        said = f"pages.problem.{status if status in _SAID else 'other'}"
        title, words = pages.words.say(said), pages.words.say(f"{said}_words")
        return pages.page(request, "problem.html", status, title=title, words=words)

    async def home(request: Request) -> Response:
        session = session_of(request)
        it_alone = session is not None and not session.may(Role.RADIOLOGIST)
        return RedirectResponse("/status" if it_alone else "/results", 303)

    behind = Starlette(
        routes=[
            Route("/", for_role(None, home)),
            Mount("/static", StaticFiles(directory=STATIC)),
            *routes,
        ],
        exception_handlers={HTTPException: problem, Exception: problem},
    )
    gate = Gate(behind, sessions, hosts, secure, provider)
    return Starlette(routes=[*beside, Mount("/", gate)], lifespan=lifespan)
