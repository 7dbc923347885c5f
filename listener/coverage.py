"""The coverage of an index: which studies it holds, while another one serves.

`Ledger.study` keeps book of the index that serves. One that is being filled, or has served before,
has a row here for each study that it holds.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener import milestone, study
from listener.database import Database, repeated
from listener.job import INDEX, JobState, NewJob
from listener.job_queue import JobQueue
from listener.milestone import Placement
from listener.receipt import kept_studies
from listener.tables import COVERAGE, JOB, SERVING, STUDY

__all__ = ["Indices"]


class Indices:
    """The indices as a ledger knows them; each call is durable when it returns.

    Parameters
    ----------
    queue
        Gets the jobs that take studies in.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    def serving(self) -> str | None:
        """Return the name of the index that serves, or None before the first."""
        with self._database.reading() as connection:
            name: str | None = connection.execute(sa.select(SERVING.c.name)).scalar()
        return name

    @repeated
    def serve(self, index: str) -> int:
        """Make an index the one that serves; return how many studies it has yet to take in.

        What it lacks, of what the index before it held, is enqueued for indexing. What that one
        holds is remembered, so that it can serve again.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            before = connection.execute(sa.select(SERVING.c.name).with_for_update()).scalar()
            if before == index:
                return 0
            if before is None:
                connection.execute(sa.insert(SERVING).values(slot=_SLOT, name=index, since=now))
                return 0
            connection.execute(sa.update(SERVING).values(name=index, since=now))
            _put_aside(connection, before)
            _take_over(connection, index)
            return self._queue.enqueue_each(connection, INDEX, _behind(before))

    def lacking(self, index: str) -> list[tuple[str, int]]:
        """Return the studies, with their generation, that an index lacks and could take in now.

        Those are studies which the serving index holds and of which files are kept. One with
        unfinished work is left out: it is about to change.
        """
        busy = sa.exists().where(
            JOB.c.subject == STUDY.c.study_uid, JOB.c.state.in_([JobState.READY, JobState.LEASED])
        )
        query = (
            sa.select(STUDY.c.study_uid, STUDY.c.generation)
            .where(STUDY.c.indexed_generation > 0, STUDY.c.study_uid.in_(kept_studies()))
            .where(~_held_by(index), ~busy)
            .order_by(STUDY.c.first_at, STUDY.c.study_uid)
        )
        with self._database.reading() as connection:
            return [(row.study_uid, row.generation) for row in connection.execute(query)]

    def out_of_reach(self, index: str) -> int:
        """Count the studies that an index lacks for good: no file of them is kept."""
        query = (
            sa.select(sa.func.count())
            .select_from(STUDY)
            .where(STUDY.c.indexed_generation > 0, ~STUDY.c.study_uid.in_(kept_studies()))
            .where(~_held_by(index))
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    @repeated
    def mark_indexed(
        self,
        study_uid: str,
        generation: int,
        index: str | None = None,
        placements: Collection[Placement] = (),
    ) -> None:
        """Note that the study is indexed as it stood at ``generation``, and what it got there.

        Where another index than ``index`` serves by now, the study is indexed anew, for that one.
        """
        with self._database.writing() as connection:
            if index is not None:
                milestone.note_placements(
                    connection, index, placements, self._database.now(connection)
                )
            if index is None or _held_serving(connection) in (None, index):
                study.mark_indexed(connection, study_uid, generation)
                return
            _note(connection, index, study_uid, generation)
            self._queue.enqueue(connection, NewJob(INDEX, study_uid))

    @repeated
    def mark_covered(
        self,
        index: str,
        study_uid: str,
        generation: int,
        placements: Collection[Placement] = (),
    ) -> None:
        """Note that an index which does not serve yet holds a study, and what it got there."""
        with self._database.writing() as connection:
            _note(connection, index, study_uid, generation)
            milestone.note_placements(connection, index, placements, self._database.now(connection))

    @repeated
    def note_placements(self, index: str, placements: Collection[Placement]) -> None:
        """Note what instances are to an index, whether or not their whole study is in it."""
        with self._database.writing() as connection:
            milestone.note_placements(connection, index, placements, self._database.now(connection))

    @repeated
    def forget(self, index: str) -> None:
        """Forget what an index held, for one that turned out to be empty."""
        with self._database.writing() as connection:
            _forget(connection, index)
            milestone.forget_placements(connection, index)

    @repeated
    def reopen_studies(self) -> int:
        """Have every study that is kept indexed anew, for an index that lost them; how many."""
        with self._database.writing() as connection:
            lost = study.indexed(among=kept_studies())
            count = self._queue.enqueue_each(connection, INDEX, lost)
            study.reopen(connection, among=kept_studies())
        return count


_SLOT = 1


def _held_serving(connection: Connection) -> str | None:
    """Return the name of the index that serves, and stays the one until the transaction ends."""
    query = sa.select(SERVING.c.name).with_for_update(read=True)
    name: str | None = connection.execute(query).scalar()
    return name


def _note(connection: Connection, name: str, study_uid: str, generation: int) -> None:
    """Note that an index holds a study as it stood at ``generation``."""
    here = (COVERAGE.c.name == name) & (COVERAGE.c.study_uid == study_uid)
    connection.execute(sa.delete(COVERAGE).where(here))
    connection.execute(
        sa.insert(COVERAGE).values(name=name, study_uid=study_uid, generation=generation)
    )


def _forget(connection: Connection, name: str) -> None:
    connection.execute(sa.delete(COVERAGE).where(COVERAGE.c.name == name))


def _held_by(name: str) -> sa.Exists:
    return sa.exists().where(
        COVERAGE.c.name == name,
        COVERAGE.c.study_uid == STUDY.c.study_uid,
        COVERAGE.c.generation >= STUDY.c.generation,
    )


def _put_aside(connection: Connection, name: str) -> None:
    """Note what the index that has served until now holds."""
    _forget(connection, name)
    connection.execute(
        sa.insert(COVERAGE).from_select(
            ["name", "study_uid", "generation"],
            sa.select(sa.literal(name), STUDY.c.study_uid, STUDY.c.indexed_generation).where(
                STUDY.c.indexed_generation > 0
            ),
        )
    )


def _take_over(connection: Connection, name: str) -> None:
    """Keep book of the index that serves from now on, as far as it holds the studies."""
    held = (
        sa.select(COVERAGE.c.generation)
        .where(COVERAGE.c.name == name, COVERAGE.c.study_uid == STUDY.c.study_uid)
        .scalar_subquery()
    )
    connection.execute(sa.update(STUDY).values(indexed_generation=sa.func.coalesce(held, 0)))
    _forget(connection, name)


def _behind(before: str) -> sa.Select[tuple[str]]:
    """Return the query for what the index before held and the serving one lacks."""
    held_before = sa.select(COVERAGE.c.study_uid).where(COVERAGE.c.name == before)
    return (
        sa.select(STUDY.c.study_uid)
        .where(STUDY.c.indexed_generation < STUDY.c.generation)
        .where(STUDY.c.study_uid.in_(held_before), STUDY.c.study_uid.in_(kept_studies()))
        .order_by(STUDY.c.first_at, STUDY.c.study_uid)
    )
