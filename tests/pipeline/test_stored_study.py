from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.stored_study import StoredImage, stored_images, told_reports

WRITTEN, RECEIVED = datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Kept:
    """A row as whoever keeps a study has it: an instance's, or a report's."""

    path: Path
    sop_instance_uid: str = "1.2.3.4"
    version: int = 1
    position: int = 0
    is_final: bool = True
    is_withdrawn: bool = False
    addendum: bool = False
    at: datetime | None = WRITTEN
    received_at: datetime = RECEIVED


@dataclass(frozen=True)
class Gone:
    """An instance whose bytes are not kept."""

    sop_instance_uid: str = "1.2.3.5"
    version: int = 1
    path: Path | None = None
    received_at: datetime = RECEIVED


@dataclass(frozen=True)
class Said:
    """What a report says, and of which order."""

    text: str
    order: str


def read(path: Path, position: int) -> Said | None:
    """Return the paragraph of this number in a report's file."""
    paragraphs = path.read_text(encoding="utf-8").split("\n\n")
    return Said(paragraphs[position], "A-1") if position < len(paragraphs) else None


@pytest.fixture
def report(tmp_path: Path) -> Kept:
    path = tmp_path / "0123456789abcdef.hl7"
    path.write_text("No fracture.\n\nA buckle fracture.", encoding="utf-8")
    return Kept(path)


def test_only_files_that_are_kept_are_the_indexers() -> None:
    assert stored_images([Gone(), Kept(Path("a.dcm"), version=2)]) == (
        StoredImage(Path("a.dcm"), "1.2.3.4", 2, RECEIVED),
    )


def test_a_report_has_the_words_at_its_position_and_what_is_known_of_it(report: Kept) -> None:
    first, second = told_reports([report, replace(report, position=1, is_final=False)], read)
    assert (first.text, first.kind, first.final, first.at) == ("No fracture.", "hl7", True, WRITTEN)
    assert (second.text, second.final) == ("A buckle fracture.", False)
    assert (first.orders, second.orders) == (("A-1",), ("A-1",))


def test_a_report_that_its_file_does_not_hold_says_nothing(report: Kept) -> None:
    (told,) = told_reports([replace(report, position=2)], read)
    assert (told.text, told.orders) == ("", ())


def test_a_report_that_does_not_say_when_it_was_written_is_as_old_as_its_arrival(
    report: Kept,
) -> None:
    (told,) = told_reports([replace(report, at=None)], read)
    assert told.at == RECEIVED


def test_a_withdrawn_report_says_nothing_and_is_not_read(report: Kept) -> None:
    report.path.unlink()
    (told,) = told_reports([replace(report, is_withdrawn=True)], read)
    assert told.text == ""


def test_a_report_whose_file_is_gone_says_nothing_and_that_is_logged(
    report: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    report.path.unlink()
    (told,) = told_reports([report], read)
    assert told.text == ""
    assert "missing from its folder: 0123456789ab" in caplog.text
    assert "0123456789abc" not in caplog.text
