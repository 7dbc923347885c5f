"""oidc-provider, a certified OpenID provider, on loopback as a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from peers import missing, peer

__all__ = ["ACCOUNTS", "CLIENT", "PASSWORD", "SECRET", "OpenIdProvider", "openid_provider"]

_FOLDER = Path(__file__).parents[2] / ".openid-provider"
_PROGRAM = Path(__file__).with_name("openid_provider.mjs")
_HOST = "127.0.0.2"  # another site than the pages' 127.0.0.1, to browsers too

CLIENT = "wristmir:pages"
# RFC 6749, section 2.3.1: what HTTP Basic bears of a client is encoded as a form is
SECRET = "an invented+secret:50%25 of it"  # noqa: S105  invented
PASSWORD = "invented there"  # noqa: S105  invented
ACCOUNTS = {
    "dr.asked": ["radiologists", "everybody"],
    "admin": ["admins"],
    "visitor": ["everybody"],
}
"""Who is known there, and in which groups."""


@dataclass
class OpenIdProvider:
    """The provider; what it is to be counts from the next start.

    ``algorithm`` is that of ID tokens; with ``conforms`` they bear no claim but the subject, since
    scopes ask for claims at the UserInfo endpoint alone (OpenID Connect Core 1.0, section 5.4).
    """

    log: Path
    pages: str = ""
    algorithm: str = "RS256"
    conforms: bool = False
    keys: list[dict[str, Any]] = field(default_factory=list)
    address: str = field(default_factory=lambda: f"http://{_HOST}:{_free_port()}")
    _process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.change_keys("first")

    def change_keys(self, name: str) -> None:
        """Have other keys, of every kind: what signs nothing here stands among them."""
        made = (
            OKPKey.generate_key("Ed25519", _named(f"{name}-ed")),
            RSAKey.generate_key(2048, _named(f"{name}-rsa")),
            ECKey.generate_key("P-256", _named(f"{name}-ec")),
        )
        self.keys = [key.as_dict(private=True) for key in made]

    def restart(self, **changes: Any) -> None:
        """Start anew at the same address; sessions there are forgotten."""
        self.stop()
        vars(self).update(changes)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_node(), str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._asked()) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said == "ready\n", self.log.read_text(encoding="utf-8")[-3000:]

    def stop(self) -> None:
        """End the process, which has nothing to lose."""
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

    def _asked(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "client": {
                "client_id": CLIENT,
                "client_secret": SECRET,
                "redirect_uris": [f"{self.pages}/login/oidc/back"],
                "post_logout_redirect_uris": [f"{self.pages}/login"],
                "id_token_signed_response_alg": self.algorithm,
            },
            "accounts": {
                name: {"password": PASSWORD, "groups": groups} for name, groups in ACCOUNTS.items()
            },
            "jwks": {"keys": self.keys},
            "conformIdTokenClaims": self.conforms,
        }


@contextmanager
def openid_provider(folder: Path) -> Iterator[OpenIdProvider]:
    """Yield a provider that is not started yet, and end it whatever happens."""
    if not (_FOLDER / "ready").is_file():
        missing("oidc-provider", "`make openid-provider` fetches it")
    provider = OpenIdProvider(folder / "provider.log")
    try:
        yield provider
    finally:
        provider.stop()


def _node() -> str:
    """Return the Node.js that came with the package, which asks for a newer one than Debian has."""
    own = sorted(_FOLDER.glob("node_modules/node-linux-*/bin/node"))
    return str(own[0]) if own else peer("node")


def _named(name: str) -> dict[str, str]:
    return {"kid": name, "use": "sig"}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        return int(free.getsockname()[1])
