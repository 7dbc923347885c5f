"""Reports in the audit trail: what came by HL7 and by the drop folder, and what was refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit_parts import (
    ALERT,
    IMPORTED,
    REPORTED,
    STARTS,
    STOPS,
    TRANSFERRED,
    audit_file,
    classes,
    details,
    ended,
    kind,
    objects,
    participants,
    trail,
)
from lxml import etree
from oru import TEXT, Sender, code, deliver, oru
from pynetdicom.sop_class import ComputedRadiographyImageStorage
from station import LOOPBACK, SITE_KEY, Station, eventually, radiograph, station

from listener.instance import keyed_hash
from listener.report_settings import DropFolderSettings, Hl7Settings

STUDY = "1.2.3"


def hl7(**changes: Any) -> Hl7Settings:
    given: dict[str, Any] = {"enabled": True, "port": 0, "addresses": ("127.0.0.1/32",)}
    return Hl7Settings(**(given | changes))


@contextmanager
def audited(folder: Path, **changes: Any) -> Iterator[Station]:
    """Run a station with HL7 whose audit trail is one file."""
    given = {"hl7": hl7(), "audit": audit_file(folder / "audit.xml")}
    with station(folder, **(given | changes)) as link:
        yield link


def port(link: Station) -> int:
    address = link.listener.hl7_address
    assert address is not None
    return address[1]


def told(folder: Path, *kinds: tuple[str, str]) -> list[etree._Element]:
    """Return the messages of these kinds, once the station has stopped."""
    return [message for message in trail(folder / "audit.xml") if kind(message) in kinds]


def key(patient: str) -> str:
    return keyed_hash(SITE_KEY, b"patient", patient, "")


def test_a_report_is_told_with_its_sender_study_and_patient(tmp_path: Path) -> None:
    with audited(tmp_path) as link:
        assert deliver(port(link), oru(TEXT, study=STUDY, patient="A")) == ["AA"]
        (row,) = link.ledger.reports()
    (message,) = told(tmp_path, REPORTED)
    assert participants(message)["110153"] == ("HOSPITAL|RIS", LOOPBACK, True)
    assert (objects(message, "110180"), objects(message, "2")) == ([STUDY], [key("A")])
    assert details(message) == {"Message": row.message_key[:12]}
    assert ended(message) == ("C", "0", "")


def test_versions_of_a_report_are_told_apart(tmp_path: Path) -> None:
    addendum = "OBX|1|TX|&ADT||More.||||||F"
    with audited(tmp_path) as link:
        messages = [
            oru(TEXT, control_id="1", study=STUDY),
            oru(TEXT, control_id="2", study=STUDY, status="C"),
            oru(addendum, control_id="3", study=STUDY),
            oru(control_id="4", study=STUDY, status="X"),
            oru(TEXT, control_id="1", study=STUDY),
        ]
        assert deliver(port(link), *messages) == ["AA"] * 5
    assert [ended(m) for m in told(tmp_path, REPORTED)] == [
        ("C", "0", ""),
        ("U", "0", ""),
        ("U", "0", ""),
        ("D", "0", ""),
        ("R", "0", "known already"),
    ]


def test_a_message_on_two_patients_is_told_of_each(tmp_path: Path) -> None:
    more = ("PID|2||B||Other^Olga", "OBR|2|P2|F2|||||||||||||||||||||F", "OBX|1|TX|1||No.||||||F")
    with audited(tmp_path) as link:
        assert deliver(port(link), oru(TEXT, patient="A", more=more)) == ["AA"]
    assert [objects(m, "2") for m in told(tmp_path, REPORTED)] == [[key("A")], [key("B")]]


def test_a_report_on_a_study_of_another_patient_is_told_as_a_failure(tmp_path: Path) -> None:
    with audited(tmp_path) as link:
        link.send(radiograph(study=STUDY, patient="A"))
        deliver(port(link), oru(TEXT, study=STUDY, patient="B"))
    (message,) = told(tmp_path, REPORTED)
    assert ended(message) == ("C", "4", "kept apart: its study is another patient's")
    assert objects(message, "2") == [key("B")]


def test_a_report_that_is_refused_is_told_with_the_reason_and_what_repeats_itself_in_its_number(
    tmp_path: Path,
) -> None:
    with audited(tmp_path) as link:
        bad = [oru(TEXT, processing_id="T", control_id=str(n)) for n in range(5)]
        assert deliver(port(link), *bad) == ["AR"] * 5
        assert deliver(port(link), b"no message at all") == ["AE"]
    first, without_a_name, rest = told(tmp_path, REPORTED)
    for message in (first, rest):
        assert participants(message)["110153"] == ("HOSPITAL|RIS", LOOPBACK, True)
        assert objects(message, "2") == ["unknown"]
    assert ended(first)[:2] == ("C", "4")
    assert "MSH-11" in ended(first)[2]
    assert "more" not in ended(first)[2]
    assert ended(rest)[2].endswith("; 4 more in a minute")
    assert participants(without_a_name)["110153"] == (LOOPBACK, LOOPBACK, True)


def test_a_connection_that_is_refused_is_an_alert(tmp_path: Path) -> None:
    with (
        audited(tmp_path, hl7=hl7(addresses=("192.0.2.0/24",))) as link,
        socket.create_connection((LOOPBACK, port(link)), 5) as connection,
    ):
        assert connection.recv(1) == b""
    (alert,) = told(tmp_path, ALERT)
    assert details(alert) == {"Alert Description": "HL7: it is not among hl7.addresses"}
    assert objects(alert, "110182") == [LOOPBACK]


def test_a_message_that_breaks_a_bound_is_told(tmp_path: Path) -> None:
    with audited(tmp_path, hl7=hl7(max_message_bytes=1024)) as link, Sender(port(link)) as sender:
        assert code(sender.send(oru("A" * 4096))) == ""
    (message,) = told(tmp_path, REPORTED)
    assert ended(message)[:2] == ("C", "4")


def test_what_lies_in_the_drop_folder_is_imported(tmp_path: Path) -> None:
    drop = DropFolderSettings(path=tmp_path / "drop", settle_seconds=0, poll_seconds=0.02)
    with audited(tmp_path / "state", drop_folder=drop):
        head = f"StudyInstanceUID: {STUDY}\nPatientID: A\n\n"
        (tmp_path / "drop" / "1.txt").write_text(head + "Normal.")
        (tmp_path / "drop" / "2.hl7").write_bytes(oru(TEXT, study=STUDY, patient="B"))
        image = radiograph(study=STUDY, patient="A")
        image.save_as(tmp_path / "3", enforce_file_format=True)
        (tmp_path / "3").rename(tmp_path / "drop" / "3.dcm")
        done = tmp_path / "drop" / "done"
        assert eventually(lambda: len(list(done.iterdir())) == 3)
    messages = told(tmp_path / "state", IMPORTED)
    by_patient = {objects(m, "2")[0]: m for m in messages if not classes(m)}
    assert by_patient.keys() == {key("A"), key("B")}
    (dicom,) = (m for m in messages if classes(m))
    assert classes(dicom) == {ComputedRadiographyImageStorage: 1}
    for message in messages:
        assert ended(message)[0] == "C"
        assert objects(message, "110180") == [STUDY]
        assert participants(message)["110155"][0] == (tmp_path / "drop").as_uri()
    others = {kind(m) for m in trail(tmp_path / "state" / "audit.xml")} - {IMPORTED}
    assert others == {STARTS, STOPS}


def test_a_file_that_cannot_be_used_is_told_once_with_the_reason_and_without_its_name(
    tmp_path: Path,
) -> None:
    drop = DropFolderSettings(path=tmp_path / "drop", settle_seconds=0, poll_seconds=0.02)
    with audited(tmp_path / "state", drop_folder=drop, max_object_bytes=4096):
        (tmp_path / "drop" / "SECRET.txt").write_text("no head")
        image = radiograph(side=100)
        image.save_as(tmp_path / "large", enforce_file_format=True)
        (tmp_path / "large").rename(tmp_path / "drop" / "SECRET.dcm")
        failed = tmp_path / "drop" / "failed"
        assert eventually(lambda: len(list(failed.glob("*.reason"))) == 2)
    messages = told(tmp_path / "state", IMPORTED, TRANSFERRED)
    assert [ended(m)[:2] for m in messages] == [("C", "4")] * 2
    assert sorted("0xA700" in ended(m)[2] for m in messages) == [False, True]
    assert "SECRET" not in (tmp_path / "state" / "audit.xml").read_text()


def test_no_message_holds_a_word_of_a_report_or_its_patient(tmp_path: Path) -> None:
    planted: dict[str, Any] = {
        "patient": "PLANTED-ID",
        "accession": "PLANTED-ACC",
        "order": "PLANTED-ORDER",
    }
    drop = DropFolderSettings(path=tmp_path / "drop", settle_seconds=0, poll_seconds=0.02)
    with audited(tmp_path / "state", drop_folder=drop) as link:
        deliver(port(link), oru(TEXT, study=STUDY, **planted))
        deliver(port(link), oru(TEXT, control_id="PLANTED-ACC", processing_id="T", **planted))
        (tmp_path / "drop" / "PLANTED-ID.hl7").write_bytes(
            oru(TEXT, control_id="PLANTED-ACC-3", **planted)
        )
        done = tmp_path / "drop" / "done"
        assert eventually(lambda: list(done.iterdir()))
    assert len(told(tmp_path / "state", REPORTED, IMPORTED)) == 3
    xml = (tmp_path / "state" / "audit.xml").read_text()
    assert not any(word in xml for word in ("PLANTED", "Ines", "Buckle"))
