"""Retention: what is old enough to be deleted, and what is not deleted at any age."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener import milestone
from listener.job import JobState
from listener.receipt import HOLDING, InstanceState
from listener.tables import ARRIVAL, INSTANCE, JOB

__all__ = ["expire_instances", "forget_jobs"]

# PS3.6 annex A: the SOP classes of structured reports and key object selections
_STRUCTURED_REPORTS = "1.2.840.10008.5.1.4.1.1.88.%"


def expire_instances(connection: Connection, before: datetime, now: datetime) -> list[Path]:
    """Mark the instances received before a time as expired; return their files, to be deleted.

    A study with unfinished work keeps its files until that is done. Structured reports and key
    objects stay: they are small, and findings and rejections rest on them.
    """
    busy = sa.exists().where(
        JOB.c.subject == INSTANCE.c.study_uid,
        JOB.c.state.in_([JobState.READY, JobState.LEASED]),
    )
    arriving = sa.exists().where(ARRIVAL.c.study_uid == INSTANCE.c.study_uid)
    old = sa.and_(
        INSTANCE.c.received_at < before,
        INSTANCE.c.state.in_(list(HOLDING)),
        ~INSTANCE.c.sop_class_uid.like(_STRUCTURED_REPORTS),
        ~busy,
        ~arriving,
    )
    rows = connection.execute(
        sa.select(INSTANCE.c.sop_instance_uid, INSTANCE.c.version, INSTANCE.c.path)
        .where(old)
        .with_for_update()
    ).all()
    for row in rows:
        connection.execute(
            sa.update(INSTANCE)
            .where(
                INSTANCE.c.sop_instance_uid == row.sop_instance_uid,
                INSTANCE.c.version == row.version,
            )
            .values(state=InstanceState.EXPIRED, reason="older than the retention time")
        )
    expired = [(row.sop_instance_uid, row.version) for row in rows]
    milestone.note_state(connection, expired, InstanceState.EXPIRED, now)
    return [Path(row.path) for row in rows]


def forget_jobs(connection: Connection, before: datetime) -> int:
    """Delete the jobs that were done before a time, with their outcomes; return how many.

    A dead job stays, for somebody has to see to it; so does one that another was enqueued behind,
    until that one is done as well.
    """
    follower = JOB.alias()
    followed = sa.exists().where(follower.c.after_id == JOB.c.id, follower.c.state != JobState.DONE)
    forgotten = connection.execute(
        sa.delete(JOB).where(JOB.c.state == JobState.DONE, JOB.c.ended_at < before, ~followed)
    )
    return int(forgotten.rowcount)
