from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from oru import TEXT, oru
from station import SITE_KEY

from listener.ledger import Ledger
from listener.linkage import LinkState
from listener.report_desk import ReportDesk
from listener.report_settings import Hl7Settings
from listener.report_shelf import Form, ReportShelf, report_at


def desk_over(folder: Path, ledger: Ledger) -> ReportDesk:
    shelf = ReportShelf(folder / "reports", watermark_bytes=0)
    return ReportDesk(ledger, shelf, Hl7Settings(), site_key=SITE_KEY)


@pytest.fixture
def desk(tmp_path: Path, ledger: Ledger) -> ReportDesk:
    return desk_over(tmp_path, ledger)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "reports").glob("??/*"))


def test_what_was_taken_can_be_read_again(desk: ReportDesk, ledger: Ledger) -> None:
    second = ("OBR|2|P2|F2|||||||||||||||||||||F", "OBX|1|TX|1||Second.||||||F")
    desk.take(oru(TEXT, more=second), Form.HL7)
    desk.take(b"StudyInstanceUID: 1.2.3\n\nThird.", Form.TEXT)
    found = [report_at(row.path, row.position) for row in reversed(ledger.reports())]
    assert [report.text for report in found if report is not None] == [
        f"FINDINGS:\n{TEXT}",
        "Second.",
        "Third.",
    ]


def test_a_file_that_was_on_its_way_to_the_ledger_is_taken_in(
    desk: ReportDesk, ledger: Ledger, tmp_path: Path
) -> None:
    shelf = ReportShelf(tmp_path / "reports", watermark_bytes=0)
    shelf.place("a" * 64, Form.HL7, oru(TEXT))
    desk.reconcile()
    (row,) = ledger.reports()
    assert row.path.exists()
    desk.take(oru(TEXT), Form.HL7)  # the sender, who heard nothing, sends again
    desk.reconcile()
    assert len(ledger.reports()) == 1


def test_a_file_that_is_no_report_is_said_and_holds_up_nothing(
    desk: ReportDesk, ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = ReportShelf(tmp_path / "reports", watermark_bytes=0)
    shelf.place("a" * 64, Form.HL7, b"secret words")
    shelf.place("b" * 64, Form.HL7, oru(TEXT))
    desk.reconcile()
    assert len(ledger.reports()) == 1
    assert "is not used: aaaaaaaaaaaa" in caplog.text
    assert "secret" not in caplog.text


def test_a_report_whose_file_vanished_is_marked_and_found_again_when_it_is_back(
    desk: ReportDesk, ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk.take(oru(TEXT, study="1.2.3"), Form.HL7)
    (file,) = files(tmp_path)
    file.rename(tmp_path / "away")
    with caplog.at_level(logging.ERROR):
        desk.reconcile()
    assert [row.state for row in ledger.reports()] == [LinkState.LOST]
    assert "missing" in caplog.text
    (tmp_path / "away").rename(file)
    desk.reconcile()
    assert [row.state for row in ledger.reports()] == [LinkState.WAITING]


def test_a_report_that_was_lost_is_used_again_when_it_is_sent_again(
    desk: ReportDesk, ledger: Ledger, tmp_path: Path
) -> None:
    desk.take(oru(TEXT, study="1.2.3"), Form.HL7)
    files(tmp_path)[0].unlink()
    desk.reconcile()
    desk.take(oru(TEXT, study="1.2.3"), Form.HL7)
    (row,) = ledger.reports()
    assert row.state is LinkState.WAITING
    assert row.path.exists()


def test_a_folder_that_was_moved_is_found_by_its_files_names(
    desk: ReportDesk, ledger: Ledger, tmp_path: Path
) -> None:
    desk.take(oru(TEXT, study="1.2.3"), Form.HL7)
    shutil.move(tmp_path / "reports", tmp_path / "elsewhere" / "reports")
    desk_over(tmp_path / "elsewhere", ledger).reconcile()
    (row,) = ledger.reports()
    assert row.path == files(tmp_path / "elsewhere")[0]
    assert row.state is LinkState.WAITING
