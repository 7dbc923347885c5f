"""A heartbeat: something is renewed again and again while a piece of work is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Heartbeat"]


@dataclass(frozen=True)
class Heartbeat:
    """Beats beside the work; work that hangs is given up after its last beat.

    Parameters
    ----------
    beat
        Renews what has to be; False where that is of no use any more, and no other beat follows.
        It raises nothing.
    every_seconds
        Between two beats, and before the first.
    most
        How many there are at the most.
    """

    beat: Callable[[], bool]
    every_seconds: float
    most: int

    @contextmanager
    def beating(self, name: str) -> Iterator[None]:
        """Beat, in a thread of this name, until the block is left."""
        ended = threading.Event()
        heart = threading.Thread(target=self._run, args=(ended,), name=name, daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()

    def _run(self, ended: threading.Event) -> None:
        for _ in range(self.most):
            if ended.wait(self.every_seconds) or not self.beat():
                return
