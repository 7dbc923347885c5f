"""The pages of signing in and out."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deploy.errors import ProviderError
from deploy.web.gate import (
    checked_form,
    cookie_name,
    for_role,
    own_origin,
    person_of,
    session_of,
)
from deploy.web.page import Pages
from deploy.web.posted_form import posted_form
from deploy.web.provider import Provider
from deploy.web.session import Session, Sessions
from deploy.web.throttle import Throttle
from deploy.web.users import Role, User, Users
from listener.audit import Audit
from listener.audit_event import UNKNOWN, End
from listener.audit_login import user_authentication
from listener.audit_message import Action, Indicator

__all__ = ["LoginPages"]

_LOG = logging.getLogger("wristmir.web")
_WRONG: Final = "pages.wrong"
_SHUT: Final = "pages.shut"
_WINDOW_SECONDS: Final = 900.0
_TRIES_OF_A_NAME: Final = 6
_TRIES_OF_AN_ADDRESS: Final = 30  # a reading room may share one
# a path of this site: nothing that a browser takes for another host's
_OWN_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")


@dataclass(frozen=True, eq=False)
class LoginPages:
    """``/login`` and ``/logout``.

    Parameters
    ----------
    pages
        Make the page.
    users
        Who may sign in.
    sessions
        Who is.
    audit
        Is told of every try.
    secure
        Whether browsers reach the site by https.
    provider
        The OpenID provider that vouches for people too; None for none.
    names, addresses
        Count failures.
    """

    pages: Pages
    users: Users
    sessions: Sessions
    audit: Audit
    secure: bool
    provider: Provider | None = None
    names: Throttle = field(default_factory=lambda: Throttle(_TRIES_OF_A_NAME, _WINDOW_SECONDS))
    addresses: Throttle = field(
        default_factory=lambda: Throttle(_TRIES_OF_AN_ADDRESS, _WINDOW_SECONDS)
    )

    def routes(self) -> list[Route]:
        """Return where they are."""
        return [
            Route("/login", self.ask, methods=["GET"]),
            Route("/login", self.sign_in, methods=["POST"]),
            Route("/logout", for_role(None, self.sign_out), methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Show the form; who is signed in goes on."""
        session = session_of(request)
        if session is not None:
            return RedirectResponse(_home(session), 303)
        return self.form(request, request.query_params.get("next", ""))

    async def sign_in(self, request: Request) -> Response:
        """Begin a session; the gate has seen to it that the form was this site's own."""
        sent = await posted_form(request)
        name, wanted = sent.get("name", "").strip().lower()[:64], sent.get("next", "")
        person = person_of(request, name)
        if self.names.is_shut(name) or self.addresses.is_shut(person.address):
            await self._tell_try(request, name, "too many tries")
            return self.form(request, wanted, name, _SHUT, 429)
        user = await run_in_threadpool(self.users.check, name, sent.get("password", ""))
        if user is None:
            self.names.failed(name)
            self.addresses.failed(person.address)
            await self._tell_try(request, name, "name or password is wrong")
            return self.form(request, wanted, name, _WRONG, 401)
        self.names.passed(name)
        await self.tell(request, name)
        return self.begun(request, user, wanted)

    async def sign_out(self, request: Request) -> Response:
        """End the session, here and where the OpenID provider offers it there."""
        await checked_form(request)
        person, session = person_of(request), session_of(request)
        self.sessions.end(request.state.session_key)
        event = partial(user_authentication, person=person, end=End(), login=False)
        await run_in_threadpool(self.audit.tell, event)
        answer = RedirectResponse(await self._farewell(request, session), 303)
        name = cookie_name(secure=self.secure)
        answer.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="lax")
        return answer

    def begun(
        self, request: Request, user: User, wanted: str, id_token: str | None = None
    ) -> Response:
        """Begin a session under a new key, in place of any that the browser had; go on.

        Parameters
        ----------
        user
            Who has signed in.
        wanted
            The page that was wanted; only one of this site is gone to.
        id_token
            The OpenID provider's word for it; None for a local account.
        """
        self.sessions.end(request.state.session_key)
        key, session = self.sessions.begin(user, id_token)
        there = wanted if _OWN_PATH.fullmatch(wanted) else _home(session)
        answer = RedirectResponse(there, 303)
        # lax: a link in the PACS or the viewer finds who is signed in
        name = cookie_name(secure=self.secure)
        answer.set_cookie(name, key, path="/", secure=self.secure, httponly=True, samesite="lax")
        return answer

    def form(
        self, request: Request, wanted: str, name: str = "", problem: str = "", status: int = 200
    ) -> Response:
        """Show the form, with what went wrong, a key of the dictionary."""
        return self.pages.page(
            request,
            "login.html",
            status,
            wanted=wanted,
            name=name,
            problem=self.pages.words.say(problem) if problem else "",
            provider=self._label,
            has_accounts=self.provider is None or bool(self.users.all()),
        )

    @property
    def _label(self) -> str:
        """What the provider is called; empty where there is none."""
        if self.provider is None:
            return ""
        return self.provider.settings.label or self.pages.words.say("pages.hospital_account")

    async def tell(self, request: Request, name: str, problem: str = "") -> None:
        """Tell of a try, and of its name: that of an account, or one that is proved."""
        end = End(Action.EXECUTE, Indicator.MINOR_FAILURE, problem) if problem else End()
        person = person_of(request, name)
        event = partial(user_authentication, person=person, end=end, login=True)
        await run_in_threadpool(self.audit.tell, event)

    async def _tell_try(self, request: Request, name: str, problem: str) -> None:
        """Tell of a failure; a name that no account has may be anything, a password too."""
        known = self.users.get(name) is not None
        await self.tell(request, name if known else UNKNOWN, problem)

    async def _farewell(self, request: Request, session: Session | None) -> str:
        """Return where a browser goes once it is signed out here."""
        if self.provider is None or session is None or session.id_token is None:
            return "/login"
        back = own_origin(request, secure=self.secure) + "/login"
        try:
            return await self.provider.farewell(session.id_token, back) or "/login"
        except ProviderError as error:
            _LOG.error("nobody is signed out at the OpenID provider: %s", error)
            return "/login"


def _home(session: Session) -> str:
    return "/results" if session.may(Role.RADIOLOGIST) else "/status"
