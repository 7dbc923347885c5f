from __future__ import annotations

import pytest
from ledger_parts import STUDY, Clock, instance, kinds, leased, record

from listener.ledger import Ledger

OLD, NEW = "bundle-1", "bundle-2"
OTHER = "1.2.77"


@pytest.fixture
def served(ledger: Ledger, clock: Clock) -> Ledger:
    """A ledger whose two studies stand in the index of the old bundle."""
    ledger.indices.serve(OLD)
    record(ledger)
    record(ledger, instance("1.2.77.1", study=OTHER))
    clock.move(31)
    ledger.close_due_arrivals()
    for _ in range(2):
        job = leased(ledger)
        ledger.indices.mark_indexed(job.subject, ledger.study(job.subject).generation, OLD)
        ledger.finish(job)
    return ledger


def fill(ledger: Ledger) -> None:
    """Take into the new index what it lacks."""
    for study, generation in ledger.indices.lacking(NEW):
        ledger.indices.mark_covered(NEW, study, generation)


def late(ledger: Ledger, clock: Clock, uid: str) -> None:
    """Let one more instance of the first study come in, and its arrival close."""
    record(ledger, instance(uid))
    clock.move(31)
    ledger.close_due_arrivals()


def test_the_first_index_serves_without_ado(ledger: Ledger) -> None:
    assert ledger.indices.serving() is None
    assert ledger.indices.serve(OLD) == 0
    assert ledger.indices.serve(OLD) == 0
    assert ledger.indices.serving() == OLD


def test_an_index_that_nobody_filled_has_everything_to_take_in(served: Ledger) -> None:
    assert served.indices.serve(NEW) == 2
    assert kinds(served) == ["index", "index"]
    assert served.study(STUDY).indexed_generation == 0
    assert served.indices.serving() == NEW


def test_what_was_taken_in_before_the_change_is_not_indexed_again(served: Ledger) -> None:
    fill(served)
    assert served.indices.lacking(NEW) == []
    assert served.indices.serve(NEW) == 0
    assert kinds(served) == []
    assert served.study(STUDY).indexed_generation == served.study(STUDY).generation


def test_what_came_after_it_was_taken_in_is_indexed_after_the_change(
    served: Ledger, clock: Clock
) -> None:
    fill(served)
    late(served, clock, "1.2.3.5")
    job = leased(served)
    served.indices.mark_indexed(STUDY, served.study(STUDY).generation, OLD)
    served.finish(job)
    assert served.indices.lacking(NEW) == [(STUDY, 2)]
    assert served.indices.serve(NEW) == 1
    assert leased(served).subject == STUDY


def test_a_study_with_unfinished_work_is_not_taken_in_yet(served: Ledger, clock: Clock) -> None:
    late(served, clock, "1.2.3.5")
    assert [study for study, _ in served.indices.lacking(NEW)] == [OTHER]


def test_the_index_before_can_serve_again_and_has_only_to_catch_up(
    served: Ledger, clock: Clock
) -> None:
    fill(served)
    served.indices.serve(NEW)
    assert served.indices.lacking(OLD) == []
    late(served, clock, "1.2.3.5")
    job = leased(served)
    served.indices.mark_indexed(STUDY, served.study(STUDY).generation, NEW)
    served.finish(job)
    assert served.indices.lacking(OLD) == [(STUDY, 2)]
    assert served.indices.serve(OLD) == 1
    assert served.study(OTHER).indexed_generation == 1


def test_a_worker_that_ends_after_the_change_leaves_its_study_to_the_new_index(
    served: Ledger, clock: Clock
) -> None:
    fill(served)
    late(served, clock, "1.2.3.5")
    job = leased(served)
    served.indices.serve(NEW)
    served.indices.mark_indexed(STUDY, served.study(STUDY).generation, OLD)
    served.finish(job)
    assert served.study(STUDY).indexed_generation == 1
    assert leased(served).subject == STUDY


def test_what_an_index_held_can_be_forgotten(served: Ledger) -> None:
    fill(served)
    served.indices.forget(NEW)
    assert len(served.indices.lacking(NEW)) == 2


def test_studies_without_files_are_out_of_reach(served: Ledger) -> None:
    assert served.indices.out_of_reach(NEW) == 0
    for row in served.instances(STUDY):
        served.mark_lost(row.path)
    assert served.indices.out_of_reach(NEW) == 1
    assert [study for study, _ in served.indices.lacking(NEW)] == [OTHER]
    assert served.indices.serve(NEW) == 1


def test_a_study_that_waits_for_indexing_already_gets_no_second_job(
    served: Ledger, clock: Clock
) -> None:
    late(served, clock, "1.2.3.5")
    assert served.indices.serve(NEW) == 2
    assert sorted(job.subject for job in served.jobs() if job.state == "ready") == [STUDY, OTHER]
