"""The watch over procedure steps: they are begun with in time, and their subscribers are told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError, LeaseLostError, ListenerError
from listener.exchange import report_step
from listener.job import STEP_EVENT, Job, JobState
from listener.ledger import Ledger
from listener.step_settings import StepSettings
from listener.step_shelf import StepShelf

__all__ = ["StepWatch"]

_log = logging.getLogger("wristmir.listener")

_PAUSE_SECONDS = 5.0  # after the ledger could not be read
_JOIN_SECONDS = 0.5


class StepWatch:
    """Moves steps and tells of them, in two threads of its own: a peer may be slow to listen.

    What a receiver does not take comes again with growing pauses for three days, over restarts, in
    its order; then it is forgotten, and its job is dead and listed. An event that a receiver
    refuses for good is told no more, and holds up none behind it.

    Parameters
    ----------
    ledger
        Holds the steps, what is to be told of them, and a job for each receiver.
    shelf
        Holds what peers wrote.
    destinations
        Where receivers listen: one is found by its AE title.
    period_seconds
        Time between two looks.
    """

    def __init__(
        self,
        ledger: Ledger,
        shelf: StepShelf,
        destinations: Collection[DestinationSettings],
        settings: StepSettings,
        period_seconds: float = 0.2,
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        # the first one of a title, where several systems share it
        self._destinations = {d.ae_title: d for d in reversed(tuple(destinations))}
        self._settings = settings
        self._period_seconds = period_seconds
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def sweep(self) -> int:
        """Delete what a crash left of steps that were never acknowledged; before any is taken."""
        return self._shelf.sweep(self._ledger.steps.files())

    def start(self) -> None:
        """Take up what a stop left in hand, tell who watches that it goes on, then watch."""
        self._ledger.end_leases((STEP_EVENT,))
        self._ledger.steps.resume()
        self._ledger.steps.restarted()
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._watch, args=(step,), name=name, daemon=True)
            for name, step in (("steps", self._advance), ("step-events", self._tell))
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop watching; what is on its way and not taken is told again."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)  # one that waits for a peer ends by itself
        self._threads = []

    def forget(self) -> int:
        """Forget the steps that ended long ago; return how many."""
        paths = self._ledger.steps.forget(timedelta(days=self._settings.keep_days))
        self._shelf.remove(paths)
        return len(paths)

    def _watch(self, step: Callable[[], None]) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                step()
            except SQLAlchemyError as error:
                _log.error("the ledger cannot be used: %s", type(error).__name__)
                self._stopping.wait(_PAUSE_SECONDS)

    def _advance(self) -> None:
        moved = self._ledger.performance.advance(timedelta(seconds=self._settings.wait_seconds))
        if moved:
            _log.info("procedure steps moved: %d", moved)

    def _tell(self) -> None:
        while not self._stopping.is_set() and self._ledger.steps.is_any_due():
            if not self._tell_one():
                return

    def _tell_one(self) -> bool:
        job = self._ledger.lease((STEP_EVENT,), self._lease_seconds)
        if job is None:
            return False
        try:
            self._ledger.finish(job, {"told": self._told(job.subject)})
        except LeaseLostError:
            pass
        except ListenerError as error:
            self._failed(job, str(error))
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where an event ends; it is recorded
            self._failed(job, f"unexpected {type(error).__name__}")
        return True

    @property
    def _lease_seconds(self) -> float:
        longest = max((d.timeout_seconds for d in self._destinations.values()), default=0.0)
        return 60 + 5 * longest

    def _told(self, receiver: str) -> int:
        """Tell a receiver what it is owed, all of it, in its order; return how many it took."""
        destination = self._destinations.get(receiver)
        if destination is None:
            msg = f"{receiver} is no destination: it cannot be told of procedure steps."
            raise DeliveryError(msg)
        count = 0
        until = time.monotonic() + self._lease_seconds / 2
        while time.monotonic() < until and (owed := self._ledger.steps.owed(receiver)):
            with report_step(destination, owed[0].title) as tell:
                for one in owed:
                    is_taken = tell(one)
                    self._ledger.steps.settled(one.id)
                    count += is_taken
        _log.info("%s was told of procedure steps: %d events", destination.name, count)
        return count

    def _failed(self, job: Job, error: str) -> None:
        try:
            stands = self._ledger.fail(job, error, outage=True)
        except LeaseLostError:
            return
        if stands.state is JobState.DEAD:
            self._ledger.steps.give_up(job.subject)
        _log.warning(
            "events of procedure steps, job %d failed, try %d, now %s: %s",
            job.id,
            job.attempts,
            stands.state.value,
            error,
        )
