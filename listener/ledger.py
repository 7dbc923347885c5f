"""The durable table of work: studies, instances, arrivals and jobs.

One database serves every process (receiver, workers, command line).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from listener import completion, linkage, milestone, receipt, retention, schema, study
from listener.clock_watch import ClockWatch
from listener.coverage import Indices
from listener.database import Database, repeated, utc_now
from listener.errors import LedgerError, LedgerUnavailableError
from listener.instance import Instance
from listener.job import Job, JobState, NewJob
from listener.job_queue import JobQueue
from listener.milestone import Milestone
from listener.receipt import InstanceRow, InstanceState, Origin, Outcome, Recorded
from listener.recorded_report import RecordedReports
from listener.recorded_step import Steps
from listener.settings import TitleSettings
from listener.step_performance import Performance
from listener.study import StudyRow
from listener.transaction import Transactions

__all__ = ["Ledger", "Standing", "utc_now"]


@dataclass(frozen=True)
class Standing:
    """What kind of database is behind the ledger, and how it stands.

    ``revision`` is None where it was never opened by a service; ``unsafe`` names settings of the
    server under which a power cut may lose what was committed.
    """

    kind: str
    revision: str | None
    unsafe: tuple[str, ...]

    @property
    def is_up_to_date(self) -> bool:
        """Whether the schema is the one that this program works with."""
        return self.revision == schema.HEAD


class Ledger:
    """The ledger behind one database URL; safe to use from many threads and processes.

    Its schema is made, or brought up to date, when it is opened: see `listener.schema`.

    Parameters
    ----------
    url
        SQLAlchemy URL; ``sqlite:////folder/ledger.sqlite3`` creates the file with mode 0600,
        ``postgresql://host/name`` needs an empty database of its own.
    clock
        Gives the time, timezone-aware; None for the database's own.
    steady
        Gives seconds that never jump, to notice when ``clock`` does. Without it the
        database's own clock is watched, and another one is trusted.
    backoff
        Wait before the second attempt of a failed job; it doubles with every attempt.
    max_attempts
        Attempts after which a job is dead.
    upgrade
        Whether the schema may be changed; without it only `standing` is sure to work.

    Raises
    ------
    LedgerUnavailableError
        If the server cannot be reached.
    LedgerError
        If it cannot be opened.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], datetime] | None = None,
        *,
        steady: Callable[[], float] | None = None,
        backoff: timedelta = timedelta(seconds=15),
        max_attempts: int = 8,
        upgrade: bool = True,
    ) -> None:
        self._claimed = ExitStack()
        self._is_claimed = False
        try:
            self._database = Database(url, clock)
        except (OSError, SQLAlchemyError) as error:
            raise _cannot_be_opened(error) from None
        self._queue = JobQueue(self._database.now, backoff, max_attempts)
        if steady is None and clock is None:
            steady = time.monotonic
        try:
            if not self.standing().is_up_to_date and upgrade:
                self._upgrade()
            with self._database.reading() as connection:
                now = self._database.now(connection)
        except SQLAlchemyError as error:
            self.close()
            raise _cannot_be_opened(error, on_a_server=self._database.is_postgresql) from None
        except LedgerError:
            self.close()
            raise
        # whoever closes arrivals and whoever leases jobs each sees to its own waits
        self._arrivals_watch = ClockWatch(now, steady)
        self._leases_watch = ClockWatch(now, steady)
        self.reports = RecordedReports(self._database, self._queue)
        """Reports by other roads than DICOM."""
        self.indices = Indices(self._database, self._queue)
        """Which index serves, and what each holds."""
        self.transactions = Transactions(self._database, self._queue)
        """Storage commitment: what peers have asked of us, and we of destinations."""
        self.steps = Steps(self._database, self._queue)
        """Procedure steps: what peers have asked for by UPS."""
        self.performance = Performance(self._database, self._queue)
        """Procedure steps: what becomes of them."""

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._claimed.close()
        self._database.close()

    def standing(self) -> Standing:
        """Return what kind of database this is, and whether its schema is up to date."""
        with self._database.reading() as connection:
            found = schema.revision(connection)
            if not self._database.is_postgresql:
                return Standing("SQLite", found, ())
            unsafe = (
                name
                for name in ("fsync", "full_page_writes")
                if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off"
            )
            version = connection.exec_driver_sql("SHOW server_version").scalar_one()
            return Standing(f"PostgreSQL {str(version).split()[0]}", found, tuple(unsafe))

    def claim(self) -> None:
        """Be the only process that works on this ledger, until it is closed.

        For the owner of an embedded index: the studies of one ledger belong into one index. A
        second claim of the same process is the same one. A server that is restarted forgets it;
        the lock on the index's folder stays.

        Raises
        ------
        LedgerError
            If another process has it.
        """
        if self._is_claimed:
            return
        held = self._database.held_alone(_THE_WORKER, _CLAIM_SECONDS)
        if not self._claimed.enter_context(held):
            self._claimed.close()
            msg = (
                "Another process works on it with an embedded index of its own: one ledger has "
                "one index; several workers need a Qdrant server (pipeline.index.engine)."
            )
            raise LedgerError(msg)
        self._is_claimed = True

    # -- instances and studies ------------------------------------------------------------

    @repeated
    def record_instance(
        self, instance: Instance, *, calling_ae: str, title: TitleSettings
    ) -> Recorded:
        """Record a kept instance and open or extend its study's arrival, in one transaction.

        The same content again is nothing new, yet counts as a request on a request title. Other
        content under the same UID is a new version. A changed patient or study is quarantined.
        """

        def step(connection: Connection) -> Recorded:
            linkage.hold_study(connection, instance)
            now = self._database.now(connection)
            origin = Origin(now, calling_ae, title.ae_title)
            recorded = receipt.record(connection, instance, origin)
            fresh = recorded.outcome in (Outcome.NEW, Outcome.CHANGED)
            if recorded.outcome is Outcome.QUARANTINED and title.is_request:
                study.ensure(connection, instance.study_uid, now)
            if fresh:
                linkage.study_came(connection, instance)
            if fresh or title.is_request:
                completion.touch(connection, instance.study_uid, title, now, fresh=fresh)
            return recorded

        return self._database.together(step)

    @repeated
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
        with self._database.writing() as connection:
            now = self._database.now(connection)
            origin = Origin(now, calling_ae, title.ae_title)
            recorded = receipt.record_filtered(connection, instance, reason, origin)
            if asks and title.is_request and instance.study_uid:
                study.ensure(connection, instance.study_uid, now)
                completion.touch(connection, instance.study_uid, title, now, fresh=False)
            return recorded

    @repeated
    def filter_instance(self, sop_instance_uid: str, reason: str) -> bool:
        """Mark a stored instance as not used and delete its file; False where none was stored.

        The file of one that was committed to stays: somebody relies on it.
        """
        with self._database.writing() as connection:
            committed = receipt.is_committed(connection, sop_instance_uid)
            state = InstanceState.UNUSED if committed else InstanceState.FILTERED
            now = self._database.now(connection)
            paths = receipt.leave(connection, sop_instance_uid, state, reason, now)
        for path in paths:
            if not committed:
                path.unlink(missing_ok=True)
        return bool(paths)

    @repeated
    def quarantine(self, sop_instance_uid: str, reason: str) -> bool:
        """Mark a stored instance as never to be used; its file stays for the administrator."""
        with self._database.writing() as connection:
            state = InstanceState.QUARANTINED
            return bool(
                receipt.leave(
                    connection, sop_instance_uid, state, reason, self._database.now(connection)
                )
            )

    def instances(
        self, study_uid: str, states: Collection[InstanceState] = (InstanceState.STORED,)
    ) -> tuple[InstanceRow, ...]:
        """Return a study's instances in the order of their arrival; current ones by default."""
        with self._database.reading() as connection:
            return receipt.of_study(connection, study_uid, states)

    def receipts(
        self, states: Collection[InstanceState] = tuple(InstanceState), limit: int = 100
    ) -> tuple[InstanceRow, ...]:
        """List what became of received instances, the latest first (filtered, quarantined …)."""
        with self._database.reading() as connection:
            return receipt.latest(connection, states, limit)

    def receipt(self, sop_instance_uid: str) -> tuple[InstanceRow, ...]:
        """Return every version of one instance, the first version first."""
        with self._database.reading() as connection:
            return receipt.of_instance(connection, sop_instance_uid)

    def receipts_of(self, uid: str) -> tuple[InstanceRow, ...]:
        """Return every version of what a SOP Instance, Study or Series Instance UID names."""
        with self._database.reading() as connection:
            return receipt.of_any(connection, uid)

    def studies_received(
        self, within: timedelta, states: Collection[InstanceState]
    ) -> tuple[str, ...]:
        """Return the studies of which something in these states was received within a time."""
        with self._database.reading() as connection:
            return receipt.studies_since(
                connection, self._database.now(connection) - within, states
            )

    def milestones(self, study_uid: str) -> tuple[Milestone, ...]:
        """Return when the instances of a study came to where they stand, in order of time."""
        with self._database.reading() as connection:
            return milestone.of_study(connection, study_uid)

    def count_placed(self, index: str, detail: Mapping[str, str]) -> int:
        """Count the instances that are this to an index; see `listener.milestone.Placement`."""
        with self._database.reading() as connection:
            return milestone.count_placed(connection, index, detail)

    def study(self, study_uid: str) -> StudyRow:
        """Return a study's bookkeeping.

        Raises
        ------
        LedgerError
            If nothing of this study was ever received.
        """
        with self._database.reading() as connection:
            return study.of(connection, study_uid)

    # -- files ----------------------------------------------------------------------------

    def files(self) -> dict[Path, InstanceState]:
        """Return every file the ledger knows, with its current state (for reconciliation)."""
        with self._database.reading() as connection:
            return receipt.files(connection)

    def knows_file(self, path: Path) -> bool:
        """Tell whether a receipt names a file."""
        with self._database.reading() as connection:
            return receipt.knows_file(connection, path)

    @repeated
    def move_file(self, old: Path, new: Path) -> None:
        """Note that a received file lies somewhere else now."""
        with self._database.writing() as connection:
            receipt.move_file(connection, old, new)

    @repeated
    def mark_lost(self, path: Path) -> None:
        """Note that a file that should be in the inbox is not."""
        with self._database.writing() as connection:
            receipt.mark_lost(connection, path, self._database.now(connection))

    @repeated
    def expire(self, older_than: timedelta) -> int:
        """Delete the files of instances received longer ago; return how many instances.

        A study with unfinished work keeps its files until that is done. Structured reports and key
        objects stay: they are small, and findings and rejections rest on them.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            paths = retention.expire_instances(connection, now - older_than, now)
        # the rows first: a file that outlives its row is swept at the next start
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    @repeated
    def forget_jobs(self, older_than: timedelta) -> int:
        """Delete the jobs that were done longer ago, with their outcomes; return how many.

        Dead jobs stay, and so do jobs that unfinished ones were enqueued behind. A job's number is
        not given again.
        """
        with self._database.writing() as connection:
            return retention.forget_jobs(connection, self._database.now(connection) - older_than)

    # -- arrivals -------------------------------------------------------------------------

    @repeated
    def end_association(self, study_uids: Collection[str] | None, title: TitleSettings) -> None:
        """Make the arrivals of a request title due once its association has ended.

        At once where everything sent was known and the study is indexed; else after the title's
        quiet time. ``study_uids=None`` means every study, for associations that a crash ended.
        """
        if (study_uids is not None and not study_uids) or not title.is_request:
            return
        with self._database.writing() as connection:
            now = self._database.now(connection)
            completion.end_association(connection, study_uids, title, now)

    @repeated
    def close_due_arrivals(self) -> int:
        """Enqueue the jobs of every arrival that is due; return how many arrivals there were.

        Where the clock has jumped since the last look, every arrival begins its wait anew: none
        waits longer for it than twice what it has to.
        """
        self._see_to_arrivals()
        return self._close_due_arrivals()

    @repeated
    def _close_due_arrivals(self) -> int:
        with self._database.reading() as connection:
            if not completion.is_any_due(connection, self._database.now(connection)):
                return 0
        with self._database.writing() as connection:
            now = self._database.now(connection)
            return completion.close_due(connection, self._queue, now)

    # -- jobs -----------------------------------------------------------------------------

    @repeated
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
        with self._database.writing() as connection:
            return self._queue.enqueue(connection, NewJob(kind, subject, argument or {}, delay))

    def is_any_due(self, kind: str) -> bool:
        """Tell whether a job of this kind may be due, without holding up who writes."""
        with self._database.reading() as connection:
            return self._queue.is_any_due(connection, kind)

    @repeated
    def lease(self, kinds: Collection[str], seconds: float) -> Job | None:
        """Take the next job of these kinds, or None.

        No two jobs of one subject are leased at a time, and a job waits for the one that it was
        enqueued behind. A lease that ran out is given to the next who asks. Where the clock has
        jumped since somebody last asked here, leases last ``seconds`` from now.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            jumped = self._leases_watch.has_jumped(now)
            if jumped or self._leases_watch.is_fresh:
                self._queue.wait_anew(connection, seconds, all_of_them=jumped)
            job = self._queue.lease(connection, kinds, seconds)
        self._leases_watch.saw(now)
        return job

    @repeated
    def end_leases(self, kinds: Collection[str]) -> int:
        """End every lease of these kinds at once; return how many there were.

        For the one worker that knows that no other lives (it owns the index): what its predecessor
        left in hand when it was killed need not wait for the lease to run out.
        """
        with self._database.writing() as connection:
            return self._queue.end_leases(connection, kinds)

    @repeated
    def renew(self, job: Job, seconds: float) -> Job:
        """Extend a lease.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        with self._database.writing() as connection:
            return self._queue.renew(connection, job, seconds)

    @repeated
    def finish(
        self, job: Job, outcome: Mapping[str, Any] | None = None, then: Sequence[NewJob] = ()
    ) -> None:
        """End a job well, and enqueue what follows from it, in one transaction.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since; nothing is enqueued then.
        """
        with self._database.writing() as connection:
            self._queue.finish(connection, job, outcome)
            for new in then:
                self._queue.enqueue(connection, new)

    @repeated
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
        with self._database.writing() as connection:
            return self._queue.fail(connection, job, error, retry=retry, outage=outage)

    @repeated
    def retry(self, job_id: int) -> Job:
        """Make a dead job ready again with all its attempts; an equal ready job stands in for it.

        Raises
        ------
        LedgerError
            If there is no such job, or it is not dead.
        """
        with self._database.writing() as connection:
            return self._queue.retry(connection, job_id)

    def job(self, job_id: int) -> Job:
        """Return one job.

        Raises
        ------
        LedgerError
            If there is no such job.
        """
        with self._database.reading() as connection:
            return self._queue.job(connection, job_id)

    def jobs(
        self,
        state: JobState | None = None,
        kind: str | None = None,
        subject: str | None = None,
        limit: int = 100,
    ) -> tuple[Job, ...]:
        """List jobs, the latest first."""
        with self._database.reading() as connection:
            return self._queue.jobs(connection, state, kind, subject, limit)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Return how many jobs there are of each kind and state."""
        with self._database.reading() as connection:
            return self._queue.counts(connection)

    @repeated
    def _see_to_arrivals(self) -> None:
        with self._database.reading() as connection:
            now = self._database.now(connection)
        jumped = self._arrivals_watch.has_jumped(now)
        if jumped or self._arrivals_watch.is_fresh:
            with self._database.writing() as connection:
                completion.wait_anew(connection, now, all_of_them=jumped)
        self._arrivals_watch.saw(now)

    def _upgrade(self) -> None:
        with self._database.writing() as connection:
            schema.upgrade(connection)


_THE_WORKER = 0x57524953_00000002  # an advisory lock
_CLAIM_SECONDS = 10.0  # the server may take a moment to notice that the one before was killed


def _cannot_be_opened(error: Exception, *, on_a_server: bool = False) -> LedgerError:
    # the class alone: a message may quote the URL, or a row
    kind = type(error.orig if on_a_server and isinstance(error, DBAPIError) else error).__name__
    if not on_a_server:
        msg = f"It cannot be opened: {kind}; see its folder, or the backup."
        return LedgerError(msg)
    if isinstance(error, OperationalError):
        msg = f"{kind}: see that its server runs, has the database and lets this account in."
        return LedgerUnavailableError(msg)
    msg = f"It cannot be opened: {kind}; the account has to own its database, used by nothing else."
    return LedgerError(msg)
