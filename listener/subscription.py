"""Who is told of procedure steps, and what they were not told yet (DICOM PS3.4 section CC.2.3).

A global subscription is one to every step that there is, and to each that is created after it. Each
call works within the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener.errors import NoSuchStepError
from listener.job import STEP_EVENT as STEP_EVENT_JOB
from listener.job import JobState, NewJob
from listener.job_queue import JobQueue
from listener.step_event import RESTARTED, Owed
from listener.step_terms import GLOBAL
from listener.tables import JOB, STEP, STEP_EVENT, SUBSCRIPTION

__all__ = [
    "add",
    "follow",
    "is_any_due",
    "locked",
    "owed",
    "remove",
    "resume",
    "suspend",
    "tell",
    "tell_restart",
]

_PATIENCE = timedelta(days=3)  # as long as a job waits for something outside
_MOST_AT_ONCE = 200


def add(
    connection: Connection, receiver: str, sop_instance_uid: str, title: str, *, locks: bool
) -> list[str]:
    """Subscribe a receiver, which is told under a title; return the steps that it now follows.

    Raises
    ------
    NoSuchStepError
        If there is no such step.
    """
    steps = _steps(connection, sop_instance_uid)
    is_global = sop_instance_uid == GLOBAL
    for uid in [*steps, GLOBAL] if is_global else steps:
        _take_off(connection, receiver, uid)
        given = {"receiver": receiver, "sop_instance_uid": uid, "title": title, "locks": locks}
        connection.execute(sa.insert(SUBSCRIPTION).values(**given))
    return steps


def remove(connection: Connection, receiver: str, sop_instance_uid: str) -> None:
    """End a receiver's subscription, a global one with all that it has brought.

    Raises
    ------
    NoSuchStepError
        If there is no such step.
    """
    steps = _steps(connection, sop_instance_uid)
    if sop_instance_uid == GLOBAL:
        connection.execute(sa.delete(SUBSCRIPTION).where(SUBSCRIPTION.c.receiver == receiver))
        connection.execute(sa.delete(STEP_EVENT).where(STEP_EVENT.c.receiver == receiver))
        return
    for uid in steps:
        _take_off(connection, receiver, uid)
        connection.execute(
            sa.delete(STEP_EVENT).where(
                STEP_EVENT.c.receiver == receiver, STEP_EVENT.c.sop_instance_uid == uid
            )
        )


def suspend(connection: Connection, receiver: str) -> None:
    """Let steps that are created from now on not be followed."""
    _take_off(connection, receiver, GLOBAL)


def follow(connection: Connection, sop_instance_uid: str) -> None:
    """Subscribe to a new step whoever is subscribed to all."""
    rows = connection.execute(
        sa.select(SUBSCRIPTION).where(SUBSCRIPTION.c.sop_instance_uid == GLOBAL)
    ).all()
    for row in rows:
        given = {"receiver": row.receiver, "title": row.title, "locks": row.locks}
        connection.execute(
            sa.insert(SUBSCRIPTION).values(sop_instance_uid=sop_instance_uid, **given)
        )


def locked(sop_instance_uid: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a subscriber wants a step not to be deleted."""
    return sa.exists().where(
        SUBSCRIPTION.c.sop_instance_uid == sop_instance_uid, SUBSCRIPTION.c.locks
    )


def tell(
    connection: Connection,
    queue: JobQueue,
    sop_instance_uid: str,
    kind: int,
    content: Mapping[str, Any],
    now: datetime,
    only: str | None = None,
) -> None:
    """Have the subscribers of a step told an event, or one of them only."""
    here = SUBSCRIPTION.c.sop_instance_uid == sop_instance_uid
    if only is not None:
        here &= SUBSCRIPTION.c.receiver == only
    for row in connection.execute(sa.select(SUBSCRIPTION).where(here)).all():
        _put(connection, queue, row.receiver, row.title, sop_instance_uid, kind, content, now)


def tell_restart(connection: Connection, queue: JobQueue, now: datetime) -> None:
    """Have every subscriber told that the service has started anew."""
    query = sa.select(SUBSCRIPTION.c.receiver, sa.func.min(SUBSCRIPTION.c.title).label("title"))
    for row in connection.execute(query.group_by(SUBSCRIPTION.c.receiver)).all():
        _put(connection, queue, row.receiver, row.title, GLOBAL, RESTARTED, {}, now)


def resume(connection: Connection, queue: JobQueue) -> None:
    """Enqueue the job of every receiver that has something to be told."""
    query = sa.select(STEP_EVENT.c.receiver).distinct()
    for receiver in connection.execute(query).scalars().all():
        queue.enqueue(connection, NewJob(STEP_EVENT_JOB, receiver))


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Tell whether a job that tells events may be due."""
    due = sa.or_(
        sa.and_(JOB.c.state == JobState.READY, JOB.c.not_before <= now),
        sa.and_(JOB.c.state == JobState.LEASED, JOB.c.lease_until <= now),
    )
    query = sa.select(JOB.c.id).where(JOB.c.kind == STEP_EVENT_JOB, due).limit(1)
    return connection.execute(query).first() is not None


def owed(connection: Connection, receiver: str) -> tuple[Owed, ...]:
    """Return what a receiver is to be told, in its order."""
    query = sa.select(STEP_EVENT).where(STEP_EVENT.c.receiver == receiver)
    rows = connection.execute(query.order_by(STEP_EVENT.c.id).limit(_MOST_AT_ONCE))
    return tuple(
        Owed(row.id, row.title, row.sop_instance_uid, row.type, json.loads(row.content))
        for row in rows
    )


def _put(
    connection: Connection,
    queue: JobQueue,
    receiver: str,
    title: str,
    sop_instance_uid: str,
    kind: int,
    content: Mapping[str, Any],
    now: datetime,
) -> None:
    # a receiver that is gone for good must not fill the ledger
    old = STEP_EVENT.c.at < now - _PATIENCE
    connection.execute(sa.delete(STEP_EVENT).where(STEP_EVENT.c.receiver == receiver, old))
    connection.execute(
        sa.insert(STEP_EVENT).values(
            receiver=receiver,
            title=title,
            sop_instance_uid=sop_instance_uid,
            type=kind,
            content=json.dumps(dict(content)),
            at=now,
        )
    )
    queue.enqueue(connection, NewJob(STEP_EVENT_JOB, receiver))


def _steps(connection: Connection, sop_instance_uid: str) -> list[str]:
    query = sa.select(STEP.c.sop_instance_uid).order_by(STEP.c.created_at)
    if sop_instance_uid == GLOBAL:
        return list(connection.execute(query).scalars())
    found = list(
        connection.execute(query.where(STEP.c.sop_instance_uid == sop_instance_uid)).scalars()
    )
    if not found:
        raise NoSuchStepError
    return found


def _take_off(connection: Connection, receiver: str, sop_instance_uid: str) -> None:
    connection.execute(
        sa.delete(SUBSCRIPTION).where(
            SUBSCRIPTION.c.receiver == receiver,
            SUBSCRIPTION.c.sop_instance_uid == sop_instance_uid,
        )
    )
