"""Committing: what was sent counts as delivered when its destination has committed to it.

The state lies in the ledger alone. Each step looks at it, asks where that is due and says when to
look again, so nobody waits for a destination that takes its time (DICOM PS3.4 annex J, as SCU).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from listener.audit import Audit
from listener.commitment import Reference, Request, Verdict, new_request
from listener.commitment_audit import CommitmentAudit, peer_of
from listener.errors import DeliveryError, NotCommittedError
from listener.exchange import ask
from listener.settings import DestinationSettings
from listener.transaction import Asked, AskedState, Transactions

__all__ = ["Committer", "Parcel", "Standing", "Step"]

_log = logging.getLogger("wristmir.listener")

_PATIENCE = timedelta(days=3)  # as long as a job waits for something outside
_FEWEST_ROUNDS = 3  # where nobody was there to listen for days
_LONGEST_WAIT = timedelta(hours=6)  # there are archives that commit at night
_FIRST_PAUSE = timedelta(seconds=15)
_LONGEST_PAUSE = timedelta(minutes=15)

# what a destination says that does not do storage commitment after all: DICOM PS3.7 annex C
_NOT_OFFERED = frozenset({0x0112, 0x0118, 0x0122, 0x0123, 0x0124, 0x0211})


@dataclass(frozen=True)
class Parcel:
    """Objects that were sent to one destination."""

    destination: DestinationSettings
    references: tuple[Reference, ...]


class Standing(StrEnum):
    """Where objects stand that were sent.

    ``committed``: they count as delivered. ``awaited``: the destination's word is awaited.
    ``failed``: some have to be sent again.
    """

    COMMITTED = "committed"
    AWAITED = "awaited"
    FAILED = "failed"


@dataclass(frozen=True)
class Step:
    """How a step ended: how many objects are committed to, and when to go on if not all."""

    standing: Standing
    committed: int = 0
    delay: timedelta = timedelta(0)


class Committer:
    """Asks destinations to commit to what they were sent.

    Parameters
    ----------
    transactions
        Where every request is durable before it is sent.
    calling_ae
        Our AE title; a destination calls it back with its word.
    audit
        Is told what is asked, and what comes of it; None for no audit trail.
    """

    def __init__(
        self, transactions: Transactions, calling_ae: str, audit: Audit | None = None
    ) -> None:
        self._transactions = transactions
        self._told = CommitmentAudit(audit or Audit.off(), transactions)
        self._calling_ae = calling_ae

    def committed(self, subject: str) -> frozenset[Reference]:
        """Return what destinations have committed to of a subject."""
        return frozenset(r for one in self._transactions.asked(subject) for r in one.committed)

    def sent(self, subject: str) -> None:
        """Note that what was not committed to has been sent again."""
        self._transactions.spend(subject)

    def step(self, subject: str, parcels: Sequence[Parcel]) -> Step:
        """Look where a subject's objects stand, and ask where that is due.

        Raises
        ------
        DeliveryError
            If a destination cannot be reached, refuses to be asked, or has to commit and offers
            no storage commitment.
        NotCommittedError
            If a destination has not committed in three days, asked three times at least.
        """
        steps = [self._one(subject, parcel) for parcel in parcels]
        for standing in (Standing.FAILED, Standing.AWAITED):
            delays = [step.delay for step in steps if step.standing is standing]
            if delays:
                return Step(standing, delay=min(delays))
        return Step(Standing.COMMITTED, sum(step.committed for step in steps))

    def _one(self, subject: str, parcel: Parcel) -> Step:
        there = parcel.destination
        if there.commitment == "never":
            return Step(Standing.COMMITTED)
        asked = [one for one in self._transactions.asked(subject) if one.destination == there.name]
        committed = {reference for one in asked for reference in one.committed}
        missing = tuple(r for r in parcel.references if r not in committed)
        if not missing:
            return Step(Standing.COMMITTED, len(parcel.references))
        rounds = [one for one in asked if one.state is not AskedState.ABANDONED]
        last = rounds[-1].state if rounds else AskedState.SPENT
        if last is AskedState.OPEN:
            left = _wait(there, len(rounds)) - rounds[-1].age
            if left > timedelta(0):
                return Step(Standing.AWAITED, delay=left)
        if last is not AskedState.SPENT:
            self._check_patience(subject, there, rounds)
        if last is AskedState.ANSWERED:
            _log.warning("%s did not commit to %d objects", there.name, len(missing))
            return Step(Standing.FAILED, delay=_pause(len(rounds)))
        return self._ask(subject, parcel, new_request(missing), len(rounds) + 1)

    def _ask(self, subject: str, parcel: Parcel, request: Request, number: int) -> Step:
        there, uid = parcel.destination, request.transaction_uid
        self._transactions.ask(request, subject=subject, destination=there.name)
        self._told.asks(there, self._calling_ae, request)
        try:
            status = ask(
                there,
                self._calling_ae,
                request,
                hear=lambda verdict: self._heard(there, verdict),
                is_answered=lambda: self._transactions.is_answered(uid),
            )
        except DeliveryError as error:
            self._told.not_taken(there, self._calling_ae, request, str(error))
            # it may have come through all the same: then its word still counts
            self._transactions.abandon(subject, uid)
            raise
        if status == 0x0000:
            _log.info("%s was asked to commit to %d objects", there.name, len(request.references))
            if self._transactions.is_answered(uid):
                return self._one(subject, parcel)
            return Step(Standing.AWAITED, delay=_wait(there, number))
        self._transactions.withdraw(uid)
        words = "it offers no storage commitment"
        if status is not None:
            words = f"it refused the request with status 0x{status:04X}"
        self._told.not_taken(there, self._calling_ae, request, words)
        return _not_taken(there, status)

    def _heard(self, there: DestinationSettings, verdict: Verdict) -> bool:
        """Take a destination's word; False where it was not asked for."""
        is_awaited = self._transactions.answer(verdict)
        if is_awaited:
            self._told.heard(peer_of(there), self._calling_ae, verdict)
        return is_awaited

    def _check_patience(
        self, subject: str, there: DestinationSettings, rounds: Sequence[Asked]
    ) -> None:
        if rounds[0].age < _PATIENCE or len(rounds) < _FEWEST_ROUNDS:
            return
        self._transactions.abandon(subject)  # whoever retries the job begins anew
        words = "has not said what became of them"
        if rounds[-1].state is AskedState.ANSWERED:
            words = "says that it does not keep them"
        days = rounds[0].age.days
        msg = f"Destination {there.name} {words}, asked {len(rounds)} times in {days} days."
        raise NotCommittedError(msg)


def _not_taken(there: DestinationSettings, status: int | None) -> Step:
    """Return what follows where a destination does not take the request."""
    offered = status is not None and status not in _NOT_OFFERED
    if not offered and there.commitment == "ask":
        return Step(Standing.COMMITTED)
    said = "offers no storage commitment"
    if status is not None:
        said = f"refused to be asked for storage commitment, with status 0x{status:04X}"
    msg = f"Destination {there.name} {said}; see its `commitment` in the configuration."
    raise DeliveryError(msg)


def _wait(there: DestinationSettings, number: int) -> timedelta:
    """Return how long the word on the n-th request is awaited."""
    first = timedelta(seconds=there.commitment_seconds)
    return max(first, min(first * float(2 ** min(number - 1, 16)), _LONGEST_WAIT))


def _pause(number: int) -> timedelta:
    """Return the time before what failed is sent for the n-th time again."""
    return min(_FIRST_PAUSE * float(2 ** min(number - 1, 16)), _LONGEST_PAUSE)
