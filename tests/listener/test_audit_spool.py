from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from listener.audit_spool import AuditSpool, Backlog
from listener.errors import AuditError

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@contextmanager
def spool(path: Path, *names: str, most: int = 100) -> Iterator[AuditSpool]:
    it = AuditSpool(path, names or ("one",), most)
    yield it
    it.close()


def put(it: AuditSpool, *texts: str) -> None:
    for text in texts:
        it.put(NOW, text, is_warning=text == "bad")


def waiting(it: AuditSpool, name: str = "one", limit: int = 100) -> list[str]:
    return [message.xml for message in it.waiting(name, limit)[0]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "spool.sqlite3"


def test_messages_come_out_in_their_order_with_what_was_noted(path: Path) -> None:
    with spool(path) as it:
        put(it, "a", "bad", "c")
        messages, missed = it.waiting("one", 2)
    assert [(m.number, m.xml, m.is_warning, m.at) for m in messages] == [
        (1, "a", False, NOW),
        (2, "bad", True, NOW),
    ]
    assert missed == 0


def test_each_destination_reads_at_its_own_pace(path: Path) -> None:
    with spool(path, "one", "two") as it:
        put(it, "a", "b", "c")
        it.taken("one", 2)
        assert waiting(it, "one") == ["c"]
        assert waiting(it, "two") == ["a", "b", "c"]
        it.taken("two", 3)
        assert waiting(it, "one") == ["c"]
    assert AuditSpool.backlogs(path) == (Backlog("one", 1, 0), Backlog("two", 0, 0))


def test_what_everybody_has_is_forgotten(path: Path) -> None:
    with spool(path, "one", "two") as it:
        put(it, "a", "b")
        it.taken("one", 2)
        it.taken("two", 2)
        with closing(sqlite3.connect(path)) as looked:
            assert looked.execute("SELECT count(*) FROM message").fetchone() == (0,)


def test_beyond_its_bound_the_oldest_go_and_are_counted_for_each(path: Path) -> None:
    with spool(path, "one", "two", most=3) as it:
        put(it, "a", "b")
        it.taken("two", 2)
        put(it, "c", "d", "e", "f")
        assert AuditSpool.backlogs(path) == (Backlog("one", 3, 3), Backlog("two", 3, 1))
        messages, missed = it.waiting("one", 100)
        assert ([m.xml for m in messages], missed) == (["d", "e", "f"], 3)
        it.taken("one", messages[-1].number, missed)
        assert it.waiting("one", 100) == ((), 0)
    assert AuditSpool.backlogs(path)[0] == Backlog("one", 0, 3)


def test_a_restart_goes_on_where_it_was(path: Path) -> None:
    with spool(path) as it:
        put(it, "a", "b")
        it.taken("one", 1)
    with spool(path) as it:
        put(it, "c")
        assert waiting(it) == ["b", "c"]


def test_a_new_destination_gets_what_comes_from_now_on_and_one_that_is_gone_holds_nothing(
    path: Path,
) -> None:
    with spool(path, "old") as it:
        put(it, "a")
    with spool(path, "new") as it:
        put(it, "b")
        assert waiting(it, "new") == ["b"]
    assert [one.destination for one in AuditSpool.backlogs(path)] == ["new"]


def test_only_its_owner_may_read_it(path: Path) -> None:
    with spool(path) as it:
        put(it, "a")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_looking_makes_nothing(path: Path) -> None:
    assert AuditSpool.backlogs(path) == ()
    assert not path.parent.exists()


@pytest.mark.slow
def test_processes_write_one_spool(path: Path) -> None:
    with spool(path, most=10_000) as it:
        spawn = multiprocessing.get_context("spawn")
        writers = [spawn.Process(target=_write, args=(path, n)) for n in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        found = waiting(it, limit=1000)
    for n in range(2):
        assert [text for text in found if text.startswith(f"{n}-")] == [
            f"{n}-{m}" for m in range(100)
        ]


def _write(path: Path, who: int) -> None:
    with spool(path, most=10_000) as it:
        put(it, *(f"{who}-{n}" for n in range(100)))


def test_a_spool_that_others_hold_is_given_up_within_a_moment(path: Path) -> None:
    with spool(path) as it, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AuditError, match="OperationalError"):
            put(it, "a")
        other.execute("COMMIT")
        put(it, "b")
        assert waiting(it) == ["b"]


def test_a_spool_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("no folder")
    with pytest.raises(AuditError, match="cannot be opened"):
        AuditSpool(tmp_path / "audit" / "spool.sqlite3", ("one",), 100)
