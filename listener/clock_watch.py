"""A watch on the wall clock, for the times in the ledger are wall times and that clock can jump.

Where it jumps, no time in the ledger says any longer how long is still to be waited. Whoever waits
then begins its wait anew: a second look, or another process's, does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

__all__ = ["ClockWatch"]

_TOLERANCE = timedelta(seconds=2)  # a clock that is put right slowly strays by less between looks


class ClockWatch:
    """Compares the wall clock with one that never jumps, from look to look.

    Parameters
    ----------
    now
        What the wall clock says.
    steady
        Gives seconds that never jump (`time.monotonic`); None trusts the wall clock.
    """

    def __init__(self, now: datetime, steady: Callable[[], float] | None) -> None:
        self._steady = steady
        self._seen: tuple[datetime, float] | None = None
        self.saw(now)
        self._is_fresh = steady is not None

    @property
    def is_fresh(self) -> bool:
        """Tell whether `saw` was not called yet: it may have jumped before this process was."""
        return self._is_fresh

    def has_jumped(self, now: datetime) -> bool:
        """Tell whether the wall clock has jumped since a time was seen last."""
        if self._steady is None or self._seen is None:
            return False
        wall, steady = self._seen
        passed = timedelta(seconds=self._steady() - steady)
        return abs(now - wall - passed) > _TOLERANCE

    def saw(self, now: datetime) -> None:
        """Note the time, once everything that a jump asks for is done."""
        self._is_fresh = False
        if self._steady is not None:
            self._seen = now, self._steady()
