"""A folder that only we may read: what is written into it is durable, or is not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from listener.disk import disk_refusal
from listener.errors import ListenerError, OutOfResourcesError

__all__ = ["PrivateFolder"]


class PrivateFolder:
    """A folder of mode 0700, with a watermark under which nothing is written.

    Parameters
    ----------
    path
        Made where it is missing; it needs a local file system.
    whose
        What it holds, for the words of an error: "reports".
    watermark_bytes
        Free disk space under which nothing is taken.

    Raises
    ------
    ListenerError
        If the folder cannot be made.
    """

    def __init__(self, path: Path, whose: str, *, watermark_bytes: int) -> None:
        self.path = path.absolute()
        self._watermark_bytes = watermark_bytes
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            msg = f"The {whose}' folder cannot be made: {type(error).__name__}."
            raise ListenerError(msg) from None

    @contextmanager
    def writing(self, file: Path) -> Iterator[None]:
        """Write a file within the block, where there is room; it is deleted if the disk refuses.

        Raises
        ------
        OutOfResourcesError
            If space is short.
        ProcessingFailureError
            If the disk fails.
        """
        try:
            if shutil.disk_usage(self.path).free < self._watermark_bytes:
                msg = "Free disk space is under watermark_bytes."
                raise OutOfResourcesError(msg)
            yield
        except OSError as error:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            raise disk_refusal(error) from None
