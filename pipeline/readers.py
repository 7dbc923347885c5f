"""Reads reports side by side, so that a language model's server is kept full."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

__all__ = ["Readers"]

_LOG = logging.getLogger("wristmir.worker")
_LEDGER_PAUSE_SECONDS = 5.0

Work = TypeVar("Work")


@dataclass(frozen=True)
class Readers(Generic[Work]):
    """Takes work while there is any and a hand is free.

    Parameters
    ----------
    hands
        How many pieces of work are under way at the most.
    ready
        Whether work can be done at all now; while it cannot, none is taken.
    take
        Returns the next piece of work, or None.
    do
        Does one; it raises nothing, and threads may call it together.
    """

    hands: int
    ready: Callable[[], bool]
    take: Callable[[], Work | None]
    do: Callable[[Work], None]

    @contextmanager
    def at_work(self, idle_seconds: float = 0.2) -> Iterator[threading.Thread]:
        """Work beside the caller; on leaving, what is under way is finished first.

        The thread that is given hands out the work: should it end by itself, nothing is read.
        """
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop, idle_seconds), name="readers")
        thread.start()
        try:
            yield thread
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: threading.Event, idle_seconds: float) -> None:
        free = threading.Semaphore(self.hands)
        with ThreadPoolExecutor(self.hands, thread_name_prefix="reader") as pool:
            while not stop.is_set():
                if not free.acquire(timeout=idle_seconds):
                    continue
                work = self._next(stop)
                if work is None:
                    free.release()
                    stop.wait(idle_seconds)
                    continue
                pool.submit(self.do, work).add_done_callback(lambda done: _ended(done, free))

    def _next(self, stop: threading.Event) -> Work | None:
        if not self.ready():
            return None
        try:
            return self.take()
        except SQLAlchemyError as error:
            _LOG.error("the ledger cannot be used: %s", type(error).__name__)
            stop.wait(_LEDGER_PAUSE_SECONDS)
            return None


def _ended(done: Future[None], free: threading.Semaphore) -> None:
    error = done.exception()
    if error is not None:  # its lease runs out, and it comes again
        _LOG.error("how a job ended was not recorded: %s", type(error).__name__)
    free.release()
