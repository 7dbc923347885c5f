"""A file that only its owner may read: what holds words of reports."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.disk import sync_folder

__all__ = ["private_file", "remove_leftovers"]


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file of mode 0600, durably: anybody reads the old one or the new, never less.

    It is put in place when the block ends; where the block fails, the old one stays. Its folder
    is made where it does not exist, readable by its owner only.

    Raises
    ------
    OSError
        Where the disk refuses.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` have left beside it.

    To be called by whoever knows that nobody else writes it now.
    """
    for beside in path.parent.glob(f".{glob.escape(path.name)}-*"):
        if beside.name.rpartition("-")[2].isdecimal():
            beside.unlink(missing_ok=True)
