"""The durable table of work: studies, instances, arrivals and jobs.

One database serves every process (receiver, workers, command line). SQLite in WAL mode with
``synchronous=FULL`` is the default; nothing here goes beyond what PostgreSQL can do as well.
Rows hold UIDs and keyed hashes, never a patient's name or identifier.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from listener.errors import LeaseLostError, LedgerError
from listener.instance import Instance, same_patient
from listener.settings import TitleSettings

__all__ = [
    "INDEX",
    "InstanceRow",
    "InstanceState",
    "Job",
    "JobState",
    "Ledger",
    "NewJob",
    "Outcome",
    "Recorded",
    "StudyRow",
    "utc_now",
]

INDEX = "index"
"""The kind of job that `Ledger.mark_indexed` settles; it takes no argument."""


_OUTAGE_DELAY = timedelta(minutes=15)
_OUTAGE_PATIENCE = timedelta(days=3)
# PS3.6 annex A: the SOP classes of structured reports and key object selections
_STRUCTURED_REPORTS = "1.2.840.10008.5.1.4.1.1.88.%"


class JobState(StrEnum):
    """Where a job stands."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"


class InstanceState(StrEnum):
    """What became of a received instance.

    ``stored``: kept and current. ``superseded``: kept, a newer version exists. ``filtered``: not
    used, bytes not kept. ``quarantined``: kept, never used. ``expired``: deleted by the retention
    setting. ``lost``: its file vanished from the inbox, which only an operator can explain.
    """

    STORED = "stored"
    SUPERSEDED = "superseded"
    FILTERED = "filtered"
    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    LOST = "lost"


class Outcome(StrEnum):
    """What recording an instance came to."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "changed"
    QUARANTINED = "quarantined"
    FILTERED = "filtered"


@dataclass(frozen=True)
class Recorded:
    """The outcome of recording one instance, its version, and where its content lies, if at all.

    A known instance keeps its first file: one that was received again is not needed.
    """

    outcome: Outcome
    version: int
    path: Path | None


@dataclass(frozen=True)
class NewJob:
    """A job to be enqueued; ``subject`` is what it excludes others from, mostly a study's UID."""

    kind: str
    subject: str
    argument: Mapping[str, Any] = field(default_factory=dict)
    delay: timedelta = timedelta(0)


@dataclass(frozen=True)
class Job:
    """One row of work. ``token`` fences: it grows with every lease."""

    id: int
    kind: str
    subject: str
    argument: dict[str, Any]
    state: JobState
    attempts: int
    token: int
    created_at: datetime
    not_before: datetime
    lease_until: datetime | None
    last_error: str | None
    outcome: dict[str, Any] | None


@dataclass(frozen=True)
class InstanceRow:
    """One version of one received instance; ``path`` is None where its bytes are not kept."""

    sop_instance_uid: str
    version: int
    study_uid: str
    series_uid: str
    sop_class_uid: str
    transfer_syntax: str
    digest: str
    size: int
    path: Path | None
    state: InstanceState
    reason: str | None
    received_at: datetime
    calling_ae: str
    called_ae: str
    patient_key: str


@dataclass(frozen=True)
class StudyRow:
    """One study. ``generation`` grows with every new or changed instance."""

    study_uid: str
    generation: int
    indexed_generation: int
    first_at: datetime
    last_at: datetime


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


