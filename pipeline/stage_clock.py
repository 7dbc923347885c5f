"""A clock that says how long each stage of a piece of work took."""

from __future__ import annotations

import time
from collections.abc import Mapping

__all__ = ["StageClock"]


class StageClock:
    """Runs from when it is made; a stage that comes again is added to."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, in the order in which the stages came first."""
        return dict(self._seconds)

    def lap(self, stage: str) -> None:
        """Give the time since the last lap to a stage."""
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now
