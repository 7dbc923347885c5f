"""Folders of received files: what is listed, and what a sweep may delete."""

from __future__ import annotations

import errno
import fcntl
import re
from pathlib import Path

import pytest

from listener.disk import disk_refusal, shelved, sweep, sync_folder
from listener.errors import OutOfResourcesError, ProcessingFailureError, RefusalError


def test_lists_the_files_of_its_kind_on_shelves_of_two_characters(tmp_path: Path) -> None:
    for name in ("ab/1.dcm", "ab/1.part", "0c/2.dcm", "attic/3.dcm"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "4.dcm").touch()
    found = [file.relative_to(tmp_path).as_posix() for file in shelved(tmp_path, _DICOM)]
    assert found == ["0c/2.dcm", "ab/1.dcm"]


def test_a_sweep_deletes_what_a_dead_writer_left_behind(tmp_path: Path) -> None:
    left = tmp_path / "left.part"
    left.touch()
    assert sweep([left]) == 1
    assert not left.exists()


def test_a_sweep_leaves_what_a_living_writer_holds(tmp_path: Path) -> None:
    held = tmp_path / "held.part"
    with held.open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert sweep([held]) == 0
        assert held.exists()


def test_a_sweep_passes_over_a_file_that_another_sweep_took(tmp_path: Path) -> None:
    assert sweep([tmp_path / "gone.part"]) == 0


def test_a_folder_that_is_not_there_cannot_be_made_durable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "absent")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, OutOfResourcesError),
        (errno.EDQUOT, OutOfResourcesError),
        (errno.EMFILE, OutOfResourcesError),
        (errno.EIO, ProcessingFailureError),
        (errno.EROFS, ProcessingFailureError),
    ],
)
def test_a_disk_without_room_is_told_apart_from_one_that_fails(
    number: int, told: type[RefusalError]
) -> None:
    refusal = disk_refusal(OSError(number, "words with a path in them"))
    assert type(refusal) is told
    assert "path" not in str(refusal)


_DICOM = re.compile(r"\d+\.dcm")
