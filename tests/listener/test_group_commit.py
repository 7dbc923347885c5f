from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener.database import Database
from listener.errors import LedgerError
from listener.group_commit import GroupCommit

TABLE = sa.Table("noted", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


class Disk:
    """A database whose commits take a while, and are counted."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'db.sqlite3'}")
        with self.database.writing() as connection:
            TABLE.create(connection)
        self.commits = 0

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.database.writing() as connection:
            yield connection
            time.sleep(0.02)
        self.commits += 1

    def numbers(self) -> list[int]:
        with self.database.reading() as connection:
            return sorted(connection.execute(sa.select(TABLE.c.number)).scalars())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    it = Disk(tmp_path)
    yield it
    it.database.close()


def note(connection: Connection, number: int) -> int:
    connection.execute(sa.insert(TABLE).values(number=number))
    return 10 * number


def at_once(group: GroupCommit, numbers: range, fails: frozenset[int]) -> dict[int, object]:
    """Note every number in a thread of its own; return what each came to."""
    came_to: dict[int, object] = {}

    def noted(number: int) -> None:
        def step(connection: Connection) -> int:
            found = note(connection, number)
            if number in fails:
                raise ValueError(number)
            return found

        try:
            came_to[number] = group.run(step)
        except ValueError as error:
            came_to[number] = error.args[0]

    threads = [threading.Thread(target=noted, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    return came_to


def test_steps_that_come_at_once_are_made_durable_together(disk: Disk) -> None:
    came_to = at_once(GroupCommit(disk.writing), range(1, 21), frozenset())
    assert came_to == {number: 10 * number for number in range(1, 21)}
    assert disk.numbers() == list(range(1, 21))
    assert disk.commits < 10


def test_a_step_that_fails_fails_alone_and_leaves_nothing(disk: Disk) -> None:
    fails = frozenset({3, 7})
    came_to = at_once(GroupCommit(disk.writing), range(1, 11), fails)
    assert came_to == {n: n if n in fails else 10 * n for n in range(1, 11)}
    assert disk.numbers() == [n for n in range(1, 11) if n not in fails]


def test_a_step_returns_only_when_it_is_durable(disk: Disk) -> None:
    group = GroupCommit(disk.writing)
    for number in range(1, 4):
        assert group.run(lambda connection, n=number: note(connection, n)) == 10 * number
        assert disk.numbers()[-1] == number
    assert disk.commits == 3


def test_a_commit_that_fails_is_told_to_every_step_that_it_was_for(disk: Disk) -> None:
    @contextmanager
    def broken() -> Iterator[Connection]:
        yield cast(Connection, None)
        message = "the disk is full"
        raise OSError(message)

    group = GroupCommit(broken)
    told: list[str] = []

    def run() -> None:
        try:
            group.run(lambda _: None)
        except OSError as error:
            told.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert told == ["the disk is full"] * 5


class Crash(BaseException):
    """The thread that does the steps of a group ends here."""


def test_a_thread_that_ends_while_it_does_the_steps_of_others_leaves_none_without_a_word(
    disk: Disk,
) -> None:
    begun, crashes = threading.Event(), [False, True, False]

    @contextmanager
    def writing() -> Iterator[Connection]:
        with disk.writing() as connection:
            yield connection
            if crashes.pop(0):
                raise Crash

    group = GroupCommit(writing)
    came_to: dict[int, object] = {}

    def slow(connection: Connection) -> int:
        begun.set()
        time.sleep(0.3)  # the others gather meanwhile
        return note(connection, 1)

    def run(number: int, step: Callable[[Connection], int]) -> None:
        try:
            came_to[number] = group.run(step)
        except (Crash, LedgerError) as error:
            came_to[number] = type(error)

    threads = [threading.Thread(target=run, args=(1, slow))]
    threads[0].start()
    assert begun.wait(20)
    for number in range(2, 6):
        step = functools.partial(note, number=number)
        threads.append(threading.Thread(target=run, args=(number, step)))
        threads[-1].start()
    for thread in threads:
        thread.join(timeout=20)
    assert came_to.pop(1) == 10
    assert Counter(came_to.values()) == {Crash: 1, LedgerError: 3}
    assert disk.numbers() == [1]
    assert group.run(lambda connection: note(connection, 6)) == 60
