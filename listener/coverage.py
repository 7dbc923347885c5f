"""The coverage of an index: which studies it holds, while another one serves.

`Ledger.study` keeps book of the index that serves. One that is being filled, or has served before,
has a row here for each study that it holds.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener.job import INDEX, JobState, NewJob
from listener.job_queue import JobQueue
from listener.receipt import kept_studies
from listener.tables import COVERAGE, JOB, SERVING, STUDY

__all__ = ["lacking", "note", "serve", "serving"]


def serving(connection: Connection) -> str | None:
    """Return the name of the index that serves, or None before the first."""
    name: str | None = connection.execute(sa.select(SERVING.c.name)).scalar()
    return name


def note(connection: Connection, name: str, study_uid: str, generation: int) -> None:
    """Note that an index holds a study as it stood at ``generation``."""
    here = (COVERAGE.c.name == name) & (COVERAGE.c.study_uid == study_uid)
    connection.execute(sa.delete(COVERAGE).where(here))
    connection.execute(
        sa.insert(COVERAGE).values(name=name, study_uid=study_uid, generation=generation)
    )


def lacking(connection: Connection, name: str) -> list[tuple[str, int]]:
    """Return the studies, with their generation, that an index lacks and that can be indexed now.

    Those are studies which the serving index holds and of which files are kept. One with
    unfinished work is left out: it is about to change.
    """
    held = sa.exists().where(
        COVERAGE.c.name == name,
        COVERAGE.c.study_uid == STUDY.c.study_uid,
        COVERAGE.c.generation >= STUDY.c.generation,
    )
    busy = sa.exists().where(
        JOB.c.subject == STUDY.c.study_uid, JOB.c.state.in_([JobState.READY, JobState.LEASED])
    )
    rows = connection.execute(
        sa.select(STUDY.c.study_uid, STUDY.c.generation)
        .where(STUDY.c.indexed_generation > 0, STUDY.c.study_uid.in_(kept_studies()))
        .where(~held, ~busy)
        .order_by(STUDY.c.first_at, STUDY.c.study_uid)
    )
    return [(row.study_uid, row.generation) for row in rows]


def serve(connection: Connection, queue: JobQueue, name: str, now: datetime) -> int:
    """Make an index the one that serves; return how many studies it has yet to take in.

    What it lacks, of what the index before it held, is enqueued for indexing. What that one holds
    is noted, so that it can serve again.
    """
    before = serving(connection)
    if before == name:
        return 0
    connection.execute(sa.delete(SERVING))
    connection.execute(sa.insert(SERVING).values(name=name, since=now))
    if before is None:
        return 0
    _put_aside(connection, before)
    held = (
        sa.select(COVERAGE.c.generation)
        .where(COVERAGE.c.name == name, COVERAGE.c.study_uid == STUDY.c.study_uid)
        .scalar_subquery()
    )
    connection.execute(sa.update(STUDY).values(indexed_generation=sa.func.coalesce(held, 0)))
    connection.execute(sa.delete(COVERAGE).where(COVERAGE.c.name == name))
    behind = _behind(connection, before)
    for study_uid in behind:
        queue.enqueue(connection, NewJob(INDEX, study_uid))
    return len(behind)


def _put_aside(connection: Connection, name: str) -> None:
    """Note what the index that has served until now holds."""
    connection.execute(sa.delete(COVERAGE).where(COVERAGE.c.name == name))
    connection.execute(
        sa.insert(COVERAGE).from_select(
            ["name", "study_uid", "generation"],
            sa.select(sa.literal(name), STUDY.c.study_uid, STUDY.c.indexed_generation).where(
                STUDY.c.indexed_generation > 0
            ),
        )
    )


def _behind(connection: Connection, before: str) -> list[str]:
    held_before = sa.select(COVERAGE.c.study_uid).where(COVERAGE.c.name == before)
    rows = connection.execute(
        sa.select(STUDY.c.study_uid)
        .where(STUDY.c.indexed_generation < STUDY.c.generation)
        .where(STUDY.c.study_uid.in_(held_before), STUDY.c.study_uid.in_(kept_studies()))
        .order_by(STUDY.c.first_at, STUDY.c.study_uid)
    )
    return list(rows.scalars())
