"""Reports to peers that asked for storage commitment and have ended their association since."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from listener.audit import Audit
from listener.commitment_audit import CommitmentAudit, peer_of
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError
from listener.exchange import report
from listener.job import EVENT_REPORT, Job
from listener.ledger import Ledger
from listener.ledger_watch import LedgerWatch
from listener.notifier import Notifier

__all__ = ["EventReports"]

_log = logging.getLogger("wristmir.listener")

_SLOW_SECONDS = 1.0  # a peer that fails so slowly must not hold up the reports to others


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
        self._notifier = Notifier(
            ledger, EVENT_REPORT, ledger.transactions, self._sent, "report", destinations
        )
        self._watch = LedgerWatch({"event-reports": self._notifier.notify}, period_seconds)
        self._not_before: dict[str, float] = {}

    def start(self) -> None:
        """Take up what a stop left in hand, then watch."""
        self._notifier.take_up()
        self._watch.start()

    def stop(self) -> None:
        """Stop watching; a report that is on its way and not taken is sent again."""
        self._watch.stop()

    def _sent(self, job: Job) -> dict[str, int]:
        """Send a report and return what it came to."""
        owed = self._ledger.transactions.owed_to(job.subject)
        if owed is None:
            return {"reported": 0}
        destination = self._notifier.destination(owed.calling_ae, "on an own association")
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
