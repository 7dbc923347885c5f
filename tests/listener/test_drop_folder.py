from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oru import TEXT, oru
from sqlalchemy.exc import OperationalError
from station import Station, eventually, radiograph, station

from listener.drop_folder import DONE, FAILED, REASON, DropFolder
from listener.linkage import LinkState
from listener.report_settings import DropFolderSettings

HEAD = b"StudyInstanceUID: 1.2.3\nPatientID: INVENTED-1\n\n"


class Seconds:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Dropped:
    """A drop folder that looks when a test says so."""

    def __init__(self, folder: Path, link: Station) -> None:
        self.folder = folder
        self.ledger = link.ledger
        self.clock = Seconds()
        listener = link.listener
        self.watch = DropFolder(
            folder,
            DropFolderSettings(settle_seconds=5, max_file_bytes=10_000),
            listener._reports._desk,
            listener._storage,
            link.settings.titles[0],
            self.clock,
        )

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def settle(self) -> int:
        """Look twice, as far apart as a file must stand still."""
        moved = self.watch.look()
        self.clock.now += 5
        return moved + self.watch.look()

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.folder / folder).iterdir())


@pytest.fixture
def dropped(tmp_path: Path) -> Iterator[Dropped]:
    with station(tmp_path / "state") as link:
        yield Dropped(tmp_path / "drop", link)


def test_an_hl7_file_a_text_and_a_radiograph_are_taken_in_and_moved(dropped: Dropped) -> None:
    ds = radiograph()
    dropped.put("one.hl7", oru(TEXT))
    dropped.put("two.txt", HEAD + b"Normal.")
    ds.save_as(dropped.folder / "three", enforce_file_format=True)
    dropped.put("four", oru(TEXT, control_id="4"))  # an HL7 message under any name
    assert dropped.settle() == 4
    assert dropped.names(DONE) == ["four", "one.hl7", "three", "two.txt"]
    assert dropped.names(FAILED) == []
    assert len(dropped.ledger.reports.latest()) == 3
    assert len(dropped.ledger.receipt(ds.SOPInstanceUID)) == 1
    assert dropped.settle() == 0


def test_a_file_that_is_still_written_is_left_alone(dropped: Dropped) -> None:
    message = oru(TEXT)
    path = dropped.put("one.hl7", message[:50])
    for size in range(60, len(message), 40):
        dropped.watch.look()
        dropped.clock.now += 4
        assert dropped.watch.look() == 0
        path.write_bytes(message[:size])
    path.write_bytes(message)
    assert dropped.settle() == 1
    assert dropped.ledger.reports.latest()[0].path.read_bytes() == message.strip()


