"""Tells the audit trail of storage commitment: who asks whom, and what comes of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from listener.audit import Audit
from listener.audit_commitment import commitment
from listener.audit_event import UNKNOWN, End, Peer, Reporter, StudyPart
from listener.audit_message import Action, AuditMessage, Indicator
from listener.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    Reference,
    Request,
    Verdict,
)
from listener.refusals import Refusal
from listener.settings import DestinationSettings
from listener.transaction import Transactions

__all__ = ["CommitmentAudit", "peer_of"]

_log = logging.getLogger("wristmir.audit")

_MOST_STUDIES = 100  # a request may name ten thousand instances, each of another study


class CommitmentAudit:
    """Tells of transactions; without an audit trail it does nothing.

    Parameters
    ----------
    audit
        The trail.
    transactions
        Know the study and patient of what was received.
    """

    def __init__(self, audit: Audit, transactions: Transactions) -> None:
        self._audit = audit
        self._transactions = transactions

    def asked_of_us(self, peer: Peer, title: str, request: Request) -> None:
        """Tell that a peer asks for commitment, under an AE title of ours."""
        outcome = dict.fromkeys(request.references)
        self._tell(peer, title, request.transaction_uid, outcome, asks=False)

    def refused(self, peer: Peer, title: str, status: int) -> None:
        """Tell that a peer's request was refused; what repeats itself is counted."""

        def event(own: Reporter, at: datetime, peer: Peer, words: str) -> AuditMessage:
            end, part = _not_kept(words), StudyPart(UNKNOWN, UNKNOWN)
            return commitment(own, at, peer, title, part, asks=False, end=end)

        words = f"request for commitment refused with status 0x{status:04X}"
        self._audit.turned_away(Refusal(peer, words, event))

    def answered(self, peer: Peer, title: str, verdict: Verdict) -> None:
        """Tell what a peer was told of its request, once it has taken that."""
        self._tell(peer, title, verdict.transaction_uid, _outcome(verdict), asks=False)

    def not_answered(self, there: DestinationSettings, title: str, words: str) -> None:
        """Tell that a peer could not be told of its request."""
        told = partial(commitment, part=StudyPart(UNKNOWN, UNKNOWN), asks=False)
        self._audit.tell(partial(told, peer=peer_of(there), title=title, end=_not_kept(words)))

    def asks(self, there: DestinationSettings, title: str, request: Request) -> None:
        """Tell that a destination is asked for commitment to results."""
        outcome = dict.fromkeys(request.references)
        self._tell(peer_of(there), title, request.transaction_uid, outcome, asks=True)

    def not_taken(
        self, there: DestinationSettings, title: str, request: Request, words: str
    ) -> None:
        """Tell that a destination did not take a request."""
        outcome = dict.fromkeys(request.references, _not_kept(words))
        self._tell(peer_of(there), title, request.transaction_uid, outcome, asks=True)

    def heard(self, peer: Peer, title: str, verdict: Verdict) -> None:
        """Tell what a destination says of the results that it was asked about."""
        self._tell(peer, title, verdict.transaction_uid, _outcome(verdict), asks=True)

    def _tell(
        self,
        peer: Peer,
        title: str,
        transaction_uid: str,
        outcome: Mapping[Reference, End | None],
        *,
        asks: bool,
    ) -> None:
        if not self._audit.is_kept:
            return
        details = (("Transaction UID", transaction_uid),)
        told = partial(commitment, peer=peer, title=title, asks=asks, details=details)
        for part, end in self._parts(outcome):
            self._audit.tell(partial(told, part=part, end=end))

    def _parts(
        self, outcome: Mapping[Reference, End | None]
    ) -> Iterator[tuple[StudyPart, End | None]]:
        """Yield the instances of each study that have come to the same end."""
        try:
            known = self._transactions.studies(outcome)
        except SQLAlchemyError as error:  # what is told holds up nothing
            _log.error("the ledger cannot be read: %s", type(error).__name__)
            known = {}
        counted: dict[tuple[str, str, End | None], Counter[str]] = {}
        for reference, end in outcome.items():
            study = known.get(reference, (UNKNOWN, UNKNOWN))
            if (*study, end) not in counted and len(counted) >= _MOST_STUDIES:
                study = (UNKNOWN, UNKNOWN)
            counted.setdefault((*study, end), Counter())[reference.sop_class_uid] += 1
        for (study_uid, patient_key, end), by_class in counted.items():
            yield StudyPart(study_uid, patient_key, by_class), end


def peer_of(there: DestinationSettings) -> Peer:
    """Return a destination as a peer."""
    return Peer(there.ae_title, there.host, there.tls)


_REASONS = {
    PROCESSING_FAILURE: "kept apart",
    NO_SUCH_INSTANCE: "no such instance",
    CLASS_CONFLICT: "of another SOP class",
}


def _outcome(verdict: Verdict) -> dict[Reference, End | None]:
    outcome: dict[Reference, End | None] = dict.fromkeys(verdict.committed, End(words="committed"))
    reasons: Iterable[tuple[Reference, int]] = verdict.failed.items()
    for reference, reason in reasons:
        words = _REASONS.get(reason, "failed")
        outcome[reference] = _not_kept(f"not committed: {words} (0x{reason:04X})")
    return outcome


def _not_kept(words: str) -> End:
    return End(Action.READ, Indicator.MINOR_FAILURE, words)
