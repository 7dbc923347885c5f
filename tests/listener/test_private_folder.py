from __future__ import annotations

from pathlib import Path

import pytest

from listener.errors import ListenerError, OutOfResourcesError, ProcessingFailureError
from listener.private_folder import PrivateFolder


def folder(path: Path, watermark_bytes: int = 0) -> PrivateFolder:
    return PrivateFolder(path / "state" / "reports", "reports", watermark_bytes=watermark_bytes)


def test_only_we_may_read_it(tmp_path: Path) -> None:
    it = folder(tmp_path)
    assert it.path == tmp_path / "state" / "reports"
    assert it.path.stat().st_mode & 0o777 == 0o700
    assert folder(tmp_path).path == it.path  # one that is there already will do


def test_one_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ListenerError, match=r"The reports' folder cannot be made: \w+\.$"):
        folder(tmp_path)


def test_what_was_written_stays(tmp_path: Path) -> None:
    it = folder(tmp_path)
    file = it.path / "a"
    with it.writing(file):
        file.write_text("x")
    assert file.read_text() == "x"


def test_under_the_watermark_nothing_is_begun(tmp_path: Path) -> None:
    it = folder(tmp_path, 2**60)
    with pytest.raises(OutOfResourcesError, match="watermark"), it.writing(it.path / "a"):
        pytest.fail("it was begun")


@pytest.mark.parametrize(
    ("code", "refusal"), [(28, OutOfResourcesError), (5, ProcessingFailureError)]
)
def test_what_the_disk_refuses_is_not_left_there(
    tmp_path: Path, code: int, refusal: type[Exception]
) -> None:
    it = folder(tmp_path)
    file = it.path / "a"

    def write() -> None:
        file.write_text("half")
        raise OSError(code, "Invented^Ines", "Invented^Ines")

    with pytest.raises(refusal) as raised, it.writing(file):
        write()
    assert not file.exists()
    assert "Invented" not in str(raised.value)


def test_a_disk_that_does_not_say_how_full_it_is_refuses(tmp_path: Path) -> None:
    it = folder(tmp_path)
    it.path.rmdir()
    with pytest.raises(ProcessingFailureError), it.writing(it.path / "a"):
        pytest.fail("it was begun")
