"""When a procedure step is done: as soon as its study is there and quiet; and when it cannot be.

Each call works within the caller's transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener.job import JobState, NewJob
from listener.receipt import InstanceState
from listener.step_state import StepState
from listener.step_terms import INCOMPLETE, UNSPECIFIED, Coded
from listener.tables import ARRIVAL, INSTANCE, JOB, STEP, STEP_RESULT

__all__ = ["Due", "due", "job_of"]

_ANSWER = "answer"  # the kind of job that every request is, however it was made


@dataclass(frozen=True)
class Due:
    """A step to be done now, or, with a reason, one that cannot be done."""

    sop_instance_uid: str
    reason: str | None = None
    code: Coded = UNSPECIFIED


def job_of(study_uid: str, argument: str) -> NewJob:
    """Return the job that does a step, from what its row says."""
    return NewJob(_ANSWER, study_uid, json.loads(argument))


def due(connection: Connection, asked_before: datetime) -> list[Due]:
    """Return the steps that have to be moved now.

    Parameters
    ----------
    asked_before
        A step that was created before this waits no longer for its study.
    """
    still = STEP.c.state.in_([StepState.SCHEDULED, StepState.IN_PROGRESS])
    worth = sa.or_(_MAY_BEGIN, _UNDONE & (STEP.c.created_at < asked_before), _MAY_HAVE_FAILED)
    query = sa.select(STEP).where(still, worth).order_by(STEP.c.created_at)
    found = (_judged(connection, row, asked_before) for row in connection.execute(query).all())
    return [one for one in found if one is not None]


# what is looked for five times a second: most steps that wait need no closer look
_UNDONE = STEP.c.job_id.is_(None)
_MAY_BEGIN = (
    _UNDONE
    & sa.exists().where(INSTANCE.c.study_uid == STEP.c.study_uid)
    & ~sa.exists().where(ARRIVAL.c.study_uid == STEP.c.study_uid)
)
_HAS_RESULTS = sa.exists().where(STEP_RESULT.c.sop_instance_uid == STEP.c.sop_instance_uid)
_MAY_HAVE_FAILED = ~_UNDONE & sa.or_(
    sa.exists().where(JOB.c.id == STEP.c.job_id, JOB.c.state == JobState.DEAD),
    ~sa.exists().where(JOB.c.id == STEP.c.job_id) & ~_HAS_RESULTS,
    sa.exists().where(
        STEP_RESULT.c.sop_instance_uid == STEP.c.sop_instance_uid,
        JOB.c.subject == STEP_RESULT.c.name,
        JOB.c.state == JobState.DEAD,
    ),
)


def _judged(connection: Connection, row: Row[Any], asked_before: datetime) -> Due | None:
    uid = row.sop_instance_uid
    if row.job_id is None:
        if _is_there(connection, row):
            return Due(uid)
        if row.created_at < asked_before:
            return Due(uid, "The study was not received in time.", INCOMPLETE)
        return None
    reason = _failure(connection, row)
    return None if reason is None else Due(uid, reason)


def _is_there(connection: Connection, row: Row[Any]) -> bool:
    """Whether the study, and what the step names of it, has come and goes on coming no more."""
    arriving = sa.select(ARRIVAL.c.title).where(ARRIVAL.c.study_uid == row.study_uid).limit(1)
    if connection.execute(arriving).first() is not None:
        return False
    came = sa.select(INSTANCE.c.sop_instance_uid).where(INSTANCE.c.study_uid == row.study_uid)
    named = json.loads(row.argument).get("instances", ())
    if named:
        return set(named) <= set(connection.execute(came).scalars())
    of_use = INSTANCE.c.state.in_(list(_OF_USE))
    return connection.execute(came.where(of_use).limit(1)).first() is not None


# of what is filtered no study consists: its images may still come
_OF_USE = frozenset(InstanceState) - {InstanceState.FILTERED}


def _failure(connection: Connection, row: Row[Any]) -> str | None:
    """Return why a step that was begun cannot go on, or None where it does."""
    job = connection.execute(sa.select(JOB).where(JOB.c.id == row.job_id)).first()
    results = connection.execute(
        sa.select(STEP_RESULT.c.name).where(STEP_RESULT.c.sop_instance_uid == row.sop_instance_uid)
    ).scalars()
    names = list(results)
    # one that was done well is forgotten in time; its results may still be on their way
    if (job is None and not names) or (job is not None and job.state == JobState.DEAD):
        return _words("It could not be done", job)
    for name in names:
        sent = sa.select(JOB).where(JOB.c.subject == name).order_by(JOB.c.id.desc()).limit(1)
        last = connection.execute(sent).first()
        if last is not None and last.state == JobState.DEAD:
            return _words("Its results could not be delivered", last)
    return None


def _words(what: str, job: Row[Any] | None) -> str:
    """Say why; a job's error holds nothing of a patient."""
    return f"{what}: {job.last_error}" if job is not None and job.last_error else f"{what}."
