"""What the receiver's threads ask of disk and ledger, call by call, and one call that fails."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import pytest
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

_CALLS: Sequence[tuple[Any, str]] = (
    (os, "statvfs"),
    (os, "open"),
    (fcntl, "flock"),
    (os, "write"),
    (os, "fsync"),
    (os, "rename"),
    (os, "close"),
    (os, "unlink"),
    (io, "open"),
    (SQLiteDialect_pysqlite, "do_execute"),
    (SQLiteDialect_pysqlite, "do_commit"),
)


class Fault(Enum):
    """How a call fails."""

    FULL = auto()
    BROKEN = auto()
    SHORT = auto()  # a write that takes half of what it was given
    UNSURE = auto()  # it is done, yet an error comes back


class FaultyDisk:
    """Stands between the receiver and its disk until the test ends.

    Only threads that serve a peer are looked at: the test itself is not in them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.has_failed = False
        self._fails: tuple[str, int] | None = None
        self._fault = Fault.BROKEN
        for owner, name in _CALLS:
            monkeypatch.setattr(owner, name, self._guarded(name, getattr(owner, name)))

    def fail(self, call: str, number: int, fault: Fault) -> None:
        """Have the n-th call of this name from now on fail, counted from 0.

        It may not come: a data set is written in as many pieces as the network made of it.
        """
        self.mend()
        self._fails, self._fault = (call, number), fault

    def mend(self) -> None:
        """Have no call fail, and count anew."""
        self.calls.clear()
        self.has_failed = False
        self._fails = None

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*given: Any, **named: Any) -> Any:
            if not type(threading.current_thread()).__module__.startswith("listener."):
                return call(*given, **named)
            before = self.calls.count(name)
            self.calls.append(name)
            if (name, before) != self._fails:
                return call(*given, **named)
            self.has_failed = True
            return self._failing(name, call, given, named)

        return guarded

    def _failing(
        self, name: str, call: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        if self._fault is Fault.SHORT:
            fd, data = given
            return call(fd, data[: max(1, len(data) // 2)])
        if self._fault is Fault.UNSURE or name == "close":  # Linux closes in any case
            call(*given, **named)
        full = self._fault is Fault.FULL
        if name.startswith("do_"):
            error = sqlite3.OperationalError("Invented^Ines")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
            raise error
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, os.strerror(code), "Invented^Ines")
