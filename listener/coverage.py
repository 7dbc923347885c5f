"""The coverage of an index: which studies it holds, while another one serves.

`Ledger.study` keeps book of the index that serves. One that is being filled, or has served before,
has a row here for each study that it holds.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener.job import INDEX, JobState
from listener.job_queue import JobQueue
from listener.receipt import kept_studies
from listener.tables import COVERAGE, JOB, SERVING, STUDY

__all__ = ["forget", "lacking", "note", "out_of_reach", "serve", "serving"]

_SLOT = 1


def serving(connection: Connection, *, hold: bool = False) -> str | None:
    """Return the name of the index that serves, or None before the first.

    Parameters
    ----------
    hold
        Whether it stays the one until the transaction ends.
    """
    query = sa.select(SERVING.c.name)
    name: str | None = connection.execute(
        query.with_for_update(read=True) if hold else query
    ).scalar()
    return name


def note(connection: Connection, name: str, study_uid: str, generation: int) -> None:
    """Note that an index holds a study as it stood at ``generation``."""
    here = (COVERAGE.c.name == name) & (COVERAGE.c.study_uid == study_uid)
    connection.execute(sa.delete(COVERAGE).where(here))
    connection.execute(
        sa.insert(COVERAGE).values(name=name, study_uid=study_uid, generation=generation)
    )


def forget(connection: Connection, name: str) -> None:
    """Forget what an index held, for one that was lost."""
    connection.execute(sa.delete(COVERAGE).where(COVERAGE.c.name == name))


def lacking(connection: Connection, name: str) -> list[tuple[str, int]]:
    """Return the studies, with their generation, that an index lacks and that can be indexed now.

    Those are studies which the serving index holds and of which files are kept. One with
    unfinished work is left out: it is about to change.
    """
    busy = sa.exists().where(
        JOB.c.subject == STUDY.c.study_uid, JOB.c.state.in_([JobState.READY, JobState.LEASED])
    )
    rows = connection.execute(
        sa.select(STUDY.c.study_uid, STUDY.c.generation)
        .where(STUDY.c.indexed_generation > 0, STUDY.c.study_uid.in_(kept_studies()))
        .where(~_held_by(name), ~busy)
        .order_by(STUDY.c.first_at, STUDY.c.study_uid)
    )
    return [(row.study_uid, row.generation) for row in rows]


def out_of_reach(connection: Connection, name: str) -> int:
    """Count the studies that the serving index holds and an index lacks, with no file kept."""
    query = (
        sa.select(sa.func.count())
        .select_from(STUDY)
        .where(STUDY.c.indexed_generation > 0, ~STUDY.c.study_uid.in_(kept_studies()))
        .where(~_held_by(name))
    )
    return int(connection.execute(query).scalar_one())


def serve(connection: Connection, queue: JobQueue, name: str, now: datetime) -> int:
    """Make an index the one that serves; return how many studies it has yet to take in.

    What it lacks, of what the index before it held, is enqueued for indexing. What that one holds
    is noted, so that it can serve again.
    """
    before = connection.execute(sa.select(SERVING.c.name).with_for_update()).scalar()
    if before == name:
        return 0
    if before is None:
        connection.execute(sa.insert(SERVING).values(slot=_SLOT, name=name, since=now))
        return 0
    connection.execute(sa.update(SERVING).values(name=name, since=now))
    _put_aside(connection, before)
    held = (
        sa.select(COVERAGE.c.generation)
        .where(COVERAGE.c.name == name, COVERAGE.c.study_uid == STUDY.c.study_uid)
        .scalar_subquery()
    )
    connection.execute(sa.update(STUDY).values(indexed_generation=sa.func.coalesce(held, 0)))
    forget(connection, name)
    return queue.enqueue_each(connection, INDEX, _behind(before))


def _held_by(name: str) -> sa.Exists:
    return sa.exists().where(
        COVERAGE.c.name == name,
        COVERAGE.c.study_uid == STUDY.c.study_uid,
        COVERAGE.c.generation >= STUDY.c.generation,
    )


def _put_aside(connection: Connection, name: str) -> None:
    """Note what the index that has served until now holds."""
    forget(connection, name)
    connection.execute(
        sa.insert(COVERAGE).from_select(
            ["name", "study_uid", "generation"],
            sa.select(sa.literal(name), STUDY.c.study_uid, STUDY.c.indexed_generation).where(
                STUDY.c.indexed_generation > 0
            ),
        )
    )


def _behind(before: str) -> sa.Select[tuple[str]]:
    """Return the query for what the index before held and the serving one lacks."""
    held_before = sa.select(COVERAGE.c.study_uid).where(COVERAGE.c.name == before)
    return (
        sa.select(STUDY.c.study_uid)
        .where(STUDY.c.indexed_generation < STUDY.c.generation)
        .where(STUDY.c.study_uid.in_(held_before), STUDY.c.study_uid.in_(kept_studies()))
        .order_by(STUDY.c.first_at, STUDY.c.study_uid)
    )
