from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ledger_parts import STUDY, Clock, kinds, leased
from postgresql import BOTH

from listener.errors import LeaseLostError, LedgerError
from listener.job import Job, JobState, NewJob
from listener.ledger import Ledger


def test_a_job_is_leased_once_and_ends_as_done_with_its_outcome(ledger: Ledger) -> None:
    job_id = ledger.enqueue("index", STUDY, {"a": 1})
    job = leased(ledger)
    assert (job.id, job.argument, job.attempts) == (job_id, {"a": 1}, 1)
    assert ledger.lease(["index"], 60) is None
    ledger.finish(job, {"exams": 2})
    assert ledger.job(job_id).state is JobState.DONE
    assert ledger.job(job_id).outcome == {"exams": 2}


def test_an_equal_ready_job_is_merged_and_keeps_the_earlier_time(
    ledger: Ledger, clock: Clock
) -> None:
    late = ledger.enqueue("index", STUDY, {"b": 1, "a": 2}, timedelta(hours=1))
    assert ledger.enqueue("index", STUDY, {"a": 2, "b": 1}) == late
    assert ledger.job(late).not_before == clock.now
    assert len(ledger.jobs()) == 1


def test_jobs_that_differ_in_argument_or_subject_are_not_merged(ledger: Ledger) -> None:
    ids = {
        ledger.enqueue("answer", STUDY, {"regions": ["distal_radius"]}),
        ledger.enqueue("answer", STUDY, {"regions": ["distal_ulna"]}),
        ledger.enqueue("answer", "1.9", {"regions": ["distal_ulna"]}),
    }
    assert len(ids) == 3


def test_a_leased_job_gets_one_successor(ledger: Ledger) -> None:
    first = ledger.enqueue("index", STUDY)
    job = leased(ledger)
    second = ledger.enqueue("index", STUDY)
    assert second != first
    assert ledger.enqueue("index", STUDY) == second
    assert ledger.lease(["index"], 60) is None  # not beside the one that runs
    ledger.finish(job)
    assert leased(ledger).id == second


def test_no_two_jobs_of_a_study_run_at_a_time_and_others_are_not_held_up(ledger: Ledger) -> None:
    ledger.enqueue("index", STUDY)
    ledger.enqueue("mine", STUDY)
    ledger.enqueue("mine", "1.9")
    leased(ledger)
    other = ledger.lease(["index", "mine"], 60)
    assert other is not None
    assert other.subject == "1.9"
    assert ledger.lease(["index", "mine"], 60) is None


def test_a_stale_worker_can_neither_finish_nor_fail_nor_renew(ledger: Ledger, clock: Clock) -> None:
    ledger.enqueue("index", STUDY)
    stale = leased(ledger, seconds=10)
    clock.move(11)
    fresh = leased(ledger)
    assert fresh.token > stale.token
    with pytest.raises(LeaseLostError):
        ledger.finish(stale, then=[NewJob("deliver", STUDY)])
    with pytest.raises(LeaseLostError):
        ledger.fail(stale, "late")
    with pytest.raises(LeaseLostError):
        ledger.renew(stale, 60)
    assert kinds(ledger) == []  # nothing of the stale worker came through
    ledger.finish(fresh)


def test_a_renewed_lease_is_not_given_away(ledger: Ledger, clock: Clock) -> None:
    ledger.enqueue("index", STUDY)
    job = leased(ledger, seconds=10)
    clock.move(8)
    job = ledger.renew(job, 10)
    clock.move(8)
    assert ledger.lease(["index"], 10) is None
    ledger.finish(job)


def test_what_follows_is_enqueued_with_the_end_of_the_job(ledger: Ledger) -> None:
    ledger.enqueue("answer", STUDY)
    ledger.finish(leased(ledger, "answer"), then=[NewJob("deliver", STUDY, {"set": "x"})])
    job = leased(ledger, "deliver")
    assert job.argument == {"set": "x"}


