"""The way to the hospital's OpenID provider, and back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deploy.errors import ProviderError, SignInError
from deploy.web.attempt import Attempts
from deploy.web.gate import cookie_name, own_origin, person_of
from deploy.web.id_token import IdToken, read_id_token
from deploy.web.login_pages import LoginPages
from deploy.web.provider import Provider
from deploy.web.throttle import Throttle
from deploy.web.users import User
from listener.audit_event import UNKNOWN

__all__ = ["BACK", "OidcPages"]

_LOG = logging.getLogger("wristmir.web")
BACK: Final = "/login/oidc/back"
"""Where the provider sends browsers back to."""

_TOLD_OF_AN_ADDRESS: Final = 200  # in a quarter of an hour


@dataclass(frozen=True, eq=False)
class OidcPages:
    """``/login/oidc`` and the address that the provider leads back to.

    Authorization Code flow (OpenID Connect Core 1.0, section 3.1) with PKCE, state, nonce, and the
    issuer in the provider's answer (RFC 9207).

    Parameters
    ----------
    provider
        Vouches for people.
    logins
        Begin sessions, show the form.
    attempts
        Sign-ins under way.
    refusals
        Counts those of an address that are told.
    """

    provider: Provider
    logins: LoginPages
    attempts: Attempts = field(default_factory=Attempts)
    refusals: Throttle = field(default_factory=lambda: Throttle(_TOLD_OF_AN_ADDRESS, 900.0))

    def routes(self) -> list[Route]:
        """Return where they are."""
        return [
            Route("/login/oidc", self.leave, methods=["GET"]),
            Route(BACK, self.back, methods=["GET"]),
        ]

    async def leave(self, request: Request) -> Response:
        """Send a browser to the provider."""
        wanted = request.query_params.get("next", "")[:2000]
        key, attempt = self.attempts.begin(wanted, person_of(request).address)
        back = own_origin(request, secure=self.logins.secure) + BACK
        try:
            there = await self.provider.question(
                back,
                attempt.state,
                attempt.nonce,
                attempt.verifier,
                anew="another" in request.query_params,
            )
        except ProviderError as error:
            return await self._away(request, wanted, error)
        answer = RedirectResponse(there, 303)
        # lax: the provider's redirect brings it along
        answer.set_cookie(
            self._cookie,
            key,
            path="/",
            max_age=600,
            secure=self.logins.secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    async def back(self, request: Request) -> Response:
        """Begin a session for whom the provider vouches."""
        asked = request.query_params
        attempt = self.attempts.take(asked.get("state", ""), request.cookies.get(self._cookie, ""))
        if attempt is None:
            return await self._refused(request, "", "no sign-in of this browser is under way")
        try:
            await self._check_sender(asked.get("iss"))
            if "code" not in asked:  # the user went back, or is not admitted there
                return await self._refused(
                    request, attempt.wanted, "the provider let nobody in: no code"
                )
            back = own_origin(request, secure=self.logins.secure) + BACK
            tokens = await self.provider.tokens(asked["code"], back, attempt.verifier)
            token = await read_id_token(self.provider, tokens, attempt.nonce, attempt.began)
        except ProviderError as error:
            return await self._away(request, attempt.wanted, error)
        except SignInError as error:
            return await self._refused(request, attempt.wanted, str(error))
        return await self._let_in(request, attempt.wanted, token)

    async def _let_in(self, request: Request, wanted: str, token: IdToken) -> Response:
        if self.logins.users.get(token.name) is not None:
            # the two would be one person to the audit trail and to what is kept of judgements
            await self.logins.tell(request, token.name, "a local account has this name")
            return self._problem(request, "pages.name_clash", token.name, wanted)
        if not token.roles:
            await self.logins.tell(request, token.name, "no role")
            return self._problem(request, "pages.no_role", token.name, wanted)
        await self.logins.tell(request, token.name)
        user = User(token.name, token.roles, "")
        answer = self.logins.begun(request, user, wanted, id_token=token.text)
        self._forget(answer)
        return answer

    async def _check_sender(self, issuer: str | None) -> None:
        """Refuse another provider's answer (RFC 9207, section 2.4)."""
        promised = (await self.provider.discovered()).authorization_response_iss_parameter_supported
        expected = self.provider.settings.issuer
        if issuer != expected and (issuer is not None or promised):
            text = "the answer is another provider's (iss)"
            raise SignInError(text)

    async def _refused(self, request: Request, wanted: str, why: str) -> Response:
        if self._counts(request):
            _LOG.warning("a sign-in by OpenID Connect was refused: %s", why)
            await self.logins.tell(request, UNKNOWN, why)
        answer = self.logins.form(request, wanted, problem="pages.failed", status=401)
        self._forget(answer)
        return answer

    async def _away(self, request: Request, wanted: str, error: ProviderError) -> Response:
        if self._counts(request):
            _LOG.error("the OpenID provider is of no use: %s", error)
            await self.logins.tell(request, UNKNOWN, "the OpenID provider is of no use")
        problem = "pages.away_local" if self.logins.users.all() else "pages.away"
        answer = self.logins.form(request, wanted, problem=problem, status=503)
        self._forget(answer)
        return answer

    def _counts(self, request: Request) -> bool:
        """Whether log and audit trail hear of a refusal: a flood must not push the others out."""
        address = person_of(request).address
        if self.refusals.is_shut(address):
            return False
        self.refusals.failed(address)
        return True

    def _problem(self, request: Request, why: str, name: str, wanted: str) -> Response:
        """Turn somebody away; the provider, where they are signed in, would name them again."""
        say = self.logins.pages.words.say
        whom = self.provider.settings.ask or say("pages.it_department")
        words = say(why, name=name, whom=whom)
        title = say("pages.not_let_in")
        another = f"/login/oidc?another=1&next={quote(wanted, safe='')}"
        answer = self.logins.pages.page(
            request, "problem.html", 403, title=title, words=words, another=another
        )
        self._forget(answer)
        return answer

    def _forget(self, answer: Response) -> None:
        secure = self.logins.secure
        answer.delete_cookie(self._cookie, path="/", secure=secure, httponly=True, samesite="lax")

    @property
    def _cookie(self) -> str:
        return f"{cookie_name(secure=self.logins.secure)}-oidc"
