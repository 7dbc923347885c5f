"""The folder of what peers have written of procedure steps: one file a step, readable by us alone.

A step's data set names its patient, so it lies here and not in the ledger.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from listener.attributes import Attribute, Attributes, read_attributes, write_attributes
from listener.disk import sync_folder, write_new
from listener.elements import EXPLICIT_LITTLE
from listener.errors import CannotUnderstandError
from listener.private_folder import PrivateFolder

__all__ = ["StepShelf"]


class StepShelf:
    """Puts the data sets of steps on the disk, durably, under names that say nothing.

    Parameters
    ----------
    folder
        Made with mode 0700 where it is missing; it needs a local file system.
    watermark_bytes
        Free disk space under which nothing is taken.

    Raises
    ------
    ListenerError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path, *, watermark_bytes: int) -> None:
        self._folder = PrivateFolder(folder, "steps", watermark_bytes=watermark_bytes)

    def place(self, attributes: Attributes) -> Path:
        """Make a data set durable and return where it lies.

        Raises
        ------
        OutOfResourcesError
            If space is short.
        ProcessingFailureError
            If the disk fails.
        """
        target = self._folder.path / f"{secrets.token_hex(16)}.step"
        with self._folder.writing(target):
            write_new(target, write_attributes(attributes, EXPLICIT_LITTLE))
            sync_folder(self._folder.path)
        return target

    def read(self, path: Path) -> dict[int, Attribute]:
        """Return a step's data set; empty where its file is gone or broken.

        The folder may have been moved, or restored elsewhere: a file's name is its own for ever.
        """
        try:
            return read_attributes((self._folder.path / path.name).read_bytes(), EXPLICIT_LITTLE)
        except (OSError, CannotUnderstandError):
            return {}

    def sweep(self, known: Collection[Path]) -> int:
        """Delete the files that no step names, before any is created; return how many."""
        names = {path.name for path in known}
        left = [
            path
            for path in self._folder.path.iterdir()
            if _NAME.fullmatch(path.name) and path.name not in names
        ]
        self.remove(left)
        return len(left)

    def remove(self, paths: Collection[Path]) -> None:
        """Delete the files of steps that are no more."""
        for path in paths:
            with suppress(OSError):  # the next start tries again
                (self._folder.path / path.name).unlink(missing_ok=True)


_NAME = re.compile(r"[0-9a-f]{32}\.step")
