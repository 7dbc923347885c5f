"""Audit messages on their way: a bounded queue on disk, shared by the processes of a site."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from listener.errors import AuditError

__all__ = ["AuditSpool", "Backlog", "SpooledMessage"]


@dataclass(frozen=True)
class SpooledMessage:
    """One message: its number, the event's time, the writer's process id, and its XML.

    ``is_warning``: its event did not end well.
    """

    number: int
    at: datetime
    process_id: int
    is_warning: bool
    xml: str


@dataclass(frozen=True)
class Backlog:
    """How a destination stands: messages that wait for it, and those it has missed for good."""

    destination: str
    waiting: int
    dropped: int


class AuditSpool:
    """A queue that each destination reads at its own pace.

    `put` hands the message to the kernel before it returns: it outlives the process, a kill -9
    included. It waits for no disk; `sync` does, and what was put before it outlives the machine.
    The ledger's database waits at every commit, hence a database of its own kind.

    Where more than `most` messages wait the oldest are dropped, and counted for every destination
    that has missed them.

    Parameters
    ----------
    path
        An SQLite file, made with mode 0600 in a folder of mode 0700.
    destinations
        Names of those that the messages wait for; a new one gets what comes from now on.
    most
        How many messages may wait.

    Raises
    ------
    AuditError
        If it cannot be opened.
    """

    def __init__(self, path: Path, destinations: Collection[str], most: int) -> None:
        self._most = most
        self._path = path
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # a reader, or one who waits for the disk, must not hold up who audits
            self._writer = _connect(path, seconds=0.25)
            self._reader = _connect(path)
            self._reader.executescript(_TABLES)
            self._enter(destinations)
        except (OSError, sqlite3.Error) as error:
            msg = f"The spool cannot be opened: {type(error).__name__}; see its folder."
            raise AuditError(msg) from None

    def put(self, at: datetime, xml: str, *, is_warning: bool) -> None:
        """Add a message; drop the oldest where there are too many.

        Raises
        ------
        AuditError
            If it cannot be written.
        """
        row = (at.isoformat(), os.getpid(), is_warning, xml)
        try:
            with self._writing, self._writer:
                self._writer.execute("BEGIN IMMEDIATE")
                number = self._writer.execute(_ADD, row).lastrowid or 0
                self._writer.execute(_DROP, (number - self._most,))
        except sqlite3.Error as error:
            msg = f"The spool cannot be written: {type(error).__name__}."
            raise AuditError(msg) from None

    def waiting(self, destination: str, limit: int) -> tuple[tuple[SpooledMessage, ...], int]:
        """Return the next messages for a destination, and how many it has missed since.

        Raises
        ------
        AuditError
            If the spool cannot be read.
        """
        try:
            with self._reading:
                (last,) = self._reader.execute(_LAST, (destination,)).fetchone() or (0,)
                rows = self._reader.execute(_NEXT, (last, limit)).fetchall()
        except sqlite3.Error as error:
            msg = f"The spool cannot be read: {type(error).__name__}."
            raise AuditError(msg) from None
        missed = rows[0][0] - last - 1 if rows else 0
        return tuple(_message(row) for row in rows), missed

    def taken(self, destination: str, number: int, dropped: int = 0) -> None:
        """Note that a destination has all up to a message, but for some that it has missed.

        Raises
        ------
        AuditError
            If the spool cannot be written.
        """
        try:
            with self._reading, self._reader:
                self._reader.execute("BEGIN IMMEDIATE")
                self._reader.execute(_ADVANCE, (number, dropped, destination))
                self._reader.execute(_FORGET)
        except sqlite3.Error as error:
            msg = f"The spool cannot be written: {type(error).__name__}."
            raise AuditError(msg) from None

    def sync(self) -> None:
        """Bring what was put to the disk.

        Raises
        ------
        AuditError
            If the disk refuses.
        """
        try:
            with self._reading:
                self._reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            msg = f"The spool cannot be brought to the disk: {type(error).__name__}."
            raise AuditError(msg) from None

    def close(self) -> None:
        """Close it; what waits stays."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    @staticmethod
    def backlogs(path: Path) -> tuple[Backlog, ...]:
        """Tell how every destination stands, without making or changing anything.

        Raises
        ------
        AuditError
            If there is a spool that cannot be read.
        """
        if not path.exists():
            return ()
        try:
            with closing(_connect(path)) as connection:
                return tuple(Backlog(*row) for row in connection.execute(_BACKLOGS))
        except sqlite3.Error as error:
            msg = f"The spool cannot be read: {type(error).__name__}."
            raise AuditError(msg) from None

    def _enter(self, destinations: Collection[str]) -> None:
        marks = ", ".join("?" * len(destinations))
        names = tuple(destinations)
        gone = f"DELETE FROM place WHERE destination NOT IN ({marks})"  # noqa: S608 - marks only
        self._reader.execute(gone, names)
        self._reader.executemany(_ENTER, [(name,) for name in names])


def _connect(path: Path, seconds: float = 5) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=seconds, isolation_level=None, check_same_thread=False, cached_statements=16
    )
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=0"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _message(row: tuple[int, str, int, int, str]) -> SpooledMessage:
    number, at, process_id, is_warning, xml = row
    return SpooledMessage(number, datetime.fromisoformat(at), process_id, bool(is_warning), xml)


# numbers have no gaps of their own: where one is missing, messages were dropped
_TABLES = """
CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, process_id INTEGER NOT NULL, is_warning INTEGER NOT NULL, xml TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS place (
    destination TEXT PRIMARY KEY, last INTEGER NOT NULL, dropped INTEGER NOT NULL
);
"""
_ADD = "INSERT INTO message (at, process_id, is_warning, xml) VALUES (?, ?, ?, ?)"
_DROP = "DELETE FROM message WHERE number <= ?"
_LAST = "SELECT last FROM place WHERE destination = ?"
_NEXT = "SELECT number, at, process_id, is_warning, xml FROM message WHERE number > ?"
_NEXT += " ORDER BY number LIMIT ?"
_ADVANCE = "UPDATE place SET last = ?, dropped = dropped + ? WHERE destination = ?"
_FORGET = "DELETE FROM message WHERE number <= (SELECT min(last) FROM place)"
_END = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0)"
_ENTER = f"INSERT OR IGNORE INTO place VALUES (?, {_END}, 0)"  # noqa: S608 - a constant
_BACKLOGS = """
SELECT destination,
    (SELECT count(*) FROM message WHERE number > last),
    dropped + coalesce((SELECT max(0, min(number) - 1 - last) FROM message), 0)
FROM place ORDER BY destination
"""
