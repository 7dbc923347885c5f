"""The digest of a file that is still being written, computed in a thread beside the writing."""

from __future__ import annotations

import errno
import hashlib
import os
import threading

__all__ = ["FileDigest"]

_PIECE = 1 << 20


class FileDigest:
    """Reads what has been written, from the cache of the system, and adds it to a digest.

    Hashing a large object takes longer than receiving and writing it; neither holds Python's lock,
    so that both go on at the same time.

    Parameters
    ----------
    so_far
        The digest up to ``start``.
    descriptor
        Of the file, readable; it stays the caller's.
    start
        Where in the file it goes on from.
    """

    def __init__(self, so_far: hashlib._Hash, descriptor: int, start: int) -> None:
        self._hash = so_far
        self._descriptor = os.dup(descriptor)
        self._at = start
        self._written = start
        self._is_complete = False
        self._error: OSError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="digest", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads to be had
            os.close(self._descriptor)
            raise

    def advance(self, written: int) -> None:
        """Note that the file is written up to an offset."""
        with self._changed:
            self._written = written
            self._changed.notify()

    def finish(self, written: int) -> str:
        """Return the digest of the file up to an offset, where it ends, in hexadecimal.

        Raises
        ------
        OSError
            If the file could not be read.
        """
        self.advance(written)
        self.abandon()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    def abandon(self) -> None:
        """Let it come to its end; nothing more is written."""
        with self._changed:
            self._is_complete = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        piece = memoryview(bytearray(_PIECE))
        try:
            while wanted := self._wanted():
                size = os.preadv(self._descriptor, [piece[:wanted]], self._at)
                if not size:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                self._hash.update(piece[:size])
                self._at += size
        except OSError as error:
            self._error = error
        finally:
            os.close(self._descriptor)

    def _wanted(self) -> int:
        """Return how many bytes are to be read next; 0 at the end."""
        with self._changed:
            while self._written - self._at < _PIECE and not self._is_complete:
                self._changed.wait()
            return min(_PIECE, self._written - self._at)
