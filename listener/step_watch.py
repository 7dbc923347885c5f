"""The watch over procedure steps: they are begun with in time, and their subscribers are told."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import timedelta

from listener.destination_settings import DestinationSettings
from listener.exchange import report_step
from listener.job import STEP_EVENT, Job
from listener.ledger import Ledger
from listener.ledger_watch import LedgerWatch
from listener.notifier import Notifier
from listener.step_settings import StepSettings
from listener.step_shelf import StepShelf

__all__ = ["StepWatch"]

_log = logging.getLogger("wristmir.listener")


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
        self._settings = settings
        self._notifier = Notifier(
            ledger,
            STEP_EVENT,
            ledger.steps,
            self._told,
            "events of procedure steps, job",
            destinations,
        )
        looks = {"steps": self._advance, "step-events": self._notifier.notify}
        self._watch = LedgerWatch(looks, period_seconds)

    def sweep(self) -> int:
        """Delete what a crash left of steps that were never acknowledged; before any is taken."""
        return self._shelf.sweep(self._ledger.steps.files())

    def start(self) -> None:
        """Take up what a stop left in hand, tell who watches that it goes on, then watch."""
        self._notifier.take_up()
        self._ledger.steps.restarted()
        self._watch.start()

    def stop(self) -> None:
        """Stop watching; what is on its way and not taken is told again."""
        self._watch.stop()

    def forget(self) -> int:
        """Forget the steps that ended long ago; return how many."""
        paths = self._ledger.steps.forget(timedelta(days=self._settings.keep_days))
        self._shelf.remove(paths)
        return len(paths)

    def _advance(self) -> bool:
        moved = self._ledger.performance.advance(timedelta(seconds=self._settings.wait_seconds))
        if moved:
            _log.info("procedure steps moved: %d", moved)
        return False  # it has moved all that could be

    def _told(self, job: Job) -> dict[str, int]:
        """Tell a receiver what it is owed, all of it, in its order; return how many it took."""
        receiver = job.subject
        destination = self._notifier.destination(receiver, "of procedure steps")
        count = 0
        until = time.monotonic() + self._notifier.lease_seconds / 2
        while time.monotonic() < until and (owed := self._ledger.steps.owed(receiver)):
            with report_step(destination, owed[0].title) as tell:
                for one in owed:
                    is_taken = tell(one)
                    self._ledger.steps.settled(one.id)
                    count += is_taken
        _log.info("%s was told of procedure steps: %d events", destination.name, count)
        return {"told": count}
