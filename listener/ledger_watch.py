"""A watch over the ledger: threads that look again and again for what is due there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

__all__ = ["LedgerWatch"]

_log = logging.getLogger("wristmir.listener")

_PAUSE_SECONDS = 5.0  # after the ledger could not be used
_JOIN_SECONDS = 0.5


class LedgerWatch:
    """Looks at the ledger, in a thread of its own for each thing that is looked for.

    Parameters
    ----------
    looks
        By the names of their threads. Each does one thing that is due, and returns whether there
        may be another at once; it may raise what SQLAlchemy raises.
    period_seconds
        Time between two looks where there is none at once.
    """

    def __init__(self, looks: Mapping[str, Callable[[], bool]], period_seconds: float) -> None:
        self._looks = dict(looks)
        self._period_seconds = period_seconds
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Watch until stopped."""
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._watch, args=(look,), name=name, daemon=True)
            for name, look in self._looks.items()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop watching; a look that waits for a peer ends by itself."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        self._threads = []

    def _watch(self, look: Callable[[], bool]) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                while not self._stopping.is_set() and look():
                    pass
            except SQLAlchemyError as error:
                _log.error("the ledger cannot be used: %s", type(error).__name__)
                self._stopping.wait(_PAUSE_SECONDS)
