from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
)

from listener.errors import LeaseLostError, LedgerError
from listener.instance import Instance
from listener.ledger import InstanceState, Job, JobState, Ledger, NewJob, Outcome
from listener.settings import TitleSettings

INDEX_TITLE = TitleSettings(ae_title="WRISTMIR", quiet_seconds=30, cap_seconds=600)
REQUEST_TITLE = TitleSettings(
    ae_title="WRISTMIR_Q_DR",
    jobs=("index", "answer"),
    argument={"regions": ["distal_radius"]},
    quiet_seconds=3,
    is_request=True,
)
STUDY = "1.2.3"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2024, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'state' / 'ledger.sqlite3'}", clock) as it:
        yield it


def instance(
    uid: str = "1.2.3.4",
    *,
    study: str = STUDY,
    digest: str = "a",
    patient: str = "p",
    issuer: str = "",
    path: Path | None = None,
) -> Instance:
    return Instance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        study_uid=study,
        series_uid="1.2.3.9",
        transfer_syntax="1.2.840.10008.1.2.1",
        digest=digest,
        size=10,
        path=path or Path(f"/nowhere/{uid}-{digest}.dcm"),
        patient_key=patient + issuer,
        patient_id_key=patient,
    )


def record(
    ledger: Ledger, one: Instance | None = None, title: TitleSettings = INDEX_TITLE
) -> Outcome:
    return ledger.record_instance(one or instance(), calling_ae="PACS", title=title).outcome


def kinds(ledger: Ledger, state: JobState = JobState.READY) -> list[str]:
    return [job.kind for job in reversed(ledger.jobs(state))]


def leased(ledger: Ledger, kind: str = "index", seconds: float = 60) -> Job:
    job = ledger.lease([kind], seconds)
    assert job is not None
    return job


# -- jobs ---------------------------------------------------------------------------------


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


# -- instances and studies ----------------------------------------------------------------


def test_the_same_content_again_is_nothing_new(ledger: Ledger) -> None:
    assert record(ledger) is Outcome.NEW
    assert record(ledger) is Outcome.KNOWN
    assert ledger.study(STUDY).generation == 1
    assert len(ledger.instances(STUDY)) == 1


def test_changed_content_is_a_new_version_of_a_new_generation(ledger: Ledger) -> None:
    record(ledger)
    assert record(ledger, instance(digest="b")) is Outcome.CHANGED
    assert ledger.study(STUDY).generation == 2
    (current,) = ledger.instances(STUDY)
    assert (current.version, current.digest) == (2, "b")
    states = [row.state for row in ledger.receipt("1.2.3.4")]
    assert states == [InstanceState.SUPERSEDED, InstanceState.STORED]


def test_content_that_changes_back_is_a_third_version(ledger: Ledger) -> None:
    for digest in "aba":
        record(ledger, instance(digest=digest))
    assert [row.version for row in ledger.instances(STUDY)] == [3]


@pytest.mark.parametrize(
    "changed",
    [instance(digest="b", study="1.2.777"), instance(digest="b", patient="q")],
    ids=["another study", "another patient"],
)
def test_a_changed_identity_is_quarantined_and_never_merged(
    ledger: Ledger, changed: Instance
) -> None:
    record(ledger)
    assert record(ledger, changed) is Outcome.QUARANTINED
    assert [row.digest for row in ledger.instances(STUDY)] == ["a"]
    assert ledger.study(STUDY).generation == 1
    (row,) = ledger.receipts([InstanceState.QUARANTINED])
    assert "identity" in (row.reason or "")


def test_a_new_instance_of_another_patient_in_the_same_study_is_quarantined(ledger: Ledger) -> None:
    record(ledger)
    assert record(ledger, instance("1.2.3.5", patient="q")) is Outcome.QUARANTINED


def test_versions_are_counted_over_everything_that_became_of_an_instance(
    ledger: Ledger,
) -> None:
    record(ledger)
    record(ledger, instance(digest="b", patient="q"))
    record(ledger, instance(digest="c"))
    rows = [(row.version, row.state) for row in ledger.receipt("1.2.3.4")]
    assert rows == [
        (1, InstanceState.SUPERSEDED),
        (2, InstanceState.QUARANTINED),
        (3, InstanceState.STORED),
    ]


