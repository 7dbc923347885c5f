from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from oru import TEXT, oru

from listener.errors import ListenerError, OutOfResourcesError, UnusableReportError
from listener.report_shelf import Form, ReportShelf, form_of, report_at

KEY = "a" * 64


@pytest.fixture
def shelf(tmp_path: Path) -> ReportShelf:
    return ReportShelf(tmp_path / "reports", watermark_bytes=0)


def test_a_message_lies_there_as_it_came_for_its_owner_only(shelf: ReportShelf) -> None:
    path = shelf.place(KEY, Form.HL7, oru(TEXT))
    assert path.read_bytes() == oru(TEXT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert form_of(path) is Form.HL7
    assert list(shelf.files()) == [path]


def test_the_same_message_twice_is_one_file(shelf: ReportShelf) -> None:
    assert shelf.place(KEY, Form.HL7, oru(TEXT)) == shelf.place(KEY, Form.HL7, oru(TEXT))
    assert len(list(shelf.files())) == 1


def test_words_are_read_from_it_by_their_position(shelf: ReportShelf) -> None:
    second = ("OBR|2|P2|F2|||||||||||||||||||||F", "OBX|1|TX|1||Second.||||||F")
    path = shelf.place(KEY, Form.HL7, oru(TEXT, more=second))
    second_one = report_at(path, 1)
    assert second_one is not None
    assert (second_one.text, second_one.order) == ("Second.", "F2")
    assert report_at(path, 2) is None
    note = shelf.place("b" * 64, Form.TEXT, b"StudyInstanceUID: 1.2.3\n\nThird.")
    third = report_at(note, 0)
    assert third is not None
    assert third.text == "Third."
    with pytest.raises(UnusableReportError):
        report_at(shelf.place("c" * 64, Form.HL7, b"no HL7"), 0)


def test_other_files_in_the_folder_are_none_of_it(shelf: ReportShelf, tmp_path: Path) -> None:
    shelf.place(KEY, Form.HL7, oru(TEXT))
    (tmp_path / "reports" / "aa" / "notes.txt").write_text("x")
    (tmp_path / "reports" / "README").write_text("x")
    assert len(list(shelf.files())) == 1


def test_little_space_takes_nothing(tmp_path: Path) -> None:
    shelf = ReportShelf(tmp_path / "reports", watermark_bytes=2**60)
    with pytest.raises(OutOfResourcesError, match="watermark"):
        shelf.place(KEY, Form.HL7, oru(TEXT))
    assert list((tmp_path / "reports").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(ListenerError, match="cannot be made"):
        ReportShelf(tmp_path / "reports", watermark_bytes=0)


def test_half_written_files_are_swept_unless_their_writer_lives(
    shelf: ReportShelf, tmp_path: Path
) -> None:
    dead, alive = tmp_path / "reports" / "dead.part", tmp_path / "reports" / "alive.part"
    dead.write_bytes(b"x")
    with alive.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert shelf.sweep() == 1
        assert not dead.exists()
        assert alive.exists()


@pytest.mark.parametrize("fails", ["os.fsync", "pathlib.Path.rename", "os.open", "os.mkdir"])
def test_a_disk_that_refuses_leaves_nothing_behind(
    shelf: ReportShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(fails, refuse)
        with pytest.raises(OutOfResourcesError, match="No space left"):
            shelf.place(KEY, Form.HL7, oru(TEXT))
    assert list(shelf.files()) == list((tmp_path / "reports").glob("*.part")) == []
    shelf.place(KEY, Form.HL7, oru(TEXT))
    assert len(list(shelf.files())) == 1
