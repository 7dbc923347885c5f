"""Audit messages in a file: one message a line, durable before it counts as delivered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from listener.audit_spool import SpooledMessage
from listener.disk import sync_folder
from listener.errors import AuditError

__all__ = ["AuditFile"]


class AuditFile:
    """A file that messages are appended to, made with mode 0600.

    Each batch is one write and one fsync. Rotation is left to logrotate: a file that was moved or
    deleted is noticed before the next batch, and a new one begun (``create``, or nothing);
    ``copytruncate`` works, but loses what comes while it copies. A line that a crash has cut is
    taken away; the message comes again whole.

    Parameters
    ----------
    path
        The file; its folder has to be there.
    """

    most_at_once = 200

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def send(self, messages: Sequence[SpooledMessage]) -> int:
        """Append messages and bring them to the disk; return how many it can never take: none.

        Raises
        ------
        AuditError
            If the disk refuses.
        """
        try:
            fd = self._opened()
            rest = memoryview("".join(f"{one.xml}\n" for one in messages).encode("ascii"))
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        except OSError as error:
            self.close()
            msg = f"{self._path}: {error.strerror or type(error).__name__}."
            raise AuditError(msg) from None
        return 0

    def probe(self) -> str:
        """Look whether it can be written; return what was found.

        Raises
        ------
        AuditError
            If it cannot.
        """
        there = self._path if self._path.exists() else self._path.parent
        if not os.access(there, os.W_OK):
            msg = f"{there} is missing or cannot be written; make it, owned by the service account."
            raise AuditError(msg)
        return f"{self._path} can be written"

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _opened(self) -> int:
        if self._fd is not None and not self._is_current(self._fd):
            self.close()
        if self._fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)
            _take_cut_line_away(self._fd)
            sync_folder(self._path.parent)
        return self._fd

    def _is_current(self, fd: int) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _take_cut_line_away(fd: int) -> None:
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return
    start = max(0, size - _LONGEST_LINE)
    end = os.pread(fd, size - start, start).rfind(b"\n")
    if end >= 0 or start == 0:
        os.ftruncate(fd, start + end + 1)


_LONGEST_LINE = 1 << 20