def test_backoff_doubles_with_jitter_and_the_eighth_failure_is_death(
    ledger: Ledger, clock: Clock
) -> None:
    job_id = ledger.enqueue("deliver", STUDY)
    waits = []
    for _ in range(7):
        job = ledger.fail(leased(ledger, "deliver"), "DeliveryError: refused")
        waits.append((job.not_before - clock.now).total_seconds())
        clock.move(waits[-1])
    for attempt, wait in enumerate(waits):
        assert 0.75 * 15 * 2**attempt <= wait <= 1.25 * 15 * 2**attempt
    dead = ledger.fail(leased(ledger, "deliver"), "DeliveryError: refused")
    assert (dead.id, dead.state, dead.attempts) == (job_id, JobState.DEAD, 8)
    assert dead.last_error == "DeliveryError: refused"


def test_a_failure_that_cannot_be_helped_is_dead_at_once_and_can_be_retried(ledger: Ledger) -> None:
    job_id = ledger.enqueue("index", STUDY)
    assert ledger.fail(leased(ledger), "DecodeError", retry=False).state is JobState.DEAD
    assert ledger.retry(job_id).state is JobState.READY
    assert leased(ledger).attempts == 1
    with pytest.raises(LedgerError):
        ledger.retry(job_id)


def test_a_job_that_kills_every_worker_ends_as_dead(ledger: Ledger, clock: Clock) -> None:
    job_id = ledger.enqueue("index", STUDY)
    for _ in range(8):
        leased(ledger, seconds=10)
        clock.move(11)
    assert ledger.lease(["index"], 10) is None
    assert ledger.job(job_id).state is JobState.DEAD


def test_one_dead_study_blocks_no_other_and_not_its_own_next_job(ledger: Ledger) -> None:
    ledger.enqueue("index", STUDY)
    ledger.fail(leased(ledger), "DecodeError", retry=False)
    ledger.enqueue("index", "1.9")
    ledger.enqueue("mine", STUDY)
    assert leased(ledger).subject == "1.9"
    assert leased(ledger, "mine").subject == STUDY


def test_a_failed_job_swallows_its_successor(ledger: Ledger, clock: Clock) -> None:
    first = ledger.enqueue("index", STUDY)
    job = leased(ledger)
    second = ledger.enqueue("index", STUDY)
    ledger.fail(job, "IndexUnavailableError")
    assert ledger.job(second).outcome == {"merged_into": first}
    clock.move(60)
    assert leased(ledger).id == first


