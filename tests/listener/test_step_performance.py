"""What becomes of a procedure step whose result set has to be made anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from ledger_parts import Clock, arrived, leased, record

from listener.job import Job, NewJob
from listener.ledger import Ledger
from listener.recorded_step import NewStep
from listener.step_row import ResultInstance
from listener.step_state import StepState

STEP, STUDY = "2.25.91", "2.25.3"
BOARD = ResultInstance(STUDY, "2.25.31", "1.2.840.10008.5.1.4.1.1.7", "2.25.311")
HOUR = timedelta(hours=1)


@pytest.fixture
def answered(ledger: Ledger, clock: Clock, tmp_path: Path) -> Job:
    """A step whose first answer waits for its delivery; the job that delivers, leased."""
    step = NewStep(STEP, STUDY, "PACS", "WRISTMIR", tmp_path / "a.step", "READY", {})
    ledger.steps.take(step, 10, 100)
    record(ledger, arrived("2.25.30", study=STUDY))
    clock.now += HOUR
    ledger.close_due_arrivals()
    assert ledger.performance.advance(2 * HOUR) == 1
    job = leased(ledger, "answer")
    assert ledger.performance.begin(STEP)
    assert ledger.performance.answered(STEP, {"answer-1": [BOARD]})
    ledger.finish(job, {}, [NewJob("deliver", "answer-1", job.argument)])
    return leased(ledger, "deliver")


def stands(ledger: Ledger) -> str:
    row = ledger.steps.find(STEP)
    assert row is not None
    return str(row.state)


def test_it_is_completed_by_the_result_set_that_takes_the_others_place(
    ledger: Ledger, answered: Job
) -> None:
    ledger.performance.ask_anew("answer-1", NewJob("answer", STUDY, answered.argument))
    ledger.finish(answered, {"delivered": 0})
    ledger.finish(leased(ledger, "answer"), {})
    assert ledger.performance.answered(STEP, {"answer-2": [BOARD]})
    assert ledger.performance.sending("answer-2")
    assert stands(ledger) == StepState.IN_PROGRESS
    ledger.performance.delivered("answer-2", "PACS")
    assert stands(ledger) == StepState.COMPLETED


def test_it_is_cancelled_where_the_second_answer_dies(ledger: Ledger, answered: Job) -> None:
    ledger.performance.ask_anew("answer-1", NewJob("answer", STUDY, answered.argument))
    ledger.finish(answered, {"delivered": 0})
    ledger.fail(leased(ledger, "answer"), "a bundle cannot be used", retry=False)
    assert ledger.performance.advance(HOUR) == 1
    assert stands(ledger) == StepState.CANCELED


def test_a_result_set_of_an_answer_that_was_killed_and_came_otherwise_is_not_waited_for(
    ledger: Ledger, answered: Job
) -> None:
    assert ledger.performance.answered(STEP, {"answer-1b": [BOARD]})
    ledger.performance.delivered("answer-1b", "PACS")
    assert stands(ledger) == StepState.COMPLETED


def test_what_belongs_to_no_step_is_asked_anew_too(ledger: Ledger) -> None:
    number = ledger.performance.ask_anew("answer-7", NewJob("answer", STUDY, {"k": 3}))
    assert ledger.job(number).argument == {"k": 3}
