"""The queue of jobs: how they wait, are leased, end and come again."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener.errors import LeaseLostError, LedgerError
from listener.job import Job, JobState, NewJob, canonical
from listener.tables import JOB

__all__ = ["JobQueue"]

_OUTAGE_DELAY = timedelta(minutes=15)
_OUTAGE_PATIENCE = timedelta(days=3)
_MOST_JITTER = 1.25


@dataclass(frozen=True)
class JobQueue:
    """The rules of the job table, each within the caller's transaction.

    Parameters
    ----------
    now
        Gives the time that counts within a transaction, timezone-aware.
    backoff
        Wait before the second attempt of a failed job; it doubles with every attempt.
    max_attempts
        Attempts after which a job is dead.
    """

    now: Callable[[Connection], datetime]
    backoff: timedelta
    max_attempts: int

    def enqueue(self, connection: Connection, new: NewJob, after_id: int | None = None) -> int:
        """Enqueue a job, behind another where one is named, or merge it into an equal ready one.

        Parameters
        ----------
        after_id
            The job that must have ended before this one is leased.

        Returns
        -------
        int
            The id of the job that does the work.
        """
        now = self.now(connection)
        argument = canonical(new.argument)
        due = now + new.delay
        twin = _equal_ready(connection, new.kind, new.subject, argument)
        if twin is not None:
            behind = after_id if after_id is not None else twin.after_id
            _update(connection, twin.id, not_before=min(twin.not_before, due), after_id=behind)
            return int(twin.id)
        inserted = connection.execute(
            sa.insert(JOB).values(
                kind=new.kind,
                subject=new.subject,
                argument=argument,
                state=JobState.READY,
                attempts=0,
                token=0,
                created_at=now,
                not_before=due,
                after_id=after_id,
            )
        )
        return int(inserted.inserted_primary_key[0])  # type: ignore[index]  # one row, one key

    def enqueue_each(
        self, connection: Connection, kind: str, subjects: sa.Select[tuple[str]]
    ) -> int:
        """Enqueue a job without argument for every subject of a query; return how many there are.

        A subject with an equal ready job gets no second one.
        """
        now = self.now(connection)
        each = subjects.subquery()
        subject = each.c[0]
        ready = sa.exists().where(
            JOB.c.kind == kind,
            JOB.c.subject == subject,
            JOB.c.argument == canonical({}),
            JOB.c.state == JobState.READY,
        )
        given: dict[str, Any] = {
            "kind": kind,
            "argument": canonical({}),
            "state": JobState.READY.value,
        }
        given |= {"attempts": 0, "token": 0}
        times = {"created_at": now, "not_before": now}
        values = [sa.literal(value) for value in given.values()]
        values += [sa.literal(value, JOB.c.created_at.type) for value in times.values()]
        connection.execute(
            sa.insert(JOB).from_select(
                ["subject", *given, *times], sa.select(subject, *values).where(~ready)
            )
        )
        count = sa.select(sa.func.count()).select_from(each)
        return int(connection.execute(count).scalar_one())

    def is_asked_already(
        self, connection: Connection, new: NewJob, since: datetime, until: datetime
    ) -> bool:
        """Tell whether an equal job was enqueued since a moment and had not ended by another.

        One from the future stands for none: the clock was put back since.
        """
        equal = sa.exists().where(
            JOB.c.kind == new.kind,
            JOB.c.subject == new.subject,
            JOB.c.argument == canonical(new.argument),
            JOB.c.state != JobState.DEAD,
            JOB.c.created_at.between(since, self.now(connection)),
            sa.or_(JOB.c.ended_at.is_(None), JOB.c.ended_at >= until),
        )
        return bool(connection.execute(sa.select(equal)).scalar())

    def is_any_due(self, connection: Connection, kind: str) -> bool:
        """Tell whether a job of this kind may be due, or its lease have run out."""
        now = self.now(connection)
        due = sa.or_(
            sa.and_(JOB.c.state == JobState.READY, JOB.c.not_before <= now),
            sa.and_(JOB.c.state == JobState.LEASED, JOB.c.lease_until <= now),
        )
        query = sa.select(JOB.c.id).where(JOB.c.kind == kind, due).limit(1)
        return connection.execute(query).first() is not None

    def lease(self, connection: Connection, kinds: Collection[str], seconds: float) -> Job | None:
        """Take the next job of these kinds whose subject is free and whose forerunner has ended."""
        holder, earlier = JOB.alias(), JOB.alias()
        taken = sa.exists().where(
            holder.c.subject == JOB.c.subject, holder.c.state == JobState.LEASED
        )
        # one row by its key: as EXISTS it is joined to the whole table while statistics are missing
        before = sa.select(earlier.c.state).where(earlier.c.id == JOB.c.after_id).scalar_subquery()
        waiting = sa.func.coalesce(before, JobState.DONE).in_([JobState.READY, JobState.LEASED])
        now = self.now(connection)
        self._reap(connection, now)
        number = connection.execute(
            sa.select(JOB.c.id)
            .where(JOB.c.state == JobState.READY, JOB.c.not_before <= now)
            .where(JOB.c.kind.in_(list(kinds)), ~taken, ~waiting)
            .order_by(JOB.c.not_before, JOB.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).scalar()
        if number is None:
            return None
        # the row was found in one moment and locked in another: what it waits for may have changed
        leased = connection.execute(
            sa.update(JOB)
            .where(JOB.c.id == number, ~waiting)
            .values(
                state=JobState.LEASED,
                attempts=JOB.c.attempts + 1,
                token=JOB.c.token + 1,
                lease_until=now + timedelta(seconds=seconds),
            )
            .returning(JOB)
        ).first()
        return None if leased is None else Job.of(leased)

    def wait_anew(self, connection: Connection, seconds: float, *, all_of_them: bool) -> None:
        """Bound every wait from now on, after the clock has jumped or may have.

        A lease lasts no longer than one that begins now, and no ready job waits longer than the
        failure that it is waiting after, or whoever enqueued it, has asked for.

        Parameters
        ----------
        seconds
            How long a lease lasts.
        all_of_them
            Whether it has jumped for certain: then a lease that seems to have run out lasts so long
            too, for its worker may live.
        """
        now = self.now(connection)
        until = now + timedelta(seconds=seconds)
        which = JOB.c.state == JobState.LEASED
        if not all_of_them:
            which &= JOB.c.lease_until > until
        connection.execute(sa.update(JOB).where(which).values(lease_until=until))
        waiting = sa.select(JOB).where(JOB.c.state == JobState.READY, JOB.c.not_before > now)
        for row in connection.execute(waiting.with_for_update()).all():
            longest = self._longest_wait(row)
            if row.not_before > now + longest:
                _update(connection, row.id, not_before=now + longest)

    def end_leases(self, connection: Connection, kinds: Collection[str]) -> int:
        """Let every lease of these kinds run out now; return how many there were."""
        ended = connection.execute(
            sa.update(JOB)
            .where(JOB.c.state == JobState.LEASED, JOB.c.kind.in_(list(kinds)))
            .values(lease_until=self.now(connection))
        )
        return int(ended.rowcount)

    def renew(self, connection: Connection, job: Job, seconds: float) -> Job:
        """Extend a lease.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        _held(connection, job)
        until = self.now(connection) + timedelta(seconds=seconds)
        _update(connection, job.id, lease_until=until)
        return self.job(connection, job.id)

    def finish(self, connection: Connection, job: Job, outcome: Mapping[str, Any] | None) -> None:
        """End a job well.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        _held(connection, job)
        _update(
            connection,
            job.id,
            state=JobState.DONE,
            lease_until=None,
            last_error=None,
            outcome=None if outcome is None else canonical(outcome),
            ended_at=self.now(connection),
        )

    def fail(
        self, connection: Connection, job: Job, error: str, *, retry: bool, outage: bool
    ) -> Job:
        """Put a job back with a growing delay, or end it as dead; see `Ledger.fail`.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        row = _held(connection, job)
        doubled = self._doubled(row)
        delay = min(doubled, _OUTAGE_DELAY) if outage else doubled
        delay *= _random.uniform(2 - _MOST_JITTER, _MOST_JITTER)
        lasting = outage and self.now(connection) - row.created_at < _OUTAGE_PATIENCE
        self._put_back(connection, row, error, delay if retry else None, lasting=lasting)
        return self.job(connection, job.id)

    def retry(self, connection: Connection, job_id: int) -> Job:
        """Make a dead job ready again with all its attempts; an equal ready job stands in for it.

        Raises
        ------
        LedgerError
            If there is no such job, or it is not dead.
        """
        row = _row(connection, job_id, lock=True)
        if row.state != JobState.DEAD:
            msg = f"Job {job_id} is {row.state}; only a dead job can be retried."
            raise LedgerError(msg)
        twin = _equal_ready(connection, row.kind, row.subject, row.argument)
        if twin is not None:
            return Job.of(twin)
        _update(
            connection,
            job_id,
            state=JobState.READY,
            attempts=0,
            not_before=self.now(connection),
            ended_at=None,
        )
        return self.job(connection, job_id)

    def job(self, connection: Connection, job_id: int) -> Job:
        """Return one job.

        Raises
        ------
        LedgerError
            If there is no such job.
        """
        return Job.of(_row(connection, job_id))

    def jobs(
        self,
        connection: Connection,
        state: JobState | None,
        kind: str | None,
        subject: str | None,
        limit: int,
    ) -> tuple[Job, ...]:
        """List jobs, the latest first; None stands for every state, kind or subject."""
        query = sa.select(JOB).order_by(JOB.c.id.desc()).limit(limit)
        for column, value in ((JOB.c.state, state), (JOB.c.kind, kind), (JOB.c.subject, subject)):
            if value is not None:
                query = query.where(column == value)
        return tuple(Job.of(row) for row in connection.execute(query))

    def counts(self, connection: Connection) -> dict[tuple[str, JobState], int]:
        """Return how many jobs there are of each kind and state."""
        query = sa.select(JOB.c.kind, JOB.c.state, sa.func.count()).group_by(
            JOB.c.kind, JOB.c.state
        )
        return {(k, JobState(s)): n for k, s, n in connection.execute(query)}

    def _longest_wait(self, row: Row[Any]) -> timedelta:
        """Return how long a ready job may have to wait at most."""
        if row.attempts == 0:
            asked: timedelta = row.not_before - row.created_at
            return max(asked, timedelta(0))
        return self._doubled(row) * _MOST_JITTER

    def _doubled(self, row: Row[Any]) -> timedelta:
        return self.backoff * int(2 ** min(row.attempts - 1, 16))

    def _reap(self, connection: Connection, now: datetime) -> None:
        """Put back the jobs of workers that died; a job that kills each of them ends as dead."""
        expired = sa.select(JOB).where(JOB.c.state == JobState.LEASED, JOB.c.lease_until <= now)
        for row in connection.execute(expired.with_for_update(skip_locked=True)).all():
            # no further delay: the lease itself was the wait
            self._put_back(connection, row, "the worker stopped before the end", timedelta(0))

    def _put_back(
        self,
        connection: Connection,
        row: Row[Any],
        error: str,
        delay: timedelta | None,
        *,
        lasting: bool = False,
    ) -> None:
        """Make a leased job ready after a delay; dead without one, or after its last attempt."""
        now = self.now(connection)
        if delay is None or (row.attempts >= self.max_attempts and not lasting):
            _update(
                connection,
                row.id,
                state=JobState.DEAD,
                lease_until=None,
                last_error=error[:500],
                ended_at=now,
            )
            return
        _take_in_successor(connection, row, now)
        _update(
            connection,
            row.id,
            state=JobState.READY,
            lease_until=None,
            last_error=error[:500],
            not_before=now + delay,
        )


