"""How often somebody may fail to sign in."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Throttle"]

_MOST_NAMES: Final = 10_000


class Throttle:
    """Counts failures by what failed, an account or an address, and says when it is enough.

    Parameters
    ----------
    most
        Failures within the time; then nothing more is tried.
    seconds
        The time.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._lock = threading.Lock()
        self._failures: dict[str, deque[float]] = {}

    def is_shut(self, name: str) -> bool:
        """Whether it has failed too often of late."""
        with self._lock:
            return len(self._recent(name)) >= self._most

    def failed(self, name: str) -> None:
        """Count a failure."""
        with self._lock:
            while len(self._failures) >= _MOST_NAMES and name not in self._failures:
                del self._failures[next(iter(self._failures))]
            self._failures.setdefault(name, deque(maxlen=self._most)).append(self._clock())

    def passed(self, name: str) -> None:
        """Forget its failures."""
        with self._lock:
            self._failures.pop(name, None)

    def _recent(self, name: str) -> deque[float]:
        times = self._failures.get(name, deque())
        while times and self._clock() - times[0] > self._seconds:
            times.popleft()
        return times
