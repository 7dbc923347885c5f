"""A storage commitment transaction as the ledger keeps it: one that a peer began, or we.

A transaction is durable before it is answered, or begun: the other's word may come within
milliseconds, on another association, to another process (DICOM PS3.4 annex J).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    Reference,
    Request,
    Verdict,
)
from listener.database import Database, repeated
from listener.errors import InvalidArgumentError, ResourceLimitationError
from listener.job import COMMIT, EVENT_REPORT, JobState, NewJob
from listener.job_queue import JobQueue
from listener.receipt import HOLDING, InstanceState
from listener.tables import COMMITMENT, COMMITMENT_REQUEST, INSTANCE, JOB

__all__ = ["Asked", "AskedState", "Owed", "Transactions"]

_MOST_OPEN = 1_000  # of one peer, so that nobody fills the ledger with questions
_PATIENCE = timedelta(days=3)  # as long as a job waits for something outside
# of what we asked, however short the retention: patience is counted from a chain's first request,
# and whoever looks after the last one, which is awaited for hours, has to find that first one
_SHORTEST_KEPT = _PATIENCE + timedelta(days=1)
_AT_ONCE = 500  # UIDs in one query


class _State(StrEnum):
    """Where a transaction that a peer began stands."""

    OPEN = "open"
    REPORTED = "reported"
    GIVEN_UP = "given_up"


class AskedState(StrEnum):
    """Where a transaction that we began stands.

    ``open``: asked, not answered. ``answered``: acted upon next. ``spent``: acted upon; what failed
    was sent again. ``abandoned``: nobody waits for it any longer. A late answer counts in each.
    """

    OPEN = "open"
    ANSWERED = "answered"
    SPENT = "spent"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Owed:
    """What a peer has to be told, and under which of our AE titles it asked."""

    calling_ae: str
    called_ae: str
    verdict: Verdict


@dataclass(frozen=True)
class Asked:
    """A transaction that we began; ``age`` is the time since then."""

    transaction_uid: str
    destination: str
    state: AskedState
    committed: frozenset[Reference]
    age: timedelta


class Transactions:
    """The transactions of a ledger; each call is durable when it returns.

    Parameters
    ----------
    queue
        Gets the jobs that see to the rest.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    # -- asked of us ----------------------------------------------------------------------

    @repeated
    def take(self, request: Request, *, calling_ae: str, called_ae: str, delay: timedelta) -> None:
        """Record a peer's request, and a job that reports the outcome after a delay.

        The same request again is nothing new; where it had been reported, it is reported again.

        Raises
        ------
        InvalidArgumentError
            If the peer has used the Transaction UID for other instances.
        ResourceLimitationError
            If the peer has too many transactions open.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            known = _row(connection, calling_ae, request.transaction_uid)
            if known is None:
                self._check_room(connection, calling_ae, now)
                connection.execute(
                    sa.insert(COMMITMENT).values(
                        calling_ae=calling_ae,
                        transaction_uid=request.transaction_uid,
                        called_ae=called_ae,
                        instances=_encoded(request.references),
                        digest=request.digest,
                        state=_State.OPEN,
                        asked_at=now,
                    )
                )
            elif known.digest != request.digest:
                msg = "Its Transaction UID stands for other instances."
                raise InvalidArgumentError(msg)
            elif known.state != _State.OPEN:
                _update(
                    connection, calling_ae, request.transaction_uid, state=_State.OPEN, asked_at=now
                )
            subject = _subject(calling_ae, request.transaction_uid)
            self._queue.enqueue(connection, NewJob(EVENT_REPORT, subject, delay=delay))

    @repeated
    def owed(self, calling_ae: str, transaction_uid: str) -> Owed | None:
        """Work out what a peer has to be told; None where it has been told.

        Committed is what is kept, with its file, under the same SOP class; from now on it is not
        deleted for want of use. What is unknown or not kept is no such instance (0x0112), what is
        kept under another class a conflict (0x0119). What is quarantined is kept, but not for use:
        a failure (0x0110).
        """
        with self._database.writing() as connection:
            row = _row(connection, calling_ae, transaction_uid)
            if row is None or row.state == _State.REPORTED:
                return None
            verdict = _judged(connection, transaction_uid, _decoded(row.instances))
            _commit(connection, verdict.committed, self._database.now(connection))
        return Owed(calling_ae, row.called_ae, verdict)

    def owed_to(self, subject: str) -> Owed | None:
        """Return the same for the subject of an `EVENT_REPORT` job."""
        calling_ae, _, transaction_uid = subject.rpartition(_SEPARATOR)
        return self.owed(calling_ae, transaction_uid)

    @repeated
    def reported(self, calling_ae: str, transaction_uid: str) -> None:
        """Note that the peer has taken the report."""
        with self._database.writing() as connection:
            _update(connection, calling_ae, transaction_uid, state=_State.REPORTED)

    @repeated
    def give_up(self, subject: str) -> None:
        """Note that the subject of an `EVENT_REPORT` job is no longer tried."""
        calling_ae, _, transaction_uid = subject.rpartition(_SEPARATOR)
        with self._database.writing() as connection:
            _update(connection, calling_ae, transaction_uid, state=_State.GIVEN_UP)

    @repeated
    def hasten(self, calling_ae: str, transaction_uids: Collection[str]) -> None:
        """Have these reported at once, where their association cannot be used for it."""
        with self._database.writing() as connection:
            for uid in transaction_uids:
                row = _row(connection, calling_ae, uid)
                if row is not None and row.state == _State.OPEN:
                    self._queue.enqueue(connection, NewJob(EVENT_REPORT, _subject(calling_ae, uid)))

    @repeated
    def resume(self) -> int:
        """Have everything reported whose job a crash took away; return how many there are."""
        with self._database.writing() as connection:
            rows = connection.execute(
                sa.select(COMMITMENT.c.calling_ae, COMMITMENT.c.transaction_uid).where(
                    COMMITMENT.c.state == _State.OPEN,
                    COMMITMENT.c.asked_at > self._database.now(connection) - _PATIENCE,
                )
            ).all()
            for row in rows:
                subject = _subject(row.calling_ae, row.transaction_uid)
                self._queue.enqueue(connection, NewJob(EVENT_REPORT, subject))
        return len(rows)

    def studies(self, references: Iterable[Reference]) -> dict[Reference, tuple[str, str]]:
        """Return study and keyed hash of the patient of each instance that was ever received."""
        wanted = tuple(references)
        latest: dict[str, tuple[str, str]] = {}
        with self._database.reading() as connection:
            for uids in _portions([r.sop_instance_uid for r in wanted]):
                query = sa.select(INSTANCE).where(INSTANCE.c.sop_instance_uid.in_(uids))
                for row in connection.execute(query.order_by(INSTANCE.c.version)):
                    latest[row.sop_instance_uid] = (row.study_uid, row.patient_key)
        return {r: latest[r.sop_instance_uid] for r in wanted if r.sop_instance_uid in latest}

    # -- asked by us ----------------------------------------------------------------------

    @repeated
    def ask(self, request: Request, *, subject: str, destination: str) -> None:
        """Record a request before it is sent; ``subject`` is that of the `COMMIT` job behind it."""
        with self._database.writing() as connection:
            connection.execute(
                sa.insert(COMMITMENT_REQUEST).values(
                    transaction_uid=request.transaction_uid,
                    subject=subject,
                    destination=destination,
                    instances=_encoded(request.references),
                    state=AskedState.OPEN,
                    asked_at=self._database.now(connection),
                )
            )

    @repeated
    def answer(self, verdict: Verdict) -> bool:
        """Record a destination's answer and wake its job; False where nothing was asked so.

        What an answer does not name counts as not committed.
        """
        with self._database.writing() as connection:
            here = COMMITMENT_REQUEST.c.transaction_uid == verdict.transaction_uid
            row = connection.execute(
                sa.select(COMMITMENT_REQUEST).where(here).with_for_update()
            ).first()
            if row is None:
                return False
            committed = set(_decoded(row.instances)) & set(verdict.committed)
            state = AskedState.ANSWERED if row.state == AskedState.OPEN else row.state
            connection.execute(
                sa.update(COMMITMENT_REQUEST)
                .where(here)
                .values(committed=_encoded(sorted(committed)), state=state)
            )
            self._queue.enqueue(connection, NewJob(COMMIT, row.subject))
        return True

    def is_answered(self, transaction_uid: str) -> bool:
        """Tell whether the destination's answer has come."""
        query = sa.select(COMMITMENT_REQUEST.c.committed).where(
            COMMITMENT_REQUEST.c.transaction_uid == transaction_uid
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar() is not None

    def asked(self, subject: str) -> tuple[Asked, ...]:
        """Return every transaction that was begun for a subject, the first one first."""
        query = sa.select(COMMITMENT_REQUEST).where(COMMITMENT_REQUEST.c.subject == subject)
        with self._database.reading() as connection:
            now = self._database.now(connection)
            rows = connection.execute(query.order_by(COMMITMENT_REQUEST.c.id)).all()
        return tuple(
            Asked(
                transaction_uid=row.transaction_uid,
                destination=row.destination,
                state=AskedState(row.state),
                committed=frozenset(_decoded(row.committed or "[]")),
                age=now - row.asked_at,
            )
            for row in rows
        )

    @repeated
    def withdraw(self, transaction_uid: str) -> None:
        """Forget a request that the destination has refused."""
        with self._database.writing() as connection:
            connection.execute(
                sa.delete(COMMITMENT_REQUEST).where(
                    COMMITMENT_REQUEST.c.transaction_uid == transaction_uid
                )
            )

    def spend(self, subject: str) -> None:
        """Note that what the answers called failed has been sent again."""
        self._move(subject, (AskedState.ANSWERED,), AskedState.SPENT)

    def abandon(self, subject: str, transaction_uid: str | None = None) -> None:
        """Note that nobody waits any longer, for one transaction or all of the subject.

        A late answer counts all the same.
        """
        self._move(subject, tuple(AskedState), AskedState.ABANDONED, transaction_uid)

    @repeated
    def forget(self, older_than: timedelta) -> int:
        """Delete what was asked longer ago and is settled; return how many transactions.

        What was asked by us is kept for four days at least, whatever its state and whether or not
        a job bears its subject: the job that looks at it may bear another, its study's.
        """
        busy = sa.exists().where(
            JOB.c.subject == COMMITMENT_REQUEST.c.subject,
            JOB.c.state.in_([JobState.READY, JobState.LEASED]),
        )
        with self._database.writing() as connection:
            now = self._database.now(connection)
            before, asked_before = now - older_than, now - max(older_than, _SHORTEST_KEPT)
            settled = connection.execute(
                sa.delete(COMMITMENT).where(
                    COMMITMENT.c.asked_at < before, COMMITMENT.c.state != _State.OPEN
                )
            )
            answered = connection.execute(
                sa.delete(COMMITMENT_REQUEST).where(
                    COMMITMENT_REQUEST.c.asked_at < asked_before, ~busy
                )
            )
        return int(settled.rowcount) + int(answered.rowcount)

    @repeated
    def _move(
        self,
        subject: str,
        states: Collection[AskedState],
        to: AskedState,
        transaction_uid: str | None = None,
    ) -> None:
        here = COMMITMENT_REQUEST.c.subject == subject
        if transaction_uid is not None:
            here &= COMMITMENT_REQUEST.c.transaction_uid == transaction_uid
        with self._database.writing() as connection:
            connection.execute(
                sa.update(COMMITMENT_REQUEST)
                .where(here, COMMITMENT_REQUEST.c.state.in_(list(states)))
                .values(state=to)
            )

    def _check_room(self, connection: Connection, calling_ae: str, now: datetime) -> None:
        query = (
            sa.select(sa.func.count())
            .select_from(COMMITMENT)
            .where(COMMITMENT.c.calling_ae == calling_ae, COMMITMENT.c.state == _State.OPEN)
            .where(COMMITMENT.c.asked_at > now - _PATIENCE)
        )
        if connection.execute(query).scalar_one() >= _MOST_OPEN:
            msg = "It has too many transactions open."
            raise ResourceLimitationError(msg)


_SEPARATOR = " "  # an AE title may hold one, a UID may not
_HELD = HOLDING - {InstanceState.QUARANTINED}


def _subject(calling_ae: str, transaction_uid: str) -> str:
    return f"{calling_ae}{_SEPARATOR}{transaction_uid}"


def _row(connection: Connection, calling_ae: str, transaction_uid: str) -> Row[Any] | None:
    return connection.execute(
        sa.select(COMMITMENT).where(
            COMMITMENT.c.calling_ae == calling_ae,
            COMMITMENT.c.transaction_uid == transaction_uid,
        )
    ).first()


def _update(connection: Connection, calling_ae: str, transaction_uid: str, **values: Any) -> None:
    connection.execute(
        sa.update(COMMITMENT)
        .where(
            COMMITMENT.c.calling_ae == calling_ae,
            COMMITMENT.c.transaction_uid == transaction_uid,
        )
        .values(**values)
    )


@dataclass(frozen=True)
class _Kept:
    """One version of an instance that has bytes, as far as the ledger knows."""

    sop_class_uid: str
    path: Path
    is_held: bool


def _kept(connection: Connection, references: Sequence[Reference]) -> dict[str, list[_Kept]]:
    kept: dict[str, list[_Kept]] = {}
    for uids in _portions([r.sop_instance_uid for r in references]):
        query = sa.select(INSTANCE).where(
            INSTANCE.c.sop_instance_uid.in_(uids),
            INSTANCE.c.state.in_(list(HOLDING)),
            INSTANCE.c.path.is_not(None),
        )
        for row in connection.execute(query):
            version = _Kept(row.sop_class_uid, Path(row.path), row.state in _HELD)
            kept.setdefault(row.sop_instance_uid, []).append(version)
    return kept


def _judged(
    connection: Connection, transaction_uid: str, references: Sequence[Reference]
) -> Verdict:
    kept = _kept(connection, references)
    reasons = {r: _failure(r, kept.get(r.sop_instance_uid, ())) for r in references}
    return Verdict(
        transaction_uid,
        tuple(reference for reference, reason in reasons.items() if reason is None),
        {reference: reason for reference, reason in reasons.items() if reason is not None},
    )


def _commit(connection: Connection, references: Sequence[Reference], now: datetime) -> None:
    """Note that somebody is told that these are kept."""
    for uids in _portions([r.sop_instance_uid for r in references]):
        connection.execute(
            sa.update(INSTANCE)
            .where(INSTANCE.c.sop_instance_uid.in_(uids), INSTANCE.c.state.in_(list(_HELD)))
            .values(committed_at=now)
        )


def _portions(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uids), _AT_ONCE):
        yield uids[start : start + _AT_ONCE]


def _failure(reference: Reference, versions: Sequence[_Kept]) -> int | None:
    """Return why an instance is not committed to, or None where it is."""
    there = [version for version in versions if version.path.is_file()]
    held = [version.sop_class_uid for version in there if version.is_held]
    if reference.sop_class_uid in held:
        return None
    if held:
        return CLASS_CONFLICT
    return PROCESSING_FAILURE if there else NO_SUCH_INSTANCE


def _encoded(references: Collection[Reference]) -> str:
    pairs = [[r.sop_class_uid, r.sop_instance_uid] for r in references]
    return json.dumps(pairs, separators=(",", ":"))


def _decoded(text: str) -> tuple[Reference, ...]:
    return tuple(Reference(*pair) for pair in json.loads(text))
