from __future__ import annotations

from dataclasses import replace

from listener.audit_event import End, Peer, StudyPart
from listener.header import Header
from listener.receipt import Outcome
from listener.reception import Reception, Receptions

CR = "1.2.840.10008.5.1.4.1.1.1"
HEADER = Header(CR, "1.2.3.4.5", "1.2.3", "1.2.3.4", b"A", b"")


class Trail:
    """Notes what is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[tuple[StudyPart, End]] = []
        self.reception = Reception(
            Receptions(
                patient_key=lambda header: header.patient_id.decode(),
                began=lambda peer, title, part: self.begun.append(part.study_uid),
                ended=lambda peer, title, part, end: self.ended.append((part, end)),
            ),
            Peer("PACS", "192.0.2.1"),
            "WRISTMIR",
        )

    def take(self, header: Header, outcome: Outcome = Outcome.NEW) -> None:
        self.reception.begins(header)
        self.reception.took(header, outcome)


def test_an_association_with_very_many_studies_is_told_in_parts() -> None:
    trail = Trail()
    for n in range(450):
        trail.take(replace(HEADER, study_uid=f"1.2.{n}"))
    assert len(trail.ended) == 400
    trail.reception.end()
    assert [part.study_uid for part, _ in trail.ended] == trail.begun
    assert len(trail.begun) == 450


def test_each_way_that_an_instance_can_end_is_a_part_of_its_own() -> None:
    trail = Trail()
    for outcome in Outcome:
        trail.take(HEADER, outcome)
    trail.reception.end()
    assert len(trail.ended) == len(Outcome)
    assert trail.begun == ["1.2.3"]


def test_two_patients_under_one_study_are_told_apart() -> None:
    trail = Trail()
    trail.take(HEADER)
    trail.take(replace(HEADER, patient_id=b"B"), Outcome.QUARANTINED)
    trail.reception.end()
    assert [part.patient_key for part, _ in trail.ended] == ["A", "B"]


def test_classes_that_a_peer_makes_up_are_counted_together() -> None:
    trail = Trail()
    for n in range(300):
        trail.reception.refused(f"1.2.3.{n}", 0x0122)
    trail.reception.refused("<no> UID", 0x0122)
    trail.reception.end()
    ((part, end),) = trail.ended
    assert part.by_class is not None
    assert len(part.by_class) == 131
    assert sum(part.by_class.values()) == 301
    assert part.by_class[""] == 171
    assert end.words == "refused with status 0x0122"


def test_a_header_that_could_not_be_read_is_of_nobody_known() -> None:
    trail = Trail()
    trail.take(replace(HEADER, study_uid="", patient_id=b""), Outcome.FILTERED)
    trail.reception.end()
    ((part, _),) = trail.ended
    assert trail.begun == []
    assert (part.study_uid, part.patient_key) == ("unknown", "unknown")


def test_nothing_is_told_of_an_association_that_stored_nothing() -> None:
    trail = Trail()
    trail.reception.end()
    trail.reception.end()
    assert trail.ended == []
