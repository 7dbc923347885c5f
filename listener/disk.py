"""Folders of received files: made durable, listed and swept in one way."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from listener.errors import OutOfResourcesError, ProcessingFailureError, RefusalError

__all__ = ["disk_refusal", "shelved", "sweep", "sync_folder", "write_new"]


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def shelved(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files of this kind of name on a folder's shelves, subfolders of two characters."""
    for shelf in sorted(folder.iterdir()):
        if len(shelf.name) == 2 and shelf.is_dir():
            yield from (file for file in sorted(shelf.iterdir()) if name.fullmatch(file.name))


def sweep(parts: Iterable[Path]) -> int:
    """Delete the half-written files whose writers, who hold a lock, are gone; return how many."""
    swept = 0
    for path in parts:
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            swept += 1
    return swept


def write_new(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that was not there, and bring its bytes to the disk.

    Raises
    ------
    OSError
        If it is there already, or the disk refuses.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that its writer lives
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def disk_refusal(error: OSError) -> RefusalError:
    """Return what a peer is told of a disk's error: that there is no room, or that it failed."""
    words = f"The disk refuses: {os.strerror(error.errno or 0)}."
    return OutOfResourcesError(words) if error.errno in _NO_ROOM else ProcessingFailureError(words)


_NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
