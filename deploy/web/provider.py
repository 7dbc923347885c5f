"""The hospital's OpenID provider, as the pages ask it: one host, over TLS, within bounds."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.errors import ConfigurationError, ProviderError, SignInError
from deploy.web.oidc_settings import OidcSettings

__all__ = ["Discovered", "Provider"]

_SECONDS: Final = 15.0
_MOST_BYTES: Final = 1 << 20
_KNOWN_SECONDS: Final = 3600.0
_HEARD_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 3.0
_NO_CLIENT: Final = "invalid_client"  # RFC 6749, section 5.2
_LONGEST_HINT: Final = 2000  # an address that no server cuts


class Discovered(BaseModel):
    """What a provider says of itself (OpenID Connect Discovery 1.0, section 3; RFC 8414, 9207)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Provider:
    """Asks the provider: what it is, for whom a code stands, by which keys it signs.

    Every method raises ProviderError where it cannot be reached or what it says cannot be used.

    Parameters
    ----------
    settings
        Which provider.
    clock
        Monotonic seconds.

    Raises
    ------
    ConfigurationError
        Where the authorities' file cannot be used.
    """

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._discovered: tuple[float, Discovered] | None = None
        self._discovering = asyncio.Lock()
        self._failed: tuple[float, str] | None = None
        self._keys: tuple[float, KeySet] | None = None
        try:
            self._tls = ssl.create_default_context(cafile=settings.authorities)
        except (OSError, ssl.SSLError):
            text = f"{settings.authorities}: holds no certificates that can be read"
            raise ConfigurationError(text) from None

    async def discovered(self, known: float = _KNOWN_SECONDS) -> Discovered:
        """Return what the provider says of itself, asked anew every hour.

        One that has just failed is not asked again at once, so that a flood of sign-ins while it is
        down holds up nobody.

        Parameters
        ----------
        known
            How many seconds ago it may have been said.
        """
        async with self._discovering:  # who come meanwhile wait for one answer
            now = self._clock()
            if self._failed is not None and now - self._failed[0] < _PAUSE_SECONDS:
                raise ProviderError(self._failed[1])
            if self._discovered is None or now - self._discovered[0] > known:
                self._discovered = now, await self._discover()
            return self._discovered[1]

    async def keys(self, *, anew: bool = False) -> KeySet:
        """Return the keys by which it signs; `anew` asks again, for it changes them at times."""
        now = self._clock()
        if self._keys is None or anew or now - self._keys[0] > _KNOWN_SECONDS:
            found = await self._json((await self.discovered()).jwks_uri)
            self._keys = now, _readable(found)
        return self._keys[1]

    async def question(
        self, back: str, state: str, nonce: str, verifier: str, *, anew: bool = False
    ) -> str:
        """Return the address that asks somebody to sign in there (PKCE by RFC 7636, S256).

        Parameters
        ----------
        back
            Where the browser is sent back to.
        state, nonce, verifier
            Secrets of this one sign-in.
        anew
            Whether to ask also somebody who is signed in there, who may want to be another.
        """
        discovered = await self.discovered(_HEARD_SECONDS)  # no browser is sent to one that is down
        async with self._client(discovered) as client:
            address, _ = client.create_authorization_url(
                discovered.authorization_endpoint,
                state=state,
                code_verifier=verifier,
                redirect_uri=back,
                nonce=nonce,
                **({"prompt": "login"} if anew else {}),
            )
        return str(address)

    async def tokens(self, code: str, back: str, verifier: str) -> Mapping[str, Any]:
        """Return what a code is good for: the token endpoint's answer.

        Raises
        ------
        SignInError
            Where the provider does not take the code.
        """
        discovered = await self.discovered()
        async with self._asking(), self._client(discovered) as client:
            try:
                found: Mapping[str, Any] = await client.fetch_token(
                    discovered.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=back,
                    code_verifier=verifier,
                )
            except OAuthError as error:  # its words are the provider's, and may hold anything
                what = "client_id or client_secret" if error.error == _NO_CLIENT else "the code"
                text = f"the provider does not take {what}"
                raise SignInError(text) from None
        return found

    async def farewell(self, id_token: str, back: str) -> str | None:
        """Return the address that signs somebody out there too; None where it offers none.

        OpenID Connect RP-Initiated Logout 1.0, section 2. The provider is asked whether it is
        there: a browser that finds nobody leaves its user in doubt whether they are signed out.
        """
        end = (await self.discovered(0.0)).end_session_endpoint
        if end is None:
            return None
        said = {"client_id": self.settings.client_id or "", "post_logout_redirect_uri": back}
        if len(id_token) <= _LONGEST_HINT:
            said["id_token_hint"] = id_token
        return f"{end}{'&' if '?' in end else '?'}{urlencode(said)}"

    async def _discover(self) -> Discovered:
        where = f"{(self.settings.issuer or '').rstrip('/')}/.well-known/openid-configuration"
        try:
            found = self._checked(await self._json(where))
        except ProviderError as error:
            self._failed, self._discovered = (self._clock(), str(error)), None
            raise
        self._failed = None
        return found

    def _checked(self, said: Any) -> Discovered:
        settings = self.settings
        try:
            found = Discovered.model_validate(said)
        except ValidationError:  # its message would print what was said
            text = "its discovery document lacks what OpenID Connect asks for"
            raise ProviderError(text) from None
        if found.issuer != settings.issuer:
            text = "its discovery document names another issuer than web.oidc.issuer"
            raise ProviderError(text)
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        for place in (*places, found.end_session_endpoint or settings.issuer):
            if _origin(place) != settings.origin:
                text = f"its discovery document leads to another host than {settings.origin}"
                raise ProviderError(text)
        methods = found.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            text = "it does not offer PKCE by S256"
            raise ProviderError(text)
        offered = found.id_token_signing_alg_values_supported
        if offered is not None and not set(offered) & set(settings.algorithms):
            text = f"it signs by none of web.oidc.algorithms, but by {', '.join(offered)}"
            raise ProviderError(text)
        return found

    async def _json(self, address: str) -> Any:
        async with (
            self._asking(),
            httpx2.AsyncClient(**self._bounds()) as client,
        ):
            answer = await client.get(address, headers={"Accept": "application/json"})
            answer.raise_for_status()
            return answer.json()

    def _client(self, discovered: Discovered) -> AsyncOAuth2Client:
        settings, secret = self.settings, self._secret()
        methods = discovered.token_endpoint_auth_methods_supported
        basic = secret and ("client_secret_basic" in methods or "client_secret_post" not in methods)
        how = "client_secret_basic" if basic else "client_secret_post" if secret else "none"
        client = AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=secret,
            token_endpoint_auth_method=how,
            scope=" ".join(settings.scopes),
            code_challenge_method="S256",
            **self._bounds(),
        )
        client.register_client_auth_method(("client_secret_basic", _basic))
        return client

    def _secret(self) -> str | None:
        """Read the client's secret, each time: it may have been changed."""
        path = self.settings.client_secret
        if path is None:
            return None
        try:
            if path.stat().st_mode & 0o027:
                text = f"{path}: others may read or change it; chmod 600"
                raise ProviderError(text)
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = f"{path}: the client's secret cannot be read"
            raise ProviderError(text) from None
        if not secret:
            text = f"{path}: holds no secret"
            raise ProviderError(text)
        return secret

    def _bounds(self) -> dict[str, Any]:
        return {
            "transport": _OneHost(self._tls, self.settings.origin),
            "timeout": _SECONDS,
            "trust_env": False,  # no proxy that the environment names
            "follow_redirects": False,
        }

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Bound a question in time, and say in plain words why it was not answered."""
        try:
            async with asyncio.timeout(_SECONDS):
                yield
        except httpx2.HTTPStatusError as error:
            text = f"{self.settings.origin} answers {error.response.status_code}"
            raise ProviderError(text) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            text = f"{self.settings.origin} cannot be reached ({type(error).__name__})"
            raise ProviderError(text) from None
        except ValueError:
            text = f"{self.settings.origin} answers something else than JSON"
            raise ProviderError(text) from None


class _OneHost(httpx2.AsyncBaseTransport):
    """Asks one host alone, and reads no more of an answer than any honest one has."""

    def __init__(self, tls: ssl.SSLContext, origin: str) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=tls)
        self._origin = origin

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(str(request.url)) != self._origin:
            text = "another host"
            raise httpx2.UnsupportedProtocol(text)
        request.headers["Accept-Encoding"] = "identity"
        answer = await self._inner.handle_async_request(request)
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.aclose()
            text = "packed"  # a few bytes may unfold to any number
            raise httpx2.ReadError(text)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)  # noqa: S101  for the type
        answer.stream = _Bounded(answer.stream)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > _MOST_BYTES:
                text = "too long"
                raise httpx2.ReadError(text)
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _basic(client: Any, _method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """Show the client by HTTP Basic, encoded as a form is (RFC 6749, section 2.3.1).

    Authlib's own leaves that out: a secret with a plus or a percent sign in it is then another.
    """
    shown = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(shown.encode()).decode()}"
    return uri, headers, body


def _readable(said: Any) -> KeySet:
    """Return the keys of a set; one of a kind that is not known is passed over (RFC 7517, 5)."""
    found: list[Key] = []
    try:
        for one in said["keys"]:
            with suppress(JoseError, KeyError, TypeError, ValueError, AttributeError):
                found.append(JWKRegistry.import_key(one))
    except (KeyError, TypeError):
        pass
    if not found:
        text = "its keys cannot be read"
        raise ProviderError(text)
    return KeySet(found)


def _origin(address: str | None) -> str:
    parts = urlsplit(address or "")
    return f"{parts.scheme}://{parts.netloc}"