def test_a_file_that_grows_between_look_and_taking_is_left_alone(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dropped.put("one.hl7", oru(TEXT))
    dropped.watch.look()
    dropped.clock.now += 5
    real = os.open

    def late(name: object, *given: object) -> int:
        with monkeypatch.context() as patched:
            patched.setattr("os.open", real)
            path.write_bytes(oru(TEXT, "More."))
        return real(name, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("os.open", late)
        assert dropped.watch.look() == 0
    assert dropped.settle() == 1
    assert len(dropped.ledger.reports.latest()) == 1


def test_unfinished_hidden_and_special_files_are_none(dropped: Dropped, tmp_path: Path) -> None:
    for name in ("a.part", "b.tmp", ".c.hl7", "d.hl7.filepart"):
        dropped.put(name, oru(TEXT))
    outside = tmp_path / "outside.hl7"
    outside.write_bytes(oru(TEXT))
    (dropped.folder / "link.hl7").symlink_to(outside)
    os.mkfifo(dropped.folder / "pipe.hl7")
    (dropped.folder / "folder.hl7").mkdir()
    assert dropped.settle() == 0
    dropped.folder.joinpath("a.part").rename(dropped.folder / "a.hl7")
    assert dropped.settle() == 1


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.hl7", b"no HL7", "does not begin with an MSH segment"),
        ("a.hl7", oru(), "No order in it has text"),
        ("a.hl7", b"", "holds no message"),
        ("a.hl7", oru(TEXT, processing_id="T"), "MSH-11"),
        ("a.txt", b"Buckle fracture.", "Line 1"),
        ("a.pdf", b"%PDF-1.4", "no HL7 message"),
        ("a.hl7", oru("A" * 20_000), "max_file_bytes"),
        ("a.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 100, "no DICOM file"),
    ],
)
def test_what_cannot_be_used_is_moved_with_its_reason_beside_it(
    dropped: Dropped, name: str, data: bytes, reason: str
) -> None:
    dropped.put(name, data)
    assert dropped.settle() == 1
    assert dropped.names(FAILED) == [name, name + REASON]
    beside = dropped.folder / FAILED / (name + REASON)
    assert reason in beside.read_text()
    assert beside.stat().st_mode & 0o777 == 0o600
    assert dropped.ledger.reports.latest() == ()
    assert dropped.settle() == 0


def test_the_good_messages_of_a_file_are_taken_and_the_bad_one_is_named(dropped: Dropped) -> None:
    dropped.put("a.hl7", oru(TEXT) + oru(control_id="2") + oru(TEXT, control_id="3"))
    dropped.settle()
    assert len(dropped.ledger.reports.latest()) == 2
    (said,) = [p for p in (dropped.folder / FAILED).iterdir() if p.name.endswith(REASON)]
    assert said.read_text().startswith("message 2 of 3: ")


def test_files_of_one_name_stand_beside_each_other(dropped: Dropped) -> None:
    for number in range(3):
        dropped.put("a.hl7", oru(TEXT, control_id=str(number)))
        dropped.settle()
    assert dropped.names(DONE) == ["a-1.hl7", "a-2.hl7", "a.hl7"]
    assert len(dropped.ledger.reports.latest()) == 3


def test_a_crash_before_the_move_doubles_nothing(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        """The process ends here."""

    def crash(*_: object) -> None:
        raise Crash

    dropped.put("a.hl7", oru(TEXT))
    with monkeypatch.context() as patched:
        patched.setattr("listener.drop_folder._move", crash)
        with pytest.raises(Crash):
            dropped.settle()
    assert len(dropped.ledger.reports.latest()) == 1
    assert dropped.settle() == 1
    assert len(dropped.ledger.reports.latest()) == 1


def locked(*_: object) -> None:
    statement = "secret"
    raise OperationalError(statement, None, Exception(statement))


def broken(*_: object) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("place", "fails"),
    [("listener.recorded_report.RecordedReports.record", locked), ("os.fsync", broken)],
)
def test_what_cannot_be_kept_now_waits_where_it_lies(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch, place: str, fails: Callable[..., None]
) -> None:
    dropped.put("a.hl7", oru(TEXT))
    with monkeypatch.context() as patched:
        patched.setattr(place, fails)
        assert dropped.settle() == 0
    assert dropped.settle() == 0  # it is left alone for twice as long now
    assert dropped.settle() == 1
    assert len(dropped.ledger.reports.latest()) == 1


def test_no_file_is_begun_once_the_service_stops(dropped: Dropped) -> None:
    stopping = threading.Event()
    stopping.set()
    dropped.put("a.hl7", oru(TEXT))
    dropped.watch.look(stopping)
    dropped.clock.now += 5
    assert dropped.watch.look(stopping) == 0
    assert dropped.watch.look() == 1


def test_no_log_line_names_a_file(dropped: Dropped, caplog: pytest.LogCaptureFixture) -> None:
    dropped.put("SECRET.hl7", oru(TEXT))
    dropped.put("SECRET.txt", b"SECRET: SECRET\n\nSECRET")
    dropped.settle()
    assert "not used" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.slow
def test_the_service_watches_the_folder(tmp_path: Path) -> None:
    folder = DropFolderSettings(path=tmp_path / "drop", settle_seconds=0.1, poll_seconds=0.05)
    with station(tmp_path / "state", drop_folder=folder) as link:
        (tmp_path / "drop" / "a.txt").write_bytes(HEAD + b"Normal.")
        ds = radiograph(study="1.2.3")
        ds.save_as(tmp_path / "drop" / "b.dcm", enforce_file_format=True)
        assert eventually(lambda: link.ledger.reports.latest([LinkState.LINKED]))
        assert eventually(lambda: link.ledger.jobs(kind="index", subject="1.2.3"))
        assert eventually((tmp_path / "drop" / DONE / "b.dcm").exists)
    assert (tmp_path / "drop" / DONE).stat().st_mode & 0o777 == 0o700
