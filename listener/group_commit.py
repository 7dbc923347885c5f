"""Group commit: transactions that come at the same time become durable together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from listener.errors import LedgerError

__all__ = ["GroupCommit"]

_Result = TypeVar("_Result")


class GroupCommit:
    """Does the steps of several threads in one transaction, where they come at the same time.

    A commit waits for the disk, whatever it holds, and SQLite has one at a time: while one group
    is being made durable the next one gathers. No step returns before its group is durable. Where a
    step fails, nothing of its group is done, and every step is done again by itself, so that only
    the one that fails raises. Where the thread that does a group's steps is ended itself, the
    others raise a `LedgerError`: whether theirs were done is not known.

    Parameters
    ----------
    writing
        Opens a transaction that may write, durable when it ends.
    """

    def __init__(self, writing: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._writing = writing
        self._gathering = threading.Lock()
        self._leading = threading.Lock()
        self._waiting: list[_Step] = []

    def run(self, step: Callable[[Connection], _Result]) -> _Result:
        """Do a step; it may be done twice, with nothing of the first time left."""
        mine = _Step(step)
        with self._gathering:
            self._waiting.append(mine)
        with self._leading:
            if not mine.is_done:
                self._lead()
        if mine.error is not None:
            raise mine.error
        result: _Result = mine.result
        return result

    def _lead(self) -> None:
        """Do what has gathered, and leave nobody's step without an end."""
        group: list[_Step] = []
        try:
            with self._gathering:
                group, self._waiting = self._waiting, []
            self._do(group)
        finally:
            for one in group:
                if not one.is_done:
                    one.end(None, LedgerError(_LEFT))

    def _do(self, group: list[_Step]) -> None:
        if len(group) > 1:
            try:
                with self._writing() as connection:
                    results = [one.step(connection) for one in group]
            except Exception:  # noqa: BLE001, S110 - each is done by itself below, and says what is wrong
                pass
            else:
                for one, result in zip(group, results, strict=True):
                    one.end(result)
                return
        for one in group:
            try:
                with self._writing() as connection:
                    result = one.step(connection)
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that it belongs to
                one.end(None, error)
            else:
                one.end(result)


_LEFT = "The thread that wrote for several has ended before it could tell whether it is done."


class _Step:
    """One thread's part of a group, and what it came to."""

    def __init__(self, step: Callable[[Connection], Any]) -> None:
        self.step = step
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def end(self, result: Any, error: BaseException | None = None) -> None:
        """Note what it came to."""
        self.result, self.error, self.is_done = result, error, True