_random = random.SystemRandom()


def _take_in_successor(connection: Connection, row: Row[Any], now: datetime) -> None:
    """End an equal ready job, which is this very work again: the elder keeps the id."""
    twin = _equal_ready(connection, row.kind, row.subject, row.argument)
    if twin is None:
        return
    _update(
        connection,
        twin.id,
        state=JobState.DONE,
        outcome=canonical({"merged_into": row.id}),
        ended_at=now,
    )
    connection.execute(sa.update(JOB).where(JOB.c.after_id == twin.id).values(after_id=row.id))


def _held(connection: Connection, job: Job) -> Row[Any]:
    """Return the row of a job whose lease still holds: the fence against a stale worker."""
    row = connection.execute(sa.select(JOB).where(JOB.c.id == job.id).with_for_update()).first()
    if row is None or row.state != JobState.LEASED or row.token != job.token:
        msg = f"Job {job.id}, lease {job.token}."
        raise LeaseLostError(msg)
    return row


def _row(connection: Connection, job_id: int, *, lock: bool = False) -> Row[Any]:
    query = sa.select(JOB).where(JOB.c.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        msg = f"There is no job {job_id}."
        raise LedgerError(msg)
    return row


def _equal_ready(connection: Connection, kind: str, subject: str, argument: str) -> Row[Any] | None:
    return connection.execute(
        sa.select(JOB)
        .where(JOB.c.kind == kind, JOB.c.subject == subject, JOB.c.argument == argument)
        .where(JOB.c.state == JobState.READY)
        .with_for_update()
    ).first()


def _update(connection: Connection, job_id: int, **values: Any) -> None:
    connection.execute(sa.update(JOB).where(JOB.c.id == job_id).values(**values))
