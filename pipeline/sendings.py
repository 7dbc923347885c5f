"""Which library copies are being sent at this moment, by whichever process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
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
    def of(self, copy_uids: Iterable[str]) -> Iterator[Callable[[], tuple[str, ...]]]:
        """Hold copies as being sent until the block ends; several may send the same one.

        Yields what says, in the end, which of them nobody else is sending: of several senders of
        one copy the last is told so, and the others are not, however close together they end.
        """
        uids = tuple(copy_uids)
        with self._opened() as descriptor:

            def alone() -> tuple[str, ...]:
                _lock(descriptor, fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, _ENDING)
                return tuple(uid for uid in uids if not _is_held(descriptor, _place(uid)))

            with _held(descriptor, map(_place, uids)):
                yield alone

    @contextmanager
    def referring(self, copy_uids: Iterable[str]) -> Iterator[None]:
        """Hold copies, until the block ends, as what something refers to that is being sent."""
        places = [_place(uid) + _REFERRED for uid in copy_uids]
        with self._opened() as descriptor, _held(descriptor, places):
            yield

    def any_of(self, copy_uids: Iterable[str]) -> bool:
        """Tell whether somebody is sending one of these copies, or what refers to it."""
        with self._opened() as descriptor:
            return any(
                _is_held(descriptor, place)
                for uid in copy_uids
                for place in (_place(uid), _place(uid) + _REFERRED)
            )

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


_REFERRED, _ENDING = 1 << 61, 1 << 62  # places beyond those of copies
_FLOCK = "hhqqi"  # struct flock: type, whence, start, length (0 for all), process (0 here)


def _place(uid: str) -> int:
    """Return the byte that stands for a copy; two may share one, then one waits for both."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") >> 3


@contextmanager
def _held(descriptor: int, places: Iterable[int]) -> Iterator[None]:
    for place in places:
        _lock(descriptor, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, place)
    try:
        yield
    finally:
        # a child that was forked meanwhile has the file open too: closing is not enough
        _lock(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK)


def _is_held(descriptor: int, place: int) -> bool:
    """Tell whether a place is held through another opening of the file."""
    return _lock(descriptor, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, place) != fcntl.F_UNLCK


def _lock(descriptor: int, command: int, kind: int, place: int | None = None) -> int:
    """Set or look for a lock of the open file (not of the process); return the kind that is there.

    Locks of the process would not hold between its threads, and would go when any of them closes
    the file.
    """
    length = 0 if place is None else 1
    asked = struct.pack(_FLOCK, kind, os.SEEK_SET, place or 0, length, 0)
    answer = fcntl.fcntl(descriptor, command, asked)
    return int(struct.unpack_from(_FLOCK, answer)[0])
