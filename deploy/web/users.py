"""Who may sign in: accounts in a file, each with its roles and the hash of its password."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from deploy.errors import ConfigurationError, InputError
from deploy.private_file import private_file

__all__ = ["LEAST_LETTERS", "Role", "User", "Users"]

LEAST_LETTERS: Final = 12
_MOST_LETTERS: Final = 256
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Role(StrEnum):
    """What an account may see: results, or how the service stands. One may have both."""

    RADIOLOGIST = "radiologist"
    IT = "it"


@dataclass(frozen=True)
class User:
    """An account; ``hash`` is Argon2id's, in the string format of the PHC.

    For one that the OpenID provider vouches for it is empty.
    """

    name: str
    roles: frozenset[Role]
    hash: str


class Users:
    """The file of the accounts: ``name:role,role:hash`` a line, mode 0600.

    It is read anew when it has changed.

    Parameters
    ----------
    path
        The file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._hashing = threading.Semaphore(2)  # 64 MiB each: a flood of tries must not fill memory
        self._seen: tuple[int, ...] | None = None
        self._users: dict[str, User] = {}
        self._nobody = _hashed(secrets.token_urlsafe())

    def all(self) -> tuple[User, ...]:
        """Return every account, by name.

        Raises
        ------
        ConfigurationError
            Where the file cannot be read, others may read it, or a line is none of an account.
        """
        with self._lock:
            self._refresh()
            return tuple(sorted(self._users.values(), key=lambda user: user.name))

    def get(self, name: str) -> User | None:
        """Return an account, None where there is none; see `all`."""
        with self._lock:
            self._refresh()
            return self._users.get(name)

    def check(self, name: str, password: str) -> User | None:
        """Return the account if the password is its own.

        It takes as long where there is no such account, so that nobody learns which there are.
        """
        user = self.get(name)
        with self._hashing:
            fits = _fits(password[: 4 * _MOST_LETTERS], user.hash if user else self._nobody)
        return user if fits else None

    def put(self, name: str, roles: Sequence[Role], password: str) -> User:
        """Make an account, or give one another password and other roles.

        Raises
        ------
        InputError
            Where name, roles or password are not fit for one.
        """
        if not _NAME.fullmatch(name):
            text = "a name has small letters, digits and . _ @ - alone, 64 at the most"
            raise InputError(text)
        if not roles:
            text = f"an account needs a role: {', '.join(Role)}"
            raise InputError(text)
        if not LEAST_LETTERS <= len(password) <= _MOST_LETTERS:
            text = f"a password has {LEAST_LETTERS} to {_MOST_LETTERS} letters"
            raise InputError(text)
        user = User(name, frozenset(roles), _hashed(password))
        with self._changing() as users:
            users[name] = user
        return user

    def remove(self, name: str) -> None:
        """Take an account away.

        Raises
        ------
        InputError
            Where there is none of this name.
        """
        with self._changing() as users:
            if users.pop(name, None) is None:
                text = "there is no such account; `wristmir users` lists them"
                raise InputError(text)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        """Give the accounts to be changed, then put them in place whole; one at a time."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(
            self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._lock:
                self._refresh()
                users = dict(self._users)
                yield users
                _write(self.path, users)
                self._refresh()
        finally:
            os.close(lock)

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._users = None, {}
            return
        except OSError as error:
            text = f"{self.path}: cannot be read ({error.strerror})"
            raise ConfigurationError(text) from None
        now = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
        if now == self._seen:
            return
        if status.st_mode & 0o077:
            text = f"{self.path}: others may read or write it; chmod 600"
            raise ConfigurationError(text)
        self._users = {user.name: user for user in _read(self.path)}
        self._seen = now


def _read(path: Path) -> Iterator[User]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        text = f"{path}: cannot be read ({type(error).__name__})"
        raise ConfigurationError(text) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, rest = line.partition(":")
        roles, _, hashed = rest.partition(":")
        known = [role for role in roles.split(",") if role in set(Role)]
        if not _NAME.fullmatch(name) or not hashed.startswith("$argon2id$") or not known:
            text = f"{path}, line {number}: no account; `wristmir users add` writes them"
            raise ConfigurationError(text)
        yield User(name, frozenset(map(Role, known)), hashed)


def _write(path: Path, users: Mapping[str, User]) -> None:
    with private_file(path) as stream:
        for name, user in sorted(users.items()):
            line = f"{name}:{','.join(sorted(user.roles))}:{user.hash}\n"
            stream.write(line.encode("ascii"))


def _hashed(password: str) -> str:
    """Hash by the second of RFC 9106's recommended options: 64 MiB, three passes, four lanes."""
    kdf = Argon2id(
        salt=secrets.token_bytes(16), length=32, iterations=3, lanes=4, memory_cost=64 << 10
    )
    return kdf.derive_phc_encoded(_bytes(password))


def _fits(password: str, hashed: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_bytes(password), hashed)
    except (InvalidKey, ValueError):
        return False
    return True


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
