"""Reports by HL7, on their whole way to findings, and what `wristmir reports` lists of them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from oru import deliver, oru
from plugin import STUDIES, Plugin, free_port, plugin
from pydicom import dcmread
from pydicom.uid import generate_uid

from deploy.cli import main
from deploy.doctor import examine
from deploy.settings import load, site_key
from listener.ledger import Ledger
from listener.linkage import LinkState
from listener.report_desk import ReportDesk
from listener.report_settings import Hl7Settings
from listener.report_shelf import Form, ReportShelf
from pipeline.exam import Exam
from pipeline.region import Region

IMAGE = STUDIES / "TEST-0001-1" / "image-1.dcm"
BROKEN = "Left wrist. There is a secretword buckle fracture of the distal radius."
WHOLE = "Left wrist. No fracture. The distal radius is intact."
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    with plugin(tmp_path_factory.mktemp("plugin")) as it:
        yield it


class Wrist:
    """One invented study: a real wrist under identifiers of its own."""

    def __init__(self, running: Plugin, folder: Path) -> None:
        self._running = running
        ds = dcmread(IMAGE)
        ds.StudyInstanceUID = self.study = generate_uid()
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.PatientID = self.patient = f"SECRET-{self.study[-12:]}"
        ds.AccessionNumber = self.accession = f"A{self.study[-12:]}"
        self._file = folder / "wrist.dcm"
        ds.save_as(self._file)
        self._sent = 0

    def arrives(self) -> None:
        """Let the PACS send the study, and the plugin work."""
        self._running.send([self._file])
        self._running.settle()

    def told(self, *texts: str, **changes: str) -> None:
        """Let the RIS send a report, each with a number and a time of its own, and work."""
        self._sent += 1
        given = {
            "study": self.study,
            "patient": self.patient,
            "accession": self.accession,
            "order": self.accession,
            "control_id": f"{self.accession}-{self._sent}",
            "changed": f"2024010112{self._sent:02}00",
        }
        message = oru(*texts, **(given | changes))  # type: ignore[arg-type]
        assert deliver(self._running.hl7_port, message) == ["AA"]
        self._running.settle()

    @property
    def exam(self) -> Exam:
        (exam,) = self._running.index.exams(self.study)
        return exam

    @property
    def radius(self) -> str | None:
        """What is known of the distal radius; None where no report is."""
        exam = self.exam
        return exam.findings[Region.DISTAL_RADIUS].fracture if exam.findings_known else None


@pytest.fixture
def wrist(running: Plugin, tmp_path: Path) -> Wrist:
    return Wrist(running, tmp_path)


@slow
def test_a_late_report_gives_its_exam_findings(wrist: Wrist) -> None:
    wrist.arrives()
    assert wrist.radius is None
    wrist.told(BROKEN)
    assert wrist.radius == "present"
    assert wrist.exam.findings[Region.DISTAL_RADIUS].type == "buckle"


@slow
def test_a_report_before_its_study_waits_and_is_read_with_it(running: Plugin, wrist: Wrist) -> None:
    wrist.told(BROKEN)
    assert [row.state for row in running.ledger.reports(limit=1)] == [LinkState.WAITING]
    wrist.arrives()
    assert wrist.radius == "present"


@slow
def test_a_report_without_a_study_uid_is_linked_by_accession_number_and_patient(
    wrist: Wrist,
) -> None:
    wrist.arrives()
    wrist.told(BROKEN, study="", patient="SOMEBODY-ELSE")
    assert wrist.radius is None
    wrist.told(BROKEN, study="")
    assert wrist.radius == "present"


@slow
def test_a_report_of_another_patient_is_not_merged(running: Plugin, wrist: Wrist) -> None:
    wrist.arrives()
    wrist.told(BROKEN, patient="SOMEBODY-ELSE")
    assert wrist.radius is None
    (row, *_) = running.ledger.reports([LinkState.QUARANTINED])
    assert row.study_uid == wrist.study


@slow
def test_preliminary_final_corrected_and_cancelled_reports_follow_each_other(
    running: Plugin, wrist: Wrist
) -> None:
    wrist.arrives()
    wrist.told(BROKEN, status="P")
    assert wrist.radius == "present"
    wrist.told(WHOLE, status="F")
    assert wrist.radius == "absent"
    wrist.told(BROKEN, status="P")  # late, and of less weight
    assert wrist.radius == "absent"
    wrist.told(BROKEN, status="C")
    assert wrist.radius == "present"
    wrist.told(status="X")
    assert wrist.radius is None
    assert running.worker.indexer._records.of(wrist.study) is None


@slow
def test_an_addendum_adds(wrist: Wrist) -> None:
    wrist.arrives()
    wrist.told(WHOLE)
    wrist.told("OBX|1|TX|&ADT||There is a buckle fracture of the distal ulna.||||||F")
    assert wrist.radius == "absent"
    assert wrist.exam.findings[Region.DISTAL_ULNA].fracture == "present"


@slow
def test_two_orders_of_one_study_have_a_report_each(
    running: Plugin, wrist: Wrist, tmp_path: Path
) -> None:
    other = dcmread(tmp_path / "wrist.dcm")
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.ImageLaterality = "R"
    other.save_as(tmp_path / "right.dcm")
    running.send([tmp_path / "right.dcm"])
    wrist.arrives()

    def radii() -> dict[str, str]:
        exams = running.index.exams(wrist.study)
        return {e.laterality.value: e.findings[Region.DISTAL_RADIUS].fracture for e in exams}

    wrist.told(BROKEN, order="F1")
    assert radii() == {"left": "present", "right": "not_mentioned"}
    wrist.told("Right wrist. No fracture.", order="F2", accession="SECOND", status="P")
    assert radii() == {"left": "present", "right": "absent"}
    wrist.told("Right wrist. Fracture of the distal radius.", order="F2", accession="SECOND")
    assert radii() == {"left": "present", "right": "present"}
    wrist.told(WHOLE, order="F1", status="C")
    assert radii() == {"left": "absent", "right": "present"}
    wrist.told(order="F2", status="X")
    assert radii() == {"left": "absent", "right": "not_mentioned"}


@slow
def test_words_and_identifiers_stand_on_the_shelf_and_in_the_records_only(
    running: Plugin, wrist: Wrist, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        wrist.arrives()
        wrist.told(BROKEN)
    assert wrist.radius == "present"
    secrets = ("secretword", wrist.patient, wrist.accession)
    holders = {
        file.relative_to(running.settings.state_dir).parts[0].split("-")[0]
        for file in running.settings.state_dir.rglob("*")
        if file.is_file() and any(secret.encode() in file.read_bytes() for secret in secrets)
    }
    assert holders <= {"inbox", "reports", "records.sqlite3"}
    assert "reports" in holders
    assert not any(secret in caplog.text for secret in secrets)
    assert wrist.study not in caplog.text
    modes = {file.stat().st_mode & 0o777 for file in running.settings.state_dir.glob("records*")}
    assert modes == {0o600}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose ledger knows of two reports that are not linked."""
    file = tmp_path / "wristmir.toml"
    file.write_text(
        f'state_dir = "{tmp_path / "state"}"\n[listener]\nwatermark_bytes = 0\n'
        f"[listener.hl7]\nenabled = true\nport = {free_port()}\n"
        f'[listener.drop_folder]\npath = "{tmp_path / "drop"}"\n',
        encoding="utf-8",
    )
    key = site_key(tmp_path / "state")
    shelf = ReportShelf(tmp_path / "state" / "reports", watermark_bytes=0)
    with Ledger(load(file).ledger_url) as ledger:
        desk = ReportDesk(ledger, shelf, Hl7Settings(), site_key=key)
        desk.take(oru(BROKEN, study="1.2.3", patient="SECRET"), Form.HL7)
        desk.take(oru(BROKEN, study="", patient="SECRET", status="P"), Form.HL7)
    return file


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> str:
    monkeypatch.setattr(sys, "argv", ["wristmir", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main()
    return capsys.readouterr().out


def test_reports_that_wait_are_listed_without_their_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    out = printed(monkeypatch, capsys, "reports", "--json", "--config", config)
    second, first = [json.loads(line) for line in out.splitlines()]
    assert (first["state"], first["study_uid"], first["form"]) == ("waiting", "1.2.3", "hl7")
    assert (second["status"], second["study_uid"]) == ("preliminary", None)
    assert first["reason"] == "its study has not come"
    table = printed(monkeypatch, capsys, "reports", "--config", config)
    assert table.count("waiting") == 2
    for said in (out, table):
        assert "SECRET" not in said
        assert "secretword" not in said


def test_a_state_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    words = ("reports", "--json", "--config", config, "--state")
    assert printed(monkeypatch, capsys, *words, "linked") == ""
    assert printed(monkeypatch, capsys, *words, "waiting").count("\n") == 2
    assert printed(monkeypatch, capsys, *words, "nowhere") == ""


def test_doctor_counts_them_and_looks_at_their_roads(config: Path, tmp_path: Path) -> None:
    failed = tmp_path / "drop" / "failed"
    failed.mkdir(parents=True)
    (failed / "a.hl7.reason").write_text("why")
    found = [
        (check.verdict, check.detail)
        for check in examine(config)
        if check.name == "reports by HL7 or folder"
    ]
    assert [verdict for verdict, _ in found] == ["ok", "error", "warning", "warning"]
    assert "0 reports linked, 2 waiting" in found[0][1]
    assert "hl7.addresses" in found[1][1]
    assert "nothing listens" in found[2][1]
    assert "1 files in" in found[3][1]
