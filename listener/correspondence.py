"""The correspondence of one association about storage commitment: what it asks, and is told.

A peer may ask us for commitment (N-ACTION), or tell what became of a request of ours
(N-EVENT-REPORT). What it asked is reported on the same association where that stays open, and left
to `listener.event_reports` where not.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from listener.audit_event import Peer
from listener.command import Command, Reply
from listener.commitment import (
    INSTANCE,
    MOST_BYTES,
    REQUEST,
    SOP_CLASS,
    Request,
    Verdict,
    read_request,
    read_verdict,
)
from listener.commitment_audit import CommitmentAudit
from listener.errors import (
    InvalidArgumentError,
    NoSuchActionError,
    NoSuchInstanceError,
    NoSuchSopClassError,
    OutOfResourcesError,
    ResourceLimitationError,
)
from listener.exchange import is_taken
from listener.failure import Failure
from listener.inbox import Spool

if TYPE_CHECKING:
    from listener.storage import Storage

__all__ = ["Correspondence", "Report"]

_log = logging.getLogger("wristmir.listener")

# A peer that will hear more on this association keeps it open; most release it and listen. One
# that goes on storing must not be interrupted: not every sender can tell a request from a response.
_SILENCE_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_OURS_SECONDS = 8.0  # after that the report is left to others
_OTHERS_DELAY = timedelta(seconds=_OURS_SECONDS + _ANSWER_SECONDS + 2)


@dataclass(frozen=True)
class Report:
    """A report to be sent on the association, in the context that it was asked in."""

    context_id: int
    message_id: int
    verdict: Verdict


@dataclass(frozen=True)
class _Open:
    transaction_uid: str
    context_id: int
    since: float


class Correspondence:
    """What one association has asked and was not told yet.

    Every method is called by the association's own thread, but `begin`, by its network thread.
    """

    def __init__(self, storage: Storage, peer: Peer, calling_ae: str, called_ae: str) -> None:
        self._transactions = storage.ledger.transactions
        self._told = CommitmentAudit(storage.audit, self._transactions)
        self._peer = peer
        self._inbox = storage.inbox
        self._pseudonym = storage.pseudonym
        self._calling_ae = calling_ae
        self._called_ae = called_ae
        self._open: list[_Open] = []
        self._sent: tuple[Report, float] | None = None
        self._late: dict[int, Verdict] = {}  # reports whose answer did not come in time
        self._message_id = 0
        self._heard_at = 0.0

    def begin(self, transfer_syntax: str) -> Spool:
        """Return where the data set of an N-ACTION or N-EVENT-REPORT goes."""
        try:
            return self._inbox.receive(transfer_syntax, b"", MOST_BYTES)
        except OSError:
            error = OutOfResourcesError("The inbox is gone.")
            return self._inbox.refuse(transfer_syntax, error)

    def heard(self) -> None:
        """Note that the peer is not silent."""
        self._heard_at = time.monotonic()

    def serve(self, command: Command, context_id: int, spool: Spool) -> Reply:
        """Take a request for commitment or a report of one; it is durable before it is answered."""
        try:
            _check_subject(command)
            if command.field == Command.N_ACTION:
                self._act(command, context_id, spool)
            else:
                self._hear(command, spool)
        except Exception as error:  # noqa: BLE001 - the one place where such a request ends
            return self._refused(command, Failure.of(command, error))
        finally:
            spool.discard()
        return Reply(0x0000)

    def due(self) -> Report | None:
        """Return what to tell the peer now on this association, or None."""
        if not self._open and self._sent is None:
            return None
        now = time.monotonic()
        if self._sent is not None:
            report, until = self._sent
            if now > until:
                self._sent = None
                self._late[report.message_id] = report.verdict
                self._leave(report.verdict.transaction_uid)
            return None
        self._open = [one for one in self._open if now - one.since < _OURS_SECONDS]
        if not self._open or now - self._heard_at < _SILENCE_SECONDS:
            return None
        return self._next(now)

    def answered(self, command: Command) -> bool:
        """Take the peer's answer to a report; False where it answers none."""
        verdict = self._late.pop(command.message_id, None)
        if self._sent is not None and self._sent[0].message_id == command.message_id:
            verdict, self._sent = self._sent[0].verdict, None
        if verdict is None:
            return False
        uid = verdict.transaction_uid
        if not is_taken(command.status or 0):
            self._leave(uid)
            return True
        try:
            self._transactions.reported(self._calling_ae, uid)
        except SQLAlchemyError as error:  # then it is reported once more
            _log.error("the ledger cannot be written: %s", type(error).__name__)
        _log.info("%s was told of transaction %s", self._calling_ae, self._pseudonym(uid))
        self._told.answered(self._peer, self._called_ae, verdict)
        return True

    def end(self) -> None:
        """Leave what the peer was not told to others, at once."""
        sent = [] if self._sent is None else [self._sent[0].verdict.transaction_uid]
        self._leave(*sent, *(one.transaction_uid for one in self._open))
        self._open, self._sent = [], None

    def _act(self, command: Command, context_id: int, spool: Spool) -> None:
        if command.type_id != REQUEST:
            raise NoSuchActionError
        _check_size(spool)
        with spool.stream() as stream:
            request = read_request(stream, spool.transfer_syntax, spool.size)
        self._transactions.take(
            request, calling_ae=self._calling_ae, called_ae=self._called_ae, delay=_OTHERS_DELAY
        )
        self._say("asks about", request.transaction_uid, request)
        self._told.asked_of_us(self._peer, self._called_ae, request)
        now = time.monotonic()
        self._open = [one for one in self._open if one.transaction_uid != request.transaction_uid]
        self._open.append(_Open(request.transaction_uid, context_id, now))

    def _hear(self, command: Command, spool: Spool) -> None:
        _check_size(spool)
        with spool.stream() as stream:
            verdict = read_verdict(stream, spool.transfer_syntax, spool.size, command.type_id)
        if not self._transactions.answer(verdict):
            msg = "Nothing was asked under its Transaction UID."
            raise InvalidArgumentError(msg)
        self._say("has reported on", verdict.transaction_uid, verdict)
        self._told.heard(self._peer, self._called_ae, verdict)

    def _next(self, now: float) -> Report | None:
        one = self._open.pop(0)
        try:
            owed = self._transactions.owed(self._calling_ae, one.transaction_uid)
        except SQLAlchemyError as error:  # its job is in the ledger
            _log.error("the ledger cannot be read: %s", type(error).__name__)
            return None
        if owed is None:
            return None
        self._message_id = self._message_id % 65535 + 1
        report = Report(one.context_id, self._message_id, owed.verdict)
        self._sent = report, now + _ANSWER_SECONDS
        return report

    def _leave(self, *transaction_uids: str) -> None:
        if not transaction_uids:
            return
        try:
            self._transactions.hasten(self._calling_ae, transaction_uids)
        except SQLAlchemyError as error:  # then they come due a little later
            _log.error("the ledger cannot be written: %s", type(error).__name__)

    def _say(self, what: str, transaction_uid: str, told: Request | Verdict) -> None:
        if isinstance(told, Verdict):
            words = f"{len(told.committed)} instances committed, {len(told.failed)} not"
        else:
            words = f"{len(told.references)} instances"
        _log.info(
            "%s %s transaction %s: %s",
            self._calling_ae,
            what,
            self._pseudonym(transaction_uid),
            words,
        )

    def _refused(self, command: Command, failure: Failure) -> Reply:
        is_request = command.field == Command.N_ACTION
        what = "request for commitment" if is_request else "report"
        failure.log(what, self._calling_ae, self._called_ae)
        if is_request:
            self._told.refused(self._peer, self._called_ae, failure.status)
        return failure.reply


def _check_subject(command: Command) -> None:
    if command.sop_class_uid != SOP_CLASS:
        raise NoSuchSopClassError
    if command.sop_instance_uid != INSTANCE:
        raise NoSuchInstanceError


def _check_size(spool: Spool) -> None:
    if spool.size > MOST_BYTES:
        msg = f"Its data set is longer than {MOST_BYTES >> 20} MiB."
        raise ResourceLimitationError(msg)
    if spool.error is not None:
        raise ResourceLimitationError(spool.error.detail)
