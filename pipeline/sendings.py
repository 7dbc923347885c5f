"""Which library copies are being sent at this moment, by whichever process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Sendings"]


class Sendings:
    """Copies that somebody is sending, held as locks on bytes of one file.

    Workers share the folder that the file is in, as they share the crosswalk. The kernel lets go
    of a lock when the process ends that holds it, by a ``kill -9`` too: nobody has to guess from a
    time whether a sender lives, and one that stands still for an hour is not taken for dead.

    Parameters
    ----------
    path
        The file; made at first use, always empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def of(self, copy_uids: Iterable[str]) -> Iterator[None]:
        """Hold copies as being sent until the block ends; several may send the same one."""
        with self._opened() as descriptor:
            for uid in copy_uids:
                _lock(descriptor, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, _place(uid))
            try:
                yield
            finally:
                # a child that was forked meanwhile has the file open too: closing is not enough
                _lock(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK)

    def any_of(self, copy_uids: Iterable[str]) -> bool:
        """Tell whether somebody is sending one of these copies."""
        with self._opened() as descriptor:
            return any(
                _lock(descriptor, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, _place(uid)) != fcntl.F_UNLCK
                for uid in copy_uids
            )

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


_FLOCK = "hhqqi"  # struct flock: type, whence, start, length (0 for all), process (0 here)


def _place(uid: str) -> int:
    """Return the byte that stands for a copy; two may share one, then one waits for both."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") >> 2


def _lock(descriptor: int, command: int, kind: int, place: int | None = None) -> int:
    """Set or look for a lock of the open file (not of the process); return the kind that is there.

    Locks of the process would not hold between its threads, and would go when any of them closes
    the file.
    """
    length = 0 if place is None else 1
    asked = struct.pack(_FLOCK, kind, os.SEEK_SET, place or 0, length, 0)
    answer = fcntl.fcntl(descriptor, command, asked)
    return int(struct.unpack_from(_FLOCK, answer)[0])
