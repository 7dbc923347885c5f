"""The durable table of work: studies, instances, arrivals and jobs.

One database serves every process (receiver, workers, command line).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from listener import completion, coverage, receipt, retention, study
from listener.database import Database
from listener.errors import LedgerError
from listener.instance import Instance
from listener.job import INDEX, Job, JobState, NewJob
from listener.job_queue import JobQueue
from listener.receipt import InstanceRow, InstanceState, Origin, Outcome, Recorded
from listener.settings import TitleSettings
from listener.study import StudyRow
from listener.tables import TABLES
from listener.transaction import Transactions

__all__ = ["Ledger", "utc_now"]


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

    Raises
    ------
    LedgerError
        If it cannot be opened.
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
        self._queue = JobQueue(clock, backoff, max_attempts)
        try:
            self._database = Database(url, TABLES)
        except (OSError, SQLAlchemyError) as error:
            msg = f"It cannot be opened: {type(error).__name__}; see its folder, or the backup."
            raise LedgerError(msg) from None
        self.transactions = Transactions(self._database, self._queue, clock)
        """Storage commitment: what peers have asked of us, and we of destinations."""

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # -- instances and studies ------------------------------------------------------------

    def record_instance(
        self, instance: Instance, *, calling_ae: str, title: TitleSettings
    ) -> Recorded:
        """Record a kept instance and open or extend its study's arrival, in one transaction.

        The same content again is nothing new, yet counts as a request on a request title. Other
        content under the same UID is a new version. A changed patient or study is quarantined.
        """
        with self._database.writing() as connection:
            now = self._clock()
            origin = Origin(now, calling_ae, title.ae_title)
            recorded = receipt.record(connection, instance, origin)
            fresh = recorded.outcome in (Outcome.NEW, Outcome.CHANGED)
            if recorded.outcome is Outcome.QUARANTINED and title.is_request:
                study.ensure(connection, instance.study_uid, now)
            if fresh or title.is_request:
                completion.touch(connection, instance.study_uid, title, now, fresh=fresh)
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
        with self._database.writing() as connection:
            now = self._clock()
            origin = Origin(now, calling_ae, title.ae_title)
            recorded = receipt.record_filtered(connection, instance, reason, origin)
            if asks and title.is_request and instance.study_uid:
                study.ensure(connection, instance.study_uid, now)
                completion.touch(connection, instance.study_uid, title, now, fresh=False)
            return recorded

    def filter_instance(self, sop_instance_uid: str, reason: str) -> bool:
        """Mark a stored instance as not used and delete its file; False where none was stored.

        The file of one that was committed to stays: somebody relies on it.
        """
        with self._database.writing() as connection:
            committed = receipt.is_committed(connection, sop_instance_uid)
            state = InstanceState.UNUSED if committed else InstanceState.FILTERED
            paths = receipt.leave(connection, sop_instance_uid, state, reason)
        for path in paths:
            if not committed:
                path.unlink(missing_ok=True)
        return bool(paths)

    def quarantine(self, sop_instance_uid: str, reason: str) -> bool:
        """Mark a stored instance as never to be used; its file stays for the administrator."""
        with self._database.writing() as connection:
            return bool(
                receipt.leave(connection, sop_instance_uid, InstanceState.QUARANTINED, reason)
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

    def study(self, study_uid: str) -> StudyRow:
        """Return a study's bookkeeping.

        Raises
        ------
        LedgerError
            If nothing of this study was ever received.
        """
        with self._database.reading() as connection:
            return study.of(connection, study_uid)

    def mark_indexed(self, study_uid: str, generation: int, index: str | None = None) -> None:
        """Note that the study is indexed as it stood at ``generation``.

        Where another index than ``index`` serves by now, the study is indexed anew, for that one.
        """
        with self._database.writing() as connection:
            if index is None or coverage.serving(connection) in (None, index):
                study.mark_indexed(connection, study_uid, generation)
                return
            coverage.note(connection, index, study_uid, generation)
            self._queue.enqueue(connection, NewJob(INDEX, study_uid))

    # -- indices --------------------------------------------------------------------------

    def serving_index(self) -> str | None:
        """Return the name of the index that serves, or None before the first."""
        with self._database.reading() as connection:
            return coverage.serving(connection)

    def serve_index(self, index: str) -> int:
        """Make an index the one that serves; return how many studies it has yet to take in.

        What it lacks, of what the index before it held, is enqueued for indexing. What that one
        holds is remembered, so that it can serve again.
        """
        with self._database.writing() as connection:
            return coverage.serve(connection, self._queue, index, self._clock())

    def lacking(self, index: str) -> list[tuple[str, int]]:
        """Return the studies, with their generation, that an index lacks and could take in now."""
        with self._database.reading() as connection:
            return coverage.lacking(connection, index)

    def out_of_reach(self, index: str) -> int:
        """Count the studies that an index lacks for good: no file of them is kept."""
        with self._database.reading() as connection:
            return coverage.out_of_reach(connection, index)

    def forget_coverage(self, index: str) -> None:
        """Forget what an index held, for one that turned out to be empty."""
        with self._database.writing() as connection:
            coverage.forget(connection, index)

    def note_covered(self, index: str, study_uid: str, generation: int) -> None:
        """Note that an index which does not serve yet holds a study."""
        with self._database.writing() as connection:
            coverage.note(connection, index, study_uid, generation)

    # -- files ----------------------------------------------------------------------------

    def files(self) -> dict[Path, InstanceState]:
        """Return every file the ledger knows, with its current state (for reconciliation)."""
        with self._database.reading() as connection:
            return receipt.files(connection)

    def move_file(self, old: Path, new: Path) -> None:
        """Note that a received file lies somewhere else now."""
        with self._database.writing() as connection:
            receipt.move_file(connection, old, new)

    def reopen_studies(self) -> int:
        """Have every study that is kept indexed anew, for an index that lost them; how many."""
        with self._database.writing() as connection:
            lost = study.indexed(among=receipt.kept_studies())
            count = self._queue.enqueue_each(connection, INDEX, lost)
            study.reopen(connection, among=receipt.kept_studies())
        return count

    def mark_lost(self, path: Path) -> None:
        """Note that a file that should be in the inbox is not."""
        with self._database.writing() as connection:
            receipt.mark_lost(connection, path)

    def expire(self, older_than: timedelta) -> int:
        """Delete the files of instances received longer ago; return how many instances.

        A study with unfinished work keeps its files until that is done. Structured reports and key
        objects stay: they are small, and findings and rejections rest on them.
        """
        with self._database.writing() as connection:
            paths = retention.expire_instances(connection, self._clock() - older_than)
        # the rows first: a file that outlives its row is swept at the next start
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def forget_jobs(self, older_than: timedelta) -> int:
        """Delete the jobs that were done longer ago, with their outcomes; return how many.

        Dead jobs stay, and so do jobs that unfinished ones were enqueued behind. A job's number is
        not given again.
        """
        with self._database.writing() as connection:
            return retention.forget_jobs(connection, self._clock() - older_than)

    # -- arrivals -------------------------------------------------------------------------

    def end_association(self, study_uids: Collection[str] | None, title: TitleSettings) -> None:
        """Make the arrivals of a request title due once its association has ended.

        At once where everything sent was known and the study is indexed; else after the title's
        quiet time. ``study_uids=None`` means every study, for associations that a crash ended.
        """
        if (study_uids is not None and not study_uids) or not title.is_request:
            return
        with self._database.writing() as connection:
            completion.end_association(connection, study_uids, title, self._clock())

    def close_due_arrivals(self) -> int:
        """Enqueue the jobs of every arrival that is due; return how many arrivals there were."""
        now = self._clock()
        with self._database.reading() as connection:
            if not completion.is_any_due(connection, now):
                return 0
        with self._database.writing() as connection:
            return completion.close_due(connection, self._queue, now)

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
        with self._database.writing() as connection:
            return self._queue.enqueue(connection, NewJob(kind, subject, argument or {}, delay))

    def lease(self, kinds: Collection[str], seconds: float) -> Job | None:
        """Take the next job of these kinds, or None.

        No two jobs of one subject are leased at a time, and a job waits for the one that it was
        enqueued behind. A lease that ran out is given to the next who asks.
        """
        with self._database.writing() as connection:
            return self._queue.lease(connection, kinds, seconds)

    def end_leases(self, kinds: Collection[str]) -> int:
        """End every lease of these kinds at once; return how many there were.

        For the one worker that knows that no other lives (it owns the index): what its predecessor
        left in hand when it was killed need not wait for the lease to run out.
        """
        with self._database.writing() as connection:
            return self._queue.end_leases(connection, kinds)

    def renew(self, job: Job, seconds: float) -> Job:
        """Extend a lease.

        Raises
        ------
        LeaseLostError
            If the job has been given to another worker since.
        """
        with self._database.writing() as connection:
            return self._queue.renew(connection, job, seconds)

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
