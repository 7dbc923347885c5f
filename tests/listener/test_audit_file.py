from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from listener.audit_file import AuditFile
from listener.audit_spool import SpooledMessage
from listener.errors import AuditError


def messages(*texts: str) -> list[SpooledMessage]:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return [SpooledMessage(n, now, 1, False, text) for n, text in enumerate(texts, 1)]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[AuditFile]:
    it = AuditFile(tmp_path / "audit.xml")
    yield it
    it.close()


def test_a_message_is_a_line_and_only_the_owner_may_read_it(
    file: AuditFile, tmp_path: Path
) -> None:
    assert file.send(messages("a", "b")) == 0
    file.send(messages("c"))
    path = tmp_path / "audit.xml"
    assert path.read_text() == "a\nb\nc\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_stands_there_stays(file: AuditFile, tmp_path: Path) -> None:
    (tmp_path / "audit.xml").write_text("earlier\n")
    file.send(messages("a"))
    assert (tmp_path / "audit.xml").read_text() == "earlier\na\n"


def test_a_file_that_logrotate_moved_is_left_and_a_new_one_begun(
    file: AuditFile, tmp_path: Path
) -> None:
    path, moved = tmp_path / "audit.xml", tmp_path / "audit.xml.1"
    file.send(messages("a"))
    path.rename(moved)
    file.send(messages("b"))
    path.rename(tmp_path / "audit.xml.2")
    path.touch(mode=0o600)  # logrotate's `create`
    file.send(messages("c"))
    assert (moved.read_text(), path.read_text()) == ("a\n", "c\n")
    assert (tmp_path / "audit.xml.2").read_text() == "b\n"


def test_a_line_that_a_crash_has_cut_is_taken_away(file: AuditFile, tmp_path: Path) -> None:
    (tmp_path / "audit.xml").write_text("whole\n<AuditMess")
    file.send(messages("a"))
    assert (tmp_path / "audit.xml").read_text() == "whole\na\n"


def test_a_folder_that_is_not_there_is_an_error_until_it_is(tmp_path: Path) -> None:
    path = tmp_path / "later" / "audit.xml"
    file = AuditFile(path)
    with pytest.raises(AuditError, match="No such file"):
        file.send(messages("a"))
    with pytest.raises(AuditError, match="missing or cannot be written"):
        file.probe()
    path.parent.mkdir()
    assert "can be written" in file.probe()
    file.send(messages("a"))
    file.close()
    assert path.read_text() == "a\n"
