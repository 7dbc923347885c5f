"""The performance of procedure steps: what the worker tells of them, and when each is begun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from pydicom.uid import generate_uid
from sqlalchemy.engine import Connection, Row

from listener import step_schedule
from listener.database import Database, repeated
from listener.job import NewJob
from listener.job_queue import JobQueue
from listener.step_event import PROGRESS
from listener.step_row import (
    DELIVERED,
    GIVEN_UP,
    SENDING,
    WAITING,
    ResultInstance,
    StepWriter,
    held_row,
    results_of,
)
from listener.step_state import Change, StepState, moved
from listener.step_terms import Coded
from listener.tables import STEP_RESULT

__all__ = ["Performance"]


class Performance:
    """What becomes of the procedure steps of a ledger; each call is durable when it returns.

    The plugin itself performs them all: its claim of a step needs no request of a peer's. Every
    call may come again, as a job does, and tells nothing twice.

    Parameters
    ----------
    queue
        Gets the jobs that do the steps, and those that tell of them.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    @repeated
    def begin(self, sop_instance_uid: str) -> bool:
        """Note that a step is begun with, or again; False where it has ended meanwhile."""
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            if row is None or StepState(row.state).is_final:
                return False
            if row.state == StepState.SCHEDULED:
                through = moved(StepState.SCHEDULED, Change.TO_IN_PROGRESS).through
                write = self._writer(connection)
                key = str(generate_uid(prefix=None))
                write.move(sop_instance_uid, through, transaction_uid=key, begun_at=write.now)
            return True

    @repeated
    def progress(self, sop_instance_uid: str, percent: int, words: str) -> bool:
        """Note how far a step is, in percent; False where it has ended meanwhile."""
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            if row is None or row.state != StepState.IN_PROGRESS:
                return False
            self._progress(connection, row, percent, words)
            return True

    @repeated
    def answered(
        self, sop_instance_uid: str, results: Mapping[str, Sequence[ResultInstance]]
    ) -> bool:
        """Note which result sets have come of a step; False where it has ended meanwhile.

        Parameters
        ----------
        results
            The objects of each, by the name under which it is delivered.
        """
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            if row is None or row.state != StepState.IN_PROGRESS:
                return False
            # what will not go any more: given up, or of a job that was killed and did it anew
            replaced = (
                STEP_RESULT.c.sop_instance_uid == sop_instance_uid,
                STEP_RESULT.c.state.in_([WAITING, GIVEN_UP]),
                STEP_RESULT.c.name.not_in(list(results)),
            )
            connection.execute(sa.delete(STEP_RESULT).where(*replaced))
            for name in results.keys() - results_of(connection, sop_instance_uid).keys():
                connection.execute(
                    sa.insert(STEP_RESULT).values(
                        name=name,
                        sop_instance_uid=sop_instance_uid,
                        state=WAITING,
                        instances=json.dumps([_pieces(one) for one in results[name]]),
                    )
                )
            return True

    @repeated
    def sending(self, name: str) -> bool:
        """Note that a result set begins to go; False where its step was cancelled before.

        What belongs to no step goes.
        """
        with self._database.writing() as connection:
            step = _step_behind(connection, name)
            if step is None:
                return True
            stands = results_of(connection, step.sop_instance_uid)[name]
            if stands == WAITING and step.state == StepState.CANCELED:
                return False
            if stands == WAITING:
                _set_result(connection, name, state=SENDING)
            return True

    @repeated
    def ask_anew(self, name: str, job: NewJob) -> int:
        """Enqueue a job for a result set that will not go, and return the job's number.

        A step behind it rests on that job from now on: it is not completed before the next result
        sets have taken this one's place.
        """
        with self._database.writing() as connection:
            number = self._queue.enqueue(connection, job)
            step = _step_behind(connection, name)
            if step is not None:
                _set_result(connection, name, state=GIVEN_UP)
                self._writer(connection).update(step.sop_instance_uid, job_id=number)
            return number

    @repeated
    def stored(self, name: str) -> None:
        """Note that a destination has a result set, but has not yet committed to it."""
        with self._database.writing() as connection:
            step = _step_behind(connection, name)
            if step is not None and step.state == StepState.IN_PROGRESS:
                self._progress(connection, step, 90, "The results are stored.")

    @repeated
    def delivered(self, name: str, held_by: str) -> None:
        """Note that a result set is delivered; a step is completed with its last one."""
        with self._database.writing() as connection:
            step = _step_behind(connection, name)
            if step is None:
                return
            _set_result(connection, name, state=DELIVERED, held_by=held_by)
            uid = step.sop_instance_uid
            left = set(results_of(connection, uid).values()) - {DELIVERED}
            if left or step.state != StepState.IN_PROGRESS:
                return
            self._progress(connection, step, 100, "The results are delivered.")
            write = self._writer(connection)
            through = moved(StepState.IN_PROGRESS, Change.TO_COMPLETED).through
            write.move(uid, through, ended_at=write.now)

    @repeated
    def discontinue(self, sop_instance_uid: str, words: str, code: Coded) -> None:
        """Cancel a step that cannot be done; one that has ended stays as it is."""
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            if row is None or StepState(row.state).is_final:
                return
            through = moved(StepState(row.state), Change.REQUEST_CANCEL).through
            self._writer(connection).cancel(sop_instance_uid, through, words, code)

    def advance(self, wait: timedelta) -> int:
        """Have those steps done whose study is there, and cancel those that cannot be done.

        Parameters
        ----------
        wait
            How long a step waits for its study.

        Returns
        -------
        int
            How many were moved.
        """
        with self._database.reading() as connection:
            now = self._database.now(connection)
            due = step_schedule.due(connection, now - wait)
        for one in due:
            if one.reason is None:
                self._have_done(one.sop_instance_uid)
            else:
                self.discontinue(one.sop_instance_uid, one.reason, one.code)
        return len(due)

    @repeated
    def _have_done(self, sop_instance_uid: str) -> None:
        with self._database.writing() as connection:
            row = held_row(connection, sop_instance_uid)
            if row is None or row.job_id is not None or row.state != StepState.SCHEDULED:
                return
            job = step_schedule.job_of(row.study_uid, row.argument)
            number = self._queue.enqueue(connection, job)
            self._writer(connection).update(sop_instance_uid, job_id=number)

    def _progress(self, connection: Connection, row: Row[Any], percent: int, words: str) -> None:
        if percent <= row.progress:
            return  # a job that comes again
        write = self._writer(connection)
        uid = row.sop_instance_uid
        write.update(uid, progress=percent, told=words, changed_at=write.now)
        write.tell(uid, PROGRESS, {"percent": percent, "words": words})

    def _writer(self, connection: Connection) -> StepWriter:
        return StepWriter(connection, self._queue, self._database.now(connection))


def _step_behind(connection: Connection, name: str) -> Row[Any] | None:
    """Return the row of the step that a result set came of, held, or None where of none."""
    query = sa.select(STEP_RESULT.c.sop_instance_uid).where(STEP_RESULT.c.name == name)
    uid = connection.execute(query).scalar()
    return None if uid is None else held_row(connection, uid)


def _set_result(connection: Connection, name: str, **values: str) -> None:
    here = STEP_RESULT.c.name == name
    connection.execute(sa.update(STEP_RESULT).where(here).values(**values))


def _pieces(one: ResultInstance) -> list[str]:
    return [one.study_uid, one.series_uid, one.sop_class_uid, one.sop_instance_uid]
