"""The audit trail as a hospital gets it: a running receiver, real files and sockets."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from audit_parts import (
    ACCESSED,
    ALERT,
    BEGIN,
    EXPORTED,
    STARTS,
    STOPS,
    TRANSFERRED,
    audit_file,
    classes,
    details,
    ended,
    kind,
    objects,
    parsed,
    participants,
    trail,
)
from certificates import Authority
from collector import UdpCollector
from lxml import etree
from pydicom.uid import generate_uid
from pynetdicom.sop_class import ComputedRadiographyImageStorage, SecondaryCaptureImageStorage
from station import (
    LOOPBACK,
    SITE_KEY,
    Station,
    eventually,
    listener_threads,
    radiograph,
    secondary_capture,
    settings,
    station,
)

from listener.audit import Audit
from listener.audit_settings import AuditDestinationSettings, AuditSettings
from listener.audit_spool import AuditSpool
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError
from listener.instance import keyed_hash
from listener.sender import send

PLANTED = ("Invented", "Ines", "PLANTED-ID-4711", "PLANTED-ISSUER", "PLANTED-ACC", "20240101")
THERE = DestinationSettings(name="pacs", ae_title="ARCHIVE", host="192.0.2.7", port=104)


def planted(**given: Any) -> Any:
    """Return an object of a patient whose identifiers must not turn up anywhere."""
    ds = radiograph(patient="PLANTED-ID-4711", issuer="PLANTED-ISSUER", **given)
    ds.AccessionNumber = "PLANTED-ACC"
    return ds


@contextmanager
def audited(folder: Path, **changes: Any) -> Iterator[Station]:
    """Run a station whose audit trail is one file."""
    with station(folder, audit=audit_file(folder / "audit.xml"), **changes) as link:
        yield link


def audit_of(folder: Path) -> Audit:
    """Return an audit trail that is one file, without a receiver."""
    return Audit(settings(folder, audit=audit_file(folder / "audit.xml")), site_key=SITE_KEY)


def told(folder: Path, *kinds: tuple[str, str]) -> list[etree._Element]:
    """Return the messages of these kinds, in their order, once the station has stopped."""
    return [message for message in trail(folder / "audit.xml") if kind(message) in kinds]


def key(patient: str, issuer: str = "") -> str:
    return keyed_hash(SITE_KEY, b"patient", patient, issuer)


# -- what is told -------------------------------------------------------------------------


def test_start_and_stop_are_the_first_and_the_last_message(tmp_path: Path) -> None:
    with audited(tmp_path):
        pass
    messages = trail(tmp_path / "audit.xml")
    assert [kind(message) for message in messages] == [STARTS, STOPS]
    (application,) = messages[0].findall("ActiveParticipant")
    assert application.get("AlternativeUserID") == "AETITLES=WRISTMIR;WRISTMIR_Q_DR"


def test_each_study_of_an_association_has_a_beginning_and_an_end_with_its_numbers(
    tmp_path: Path,
) -> None:
    one, two = generate_uid(), generate_uid()
    with audited(tmp_path) as link:
        link.send(
            radiograph(study=one, patient="A"),
            radiograph(study=one, patient="A", seed=1),
            radiograph(study=two, patient="B"),
        )
    begun, over = told(tmp_path, BEGIN), told(tmp_path, TRANSFERRED)
    assert [objects(m, "110180") for m in begun] == [[one], [two]]
    assert [objects(m, "110180") for m in over] == [[one], [two]]
    assert [objects(m, "2") for m in over] == [[key("A")], [key("B")]]
    assert [classes(m) for m in over] == [
        {ComputedRadiographyImageStorage: 2},
        {ComputedRadiographyImageStorage: 1},
    ]
    assert [ended(m) for m in over] == [("C", "0", "")] * 2
    assert participants(over[0])["110153"] == ("PACS", LOOPBACK, True)


def test_what_was_known_changed_or_of_no_use_is_told_apart(tmp_path: Path) -> None:
    first = radiograph(patient="A")
    changed = radiograph(
        patient="A", study=first.StudyInstanceUID, instance=first.SOPInstanceUID, seed=9
    )
    changed.SeriesInstanceUID = first.SeriesInstanceUID
    other = radiograph(patient="B", study=first.StudyInstanceUID, instance=first.SOPInstanceUID)
    with audited(tmp_path) as link:
        link.send(first)
        link.send(first)
        link.send(changed)
        link.send(other)
        link.send(secondary_capture(patient="A", study=first.StudyInstanceUID))
    over = told(tmp_path, TRANSFERRED)
    assert [ended(m) for m in over] == [
        ("C", "0", ""),
        ("R", "0", ""),
        ("U", "0", ""),
        ("C", "4", "kept apart: patient or study identity changed"),
        ("C", "0", "not kept: of no use here"),
    ]
    assert [objects(m, "2") for m in over[2:]] == [[key("A")], [key("B")], [key("A")]]
    assert classes(over[-1]) == {SecondaryCaptureImageStorage: 1}


def test_refused_instances_are_told_with_their_status(tmp_path: Path) -> None:
    with audited(tmp_path, max_object_bytes=4096) as link:
        statuses = link.send(radiograph(side=100), radiograph(side=100, seed=1), radiograph())
    assert statuses == [0xA700, 0xA700, 0x0000]
    refused, kept = sorted(told(tmp_path, TRANSFERRED), key=lambda m: ended(m)[1], reverse=True)
    assert ended(refused) == ("C", "4", "refused with status 0xA700")
    assert classes(refused) == {ComputedRadiographyImageStorage: 2}
    assert objects(refused, "110180") == ["unknown"]
    assert classes(kept) == {ComputedRadiographyImageStorage: 1}


def test_a_refused_association_is_an_alert_with_title_address_and_reason(tmp_path: Path) -> None:
    with audited(tmp_path) as link:
        assert link.associate(calling="NOBODY").is_rejected
        assert link.associate(called="STORESCP").is_rejected
    first, second = told(tmp_path, ALERT)
    assert details(first) == {
        "Alert Description": "calling AE title not recognised at this address"
    }
    assert objects(first, "110182") == [LOOPBACK]
    assert [p.get("UserID") for p in first.findall("ActiveParticipant")][1] == "NOBODY"
    assert details(second) == {"Alert Description": "called AE title not recognised"}


def test_what_came_over_tls_was_encrypted_and_who_cannot_speak_it_is_an_alert(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "tls")
    shown = authority.issue("pacs", "pacs.invalid")
    file = tmp_path / "one.dcm"
    radiograph().save_as(file, enforce_file_format=True)
    tls = authority.settings(authority.issue("receiver", "localhost", LOOPBACK))
    with audited(tmp_path, tls=tls) as link:
        address = link.listener.tls_address
        assert address is not None
        there = DestinationSettings(
            name="plugin",
            ae_title="WRISTMIR",
            host=LOOPBACK,
            port=address[1],
            tls=True,
            authorities=authority.file,
            certificate=shown.certificate,
            private_key=shown.private_key,
        )
        send(there, [file], "PACS")
        with socket.create_connection(address, timeout=5) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while plain.recv(100):
                pass
        link.send(radiograph())
    over = told(tmp_path, TRANSFERRED)
    assert [m.findtext(".//Encrypted") for m in over] == ["true", "false"]
    (alert,) = told(tmp_path, ALERT)
    assert details(alert) == {"Alert Description": "TLS: it does not speak TLS"}
    assert objects(alert, "110182") == [LOOPBACK]


def test_who_knocks_again_and_again_does_not_fill_the_trail(tmp_path: Path) -> None:
    with audited(tmp_path) as link:
        for _ in range(8):
            assert link.associate(calling="NOBODY").is_rejected
    first, rest = told(tmp_path, ALERT)
    assert "more" not in details(first)["Alert Description"]
    assert details(rest)["Alert Description"].endswith("; 7 more in a minute")


def test_a_cut_association_is_told_like_any_other(tmp_path: Path) -> None:
    with audited(tmp_path) as link:
        association = link.associate(ComputedRadiographyImageStorage)
        assert association.send_c_store(radiograph()).Status == 0x0000
        association.abort()
        assert eventually(lambda: len(told(tmp_path, TRANSFERRED)) == 1)


def test_who_only_asks_whether_it_lives_is_no_event(tmp_path: Path) -> None:
    with audited(tmp_path) as link:
        link.listener.probe()
        association = link.associate()
        association.send_c_echo()
        association.release()
    assert [kind(m) for m in trail(tmp_path / "audit.xml")] == [STARTS, STOPS]


def test_no_message_names_a_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = planted()
    other = radiograph(
        patient="PLANTED-ID-4712", study=first.StudyInstanceUID, instance=first.SOPInstanceUID
    )
    file = tmp_path / "sent.dcm"
    first.save_as(file, enforce_file_format=True)
    with audited(tmp_path, max_object_bytes=4096) as link:
        link.send(first, other, planted(side=100), planted(sop_class=SecondaryCaptureImageStorage))
    with Audit(
        settings(tmp_path, audit=audit_file(tmp_path / "audit.xml")), site_key=SITE_KEY
    ) as it:
        with it.sending(THERE, [file], "WRISTMIR"):
            pass
        with it.exporting(THERE, [file], "WRISTMIR"):
            pass
        it.looked_up("2.25.1", first.StudyInstanceUID, key("PLANTED-ID-4711", "PLANTED-ISSUER"))
    xml = (tmp_path / "audit.xml").read_text()
    assert len(xml.splitlines()) >= 12
    spooled = b"".join(f.read_bytes() for f in (tmp_path / "audit").iterdir())
    for word in PLANTED:
        assert word not in xml
        assert word.encode() not in spooled
        assert word not in caplog.text
    assert key("PLANTED-ID-4711", "PLANTED-ISSUER") in xml


def test_what_is_sent_has_a_beginning_and_an_end(tmp_path: Path) -> None:
    files = []
    for n, study in enumerate(("1.2.3", "1.2.3", "1.2.4")):
        files.append(tmp_path / f"{n}.dcm")
        radiograph(study=study, patient="A").save_as(files[-1], enforce_file_format=True)
    with audit_of(tmp_path) as audit, audit.sending(THERE, files, "WRISTMIR"):
        pass
    begun, over = told(tmp_path, BEGIN), told(tmp_path, TRANSFERRED)
    assert [(objects(m, "110180"), classes(m)) for m in begun] == [
        (["1.2.3"], {ComputedRadiographyImageStorage: 2}),
        (["1.2.4"], {ComputedRadiographyImageStorage: 1}),
    ]
    assert [ended(m) for m in over] == [("R", "0", "")] * 2
    assert participants(over[0])["110152"] == ("ARCHIVE", "192.0.2.7", False)
    assert objects(over[0], "2") == [key("A")]


def test_what_could_not_be_sent_is_told_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "one.dcm"
    radiograph().save_as(file, enforce_file_format=True)
    failure = DeliveryError("Destination pacs did not answer.")
    with audit_of(tmp_path) as audit:
        for told_of in (audit.sending, audit.exporting):
            with pytest.raises(DeliveryError), told_of(THERE, [file], "WRISTMIR"):
                raise failure
        with pytest.raises(ZeroDivisionError), audit.sending(THERE, [file], "WRISTMIR"):
            raise ZeroDivisionError
    failed = [ended(m) for m in told(tmp_path, TRANSFERRED, EXPORTED)]
    assert [indicator for _, indicator, _ in failed] == ["8", "8", "8"]
    assert failed[0][2].endswith("Destination pacs did not answer.")
    assert failed[2][2] == "interrupted"


def test_a_look_up_is_told_found_or_not(tmp_path: Path) -> None:
    with audit_of(tmp_path) as audit:
        audit.looked_up("2.25.1", "1.2.3", key("A"))
        audit.looked_up("2.25.2", None, "")
    found, lost = told(tmp_path, ACCESSED)
    assert (objects(found, "110180"), objects(found, "2")) == (["1.2.3"], [key("A")])
    assert (objects(lost, "110180"), ended(lost)[1]) == (["unknown"], "4")


# -- what is promised ---------------------------------------------------------------------


def test_without_a_destination_nothing_is_kept(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        link.send(radiograph())
        assert "audit" not in listener_threads()
    assert not (tmp_path / "audit").exists()


@pytest.mark.slow
def test_reception_goes_on_while_a_destination_is_down_and_all_comes_when_it_is_back(
    tmp_path: Path,
) -> None:
    later = tmp_path / "later"
    with station(tmp_path, audit=audit_file(later / "audit.xml")) as link:
        assert link.send(radiograph(), radiograph()) == [0x0000, 0x0000]
        path = link.settings.audit_spool
        assert eventually(lambda: AuditSpool.backlogs(path)[0].waiting == 5)
        later.mkdir()
        assert eventually((later / "audit.xml").exists, 10)
    kinds = [kind(m) for m in trail(later / "audit.xml")]
    assert kinds == [STARTS, BEGIN, BEGIN, TRANSFERRED, TRANSFERRED, STOPS]


def test_several_destinations_get_every_message(tmp_path: Path) -> None:
    with UdpCollector() as there:
        destinations = (
            AuditDestinationSettings(name="file", kind="file", path=tmp_path / "audit.xml"),
            AuditDestinationSettings(name="net", kind="udp", host=LOOPBACK, port=there.port),
        )
        with station(tmp_path, audit=AuditSettings(destinations=destinations)) as link:
            link.send(radiograph())
        assert eventually(lambda: len(there.received) == 4)
    lines = (tmp_path / "audit.xml").read_text().splitlines()
    assert [one.xml for one in there.received] == lines
    assert [one.number for one in there.received] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_spool_that_cannot_be_written_holds_up_nobody_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with audited(tmp_path) as link:
        with closing(sqlite3.connect(link.settings.audit_spool)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            assert link.send(radiograph(), radiograph()) == [0x0000, 0x0000]
            assert time.monotonic() - begun < 2
            other.execute("ROLLBACK")
        assert eventually(lambda: len(told(tmp_path, TRANSFERRED)) == 2, 10)
    kinds = [kind(m) for m in trail(tmp_path / "audit.xml")]
    assert kinds == [STARTS, BEGIN, BEGIN, TRANSFERRED, TRANSFERRED, STOPS]
    assert "wait in memory" in caplog.text


@pytest.mark.slow
def test_whoever_begins_or_ends_waits_for_a_spool_that_another_process_has_in_hand(
    tmp_path: Path,
) -> None:
    with audit_of(tmp_path):
        pass
    (tmp_path / "audit.xml").unlink()
    chosen = settings(tmp_path, audit=audit_file(tmp_path / "audit.xml"))
    other = sqlite3.connect(chosen.audit_spool, check_same_thread=False)

    def hold() -> None:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, other.rollback).start()

    with closing(other):
        hold()
        with Audit(chosen, site_key=SITE_KEY, tells_of_life=False) as audit:
            hold()
            audit.looked_up("2.25.1", "1.2.3", "")
    assert [kind(m) for m in trail(tmp_path / "audit.xml")] == [ACCESSED]


_WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from audit_parts import audit_file
from station import SITE_KEY, settings
from listener.audit import Audit
folder = Path(sys.argv[1])
with Audit(settings(folder, audit=audit_file(folder / "audit.xml")), site_key=SITE_KEY) as audit:
    number = 0
    while True:
        audit.looked_up(f"2.25.{number}", "1.2.3", "")
        print(number, flush=True)
        number += 1
"""


