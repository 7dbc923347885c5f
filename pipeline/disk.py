"""The disk: what has to outlast a power cut."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["sync_folder", "write_whole"]


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk: what was made, renamed or deleted in it (fsync(2)).

    Raises
    ------
    OSError
        If it is no folder, or the disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Put a small ASCII file in place, durably: anybody reads the old text or the new, never less.

    Its folder is made where it does not exist, readable by its owner only.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    with beside.open("w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    sync_folder(path.parent)
