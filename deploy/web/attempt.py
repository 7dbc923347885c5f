"""Sign-ins under way at the OpenID provider: each for one browser, once, and not for long."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Attempt", "Attempts"]

_MOST: Final = 5000
_MOST_OF_AN_ADDRESS: Final = 50  # a reading room may share one
_SECONDS: Final = 600.0


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Attempt:
    """One sign-in: its secrets, from which address and when it was begun (seconds since 1970).

    ``wanted`` is the page that it leads to.
    """

    wanted: str
    address: str
    began: float
    browser: str
    state: str = field(default_factory=_secret)
    nonce: str = field(default_factory=_secret)
    verifier: str = field(default_factory=_secret)


class Attempts:
    """The sign-ins under way in one process.

    An attempt is bound to the browser that began it, by a cookie, so that nobody is signed in with
    another's account by an address that was sent to him (login CSRF, RFC 6749 section 10.12).
    Anybody can begin one, so there are bounds, and one address cannot push out what others have
    begun: of 50 from one address its own oldest gives way; of 5,000 in all that of the address with
    most of them.

    Parameters
    ----------
    clock
        Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[str, Attempt] = {}

    def begin(self, wanted: str, address: str) -> tuple[str, Attempt]:
        """Begin one; return the key that its browser keeps, and the attempt.

        Parameters
        ----------
        wanted
            The page that it leads to.
        address
            Of the client, as failures are counted by (`deploy.web.throttle.Throttle`).
        """
        key, now = _secret(), self._clock()
        attempt = Attempt(wanted, address, now, _hashed(key))
        with self._lock:
            self._make_room(address, now)
            self._under_way[attempt.state] = attempt
        return key, attempt

    def take(self, state: str, key: str) -> Attempt | None:
        """Return the attempt of a state and a browser, once; None where there is none."""
        with self._lock:
            attempt = self._under_way.pop(state, None)
        if attempt is None or self._is_over(attempt, self._clock()):
            return None
        return attempt if hmac.compare_digest(attempt.browser, _hashed(key)) else None

    def _make_room(self, address: str, now: float) -> None:
        while self._under_way:
            oldest = next(iter(self._under_way.values()))
            if not self._is_over(oldest, now):
                break
            del self._under_way[oldest.state]
        own = sum(one.address == address for one in self._under_way.values())
        if own >= _MOST_OF_AN_ADDRESS:
            self._drop_oldest(address)
        elif len(self._under_way) >= _MOST:
            counts = Counter(one.address for one in self._under_way.values())
            self._drop_oldest(counts.most_common(1)[0][0])

    def _drop_oldest(self, address: str) -> None:
        oldest = next(s for s, one in self._under_way.items() if one.address == address)
        del self._under_way[oldest]

    def _is_over(self, attempt: Attempt, now: float) -> bool:
        return not 0 <= now - attempt.began <= _SECONDS


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
