"""Reports to peers that asked for storage commitment and have ended their association since."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection

from sqlalchemy.exc import SQLAlchemyError

from listener.audit import Audit
from listener.commitment_audit import CommitmentAudit, peer_of
from listener.errors import DeliveryError, LeaseLostError, ListenerError
from listener.exchange import report
from listener.job import EVENT_REPORT, Job, JobState
from listener.ledger import Ledger
from listener.settings import DestinationSettings

__all__ = ["EventReports"]

_log = logging.getLogger("wristmir.listener")

_PAUSE_SECONDS = 5.0  # after the ledger could not be read
_SLOW_SECONDS = 1.0  # a peer that fails so slowly must not hold up the reports to others
_JOIN_SECONDS = 0.5


class EventReports:
    """Sends the reports that are due, in a thread of its own, until each is taken.

    A report that is not taken comes again with growing pauses for three days, over restarts. Then
    its job is dead, is listed, and can be retried.

    Parameters
    ----------
    ledger
        Holds the transactions, and a job for each report.
    destinations
        Where peers listen: a peer is found by its AE title.
    period_seconds
        Time between two looks.
    audit
        Is told what peers were told; None for no audit trail.
    """

    def __init__(
        self,
        ledger: Ledger,
        destinations: Collection[DestinationSettings],
        period_seconds: float = 0.2,
        audit: Audit | None = None,
    ) -> None:
        self._ledger = ledger
        self._told = CommitmentAudit(audit or Audit.off(), ledger.transactions)
        # the first one of a title, where several systems share it
        self._destinations = {d.ae_title: d for d in reversed(tuple(destinations))}
        self._period_seconds = period_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._not_before: dict[str, float] = {}

    def start(self) -> None:
        """Take up what a stop left in hand, then watch."""
        self._ledger.end_leases((EVENT_REPORT,))
        self._ledger.transactions.resume()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._watch, name="event-reports", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a report that is on its way and not taken is sent again."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)  # one that waits for a peer ends by itself
            self._thread = None

    def _watch(self) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                while not self._stopping.is_set() and self._ledger.transactions.is_any_due():
                    if not self._send_one():
                        break
            except SQLAlchemyError as error:
                _log.error("the ledger cannot be used: %s", type(error).__name__)
                self._stopping.wait(_PAUSE_SECONDS)

    def _send_one(self) -> bool:
        job = self._ledger.lease((EVENT_REPORT,), self._lease_seconds)
        if job is None:
            return False
        try:
            self._ledger.finish(job, self._sent(job))
        except LeaseLostError:
            pass
        except ListenerError as error:
            self._failed(job, str(error))
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where a report ends; it is recorded
            self._failed(job, f"unexpected {type(error).__name__}")
        return True

    @property
    def _lease_seconds(self) -> float:
        longest = max((d.timeout_seconds for d in self._destinations.values()), default=0.0)
        return 60 + 5 * longest

    def _sent(self, job: Job) -> dict[str, int]:
        """Send a report and return what it came to."""
        owed = self._ledger.transactions.owed_to(job.subject)
        if owed is None:
            return {"reported": 0}
        destination = self._destinations.get(owed.calling_ae)
        if destination is None:
            msg = f"{owed.calling_ae} is no destination: it cannot be told on an own association."
            raise DeliveryError(msg)
        began = time.monotonic()
        if began < self._not_before.get(destination.name, 0.0):
            msg = f"Destination {destination.name} could not be told a moment ago."
            raise DeliveryError(msg)
        try:
            report(destination, owed.called_ae, owed.verdict)
        except DeliveryError as error:
            if job.attempts == 1:  # once, not at every try for three days
                self._told.not_answered(destination, owed.called_ae, str(error))
            ended = time.monotonic()
            if ended - began > _SLOW_SECONDS:
                self._not_before[destination.name] = ended + (ended - began)
            raise
        self._ledger.transactions.reported(owed.calling_ae, owed.verdict.transaction_uid)
        self._told.answered(peer_of(destination), owed.called_ae, owed.verdict)
        counts = {"committed": len(owed.verdict.committed), "failed": len(owed.verdict.failed)}
        _log.info("%s was told: %s", destination.name, counts)
        return counts

    def _failed(self, job: Job, error: str) -> None:
        try:
            stands = self._ledger.fail(job, error, outage=True)
        except LeaseLostError:
            return
        if stands.state is JobState.DEAD:
            self._ledger.transactions.give_up(job.subject)
        _log.warning(
            "report %d failed, try %d, now %s: %s", job.id, job.attempts, stands.state.value, error
        )
