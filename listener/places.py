"""The places that associations have, counted over every receiver process of a site.

The table lies in memory that the processes share. A process that is killed lets go of the lock,
for the kernel does it; its places are cleared by `vacate`.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from listener.peers import Admission

__all__ = ["Places"]

# a row is a process id and, of a place, whose share it is of, or, of a process, how many
# connections it has; a process id of 0 says that the row is free
_ROW_BYTES = 16
_KEY_BYTES = 8
_MOST_PROCESSES = 32


class Places:
    """So many places for associations; safe to use from many threads and processes.

    Parameters
    ----------
    most
        Places in total.
    descriptor
        That of a table that another process has made, which is closed here in the end; None makes
        a new one.
    """

    def __init__(self, most: int, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("places", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, (most + _MOST_PROCESSES) * _ROW_BYTES)
        self._most = most
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, (most + _MOST_PROCESSES) * _ROW_BYTES)
        self._rows = memoryview(self._memory).cast("Q")
        self._lock = threading.Lock()
        self._is_closed = False

    def fileno(self) -> int:
        """Return the table's descriptor, to be handed to another process."""
        return self._descriptor

    def take(self, terms: Admission) -> int | None:
        """Return the number of a place, taken now; None where the share or the house is full.

        The service's own probe, which has no share, needs none: it has to get through.
        """
        share = _key(terms)
        with self._locked():
            taken = {n: self._rows[2 * n + 1] for n in range(self._most) if self._rows[2 * n]}
            free = next((n for n in range(self._most) if n not in taken), None)
            if free is None or sum(1 for held in taken.values() if held == share) >= terms.most:
                return None
            # a kill between the two leaves a place free: the process id makes it a taken one
            self._rows[2 * free + 1] = share
            self._rows[2 * free] = os.getpid()
        return free

    def give_back(self, place: int) -> None:
        """Let another one have a place."""
        with suppress(ValueError), self._locked():  # the table may be gone before an association
            self._rows[2 * place] = 0

    def vacate(self, process_id: int) -> int:
        """Clear what a process held that is gone; return how many places it had."""
        with self._locked():
            held = [
                n for n in range(self._most + _MOST_PROCESSES) if self._rows[2 * n] == process_id
            ]
            for row in held:
                self._rows[2 * row] = 0
        return sum(1 for row in held if row < self._most)

    def held(self) -> int:
        """Return how many places are taken."""
        with self._locked():
            return sum(1 for n in range(self._most) if self._rows[2 * n])

    def announce(self, connections: int) -> None:
        """Let the other processes know how many connections this one has."""
        with suppress(ValueError), self._locked():
            row = self._row_of(os.getpid())
            self._rows[2 * row + 1] = connections
            self._rows[2 * row] = os.getpid()

    def announced(self) -> dict[int, int]:
        """Return the connections of each process that has announced them, by its id."""
        with self._locked():
            rows = range(self._most, self._most + _MOST_PROCESSES)
            return {self._rows[2 * n]: self._rows[2 * n + 1] for n in rows if self._rows[2 * n]}

    def close(self) -> None:
        """Let the memory go in this process."""
        with self._lock:
            self._rows.release()
            self._memory.close()
            os.close(self._descriptor)
            self._is_closed = True

    def _row_of(self, process_id: int) -> int:
        rows = range(self._most, self._most + _MOST_PROCESSES)
        known = (n for n in rows if self._rows[2 * n] == process_id)
        free = (n for n in rows if not self._rows[2 * n])
        return next(known, None) or next(free)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the table: against other threads, then against other processes (fcntl(2))."""
        with self._lock:
            if self._is_closed:
                msg = "The table of places is closed."
                raise ValueError(msg)
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _key(terms: Admission) -> int:
    """Return what stands for a share in every process alike."""
    digest = hashlib.blake2b(repr(terms.share).encode(), digest_size=_KEY_BYTES)
    return int.from_bytes(digest.digest(), "little")
