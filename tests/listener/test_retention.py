from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_parts import REQUEST_TITLE, STUDY, Clock, instance, leased, record

from listener.errors import LedgerError
from listener.job import JobState
from listener.ledger import Ledger
from listener.receipt import InstanceState, Outcome


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


def test_jobs_are_forgotten_once_they_are_done_for_longer_than_the_retention_time(
    ledger: Ledger, clock: Clock
) -> None:
    old, young = (ledger.enqueue("index", study) for study in ("1.10", "1.20"))
    clock.move(86400 * 5)  # what counts is when a job ended
    ledger.finish(leased(ledger), {"exams": 1})
    clock.move(86400 * 8)
    ledger.finish(leased(ledger))
    clock.move(86400 * 2)
    assert ledger.forget_jobs(timedelta(days=11)) == 0
    assert ledger.forget_jobs(timedelta(days=9)) == 1
    assert [job.id for job in ledger.jobs()] == [young]
    with pytest.raises(LedgerError):
        ledger.job(old)


def test_jobs_that_are_not_done_are_never_forgotten(ledger: Ledger, clock: Clock) -> None:
    dead, held, ready = (ledger.enqueue("index", study) for study in ("1.10", "1.20", "1.30"))
    ledger.fail(leased(ledger), "DecodeError", retry=False)
    leased(ledger)
    clock.move(86400 * 1000)
    assert ledger.forget_jobs(timedelta(days=9)) == 0
    assert [job.id for job in ledger.jobs()] == [ready, held, dead]
    assert ledger.retry(dead).state is JobState.READY


def test_a_job_is_not_forgotten_before_the_one_that_was_enqueued_behind_it(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(3)
    ledger.close_due_arrivals()
    ledger.finish(leased(ledger, "index"))
    clock.move(86400 * 10)
    assert ledger.forget_jobs(timedelta(days=9)) == 0
    ledger.finish(leased(ledger, "answer"))
    assert ledger.forget_jobs(timedelta(days=9)) == 1
    assert [job.kind for job in ledger.jobs()] == ["answer"]


def test_a_job_that_was_merged_into_another_is_forgotten_as_well(
    ledger: Ledger, clock: Clock
) -> None:
    first = ledger.enqueue("index", STUDY)
    job = leased(ledger)
    ledger.enqueue("index", STUDY)
    ledger.fail(job, "IndexUnavailableError")
    clock.move(86400 * 10)
    assert ledger.forget_jobs(timedelta(days=9)) == 1
    assert [job.id for job in ledger.jobs()] == [first]


def test_the_number_of_a_forgotten_job_is_not_given_again(ledger: Ledger, clock: Clock) -> None:
    """Result sets are named by the number of their job, and the outbox remembers them."""
    number = ledger.enqueue("answer", STUDY)
    ledger.finish(leased(ledger, "answer"))
    clock.move(86400 * 10)
    assert ledger.forget_jobs(timedelta(days=9)) == 1
    assert ledger.enqueue("answer", STUDY) > number
