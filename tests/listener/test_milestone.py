from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ledger_parts import STUDY, Clock, instance, leased, record

from listener.ledger import Ledger
from listener.milestone import PLACED, Milestone, Placement
from listener.receipt import InstanceState

UID = "1.2.3.4"


def told(ledger: Ledger) -> list[tuple[int, str, str]]:
    return [(step.version, step.kind, step.index) for step in ledger.milestones(STUDY)]


def test_a_place_in_an_index_is_dated_and_a_later_one_takes_its_place(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    ledger.indices.mark_indexed(STUDY, 1, "one", [Placement(UID, 1, {"used_as": "exam"})])
    clock.move(60)
    ledger.indices.mark_indexed(STUDY, 1, "one", [Placement(UID, 1, {"reason": "a later look"})])
    (step,) = ledger.milestones(STUDY)
    assert step == Milestone(UID, 1, PLACED, "one", clock.now, {"reason": "a later look"})


def test_every_index_has_places_of_its_own(ledger: Ledger) -> None:
    record(ledger)
    ledger.indices.mark_indexed(STUDY, 1, "one", [Placement(UID, 1)])
    ledger.indices.mark_covered("two", STUDY, 1, [Placement(UID, 1)])
    assert told(ledger) == [(1, PLACED, "one"), (1, PLACED, "two")]
    ledger.indices.forget("one")
    assert told(ledger) == [(1, PLACED, "two")]


def test_what_instances_are_to_an_index_is_counted(ledger: Ledger) -> None:
    record(ledger)
    of_study = [Placement(UID, 1, {"side": "left", "used_as": "exam"}), Placement(UID, 2)]
    ledger.indices.mark_indexed(STUDY, 1, "one", of_study)
    ledger.indices.note_placements("one", [Placement("1.2.3.5", 1, {"used_as": "report"})])
    assert ledger.count_placed("one", {"used_as": "exam"}) == 1
    assert ledger.count_placed("one", {"used_as": "report"}) == 1
    assert ledger.count_placed("one", {"used_as": "exa%"}) == 0
    assert ledger.count_placed("two", {"used_as": "exam"}) == 0


def test_where_another_index_serves_by_now_the_place_is_noted_for_its_own(ledger: Ledger) -> None:
    record(ledger)
    ledger.indices.serve("two")
    ledger.indices.mark_indexed(STUDY, 1, "one", [Placement(UID, 1)])
    assert told(ledger) == [(1, PLACED, "one")]


def test_it_is_dated_when_an_instance_is_superseded_set_aside_or_lost(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    record(ledger)
    clock.move(60)
    record(ledger, instance(digest="b"))
    clock.move(60)
    ledger.quarantine(UID, "its identity changed")
    clock.move(60)
    record(ledger, instance("1.2.3.5", path=tmp_path / "gone.dcm"))
    ledger.mark_lost(tmp_path / "gone.dcm")
    ledger.mark_lost(tmp_path / "gone.dcm")  # lost already: nothing new
    steps = [(s.sop_instance_uid, s.version, s.kind, s.at) for s in ledger.milestones(STUDY)]
    began = clock.now - timedelta(minutes=3)
    assert steps == [
        (UID, 1, "superseded", began + timedelta(minutes=1)),
        (UID, 2, "quarantined", began + timedelta(minutes=2)),
        ("1.2.3.5", 1, "lost", began + timedelta(minutes=3)),
    ]


def test_it_is_dated_when_retention_deletes_a_file(ledger: Ledger, clock: Clock) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.finish(leased(ledger))
    clock.move(86400 * 10)
    assert ledger.expire(timedelta(days=9)) == 1
    (step,) = ledger.milestones(STUDY)
    assert (step.kind, step.at) == ("expired", clock.now)


def test_other_studies_have_milestones_of_their_own(ledger: Ledger) -> None:
    record(ledger)
    record(ledger, instance("1.2.9.1", study="1.2.9"))
    ledger.indices.note_placements("one", [Placement("1.2.9.1", 1)])
    assert ledger.milestones(STUDY) == ()
    assert len(ledger.milestones("1.2.9")) == 1


def test_a_uid_names_an_instance_a_series_or_a_study(ledger: Ledger) -> None:
    record(ledger)
    record(ledger, instance("1.2.3.5"))
    named = {uid: len(ledger.receipts_of(uid)) for uid in (UID, "1.2.3.9", STUDY, "1.2.99")}
    assert named == {UID: 1, "1.2.3.9": 2, STUDY: 2, "1.2.99": 0}


def test_the_studies_that_were_received_within_a_time_are_listed_by_state(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    clock.move(3600)
    record(ledger, instance("1.2.4.1", study="1.2.4"))
    record(ledger, instance("1.2.4.2", study="1.2.4"))
    record(ledger, instance("1.2.5.1", study="1.2.5"))
    ledger.quarantine("1.2.5.1", "its identity changed")
    stored = [InstanceState.STORED]
    assert ledger.studies_received(timedelta(minutes=30), stored) == ("1.2.4",)
    assert ledger.studies_received(timedelta(hours=2), stored) == (STUDY, "1.2.4")
