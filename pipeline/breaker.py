"""Stops asking a server that does not answer, and finds out when it does again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

__all__ = ["Admission", "Breaker"]


class Admission(StrEnum):
    """What a caller may do: ask, find out first whether the server answers, or wait."""

    GO = "go"
    PROBE = "probe"
    WAIT = "wait"


class Breaker:
    """A circuit breaker: closed while a server answers, open after failures in a row.

    Open, it lets nobody through for a pause; then one caller is to probe. A probe that fails
    doubles the pause, one that succeeds closes the breaker; one that is never told of is given to
    another caller after the longest pause. Threads may share one.

    Parameters
    ----------
    failures
        How many in a row open it.
    pause_seconds, longest_seconds
        The first pause, and the longest that doubling comes to.
    clock
        Gives seconds that only grow.
    """

    def __init__(
        self,
        failures: int = 3,
        pause_seconds: float = 5.0,
        longest_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._first_pause = pause_seconds
        self._longest = longest_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = pause_seconds
        self._opened_at: float | None = None
        self._probed_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether a caller would be let through now, be it to probe."""
        with self._lock:
            return self._stands() is not Admission.WAIT

    def enter(self) -> Admission:
        """Say what the caller may do; who is told to probe has to report how that went."""
        with self._lock:
            admission = self._stands()
            if admission is Admission.PROBE:
                self._probed_at = self._clock()
            return admission

    def succeeded(self) -> None:
        """Take note of an answer."""
        with self._lock:
            self._failures, self._pause = 0, self._first_pause
            self._opened_at, self._probed_at = None, None

    def failed(self, *, probing: bool = False) -> None:
        """Take note that no answer came, to the probe or to an earlier caller."""
        with self._lock:
            self._failures += 1
            if probing and self._probed_at is not None:
                self._pause = min(self._pause * 2, self._longest)
                self._opened_at, self._probed_at = self._clock(), None
            elif self._opened_at is None and self._failures >= self._most:
                self._opened_at = self._clock()

    def _stands(self) -> Admission:
        if self._opened_at is None:
            return Admission.GO
        now = self._clock()
        if self._probed_at is not None and now - self._probed_at < self._longest:
            return Admission.WAIT
        return Admission.PROBE if now - self._opened_at >= self._pause else Admission.WAIT
