from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from station import eventually

from listener.audit_delivery import AuditDelivery
from listener.audit_spool import AuditSpool, Backlog, SpooledMessage
from listener.errors import AuditError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Book:
    """A destination that takes messages, or is down."""

    most_at_once = 3

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_down = False
        self.refuses = 0
        self.tries = 0

    def send(self, messages: Sequence[SpooledMessage]) -> int:
        self.tries += 1
        if self.is_down:
            msg = "It is down."
            raise AuditError(msg)
        self.lines += [message.xml for message in messages]
        return self.refuses

    def probe(self) -> str:
        return "a book"

    def close(self) -> None:
        """Have nothing to close."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[AuditSpool]:
    it = AuditSpool(tmp_path / "audit" / "spool.sqlite3", ("book",), 100)
    yield it
    it.close()


@contextmanager
def delivering(spool: AuditSpool, book: Book, folder: Path) -> Iterator[AuditDelivery]:
    it = AuditDelivery("book", book, spool, folder / "audit" / "book.lock")
    it.start()
    yield it
    it.stop(5)
    it.join(10)
    assert not it.is_alive()


def put(spool: AuditSpool, *texts: str) -> None:
    for text in texts:
        spool.put(NOW, text, is_warning=False)


def test_what_waits_is_delivered_in_order_before_it_ends(spool: AuditSpool, tmp_path: Path) -> None:
    book = Book()
    put(spool, *"abcdefgh")
    with delivering(spool, book, tmp_path):
        pass
    assert book.lines == list("abcdefgh")
    assert AuditSpool.backlogs(tmp_path / "audit" / "spool.sqlite3") == (Backlog("book", 0, 0),)


@pytest.mark.slow
def test_a_destination_that_was_down_gets_all_in_order_and_the_log_tells_once_each(
    spool: AuditSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    book.is_down = True
    with delivering(spool, book, tmp_path):
        put(spool, *"abcde")
        assert eventually(lambda: book.tries >= 2, 10)
        assert book.lines == []
        book.is_down = False
        assert eventually(lambda: len(book.lines) == 5, 10)
    assert book.lines == list("abcde")
    assert [r.message for r in caplog.records] == [
        "audit messages wait for book: It is down.",
        "the audit destination book takes messages again",
    ]


def test_one_that_is_down_does_not_hold_up_the_end(spool: AuditSpool, tmp_path: Path) -> None:
    book = Book()
    book.is_down = True
    put(spool, "a")
    with delivering(spool, book, tmp_path):
        assert eventually(lambda: book.tries >= 1)
    assert [one.xml for one in spool.waiting("book", 10)[0]] == ["a"]


@pytest.mark.slow
def test_only_one_of_two_delivers_and_the_other_takes_over(
    spool: AuditSpool, tmp_path: Path
) -> None:
    first, second = Book(), Book()
    other = AuditDelivery("book", second, spool, tmp_path / "audit" / "book.lock")
    with delivering(spool, first, tmp_path):
        put(spool, "a")
        assert eventually(lambda: first.lines == ["a"])
        other.start()
        put(spool, "b")
        assert eventually(lambda: first.lines == ["a", "b"])
    put(spool, "c")
    assert eventually(lambda: second.lines == ["c"])
    other.stop(5)
    other.join()


def test_one_that_never_got_its_turn_ends_all_the_same(spool: AuditSpool, tmp_path: Path) -> None:
    with delivering(spool, Book(), tmp_path) as first:
        put(spool, "a")
        assert eventually(lambda: not spool.waiting("book", 1)[0])
        with delivering(spool, Book(), tmp_path) as second:
            assert second.is_alive()
        assert first.is_alive()


def test_dropped_and_refused_messages_are_counted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit" / "spool.sqlite3"
    spool, book = AuditSpool(path, ("book",), 2), Book()
    book.refuses = 1
    put(spool, *"abcde")
    with delivering(spool, book, tmp_path):
        pass
    spool.close()
    assert book.lines == ["d", "e"]
    assert AuditSpool.backlogs(path) == (Backlog("book", 0, 4),)
    assert "too many waited for book: 3" in caplog.text
    assert "too long for book: 1" in caplog.text


def test_its_thread_says_what_it_is(spool: AuditSpool, tmp_path: Path) -> None:
    with delivering(spool, Book(), tmp_path):
        assert "audit-book" in {thread.name for thread in threading.enumerate()}
