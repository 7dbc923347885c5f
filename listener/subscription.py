"""Who is told of procedure steps, and what they were not told yet (DICOM PS3.4 table CC.2.3-2).

A global subscription is one to every step that there is, and to each that is created after it. Each
call works within the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener.errors import NoSuchStepError
from listener.job import STEP_EVENT as STEP_EVENT_JOB
from listener.job import NewJob
from listener.job_queue import JobQueue
from listener.step_event import RESTARTED, STATE, Owed
from listener.step_state import StepState
from listener.step_terms import GLOBAL
from listener.tables import STEP, STEP_EVENT, SUBSCRIPTION

__all__ = [
    "add",
    "add_new_ones",
    "add_some",
    "follow",
    "locked",
    "owed",
    "remove",
    "resume",
    "state_report",
    "suspend",
    "tell",
    "tell_restart",
]

_PATIENCE = timedelta(days=3)  # as long as a job waits for something outside
_MOST_AT_ONCE = 200


def add(
    connection: Connection, receiver: str, sop_instance_uid: str, title: str, *, locks: bool
) -> None:
    """Subscribe a receiver to a step, of which it is told under a title.

    Raises
    ------
    NoSuchStepError
        If there is no such step.
    """
    _require(connection, sop_instance_uid)
    _take_off(connection, receiver, sop_instance_uid)
    _insert(connection, receiver, [sop_instance_uid], title, locks=locks)


def add_new_ones(connection: Connection, receiver: str, title: str, *, locks: bool) -> None:
    """Subscribe a receiver to every step that is created from now on."""
    _take_off(connection, receiver, GLOBAL)
    _insert(connection, receiver, [GLOBAL], title, locks=locks)


def add_some(
    connection: Connection,
    queue: JobQueue,
    receiver: str,
    title: str,
    after: str,
    now: datetime,
    most: int,
    *,
    locks: bool,
) -> str | None:
    """Subscribe a receiver to the next steps, by their UIDs; return the last, None at the end.

    A subscription to one of them, as it stands, goes before one to all. Of the others the receiver
    is told how they stand, where it locks them. One that has ended is followed only to be locked:
    nothing comes of it any more.
    """
    uid = STEP.c.sop_instance_uid
    query = sa.select(STEP).where(uid > after).order_by(uid)
    # held, so that what moves one meanwhile sees the subscription, or is seen here
    steps = connection.execute(query.limit(most).with_for_update()).all()
    uids = [row.sop_instance_uid for row in steps]
    here = (SUBSCRIPTION.c.receiver == receiver) & SUBSCRIPTION.c.sop_instance_uid.in_(uids)
    known = set(
        connection.execute(sa.select(SUBSCRIPTION.c.sop_instance_uid).where(here)).scalars()
    )
    new = [row for row in steps if row.sop_instance_uid not in known]
    followed = [row for row in new if locks or not StepState(row.state).is_final]
    _insert(connection, receiver, [row.sop_instance_uid for row in followed], title, locks=locks)
    if locks:
        told = [(row.sop_instance_uid, STATE, state_report(row)) for row in followed]
        _put(connection, queue, receiver, title, told, now)
    return uids[-1] if len(uids) == most else None


def remove(connection: Connection, receiver: str, sop_instance_uid: str) -> None:
    """End a receiver's subscription, a global one with all that it has brought.

    Raises
    ------
    NoSuchStepError
        If there is no such step.
    """
    if sop_instance_uid == GLOBAL:
        connection.execute(sa.delete(SUBSCRIPTION).where(SUBSCRIPTION.c.receiver == receiver))
        connection.execute(sa.delete(STEP_EVENT).where(STEP_EVENT.c.receiver == receiver))
        return
    _require(connection, sop_instance_uid)
    _take_off(connection, receiver, sop_instance_uid)
    connection.execute(
        sa.delete(STEP_EVENT).where(
            STEP_EVENT.c.receiver == receiver, STEP_EVENT.c.sop_instance_uid == sop_instance_uid
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
        _insert(connection, row.receiver, [sop_instance_uid], row.title, locks=row.locks)


def locked(sop_instance_uid: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a subscriber wants a step not to be deleted."""
    return sa.exists().where(
        SUBSCRIPTION.c.sop_instance_uid == sop_instance_uid, SUBSCRIPTION.c.locks
    )


def state_report(row: Row[Any]) -> dict[str, Any]:
    """Return what is told of how a step stands, by its row: where cancelled, with the reason."""
    told = {"state": row.state, "readiness": row.readiness}
    if row.state == StepState.CANCELED:
        told |= {"reason": row.reason, "code": json.loads(row.reason_code)}
    return told


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
        told = [(sop_instance_uid, kind, content)]
        _put(connection, queue, row.receiver, row.title, told, now)


def tell_restart(connection: Connection, queue: JobQueue, now: datetime) -> None:
    """Have every subscriber told that the service has started anew."""
    query = sa.select(SUBSCRIPTION.c.receiver, sa.func.min(SUBSCRIPTION.c.title).label("title"))
    for row in connection.execute(query.group_by(SUBSCRIPTION.c.receiver)).all():
        _put(connection, queue, row.receiver, row.title, [(GLOBAL, RESTARTED, {})], now)


def resume(connection: Connection, queue: JobQueue) -> None:
    """Enqueue the job of every receiver that has something to be told."""
    query = sa.select(STEP_EVENT.c.receiver).distinct()
    for receiver in connection.execute(query).scalars().all():
        queue.enqueue(connection, NewJob(STEP_EVENT_JOB, receiver))


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
    told: Sequence[tuple[str, int, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Have a receiver told events: of which step, of which type, and their content."""
    if not told:
        return
    # a receiver that is gone for good must not fill the ledger
    first = sa.select(STEP_EVENT.c.id).where(STEP_EVENT.c.receiver == receiver)
    oldest = first.order_by(STEP_EVENT.c.id).limit(_MOST_AT_ONCE)
    old = STEP_EVENT.c.at < now - _PATIENCE
    connection.execute(sa.delete(STEP_EVENT).where(STEP_EVENT.c.id.in_(oldest), old))
    rows = [
        {"sop_instance_uid": uid, "type": kind, "content": json.dumps(dict(content))}
        for uid, kind, content in told
    ]
    given = {"receiver": receiver, "title": title, "at": now}
    connection.execute(sa.insert(STEP_EVENT), [row | given for row in rows])
    queue.enqueue(connection, NewJob(STEP_EVENT_JOB, receiver))


def _insert(
    connection: Connection, receiver: str, uids: Sequence[str], title: str, *, locks: bool
) -> None:
    if uids:
        given = {"receiver": receiver, "title": title, "locks": locks}
        rows = [{"sop_instance_uid": uid, **given} for uid in uids]
        connection.execute(sa.insert(SUBSCRIPTION), rows)


def _require(connection: Connection, sop_instance_uid: str) -> None:
    query = sa.select(STEP.c.path).where(STEP.c.sop_instance_uid == sop_instance_uid)
    if connection.execute(query).first() is None:
        raise NoSuchStepError


def _take_off(connection: Connection, receiver: str, sop_instance_uid: str) -> None:
    """End a receiver's subscription, where there is one."""
    connection.execute(
        sa.delete(SUBSCRIPTION).where(
            SUBSCRIPTION.c.receiver == receiver,
            SUBSCRIPTION.c.sop_instance_uid == sop_instance_uid,
        )
    )
