from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.private_file import private_file, remove_leftovers


def test_a_file_is_its_owners_alone_and_replaces_one_that_was_not(tmp_path: Path) -> None:
    path = tmp_path / "made" / "gold.jsonl"
    path.parent.mkdir()
    path.write_text("old")
    path.chmod(0o644)
    with private_file(path) as stream:
        stream.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_writing_fails_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), private_file(path) as stream:
        stream.write(bytes(1 // 0))
    assert [file.name for file in tmp_path.iterdir()] == ["gold.jsonl"]
    assert path.read_text() == "old"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a.csv-123", ".a.csv-mine", "a.csv-1", ".b.csv-123"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a.csv")
    assert {file.name for file in tmp_path.iterdir()} == {".a.csv-mine", "a.csv-1", ".b.csv-123"}
