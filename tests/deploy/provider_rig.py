"""An OpenID provider on a socket of this machine: keys, codes and tokens are real, faults on order.

It is written from the specifications (OpenID Connect Core and Discovery 1.0, RFC 7636, RFC 9207),
not from what the pages do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

CLIENT, SECRET = "wristmir-pages", "an invented+secret:50%25"  # HTTP Basic encodes it
HOST = "127.0.0.2"  # another site than the pages' 127.0.0.1, to browsers too
Claims = dict[str, Any]


def rsa_key(kid: str = "first") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def ec_key(kid: str = "curve") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


def hmac_signed(claims: Claims, secret: bytes, **header: Any) -> str:
    """Return a token by a shared secret, made by hand: joserfc takes no public key for one."""
    parts = ({"alg": "HS256", **header}, claims)
    text = ".".join(_packed(json.dumps(one).encode()) for one in parts)
    return f"{text}.{_packed(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def signed(claims: Claims, key: Key, algorithm: str = "RS256", **header: Any) -> str:
    head = {"alg": algorithm, "kid": key.kid, **header}
    return jws.serialize_compact(head, json.dumps(claims), key, [algorithm])


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class FakeProvider:
    """What the provider says, and how it errs where a test wants it to."""

    address: str = ""
    own: Any = field(default_factory=rsa_key)
    user: Claims = field(
        default_factory=lambda: {
            "sub": "4711",
            "preferred_username": "Dr.Asked",
            "groups": ["radiologists", "everybody"],
        }
    )
    keys: list[Any] = field(default_factory=list)
    strange_keys: list[Claims] = field(default_factory=list)
    algorithm: str = "RS256"
    interactive: bool = False
    secret: str | None = SECRET
    document: Claims = field(default_factory=dict)
    answer: Claims = field(default_factory=dict)
    claims: Claims = field(default_factory=dict)
    token: Callable[[Claims], str] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    codes: dict[str, Claims] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    farewells: list[Claims] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = [self.own]

    def forget(self) -> None:
        """Be as a new one of the same address and keys."""
        self.__dict__.update(FakeProvider(self.address, self.own).__dict__)

    def discovery(self) -> Claims:
        paths = ("authorization", "token", "end_session")
        return {
            "issuer": self.address,
            **{f"{name}_endpoint": f"{self.address}/{name}" for name in paths},
            "jwks_uri": f"{self.address}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.algorithm],
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.document,
        }

    def back(self, question: Claims) -> str:
        """Return where a browser goes that has signed in."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = question
        said = {"code": code, "state": question["state"], "iss": self.address, **self.answer}
        said = {name: value for name, value in said.items() if value is not None}
        return f"{question['redirect_uri']}?{urlencode(said)}"

    def tokens(self, form: Claims, authorization: str) -> tuple[int, Claims]:
        """Return the answer of the token endpoint; a code is good once."""
        question = self.codes.pop(form.get("code", ""), None)
        wanted = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        if (
            question is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != question["redirect_uri"]
            or question.get("code_challenge_method") != "S256"
            or _packed(wanted) != question["code_challenge"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "a secret word"}
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": question["nonce"],
            **self.user,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        make = self.token or (lambda said: signed(said, self.keys[0], self.algorithm))
        token = {"access_token": secrets.token_urlsafe(), "token_type": "Bearer"}
        return 200, {**token, "expires_in": 300, "id_token": make(claims)}

    def _is_client(self, form: Claims, authorization: str) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT and not authorization
        kind, _, shown = authorization.partition(" ")
        if kind != "Basic":
            return form.get("client_secret") == self.secret
        name, _, secret = base64.b64decode(shown).decode().partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (CLIENT, self.secret)


@contextmanager
def provider() -> Iterator[FakeProvider]:
    """Serve a provider."""
    fake = FakeProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
            fake.asked.append(path)
            if path == "/.well-known/openid-configuration":
                self._say(fake.status, fake.discovery())
            elif path == "/jwks":
                keys = [key.as_dict(private=False) for key in fake.keys]
                self._say(200, {"keys": fake.strange_keys + keys})
            elif path == "/authorization" and fake.interactive:
                self._page(query)
            elif path in ("/authorization", "/approved"):
                self._lead(fake.back(query))
            elif path == "/end_session":
                fake.farewells.append(query)
                self._lead(query["post_logout_redirect_uri"])
            else:
                self._say(404, {})

        def do_POST(self) -> None:
            fake.asked.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            status, said = fake.tokens(dict(parse_qsl(body)), self.headers.get("authorization", ""))
            self._say(status, said)

        def _page(self, question: Claims) -> None:
            fields = "".join(
                f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
                for name, value in question.items()
            )
            button = '<button id="approve">Yes, it is me</button>'
            text = (
                f'<!doctype html><title>Hospital</title><form action="/approved">{fields}{button}'
            )
            self._send(200, "text/html", text.encode(), {})

        def _lead(self, there: str) -> None:
            self._send(302, "text/plain", b"", {"Location": there})

        def _say(self, status: int, said: Claims) -> None:
            body = fake.body if fake.body is not None else json.dumps(said).encode()
            self._send(status, "application/json", body, fake.headers)

        def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    fake.address = f"http://{HOST}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
