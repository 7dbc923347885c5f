"""Several processes at one ledger: each has its own connections, and nobody waits for its turn."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import cycle
from typing import TypeVar

import pytest
from ledger_parts import INDEX_TITLE, REQUEST_TITLE, STUDY, Clock, instance, record

from listener.job import Job, JobState
from listener.ledger import Ledger
from listener.receipt import InstanceState, Outcome

HANDS = 4
ROUNDS = 8

Result = TypeVar("Result")


@pytest.fixture
def ledgers(ledger_url: str, clock: Clock) -> Iterator[list[Ledger]]:
    """The same ledger, opened as by several processes."""
    with ExitStack() as stack:
        yield [stack.enter_context(Ledger(ledger_url, clock)) for _ in range(HANDS)]


def at_once(ledgers: list[Ledger], *acts: Callable[[Ledger], Result]) -> list[Result]:
    """Let every ledger do its act at the same moment (the acts in turn, where there are fewer)."""
    ready = threading.Barrier(len(ledgers))
    results: list[Result] = []
    errors: list[BaseException] = []

    def run(ledger: Ledger, act: Callable[[Ledger], Result]) -> None:
        ready.wait(10)
        try:
            results.append(act(ledger))
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=pair) for pair in zip(ledgers, cycle(acts), strict=False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def test_an_instance_that_several_receivers_record_at_once_is_new_once(
    ledgers: list[Ledger],
) -> None:
    for n in range(ROUNDS):
        one = instance(f"1.2.3.{n}", study=f"1.3.{n}")
        outcomes = at_once(ledgers, lambda ledger, one=one: record(ledger, one))
        assert Counter(outcomes) == {Outcome.NEW: 1, Outcome.KNOWN: HANDS - 1}
        assert ledgers[0].study(f"1.3.{n}").generation == 1


def test_contents_that_differ_and_come_at_once_are_versions_without_gaps(
    ledgers: list[Ledger],
) -> None:
    for n in range(ROUNDS):
        acts = [
            lambda ledger, n=n, digest=digest: record(ledger, instance(f"1.2.{n}", digest=digest))
            for digest in "abcd"
        ]
        outcomes = Counter(at_once(ledgers, *acts))
        assert outcomes == {Outcome.NEW: 1, Outcome.CHANGED: HANDS - 1}
        rows = ledgers[0].receipt(f"1.2.{n}")
        assert [row.version for row in rows] == [1, 2, 3, 4]
        states = Counter(row.state for row in rows)
        assert states == {InstanceState.STORED: 1, InstanceState.SUPERSEDED: HANDS - 1}


def test_every_instance_of_a_study_counts_when_several_receivers_get_one_each(
    ledgers: list[Ledger], clock: Clock
) -> None:
    for n in range(ROUNDS):
        acts = [
            lambda ledger, n=n, m=m: record(ledger, instance(f"1.2.{n}.{m}", study=f"1.3.{n}"))
            for m in range(HANDS)
        ]
        assert set(at_once(ledgers, *acts)) == {Outcome.NEW}
        assert ledgers[0].study(f"1.3.{n}").generation == HANDS
    clock.move(31)
    assert ledgers[0].close_due_arrivals() == ROUNDS


def test_an_identity_that_changes_under_way_is_quarantined_whoever_comes_first(
    ledgers: list[Ledger],
) -> None:
    for n in range(ROUNDS):
        acts = [
            lambda ledger, n=n, patient=patient: record(
                ledger,
                instance(f"1.2.{n}.{patient}", study=f"1.3.{n}", patient=patient),
            )
            for patient in "pq"
        ]
        outcomes = Counter(at_once(ledgers[:2], *acts))
        assert outcomes == {Outcome.NEW: 1, Outcome.QUARANTINED: 1}


def test_an_arrival_that_several_close_at_once_sets_its_jobs_in_motion_once(
    ledgers: list[Ledger], clock: Clock
) -> None:
    for n in range(ROUNDS):
        record(ledgers[0], instance(f"1.2.{n}", study=f"1.3.{n}"), REQUEST_TITLE)
        ledgers[0].end_association([f"1.3.{n}"], REQUEST_TITLE)
    clock.move(4)
    closed = at_once(ledgers, Ledger.close_due_arrivals)
    rest = ledgers[0].close_due_arrivals()  # what one has in hand the others leave
    assert sum(closed) + rest == ROUNDS
    jobs = ledgers[0].jobs()
    assert len(jobs) == len({(job.kind, job.subject) for job in jobs}) == 2 * ROUNDS


def test_a_study_that_comes_in_while_arrivals_are_closed_is_never_left_without_work(
    ledgers: list[Ledger], clock: Clock
) -> None:
    studies = [f"1.3.{n}" for n in range(3)]

    def receive(ledger: Ledger) -> None:
        for n in range(ROUNDS):
            for study in studies:
                uid = f"{study}.{threading.get_ident()}.{n}"
                assert record(ledger, instance(uid, study=study)) is Outcome.NEW
            clock.move(20)

    def close(ledger: Ledger) -> None:
        for _ in range(3 * ROUNDS):
            ledger.close_due_arrivals()
            clock.move(20)

    at_once(ledgers, receive, close)
    clock.move(31)
    ledgers[0].close_due_arrivals()
    work = ledgers[0]
    for study in studies:
        assert work.study(study).generation == 2 * ROUNDS
        assert work.jobs(JobState.READY, subject=study)
        assert len(work.jobs(JobState.READY, subject=study)) == 1


def test_equal_jobs_that_several_enqueue_at_once_are_one(ledgers: list[Ledger]) -> None:
    for n in range(ROUNDS):
        numbers = at_once(ledgers, lambda ledger, n=n: ledger.enqueue("index", f"1.3.{n}"))
        assert len(set(numbers)) == 1


@pytest.mark.slow
def test_workers_that_ask_at_once_get_different_subjects(ledgers: list[Ledger]) -> None:
    for n in range(ROUNDS):
        for kind in ("index", "mine", "answer"):
            ledgers[0].enqueue(kind, f"1.3.{n}")
            ledgers[0].enqueue(kind, f"1.4.{n}")
        jobs = at_once(ledgers, lambda ledger: ledger.lease(["index", "mine", "answer"], 60))
        held = [job for job in jobs if job is not None]
        assert {job.subject for job in held} == {f"1.3.{n}", f"1.4.{n}"}
        assert len(held) == 2
        for job in held:
            ledgers[0].finish(job)
        assert len(drained(ledgers[0])) == 4


def drained(ledger: Ledger) -> list[Job]:
    done = []
    while (job := ledger.lease(["index", "mine", "answer"], 60)) is not None:
        ledger.finish(job)
        done.append(job)
    return done


def test_a_job_that_fails_while_its_like_is_enqueued_stays_one(ledgers: list[Ledger]) -> None:
    for n in range(ROUNDS):
        number = ledgers[0].enqueue("index", f"1.3.{n}")
        job = ledgers[0].lease(["index"], 60)
        assert job is not None
        at_once(
            ledgers,
            lambda ledger, job=job: ledger.fail(job, "E") if ledger is ledgers[0] else None,
            lambda ledger, n=n: ledger.enqueue("index", f"1.3.{n}"),
        )
        (ready,) = ledgers[0].jobs(JobState.READY, subject=f"1.3.{n}")
        assert ready.id == number or ledgers[0].job(number).outcome is not None


def test_a_dead_job_that_two_retry_is_retried_once(ledgers: list[Ledger]) -> None:
    number = ledgers[0].enqueue("index", STUDY)
    job = ledgers[0].lease(["index"], 60)
    assert job is not None
    ledgers[0].fail(job, "E", retry=False)

    def retried(ledger: Ledger) -> bool:
        try:
            ledger.retry(number)
        except Exception:  # noqa: BLE001 - the others find it alive
            return False
        return True

    assert Counter(at_once(ledgers, retried)) == {True: 1, False: HANDS - 1}


def test_indices_change_once_while_workers_go_on(ledgers: list[Ledger], clock: Clock) -> None:
    studies = [f"1.3.{n}" for n in range(6)]
    ledgers[0].indices.serve("old")
    for study in studies:
        record(ledgers[0], instance(f"{study}.1", study=study))
        ledgers[0].indices.mark_indexed(study, 1, "old")

    def note(ledger: Ledger) -> int:
        for study in studies:
            ledger.indices.mark_indexed(study, 1, "old")
        return 0

    at_once(ledgers, lambda ledger: ledger.indices.serve("new"), note)
    assert ledgers[0].indices.serving() == "new"
    waiting = {job.subject for job in ledgers[0].jobs(JobState.READY, kind="index")}
    assert waiting == set(studies)
    assert all(ledgers[0].study(study).indexed_generation == 0 for study in studies)


def test_the_work_of_retention_and_of_receivers_is_not_mixed_up(
    ledgers: list[Ledger], clock: Clock
) -> None:
    for n in range(ROUNDS):
        record(ledgers[0], instance(f"1.2.{n}", study=f"1.3.{n}"))
    clock.move(31)
    ledgers[0].close_due_arrivals()
    for job in drained(ledgers[0]):
        assert job.kind == "index"
    clock.move(86400 * 10)

    def again(ledger: Ledger) -> int:
        for n in range(ROUNDS):
            ledger.record_instance(
                instance(f"1.2.{n}", study=f"1.3.{n}"), calling_ae="PACS", title=INDEX_TITLE
            )
        return 0

    at_once(ledgers, lambda ledger: ledger.expire(timedelta(days=9)), again)
    again(ledgers[0])
    for n in range(ROUNDS):
        assert len(ledgers[0].instances(f"1.3.{n}")) == 1
