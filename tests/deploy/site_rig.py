"""The site on a free port of this machine, as long as a test needs it, and who asks for pages."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette

from deploy.settings import Settings
from deploy.web.server import WebServer, open_site
from deploy.web.users import Role, Users

PASSWORD = "an invented password"  # noqa: S105  invented


@dataclass(frozen=True)
class Answer:
    """What the site answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    cookies: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Visit:
    """Asks for pages as a browser does: keeps the cookie, sends its Origin, follows nothing."""

    address: str
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> Answer:
        return self._ask("POST", path, form, {"Origin": self.address, **headers})

    def sign_in(self, name: str, password: str = PASSWORD, wanted: str = "") -> Answer:
        return self.post("/login", {"name": name, "password": password, "next": wanted})

    def token(self, path: str) -> str:
        """Return the token of the forms on a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found is not None
        return found[1]

    def _ask(
        self, method: str, path: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Answer:
        parts = urlsplit(self.address)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        sent = {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.cookie:
            sent["Cookie"] = self.cookie
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, None if form is None else urlencode(form), sent)
            answer = connection.getresponse()
            named = answer.getheaders()
            cookies = tuple(v for k, v in named if k.lower() == "set-cookie")
            if cookies:
                self.cookie = cookies[0].partition(";")[0]
            return Answer(answer.status, answer.read(), {k.lower(): v for k, v in named}, cookies)
        finally:
            connection.close()


@contextmanager
def site_of(settings: Settings) -> Iterator[str]:
    """Serve the pages of an installation; yield their address. Its ledger has to be there."""
    ready = threading.Event()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        ready.set()
        yield

    with closing(WebServer(settings.web)) as server, open_site(settings, server, lifespan) as app:
        thread = threading.Thread(target=server.run, args=(app,))
        thread.start()
        try:
            assert ready.wait(20)
            yield server.address
        finally:
            server.stop()
            thread.join(20)
    assert not thread.is_alive()


def accounts(settings: Settings, **roles: tuple[Role, ...]) -> Users:
    """Make accounts, each with the same password."""
    users = Users(settings.users_file)
    for name, of in roles.items():
        users.put(name, of, PASSWORD)
    return users


def with_web(settings: Settings, **web: Any) -> Settings:
    """Return the configuration with other settings of the pages, on a free port."""
    changed = settings.web.model_validate({"port": 0, **web})
    return settings.model_copy(update={"web": changed})
