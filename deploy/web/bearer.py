"""Who may ask over HTTP: programs that show a token of a file (RFC 6750)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import threading
from pathlib import Path

from starlette.requests import Request

from deploy.errors import ConfigurationError
from listener.audit import Audit

__all__ = ["BearerTokens"]

_log = logging.getLogger("wristmir.web")

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,32}) (?P<digest>[0-9a-f]{64})")
_OTHERS = 0o077
_LONGEST_TOKEN = 512


class BearerTokens:
    """The tokens of a file, one a line: the name of who has it, and the token's SHA-256.

    ``openssl rand -hex 32`` makes a token, ``printf %s TOKEN | sha256sum`` its digest: the tokens
    themselves stand nowhere here. The file is read anew when it changes; one that is broken then
    lets nobody in.

    Parameters
    ----------
    path
        The file. Empty lines, and those that begin with ``#``, are passed over.

    Raises
    ------
    ConfigurationError
        If it cannot be read, others may read it, or a line is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._names: dict[str, str] = {}
        self._refresh()

    def holder(self, request: Request) -> str | None:
        """Return the name of whose token a request shows; None where it shows none of the file.

        Raises
        ------
        ConfigurationError
            If the file has changed and is broken now.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN:
            return None
        shown = hashlib.sha256(token.strip().encode()).hexdigest()
        found = None
        for digest, name in self._refresh().items():
            if hmac.compare_digest(digest, shown):
                found = name
        return found

    def admit(self, request: Request, audit: Audit) -> str | None:
        """Return the name of whose token a request shows; the audit trail is told of who has none.

        Where the file is broken nobody is admitted.
        """
        try:
            name = self.holder(request)
        except ConfigurationError as error:
            _log.error("%s", error)
            name = None
        if name is None:
            address = "" if request.client is None else request.client.host
            audit.refused("", address, "HTTP: no token, or one that is not known")
        return name

    def _refresh(self) -> dict[str, str]:
        with self._lock:
            try:
                status = self._path.stat()
                seen = status.st_mtime_ns, status.st_ino
                if seen != self._seen:
                    self._seen, self._names = None, {}
                    if status.st_mode & _OTHERS:
                        text = f"{self._path}: others may read it; chmod 600"
                        raise ConfigurationError(text)
                    self._names = self._read()
                    self._seen = seen
            except OSError as error:
                self._names = {}
                text = f"{self._path}: cannot be read ({error.strerror})"
                raise ConfigurationError(text) from None
            return self._names

    def _read(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                text = f"{self._path}: line {number}: a name, a space and a SHA-256 are wanted"
                raise ConfigurationError(text)
            names[match["digest"]] = match["name"]
        return names
