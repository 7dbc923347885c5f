"""Procedure steps as the ledger keeps them: what peers ask of them, and are to be told.

Each move of a step, and what its subscribers are to be told of it, is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import subscription
from listener.database import Database, repeated
from listener.errors import (
    NoSuchStepError,
    NotAuthorisedError,
    ResourceLimitationError,
    StepEndedError,
    StepNotCancelledError,
    WrongTransactionError,
)
from listener.job import canonical
from listener.job_queue import JobQueue
from listener.step_event import CANCEL_REQUESTED, Owed
from listener.step_row import (
    MOST_WORDS,
    StepRow,
    StepWriter,
    held_row,
    is_on_its_way,
    row_of,
    step_of,
)
from listener.step_state import Change, StepState, moved
from listener.step_terms import GLOBAL, UNSPECIFIED, Coded
from listener.tables import STEP, STEP_EVENT, STEP_RESULT, SUBSCRIPTION

__all__ = ["NewStep", "Steps"]

_MOST_AT_ONCE = 200  # steps in one transaction
# longer than whoever waits for SQLite sleeps at a time: what is received goes first
_BREATH_SECONDS = 0.01


@dataclass(frozen=True)
class NewStep:
    """A step to be recorded; ``argument`` is what the job that does it is told."""

    sop_instance_uid: str
    study_uid: str
    calling_ae: str
    called_ae: str
    path: Path
    readiness: str
    argument: Mapping[str, Any]


class Steps:
    """The procedure steps of a ledger; each call is durable when it returns.

    Parameters
    ----------
    queue
        Gets the jobs that tell of the steps.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    @repeated
    def take(self, new: NewStep, most_open: int, most_kept: int) -> None:
        """Record a step that a peer creates; it is scheduled.

        Raises
        ------
        DuplicateInstanceError
            If there is one of this UID.
        ResourceLimitationError
            If the peer has too many that have not ended, or too many in all.
        """
        with self._database.writing() as connection:
            known = held_row(connection, new.sop_instance_uid)
            moved(None if known is None else StepState(known.state), Change.CREATE)
            if _count_open(connection, new.calling_ae) >= most_open:
                msg = "It has too many steps that have not ended."
                raise ResourceLimitationError(msg)
            if _count(connection, new.calling_ae) >= most_kept:
                msg = "It has too many steps that are still kept."
                raise ResourceLimitationError(msg)
            now = self._database.now(connection)
            connection.execute(
                sa.insert(STEP).values(
                    sop_instance_uid=new.sop_instance_uid,
                    study_uid=new.study_uid,
                    calling_ae=new.calling_ae,
                    called_ae=new.called_ae,
                    path=str(new.path),
                    readiness=new.readiness,
                    state=StepState.SCHEDULED,
                    argument=canonical({**new.argument, "step": new.sop_instance_uid}),
                    progress=0,
                    told="",
                    created_at=now,
                    changed_at=now,
                )
            )
            subscription.follow(connection, new.sop_instance_uid)
            self._writer(connection).tell_state(new.sop_instance_uid)

    @repeated
    def ask_to_cancel(
        self, sop_instance_uid: str, words: str, code: Coded | None, asking_ae: str
    ) -> int:
        """Cancel a step as a peer asks; return the status of the answer.

        A step is cancelled until its results begin to go to their destination.

        Raises
        ------
        RefusalError
            As PS3.4 table CC.1.1-2 says; StepNotCancelledError where it is too late.
        """
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            move = moved(None if row is None else StepState(row.state), Change.REQUEST_CANCEL)
            if row is None or not move.through:
                return move.status
            write = self._writer(connection)
            words = words[:MOST_WORDS] or f"{asking_ae} has asked for it."
            if row.state == StepState.IN_PROGRESS:
                if is_on_its_way(connection, sop_instance_uid):
                    raise StepNotCancelledError
                told = {"reason": words, "code": code, "asking": asking_ae}
                write.tell(sop_instance_uid, CANCEL_REQUESTED, told)
            write.cancel(sop_instance_uid, move.through, words, code or UNSPECIFIED)
            return move.status

    @repeated
    def change(self, sop_instance_uid: str, change: Change, transaction_uid: str) -> int:
        """Change a step's state as a peer asks; return the status of the answer.

        Steps are performed here and nowhere else, so no peer knows the Transaction UID of one.

        Raises
        ------
        RefusalError
            As PS3.4 table CC.1.1-2 says; NotAuthorisedError where it would be allowed.
        """
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            state = None if row is None else StepState(row.state)
            move = moved(state, change, owns=_owns(row, transaction_uid))
            if move.through:
                msg = "Its steps are performed by the plugin itself."
                raise NotAuthorisedError(msg)
            return move.status

    def modify(self, sop_instance_uid: str, transaction_uid: str) -> NoReturn:
        """Refuse what a peer wants to set (N-SET), with the reason (PS3.4 section CC.2.6.3).

        Raises
        ------
        RefusalError
            In any case.
        """
        with self._database.reading() as connection:
            row = row_of(connection, sop_instance_uid)
        if row is None:
            raise NoSuchStepError
        if StepState(row.state).is_final:
            raise StepEndedError
        if not _owns(row, transaction_uid) and row.state == StepState.IN_PROGRESS:
            raise WrongTransactionError
        msg = "Its steps are performed by the plugin itself."
        raise NotAuthorisedError(msg)

    def subscribe(self, receiver: str, sop_instance_uid: str, title: str, *, locks: bool) -> None:
        """Let a receiver be told of a step, or of all.

        It is told at once how a step stands that it names, and, where it locks them, how all stand
        that it did not follow (PS3.4 table CC.2.3-2). All are many transactions, so that what is
        received meanwhile does not wait for them.

        Raises
        ------
        NoSuchStepError
            If there is no such step.
        """
        if sop_instance_uid != GLOBAL:
            self._subscribe_to_one(receiver, sop_instance_uid, title, locks=locks)
            return
        self._subscribe_to_new(receiver, title, locks=locks)
        after = self._subscribe_to_some(receiver, title, "", locks=locks)
        while after is not None:
            time.sleep(_BREATH_SECONDS)
            after = self._subscribe_to_some(receiver, title, after, locks=locks)

    @repeated
    def unsubscribe(self, receiver: str, sop_instance_uid: str) -> None:
        """Let a receiver no longer be told, and its deletion lock go.

        Raises
        ------
        NoSuchStepError
            If there is no such step.
        """
        with self._database.writing() as connection:
            subscription.remove(connection, receiver, sop_instance_uid)

    @repeated
    def suspend(self, receiver: str) -> None:
        """Let a receiver be told of those steps alone that there are already."""
        with self._database.writing() as connection:
            subscription.suspend(connection, receiver)

    def find(self, sop_instance_uid: str) -> StepRow | None:
        """Return a step, or None."""
        with self._database.reading() as connection:
            row = row_of(connection, sop_instance_uid)
            return None if row is None else step_of(connection, row)

    def list(self, states: Sequence[StepState], uids: Sequence[str], limit: int) -> list[StepRow]:
        """Return steps, the latest first.

        Parameters
        ----------
        states, uids
            Which ones; empty for all.
        """
        query = sa.select(STEP).order_by(STEP.c.created_at.desc(), STEP.c.sop_instance_uid)
        query = query.where(STEP.c.state.in_(states)) if states else query
        query = query.where(STEP.c.sop_instance_uid.in_(uids)) if uids else query
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit)).all()
            return [step_of(connection, row) for row in rows]

    def files(self) -> frozenset[Path]:
        """Return every file that a step names."""
        with self._database.reading() as connection:
            return frozenset(map(Path, connection.execute(sa.select(STEP.c.path)).scalars()))

    def forget(self, older_than: timedelta) -> tuple[Path, ...]:
        """Delete the steps that ended longer ago and are not locked; return their files.

        What peers gave as the reason of a cancellation goes with them.
        """
        gone: tuple[Path, ...] = ()
        while some := self._forget_some(older_than):
            gone += some
            if len(some) < _MOST_AT_ONCE:
                break
            time.sleep(_BREATH_SECONDS)
        return gone

    @repeated
    def restarted(self) -> None:
        """Have every subscriber told that the service has started anew, with what it knew."""
        with self._database.writing() as connection:
            subscription.tell_restart(connection, self._queue, self._database.now(connection))

    @repeated
    def resume(self) -> None:
        """Have everything told whose job a crash took away."""
        with self._database.writing() as connection:
            subscription.resume(connection, self._queue)

    def owed(self, receiver: str) -> tuple[Owed, ...]:
        """Return what a receiver is to be told, in its order."""
        with self._database.reading() as connection:
            return subscription.owed(connection, receiver)

    @repeated
    def settled(self, event_id: int) -> None:
        """Note that an event was taken, or refused for good."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(STEP_EVENT).where(STEP_EVENT.c.id == event_id))

    @repeated
    def give_up(self, receiver: str) -> int:
        """Forget what a receiver was not told; return how many events."""
        with self._database.writing() as connection:
            gone = connection.execute(
                sa.delete(STEP_EVENT).where(STEP_EVENT.c.receiver == receiver)
            )
        return int(gone.rowcount)

    @repeated
    def _subscribe_to_one(
        self, receiver: str, sop_instance_uid: str, title: str, *, locks: bool
    ) -> None:
        with self._database.writing() as connection:
            subscription.add(connection, receiver, sop_instance_uid, title, locks=locks)
            self._writer(connection).tell_state(sop_instance_uid, receiver)

    @repeated
    def _subscribe_to_new(self, receiver: str, title: str, *, locks: bool) -> None:
        with self._database.writing() as connection:
            subscription.add_new_ones(connection, receiver, title, locks=locks)

    @repeated
    def _subscribe_to_some(
        self, receiver: str, title: str, after: str, *, locks: bool
    ) -> str | None:
        with self._database.writing() as connection:
            now = self._database.now(connection)
            given = (connection, self._queue, receiver, title, after)
            return subscription.add_some(*given, now, _MOST_AT_ONCE, locks=locks)

    @repeated
    def _forget_some(self, older_than: timedelta) -> tuple[Path, ...]:
        with self._database.writing() as connection:
            before = self._database.now(connection) - older_than
            rows = connection.execute(
                sa.select(STEP.c.sop_instance_uid, STEP.c.path)
                .where(STEP.c.ended_at < before, ~subscription.locked(STEP.c.sop_instance_uid))
                .limit(_MOST_AT_ONCE)
            ).all()
            uids = [row.sop_instance_uid for row in rows]
            for table in (STEP_RESULT, SUBSCRIPTION, STEP_EVENT, STEP):
                connection.execute(sa.delete(table).where(table.c.sop_instance_uid.in_(uids)))
        return tuple(Path(row.path) for row in rows)

    def _writer(self, connection: Connection) -> StepWriter:
        return StepWriter(connection, self._queue, self._database.now(connection))


def _count_open(connection: Connection, calling_ae: str) -> int:
    open_ones = STEP.c.state.in_([StepState.SCHEDULED, StepState.IN_PROGRESS])
    return _count(connection, calling_ae, open_ones)


def _count(connection: Connection, calling_ae: str, *which: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(STEP)
    here = query.where(STEP.c.calling_ae == calling_ae, *which)
    return int(connection.execute(here).scalar_one())


def _owns(row: Row[Any] | None, transaction_uid: str) -> bool:
    """Whether a Transaction UID is the step's; nobody has one that is not begun yet."""
    if row is None or not transaction_uid:
        return False
    return bool(row.state == StepState.SCHEDULED or row.transaction_uid == transaction_uid)