class Ledger:
    """The ledger behind one database URL; safe to use from many threads and processes.

    Parameters
    ----------
    url
        SQLAlchemy URL; ``sqlite:////folder/ledger.sqlite3`` creates the file with mode 0600.
    clock
        Gives the time, timezone-aware.
    backoff
        Wait before the second attempt of a failed job; it doubles with every attempt.
    max_attempts
        Attempts after which a job is dead.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], datetime] = utc_now,
        *,
        backoff: timedelta = timedelta(seconds=15),
        max_attempts: int = 8,
    ) -> None:
        self._clock = clock
        self._backoff = backoff
        self._max_attempts = max_attempts
        try:
            self._engine = _engine(url)
            with self._write() as connection:
                _metadata.create_all(connection)
        except (OSError, SQLAlchemyError) as error:
            msg = f"It cannot be opened: {type(error).__name__}; see its folder, or the backup."
            raise LedgerError(msg) from None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # -- instances and studies ------------------------------------------------------------

    def record_instance(
        self, instance: Instance, *, calling_ae: str, title: TitleSettings
    ) -> Recorded:
        """Record a kept instance and open or extend its study's arrival, in one transaction.

        The same content again is nothing new, yet counts as a request on a request title. Other
        content under the same UID is a new version. A changed patient or study is quarantined.
        """
        with self._write() as connection:
            now = self._clock()
            versions = _versions(connection, instance)
            recorded = _known(versions, instance)
            if recorded is None:
                origin = _Origin(1 + len(versions), now, calling_ae, title.ae_title)
                recorded = _record(connection, instance, origin, versions)
            fresh = recorded.outcome in (Outcome.NEW, Outcome.CHANGED)
            if recorded.outcome is Outcome.QUARANTINED and title.is_request:
                _ensure_study(connection, instance.study_uid, now)
            if fresh or title.is_request:
                self._touch(connection, instance.study_uid, title, now, fresh=fresh)
            return recorded

    def record_filtered(
        self,
        instance: Instance,
        reason: str,
        *,
        calling_ae: str,
        title: TitleSettings,
        asks: bool = True,
    ) -> Recorded:
        """Record an instance that is not used and whose bytes are not kept.

        ``study_uid`` may be empty where the object did not say it. On a request title this is a
        request too, so that the study gets an answer that says why there is none, unless ``asks``
        is False: an answer that comes back is no question.
        """
        with self._write() as connection:
            now = self._clock()
            versions = _versions(connection, instance)
            known = _known(versions, instance)
            if known is None:
                origin = _Origin(1 + len(versions), now, calling_ae, title.ae_title)
                _insert_instance(connection, instance, origin, InstanceState.FILTERED, reason)
            version = 1 + len(versions) if known is None else known.version
            if asks and title.is_request and instance.study_uid:
                _ensure_study(connection, instance.study_uid, now)
                self._touch(connection, instance.study_uid, title, now, fresh=False)
            return Recorded(Outcome.FILTERED, version, None)

    def filter_instance(self, sop_instance_uid: str, reason: str) -> bool:
        """Mark a stored instance as not used and delete its file; False where none was stored."""
        paths = self._leave(sop_instance_uid, InstanceState.FILTERED, reason)
        for path in paths:
            path.unlink(missing_ok=True)
        return bool(paths)

    def quarantine(self, sop_instance_uid: str, reason: str) -> bool:
        """Mark a stored instance as never to be used; its file stays for the administrator."""
        return bool(self._leave(sop_instance_uid, InstanceState.QUARANTINED, reason))

    def instances(
        self, study_uid: str, states: Collection[InstanceState] = (InstanceState.STORED,)
    ) -> tuple[InstanceRow, ...]:
        """Return a study's instances in the order of their arrival; current ones by default."""
        query = _select_instances().where(
            _instance.c.study_uid == study_uid, _instance.c.state.in_(list(states))
        )
        return self._instance_rows(query.order_by(_instance.c.received_at, _instance.c.version))

    def receipts(
        self, states: Collection[InstanceState] = tuple(InstanceState), limit: int = 100
    ) -> tuple[InstanceRow, ...]:
        """List what became of received instances, the latest first (filtered, quarantined …)."""
        query = _select_instances().where(_instance.c.state.in_(list(states)))
        return self._instance_rows(query.order_by(_instance.c.received_at.desc()).limit(limit))

    def receipt(self, sop_instance_uid: str) -> tuple[InstanceRow, ...]:
        """Return every version of one instance, the first version first."""
        query = _select_instances().where(_instance.c.sop_instance_uid == sop_instance_uid)
        return self._instance_rows(query.order_by(_instance.c.version))

    def study(self, study_uid: str) -> StudyRow:
        """Return a study's bookkeeping.

        Raises
        ------
        LedgerError
            If nothing of this study was ever received.
        """
        with self._read() as connection:
            row = _study_row(connection, study_uid)
        if row is None:
            msg = "Nothing of this study was ever received."
            raise LedgerError(msg)
        return StudyRow(
            row.study_uid, row.generation, row.indexed_generation, row.first_at, row.last_at
        )

    def mark_indexed(self, study_uid: str, generation: int) -> None:
        """Note that the study is indexed as it stood at ``generation``."""
        with self._write() as connection:
            connection.execute(
                sa.update(_study)
                .where(_study.c.study_uid == study_uid, _study.c.indexed_generation < generation)
                .values(indexed_generation=generation)
            )

    def files(self) -> dict[Path, InstanceState]:
        """Return every file the ledger knows, with its current state (for reconciliation)."""
        query = sa.select(_instance.c.path, _instance.c.state).where(_instance.c.path.is_not(None))
        with self._read() as connection:
            return {Path(p): InstanceState(s) for p, s in connection.execute(query)}

    def move_file(self, old: Path, new: Path) -> None:
        """Note that a received file lies somewhere else now."""
        with self._write() as connection:
            connection.execute(
                sa.update(_instance).where(_instance.c.path == str(old)).values(path=str(new))
            )

    def reopen_studies(self) -> int:
        """Have every study that is kept indexed anew, for an index that lost them; how many."""
        kept = (
            sa.select(_instance.c.study_uid)
            .where(_instance.c.state == InstanceState.STORED)
            .distinct()
        )
        with self._write() as connection:
            studies = connection.execute(
                sa.select(_study.c.study_uid).where(
                    _study.c.indexed_generation > 0, _study.c.study_uid.in_(kept)
                )
            ).scalars()
            reopened = list(studies)
            for study_uid in reopened:
                connection.execute(
                    sa.update(_study)
                    .where(_study.c.study_uid == study_uid)
                    .values(indexed_generation=0)
                )
                self._enqueue(connection, NewJob(INDEX, study_uid))
        return len(reopened)

    def mark_lost(self, path: Path) -> None:
        """Note that a file that should be in the inbox is not."""
        with self._write() as connection:
            connection.execute(
                sa.update(_instance)
                .where(_instance.c.path == str(path), _instance.c.state.in_(list(_HOLDING)))
                .values(state=InstanceState.LOST, reason="its file is missing from the inbox")
            )

    def expire(self, older_than: timedelta) -> int:
        """Delete the files of instances received longer ago; return how many instances.

        A study with unfinished work keeps its files until that is done. Structured reports and key
        objects stay: they are small, and findings and rejections rest on them.
        """
        busy = sa.exists().where(
            _job.c.subject == _instance.c.study_uid,
            _job.c.state.in_([JobState.READY, JobState.LEASED]),
        )
        arriving = sa.exists().where(_arrival.c.study_uid == _instance.c.study_uid)
        with self._write() as connection:
            old = sa.and_(
                _instance.c.received_at < self._clock() - older_than,
                _instance.c.state.in_(list(_HOLDING)),
                ~_instance.c.sop_class_uid.like(_STRUCTURED_REPORTS),
                ~busy,
                ~arriving,
            )
            rows = connection.execute(
                sa.select(_instance.c.sop_instance_uid, _instance.c.version, _instance.c.path)
                .where(old)
                .with_for_update()
            ).all()
            for row in rows:
                connection.execute(
                    sa.update(_instance)
                    .where(
                        _instance.c.sop_instance_uid == row.sop_instance_uid,
                        _instance.c.version == row.version,
                    )
                    .values(state=InstanceState.EXPIRED, reason="older than the retention time")
                )
        # the rows first: a file that outlives its row is swept at the next start
        for row in rows:
            Path(row.path).unlink(missing_ok=True)
        return len(rows)

    # -- arrivals -------------------------------------------------------------------------

    def end_association(self, study_uids: Collection[str] | None, title: TitleSettings) -> None:
        """Make the arrivals of a request title due once its association has ended.

        At once where everything sent was known and the study is indexed; else after the title's
        quiet time. ``study_uids=None`` means every study, for associations that a crash ended.
        """
        if (study_uids is not None and not study_uids) or not title.is_request:
            return
        with self._write() as connection:
            now = self._clock()
            settled = sa.exists().where(
                _study.c.study_uid == _arrival.c.study_uid,
                _study.c.generation == _study.c.indexed_generation,
            )
            here = _arrival.c.title == title.ae_title
            if study_uids is not None:
                here &= _arrival.c.study_uid.in_(list(study_uids))
            for which, due in (
                (~_arrival.c.fresh & settled, now),
                (sa.true(), _quiet(now, title)),
            ):
                connection.execute(
                    sa.update(_arrival)
                    .where(here, which, _arrival.c.due_at > due)
                    .values(due_at=due)
                )

    def close_due_arrivals(self) -> int:
        """Enqueue the jobs of every arrival that is due; return how many arrivals there were."""
        due = sa.select(_arrival).where(_arrival.c.due_at <= self._clock())
        with self._read() as connection:
            if connection.execute(due.limit(1)).first() is None:
                return 0
        with self._write() as connection:
            rows = connection.execute(
                due.order_by(_arrival.c.due_at).with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                self._close_arrival(connection, row)
        return len(rows)

    # -- jobs -----------------------------------------------------------------------------

    def enqueue(
        self,
        kind: str,
        subject: str,
        argument: Mapping[str, Any] | None = None,
        delay: timedelta = timedelta(0),
    ) -> int:
        """Enqueue a job and return its id.

        An equal job that is ready takes it in (and comes as early as the earlier of both); one
        that is leased gets one successor, since its worker may already have read the old state.
        """
        with self._write() as connection:
            return self._enqueue(connection, NewJob(kind, subject, argument or {}, delay))

    def lease(self, kinds: Collection[str], seconds: float) -> Job | None:
        """Take the next job of these kinds, or None.

        No two jobs of one subject are leased at a time, and a job waits for the one that it was
        enqueued behind. A lease that ran out is given to the next who asks.
        """
        holder, earlier = _job.alias(), _job.alias()
        taken = sa.exists().where(
            holder.c.subject == _job.c.subject, holder.c.state == JobState.LEASED
        )
        waiting = sa.exists().where(
            earlier.c.id == _job.c.after_id,
            earlier.c.state.in_([JobState.READY, JobState.LEASED]),
        )
        with self._write() as connection:
            now = self._clock()
            self._reap(connection, now)
            row = connection.execute(
                sa.select(_job)
                .where(_job.c.state == JobState.READY, _job.c.not_before <= now)
                .where(_job.c.kind.in_(list(kinds)), ~taken, ~waiting)
                .order_by(_job.c.not_before, _job.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            _update_job(
                connection,
                row.id,
                state=JobState.LEASED,
                attempts=row.attempts + 1,
                token=row.token + 1,
                lease_until=now + timedelta(seconds=seconds),
            )
            return _job_of(_job_row(connection, row.id))

    def end_leases(self, kinds: Collection[str]) -> int:
        """End every lease of these kinds at once; return how many there were.

        For the one worker that knows that no other lives (it owns the index): what its predecessor
        left in hand when it was killed need not wait for the lease to run out.
        """
        with self._write() as connection:
            ended = connection.execute(
                sa.update(_job)
                .where(_job.c.state == JobState.LEASED, _job.c.kind.in_(list(kinds)))
                .values(lease_until=self._clock())
            )
            return int(ended.rowcount)

    def renew(self, job: Job, seconds: float) -> Job:
        """Extend a lease.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        with self._write() as connection:
            self._held(connection, job)
            until = self._clock() + timedelta(seconds=seconds)
            _update_job(connection, job.id, lease_until=until)
            return _job_of(_job_row(connection, job.id))

    def finish(
        self, job: Job, outcome: Mapping[str, Any] | None = None, then: Sequence[NewJob] = ()
    ) -> None:
        """End a job well, and enqueue what follows from it, in one transaction.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since; nothing is enqueued then.
        """
        with self._write() as connection:
            self._held(connection, job)
            _update_job(
                connection,
                job.id,
                state=JobState.DONE,
                lease_until=None,
                last_error=None,
                outcome=None if outcome is None else _canonical(outcome),
                ended_at=self._clock(),
            )
            for new in then:
                self._enqueue(connection, new)

    def fail(self, job: Job, error: str, *, retry: bool = True, outage: bool = False) -> Job:
        """Put a job back with a growing delay, or end it as dead; return how it stands.

        Parameters
        ----------
        error
            Class and stage, never a patient's data.
        retry
            False where trying again cannot help.
        outage
            True where something outside is down and will come back: the delay stays under a
            quarter of an hour, and the job dies by its age (three days), not by its attempts.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        with self._write() as connection:
            row = self._held(connection, job)
            doubled = self._backoff * 2 ** min(row.attempts - 1, 16)
            delay = min(doubled, _OUTAGE_DELAY) if outage else doubled
            delay *= _random.uniform(0.75, 1.25)
            lasting = outage and self._clock() - row.created_at < _OUTAGE_PATIENCE
            self._put_back(connection, row, error, delay if retry else None, lasting=lasting)
            return _job_of(_job_row(connection, job.id))

    def retry(self, job_id: int) -> Job:
        """Make a dead job ready again with all its attempts; an equal ready job stands in for it.

        Raises
        ------
        LedgerError
            If there is no such job, or it is not dead.
        """
        with self._write() as connection:
            row = _job_row(connection, job_id)
            if row.state != JobState.DEAD:
                msg = f"Job {job_id} is {row.state}; only a dead job can be retried."
                raise LedgerError(msg)
            twin = _equal_ready(connection, row.kind, row.subject, row.argument)
            if twin is not None:
                return _job_of(twin)
            _update_job(
                connection,
                job_id,
                state=JobState.READY,
                attempts=0,
                not_before=self._clock(),
                ended_at=None,
            )
            return _job_of(_job_row(connection, job_id))

    def job(self, job_id: int) -> Job:
        """Return one job.

        Raises
        ------
        LedgerError
            If there is no such job.
        """
        with self._read() as connection:
            return _job_of(_job_row(connection, job_id))

    def jobs(
        self,
        state: JobState | None = None,
        kind: str | None = None,
        subject: str | None = None,
        limit: int = 100,
    ) -> tuple[Job, ...]:
        """List jobs, the latest first."""
        query = sa.select(_job).order_by(_job.c.id.desc()).limit(limit)
        for column, value in (
            (_job.c.state, state),
            (_job.c.kind, kind),
            (_job.c.subject, subject),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._read() as connection:
            return tuple(_job_of(row) for row in connection.execute(query))

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Return how many jobs there are of each kind and state."""
        query = sa.select(_job.c.kind, _job.c.state, sa.func.count()).group_by(
            _job.c.kind, _job.c.state
        )
        with self._read() as connection:
            return {(k, JobState(s)): n for k, s, n in connection.execute(query)}

    # -- inside a transaction -------------------------------------------------------------

    def _enqueue(self, connection: Connection, new: NewJob, after_id: int | None = None) -> int:
        now = self._clock()
        argument = _canonical(new.argument)
        due = now + new.delay
        twin = _equal_ready(connection, new.kind, new.subject, argument)
        if twin is not None:
            behind = after_id if after_id is not None else twin.after_id
            _update_job(connection, twin.id, not_before=min(twin.not_before, due), after_id=behind)
            return int(twin.id)
        inserted = connection.execute(
            sa.insert(_job).values(
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

    def _touch(
        self,
        connection: Connection,
        study_uid: str,
        title: TitleSettings,
        now: datetime,
        *,
        fresh: bool,
    ) -> None:
        """Open or extend the arrival of a study at a title."""
        here = (_arrival.c.study_uid == study_uid) & (_arrival.c.title == title.ae_title)
        row = connection.execute(sa.select(_arrival).where(here).with_for_update()).first()
        first = now if row is None else row.first_at
        capped = first + timedelta(seconds=title.cap_seconds)
        # a request waits for its association's end: a slow sender must not be cut in two
        due = capped if title.is_request else min(capped, _quiet(now, title))
        values = {
            "last_at": now,
            "due_at": due,
            "fresh": fresh or (row is not None and row.fresh),
            "jobs": json.dumps(title.jobs),
            "argument": _canonical(title.argument),
        }
        if row is not None:
            connection.execute(sa.update(_arrival).where(here).values(**values))
            return
        connection.execute(
            sa.insert(_arrival).values(
                study_uid=study_uid, title=title.ae_title, first_at=now, **values
            )
        )

    def _close_arrival(self, connection: Connection, row: Row[Any]) -> None:
        study = _study_row(connection, row.study_uid)
        settled = study is not None and study.indexed_generation == study.generation
        after_id: int | None = None
        for kind in json.loads(row.jobs):
            if kind == INDEX and settled:
                continue
            argument = {} if kind == INDEX else json.loads(row.argument)
            after_id = self._enqueue(
                connection, NewJob(kind, row.study_uid, argument), after_id=after_id
            )
        connection.execute(
            sa.delete(_arrival).where(
                _arrival.c.study_uid == row.study_uid, _arrival.c.title == row.title
            )
        )

    def _held(self, connection: Connection, job: Job) -> Row[Any]:
        row = connection.execute(
            sa.select(_job).where(_job.c.id == job.id).with_for_update()
        ).first()
        if row is None or row.state != JobState.LEASED or row.token != job.token:
            msg = f"Job {job.id}, lease {job.token}."
            raise LeaseLostError(msg)
        return row

    def _reap(self, connection: Connection, now: datetime) -> None:
        """Put back the jobs of workers that died; a job that kills each of them ends as dead."""
        expired = sa.select(_job).where(_job.c.state == JobState.LEASED, _job.c.lease_until <= now)
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
        now = self._clock()
        if delay is None or (row.attempts >= self._max_attempts and not lasting):
            _update_job(
                connection,
                row.id,
                state=JobState.DEAD,
                lease_until=None,
                last_error=error[:500],
                ended_at=now,
            )
            return
        twin = _equal_ready(connection, row.kind, row.subject, row.argument)
        if twin is not None:  # its successor is this very work again: the elder keeps the id
            _update_job(
                connection,
                twin.id,
                state=JobState.DONE,
                outcome=_canonical({"merged_into": row.id}),
                ended_at=now,
            )
            connection.execute(
                sa.update(_job).where(_job.c.after_id == twin.id).values(after_id=row.id)
            )
        _update_job(
            connection,
            row.id,
            state=JobState.READY,
            lease_until=None,
            last_error=error[:500],
            not_before=now + delay,
        )

    def _leave(self, sop_instance_uid: str, state: InstanceState, reason: str) -> list[Path]:
        stored = (_instance.c.sop_instance_uid == sop_instance_uid) & (
            _instance.c.state == InstanceState.STORED
        )
        with self._write() as connection:
            rows = connection.execute(sa.select(_instance.c.path).where(stored)).all()
            connection.execute(
                sa.update(_instance).where(stored).values(state=state, reason=reason)
            )
        return [Path(row.path) for row in rows if row.path]

    def _instance_rows(self, query: sa.Select[Any]) -> tuple[InstanceRow, ...]:
        with self._read() as connection:
            rows = connection.execute(query).all()
        return tuple(_instance_of(row) for row in rows)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            writing = connection.execution_options(**{_WRITES: True})
            with writing.begin():
                yield writing


class _UtcDateTime(sa.TypeDecorator[datetime]):
    """A time in UTC, also on databases that forget the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_WRITES = "ledger_writes"
_HOLDING = frozenset({InstanceState.STORED, InstanceState.SUPERSEDED, InstanceState.QUARANTINED})
_random = random.SystemRandom()
_metadata = sa.MetaData()

_study = sa.Table(
    "study",
    _metadata,
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("patient_key", sa.String(64)),
    sa.Column("patient_id_key", sa.String(64)),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("indexed_generation", sa.Integer, nullable=False),
    sa.Column("first_at", _UtcDateTime, nullable=False),
    sa.Column("last_at", _UtcDateTime, nullable=False),
)
_instance = sa.Table(
    "instance",
    _metadata,
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("series_uid", sa.String(64), nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("transfer_syntax", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("path", sa.Text, index=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("reason", sa.Text),
    sa.Column("received_at", _UtcDateTime, nullable=False, index=True),
    sa.Column("calling_ae", sa.String(16), nullable=False),
    sa.Column("called_ae", sa.String(16), nullable=False),
    sa.Column("patient_key", sa.String(64), nullable=False),
    sa.Index(
        "instance_one_current_version",
        "sop_instance_uid",
        unique=True,
        sqlite_where=sa.text("state = 'stored'"),
        postgresql_where=sa.text("state = 'stored'"),
    ),
)
_arrival = sa.Table(
    "arrival",
    _metadata,
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("title", sa.String(16), primary_key=True),
    sa.Column("jobs", sa.Text, nullable=False),
    sa.Column("argument", sa.Text, nullable=False),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Column("first_at", _UtcDateTime, nullable=False),
    sa.Column("last_at", _UtcDateTime, nullable=False),
    sa.Column("due_at", _UtcDateTime, nullable=False, index=True),
)
_job = sa.Table(
    "job",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False, index=True),
    sa.Column("argument", sa.Text, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("created_at", _UtcDateTime, nullable=False),
    sa.Column("not_before", _UtcDateTime, nullable=False),
    sa.Column("lease_until", _UtcDateTime),
    sa.Column("ended_at", _UtcDateTime),
    sa.Column("after_id", sa.Integer, index=True),
    sa.Column("last_error", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Index("job_next", "state", "not_before"),
    # the database itself keeps both promises, whatever the processes do
    sa.Index(
        "job_one_lease_per_subject",
        "subject",
        unique=True,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    ),
    sa.Index(
        "job_equal_ready_jobs_are_one",
        "kind",
        "subject",
        "argument",
        unique=True,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    ),
    sqlite_autoincrement=True,
)


def _engine(url: str) -> Engine:
    target = sa.make_url(url)
    if target.get_backend_name() != "sqlite":
        return sa.create_engine(target, hide_parameters=True)
    if not target.database or target.database == ":memory:":
        msg = "A ledger in memory would not be durable; name a file."
        raise LedgerError(msg)
    path = Path(target.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # the write-ahead log and its index take over the file's mode
    path.chmod(0o600)
    # an error must not print the values of its statement
    engine = sa.create_engine(
        target, max_overflow=-1, connect_args={"timeout": 30}, hide_parameters=True
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    # a read lock that grows into a write lock would fail at once when another process writes
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _canonical(value: Mapping[str, Any]) -> str:
    """Return JSON that is equal exactly where the values are equal."""
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _quiet(now: datetime, title: TitleSettings) -> datetime:
    return now + timedelta(seconds=title.quiet_seconds)


def _versions(connection: Connection, instance: Instance) -> Sequence[Row[Any]]:
    """Return every version of an instance; they are numbered from 1 without gaps."""
    return connection.execute(
        sa.select(_instance)
        .where(_instance.c.sop_instance_uid == instance.sop_instance_uid)
        .order_by(_instance.c.version)
        .with_for_update()
    ).all()


def _known(versions: Sequence[Row[Any]], instance: Instance) -> Recorded | None:
    """Return how the very same content stands already, or None."""
    for row in reversed(versions):
        outcome = _KNOWN_AS.get(row.state)
        if outcome is not None and row.digest == instance.digest:
            kept = row.path is not None and outcome is not Outcome.FILTERED
            return Recorded(outcome, row.version, Path(row.path) if kept else None)
    return None


_KNOWN_AS: Mapping[str, Outcome] = {
    InstanceState.STORED: Outcome.KNOWN,
    InstanceState.QUARANTINED: Outcome.QUARANTINED,
    InstanceState.FILTERED: Outcome.FILTERED,
}


def _identity_conflict(
    instance: Instance, current: Row[Any] | None, study: Row[Any] | None
) -> str | None:
    """Say which identity changed, or None."""
    if current is not None and current.study_uid != instance.study_uid:
        return "the instance came before with another study identity"
    if study is None or study.patient_key is None:
        return None
    before = (study.patient_key, study.patient_id_key)
    if not same_patient(before, (instance.patient_key, instance.patient_id_key)):
        return "the study came before with another patient identity"
    return None


@dataclass(frozen=True)
class _Origin:
    """Which version of an instance came, when and along which way."""

    version: int
    received_at: datetime
    calling_ae: str
    called_ae: str


def _record(
    connection: Connection, instance: Instance, origin: _Origin, versions: Sequence[Row[Any]]
) -> Recorded:
    """Record content that was not known before."""
    current = next((row for row in versions if row.state == InstanceState.STORED), None)
    study = _study_row(connection, instance.study_uid)
    conflict = _identity_conflict(instance, current, study)
    if conflict is not None:
        _insert_instance(connection, instance, origin, InstanceState.QUARANTINED, conflict)
        return Recorded(Outcome.QUARANTINED, origin.version, instance.path)
    if current is not None:
        connection.execute(
            sa.update(_instance)
            .where(
                _instance.c.sop_instance_uid == current.sop_instance_uid,
                _instance.c.version == current.version,
            )
            .values(state=InstanceState.SUPERSEDED, reason="a newer version came")
        )
    _insert_instance(connection, instance, origin, InstanceState.STORED)
    _advance_study(connection, instance, study, origin.received_at)
    outcome = Outcome.NEW if current is None else Outcome.CHANGED
    return Recorded(outcome, origin.version, instance.path)


def _insert_instance(
    connection: Connection,
    instance: Instance,
    origin: _Origin,
    state: InstanceState,
    reason: str | None = None,
) -> None:
    connection.execute(
        sa.insert(_instance).values(
            sop_instance_uid=instance.sop_instance_uid,
            version=origin.version,
            study_uid=instance.study_uid,
            series_uid=instance.series_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax=instance.transfer_syntax,
            digest=instance.digest,
            size=instance.size,
            path=None if instance.path is None else str(instance.path),
            state=state,
            reason=reason,
            patient_key=instance.patient_key,
            received_at=origin.received_at,
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
        )
    )


def _insert_study(
    connection: Connection, study_uid: str, now: datetime, **values: str | int
) -> None:
    given: dict[str, str | int] = {"generation": 0, **values}
    connection.execute(
        sa.insert(_study).values(
            study_uid=study_uid, indexed_generation=0, first_at=now, last_at=now, **given
        )
    )


def _ensure_study(connection: Connection, study_uid: str, now: datetime) -> None:
    """Make a study's row where a request is the first that is heard of it."""
    if _study_row(connection, study_uid) is None:
        _insert_study(connection, study_uid, now)


def _advance_study(
    connection: Connection, instance: Instance, study: Row[Any] | None, now: datetime
) -> None:
    keys = {"patient_key": instance.patient_key, "patient_id_key": instance.patient_id_key}
    if study is None:
        _insert_study(connection, instance.study_uid, now, generation=1, **keys)
        return
    if study.patient_key not in (None, study.patient_id_key):
        keys = {}  # an issuer, once known, stays
    connection.execute(
        sa.update(_study)
        .where(_study.c.study_uid == instance.study_uid)
        .values(generation=study.generation + 1, last_at=now, **keys)
    )


def _study_row(connection: Connection, study_uid: str) -> Row[Any] | None:
    return connection.execute(
        sa.select(_study).where(_study.c.study_uid == study_uid).with_for_update()
    ).first()


def _job_row(connection: Connection, job_id: int) -> Row[Any]:
    row = connection.execute(sa.select(_job).where(_job.c.id == job_id)).first()
    if row is None:
        msg = f"There is no job {job_id}."
        raise LedgerError(msg)
    return row


def _equal_ready(connection: Connection, kind: str, subject: str, argument: str) -> Row[Any] | None:
    return connection.execute(
        sa.select(_job)
        .where(_job.c.kind == kind, _job.c.subject == subject, _job.c.argument == argument)
        .where(_job.c.state == JobState.READY)
        .with_for_update()
    ).first()


def _update_job(connection: Connection, job_id: int, **values: Any) -> None:
    connection.execute(sa.update(_job).where(_job.c.id == job_id).values(**values))


def _job_of(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        argument=json.loads(row.argument),
        state=JobState(row.state),
        attempts=row.attempts,
        token=row.token,
        created_at=row.created_at,
        not_before=row.not_before,
        lease_until=row.lease_until,
        last_error=row.last_error,
        outcome=None if row.outcome is None else json.loads(row.outcome),
    )


def _select_instances() -> sa.Select[Any]:
    return sa.select(_instance)


def _instance_of(row: Row[Any]) -> InstanceRow:
    return InstanceRow(
        sop_instance_uid=row.sop_instance_uid,
        version=row.version,
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax=row.transfer_syntax,
        digest=row.digest,
        size=row.size,
        path=None if row.path is None else Path(row.path),
        state=InstanceState(row.state),
        reason=row.reason,
        received_at=row.received_at,
        calling_ae=row.calling_ae,
        called_ae=row.called_ae,
        patient_key=row.patient_key,
    )