@pytest.mark.slow
def test_what_was_told_outlives_a_kill(tmp_path: Path) -> None:
    here = Path(__file__).parent
    expected = 0
    for moment in (0.2, 0.05, 0.4):
        command = [sys.executable, "-W", "error", "-c", _WRITER, str(tmp_path), str(here)]
        process = subprocess.Popen(
            [*command, str(here.parent)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        expected += 1 + said.count("\n")
    with audit_of(tmp_path):
        path = settings(tmp_path).audit_spool
        assert eventually(lambda: AuditSpool.backlogs(path)[0].waiting == 0, 20)
    runs: list[list[int]] = []
    for line in dict.fromkeys((tmp_path / "audit.xml").read_text().splitlines()):
        message = parsed(line)
        if kind(message) == STARTS:
            runs.append([])
        elif kind(message) == ACCESSED:
            runs[-1].append(int(details(message)["Library Copy"].removeprefix("2.25.")))
    assert all(run == list(range(len(run))) for run in runs), "missing, or out of order"
    # the last of each run may have been told and not been said any more
    assert expected <= sum(map(len, runs)) <= expected + 3


@pytest.mark.slow
def test_a_destination_that_is_never_there_costs_no_more_than_its_bound(tmp_path: Path) -> None:
    chosen = audit_file(tmp_path / "never" / "audit.xml", max_waiting=100)
    with Audit(settings(tmp_path, audit=chosen), site_key=SITE_KEY) as audit:
        for n in range(5000):
            audit.looked_up(f"2.25.{n}", "1.2.3", "")
    (backlog,) = AuditSpool.backlogs(settings(tmp_path).audit_spool)
    assert (backlog.waiting, backlog.dropped) == (100, 5002 - 100)
    size = sum(file.stat().st_size for file in (tmp_path / "audit").iterdir())
    assert size < 40 << 20
