"""Who is signed in: kept in memory, so that a restart signs everybody out."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from deploy.web.users import Role, User, Users

__all__ = ["Session", "Sessions"]

_MOST: Final = 1000


@dataclass(eq=False)
class Session:
    """One browser that is signed in.

    ``csrf`` has to stand in every form that changes something. ``told`` names the cases of
    results (result set, number) whose view the audit trail knows of. ``id_token`` is the OpenID
    provider's word for who it is; None for a local account.
    """

    user: User
    began: float
    seen: float
    id_token: str | None = None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    told: set[tuple[str, int]] = field(default_factory=set)

    def may(self, role: Role) -> bool:
        """Whether the account has a role."""
        return role in self.user.roles


class Sessions:
    """The sessions of one process.

    A session ends with its account, and when that gets another password or other roles; one that
    the OpenID provider vouched for, when a local account of that name is made.

    Parameters
    ----------
    users
        The accounts.
    idle_seconds, most_seconds
        How long one lasts without a request, and at all.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        users: Users,
        idle_seconds: float,
        most_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._idle, self._most, self._clock = idle_seconds, most_seconds, clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, user: User, id_token: str | None = None) -> tuple[str, Session]:
        """Sign an account in; return the key that its browser keeps, and the session.

        Parameters
        ----------
        user
            The account.
        id_token
            The OpenID provider's word for it; None for a local account.
        """
        key, now = secrets.token_urlsafe(32), self._clock()
        session = Session(user, now, now, id_token)
        with self._lock:
            for old in [k for k, one in self._sessions.items() if self._is_over(one, now)]:
                del self._sessions[old]
            while len(self._sessions) >= _MOST:
                del self._sessions[min(self._sessions, key=lambda k: self._sessions[k].seen)]
            self._sessions[_hashed(key)] = session
        return key, session

    def find(self, key: str) -> Session | None:
        """Return the session of a browser, None where it is signed out."""
        now = self._clock()
        with self._lock:
            session = self._sessions.get(_hashed(key))
            if session is None:
                return None
            account = session.user if session.id_token is None else None
            if self._is_over(session, now) or self._users.get(session.user.name) != account:
                del self._sessions[_hashed(key)]
                return None
            session.seen = now
            return session

    def end(self, key: str) -> None:
        """Sign a browser out."""
        with self._lock:
            self._sessions.pop(_hashed(key), None)

    def _is_over(self, session: Session, now: float) -> bool:
        return now - session.seen > self._idle or now - session.began > self._most


def _hashed(key: str) -> str:
    """Return what is kept of a key: who reads the memory of this table cannot sign in by it."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