def test_a_report_that_lacks_the_issuer_is_the_same_patient(ledger: Ledger) -> None:
    record(ledger, instance(issuer="-hospital"))
    assert record(ledger, instance("1.2.3.5")) is Outcome.NEW
    assert record(ledger, instance("1.2.3.6", issuer="-other")) is Outcome.QUARANTINED


def test_a_filtered_instance_is_a_receipt_and_no_member_of_its_study(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.record_filtered(instance(), "not used", calling_ae="PACS", title=INDEX_TITLE)
    (row,) = ledger.receipts([InstanceState.FILTERED])
    assert (row.reason, row.version) == ("not used", 1)
    assert ledger.instances(STUDY) == ()


def test_the_worker_can_filter_and_quarantine_what_was_stored(
    ledger: Ledger, tmp_path: Path
) -> None:
    files = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    for n, file in enumerate(files):
        file.touch()
        record(ledger, instance(f"1.2.3.{n}", path=file))
    assert ledger.filter_instance("1.2.3.0", "a lateral view")
    assert ledger.quarantine("1.2.3.1", "cannot be decoded")
    assert [file.exists() for file in files] == [False, True]
    assert ledger.instances(STUDY) == ()
    assert not ledger.filter_instance("1.2.3.0", "again")
    # and the same content, sent again, stays what it was found to be
    assert record(ledger, instance("1.2.3.0")) is Outcome.FILTERED
    assert record(ledger, instance("1.2.3.1")) is Outcome.QUARANTINED


def test_retention_deletes_old_files_but_not_under_unfinished_work(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    busy, idle = tmp_path / "busy.dcm", tmp_path / "idle.dcm"
    for uid, study, file in (("1.1", "1.10", busy), ("1.2", "1.20", idle)):
        file.touch()
        record(ledger, instance(uid, study=study, path=file))
    clock.move(31)
    ledger.close_due_arrivals()
    done = leased(ledger)
    while done.subject != "1.20":
        done = leased(ledger)
    ledger.finish(done)
    clock.move(86400 * 10)
    assert ledger.expire(timedelta(days=11)) == 0
    assert ledger.expire(timedelta(days=9)) == 1
    assert (busy.exists(), idle.exists()) == (True, False)
    (row,) = ledger.receipts([InstanceState.EXPIRED])
    assert row.sop_instance_uid == "1.2"
    # what expired and is sent again is new again
    assert record(ledger, instance("1.2", study="1.20")) is Outcome.NEW


def test_a_study_that_never_came_is_said_to_be_missing(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.study("1.2.3")


# -- arrivals -----------------------------------------------------------------------------


def test_a_study_is_worked_on_once_it_is_quiet(ledger: Ledger, clock: Clock) -> None:
    record(ledger)
    clock.move(29)
    record(ledger, instance("1.2.3.5"))
    clock.move(29)
    assert ledger.close_due_arrivals() == 0
    clock.move(2)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["index"]
    assert ledger.close_due_arrivals() == 0


def test_a_study_that_never_goes_quiet_is_worked_on_after_the_cap(
    ledger: Ledger, clock: Clock
) -> None:
    for n in range(31):
        record(ledger, instance(f"1.2.3.4.{n}"))
        clock.move(20)
    assert ledger.close_due_arrivals() == 1


def test_a_late_instance_opens_the_study_again(ledger: Ledger, clock: Clock) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.finish(leased(ledger))
    record(ledger, instance("1.2.3.5"))
    clock.move(31)
    assert ledger.close_due_arrivals() == 1
    assert leased(ledger).subject == STUDY


def test_a_request_is_due_after_its_association_and_answers_after_indexing(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger, title=REQUEST_TITLE)
    clock.move(60)
    assert ledger.close_due_arrivals() == 0  # the association is still open
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(2)
    assert ledger.close_due_arrivals() == 0
    clock.move(1)
    assert ledger.close_due_arrivals() == 1
    first = ledger.lease(["index", "answer"], 60)
    assert first is not None
    assert (first.kind, first.argument) == ("index", {})
    assert ledger.lease(["index", "answer"], 60) is None
    ledger.finish(first)
    answer = leased(ledger, "answer")
    assert answer.argument == {"regions": ["distal_radius"]}


def test_an_answer_waits_while_its_indexing_is_put_back(ledger: Ledger, clock: Clock) -> None:
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(3)
    ledger.close_due_arrivals()
    ledger.fail(leased(ledger), "IndexUnavailableError")
    assert ledger.lease(["answer"], 60) is None
    clock.move(60)
    ledger.fail(leased(ledger), "DecodeError", retry=False)
    assert leased(ledger, "answer").subject == STUDY  # and says then why there is none


def test_a_request_for_a_known_and_indexed_study_is_due_at_once(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.mark_indexed(STUDY, ledger.study(STUDY).generation)
    ledger.finish(leased(ledger))
    assert record(ledger, title=REQUEST_TITLE) is Outcome.KNOWN
    ledger.end_association([STUDY], REQUEST_TITLE)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["answer"]


def test_a_request_for_a_known_study_that_is_not_indexed_waits_its_three_seconds(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    assert ledger.close_due_arrivals() == 0
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["index", "answer"]


def test_known_content_sent_for_indexing_sets_nothing_in_motion(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    record(ledger)
    clock.move(31)
    assert ledger.close_due_arrivals() == 0


def test_a_request_of_filtered_objects_only_is_answered_too(ledger: Ledger, clock: Clock) -> None:
    ledger.record_filtered(instance(), "not used", calling_ae="PACS", title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["answer"]
    assert ledger.study(STUDY).generation == 0


def test_a_request_of_a_quarantined_object_only_is_answered_too(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    stranger = instance(digest="b", study="1.2.777")
    assert record(ledger, stranger, REQUEST_TITLE) is Outcome.QUARANTINED
    ledger.end_association(["1.2.777"], REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert ledger.study("1.2.777").generation == 0
    assert kinds(ledger) == ["answer"]


def test_requests_whose_association_a_crash_ended_are_taken_up(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association(None, REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1


# -- the file -----------------------------------------------------------------------------


def test_the_file_and_its_log_are_nobody_elses_to_read(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enqueue("index", STUDY)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").iterdir()}
    assert modes == {0o600}


def test_a_ledger_in_memory_is_refused() -> None:
    with pytest.raises(LedgerError):
        Ledger("sqlite://")


def test_threads_share_the_work_without_doubling_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    done: Counter[int] = Counter()
    with Ledger(url) as ledger:
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
def test_processes_share_the_work_without_doubling_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    with Ledger(url) as ledger:
        ids = [ledger.enqueue("index", f"1.{n}") for n in range(60)]
    command = [sys.executable, "-W", "error", "-c", _WORKER, url]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [line for worker in workers for line in worker.communicate(timeout=60)[0].split()]
    assert all(worker.returncode == 0 for worker in workers)
    assert sorted(map(int, taken)) == ids


class LedgerMachine(RuleBasedStateMachine):
    """Workers that lease, finish, fail, crash and come late, against what may never be."""

    leases = Bundle("leases")

    @initialize()
    def open(self) -> None:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - speed only
        self.folder = tempfile.TemporaryDirectory(dir=memory)
        self.clock = Clock()
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/l.sqlite3", self.clock)
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
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/l.sqlite3", self.clock)

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
        self.folder.cleanup()

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


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


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


def test_studies_are_indexed_anew_for_an_index_that_lost_them(ledger: Ledger) -> None:
    record(ledger)
    ledger.mark_indexed(STUDY, 1)
    assert ledger.reopen_studies() == 1
    assert kinds(ledger) == ["index"]
    assert ledger.study(STUDY).indexed_generation == 0
    assert ledger.reopen_studies() == 0


def test_reports_and_key_objects_outlive_the_retention_time(ledger: Ledger, clock: Clock) -> None:
    report = replace(instance("1.2.3.5"), sop_class_uid="1.2.840.10008.5.1.4.1.1.88.11")
    record(ledger)
    record(ledger, report)
    clock.now += timedelta(days=30)
    ledger.close_due_arrivals()
    for job in (leased(ledger),):
        ledger.finish(job)
    assert ledger.expire(timedelta(days=9)) == 1
    states = {row.sop_instance_uid: row.state for row in ledger.receipts()}
    assert states == {"1.2.3.4": InstanceState.EXPIRED, "1.2.3.5": InstanceState.STORED}