def test_a_missing_job_is_said_to_be_missing(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.job(1)


def test_the_only_worker_ends_the_leases_of_its_killed_predecessor(ledger: Ledger) -> None:
    number = ledger.enqueue("index", "1.2.3")
    held = ledger.lease(["index"], 3600)
    assert held is not None
    assert ledger.lease(["index"], 60) is None
    assert ledger.end_leases(["index"]) == 1
    again = ledger.lease(["index"], 60)
    assert again is not None
    assert (again.id, again.attempts) == (number, 2)
    with pytest.raises(LeaseLostError):
        ledger.finish(held)


def test_an_outage_is_waited_out_for_days_and_not_counted_out(ledger: Ledger, clock: Clock) -> None:
    number = ledger.enqueue("deliver", "answer-1")
    for _ in range(40):  # two hundred quarters of an hour are two days
        job = leased(ledger, "deliver")
        stands = ledger.fail(job, "the destination is down", outage=True)
        assert stands.state is JobState.READY
        assert stands.not_before - clock.now <= timedelta(minutes=20)
        clock.now += timedelta(hours=1)
    clock.now += timedelta(days=2)
    assert ledger.fail(leased(ledger, "deliver"), "still down", outage=True).state is JobState.DEAD
    assert ledger.job(number).attempts == 41


def test_threads_share_the_work_without_doubling_it(ledger_url: str) -> None:
    done: Counter[int] = Counter()
    with Ledger(ledger_url) as ledger:
        for n in range(40):
            ledger.enqueue("index", f"1.{n}")

        def work() -> None:
            while (job := ledger.lease(["index"], 60)) is not None:
                done[job.id] += 1
                ledger.finish(job)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(done) == 40
    assert set(done.values()) == {1}


_WORKER = """
import sys
from listener.ledger import Ledger
with Ledger(sys.argv[1]) as ledger:
    while (job := ledger.lease(["index"], 60)) is not None:
        print(job.id, flush=True)
        ledger.finish(job)
"""


@pytest.mark.slow
def test_processes_share_the_work_without_doubling_it(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger:
        ids = [ledger.enqueue("index", f"1.{n}") for n in range(60)]
    command = [sys.executable, "-W", "error", "-c", _WORKER, ledger_url]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [line for worker in workers for line in worker.communicate(timeout=60)[0].split()]
    assert all(worker.returncode == 0 for worker in workers)
    assert sorted(map(int, taken)) == ids


class JobQueueMachine(RuleBasedStateMachine):
    """Workers that lease, finish, fail, crash and come late, against what may never be."""

    leases = Bundle("leases")
    database: Callable[[], str]

    @initialize()
    def open(self) -> None:
        self.url = self.database()
        self.clock = Clock()
        self.ledger = Ledger(self.url, self.clock)
        self.wanted: Counter[tuple[str, str]] = Counter()
        self.served: Counter[tuple[str, str]] = Counter()
        self.seen: dict[tuple[int, int], int] = {}

    @rule(kind=st.sampled_from(["index", "mine"]), subject=st.sampled_from(["1", "2"]))
    def enqueue(self, kind: str, subject: str) -> None:
        self.ledger.enqueue(kind, subject)
        self.wanted[kind, subject] += 1

    @rule(target=leases, kinds=st.sampled_from([["index"], ["mine"], ["index", "mine"]]))
    def lease(self, kinds: list[str]) -> Job | None:
        job = self.ledger.lease(kinds, 30)
        if job is not None:
            self.seen[job.id, job.token] = self.wanted[job.kind, job.subject]
        return job

    @rule(job=consumes(leases))
    def finish(self, job: Job | None) -> None:
        if job is not None and self._attempt(self.ledger.finish, job):
            key = (job.kind, job.subject)
            self.served[key] = max(self.served[key], self.seen[job.id, job.token])

    @rule(job=consumes(leases), retry=st.booleans())
    def fail(self, job: Job | None, retry: bool) -> None:
        if job is not None:
            self._attempt(lambda j: self.ledger.fail(j, "E", retry=retry), job)

    @rule(seconds=st.sampled_from([1, 29, 31, 600]))
    def time_passes(self, seconds: int) -> None:
        """Workers whose leases run out have crashed, or come back late."""
        self.clock.move(seconds)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.url, self.clock)

    @invariant()
    def one_lease_per_subject(self) -> None:
        jobs = self.ledger.jobs(JobState.LEASED)
        assert len({job.subject for job in jobs}) == len(jobs)

    @invariant()
    def equal_ready_jobs_are_one(self) -> None:
        jobs = self.ledger.jobs(JobState.READY)
        assert len({(job.kind, job.subject) for job in jobs}) == len(jobs)

    def teardown(self) -> None:
        while self.ledger.counts().keys() & {
            (kind, state)
            for kind in ("index", "mine")
            for state in (JobState.READY, JobState.LEASED)
        }:
            self.clock.move(10_000)
            job = self.lease(["index", "mine"])
            if job is not None:
                self.finish(job)
        dead = {(job.kind, job.subject) for job in self.ledger.jobs(JobState.DEAD)}
        for key, wanted in self.wanted.items():
            assert self.served[key] == wanted or key in dead, "work was lost"
        self.ledger.close()

    def _attempt(self, act: object, job: Job) -> bool:
        now = self.ledger.job(job.id)
        holds = now.state is JobState.LEASED and now.token == job.token
        try:
            act(job)  # type: ignore[operator]
        except LeaseLostError:
            assert not holds
            return False
        assert holds
        return True


@pytest.fixture(params=BOTH)
def databases(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Make one empty database after the other."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgresql").database
        return
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - speed only
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        numbers = itertools.count()
        yield lambda: f"sqlite:///{folder}/{next(numbers)}.sqlite3"


@pytest.mark.slow
def test_no_work_is_lost_whatever_workers_do(databases: Callable[[], str]) -> None:
    JobQueueMachine.database = staticmethod(databases)
    run_state_machine_as_test(JobQueueMachine, settings=_MACHINE)


_MACHINE = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
