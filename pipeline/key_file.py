"""A secret key in a file of its own that only its owner may read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.disk import sync_folder
from pipeline.errors import KeyFileError

__all__ = ["KeyFile", "make_key"]

_BYTES: Final = 32


class KeyFile:
    """A key of 32 bytes in a file, and beside it, while it is changed, the one that follows.

    Parameters
    ----------
    path
        May be a credential of systemd (LoadCredential=), which cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = path.with_name(f"{path.name}.next")

    def read(self) -> bytes:
        """Return the key.

        Raises
        ------
        KeyFileError
            Where it is missing, not whole, or open to every account of this machine.
        """
        return _read(self.path)

    def read_or_make(self) -> bytes:
        """Return the key, made where there is none; of several processes that make one, one does.

        Raises
        ------
        KeyFileError
            As for `read`, or where it cannot be made.
        """
        if not self.path.exists():
            try:
                make_key(self.path)
            except OSError as error:
                detail = f"{self.path}: it cannot be made ({error.strerror})."
                raise KeyFileError(detail) from None
        return self.read()

    def find(self, is_right: Callable[[bytes], bool]) -> bytes | None:
        """Return the right one of key and following key; None where neither is.

        Raises
        ------
        KeyFileError
            As for `read`, where no following key is right either.
        """
        if self._next.exists() and is_right(following := _read(self._next)):
            return following
        key = self.read()
        return key if is_right(key) else None

    def make_next(self) -> bytes:
        """Put a following key beside the key, durably, in place of an earlier one."""
        self._next.unlink(missing_ok=True)
        make_key(self._next)
        return _read(self._next)

    def settle(self, is_right: Callable[[bytes], bool]) -> None:
        """Let the following key take the key's place where it is the right one."""
        if self._next.exists() and is_right(_read(self._next)):
            self._next.replace(self.path)
            sync_folder(self.path.parent)


def make_key(path: Path) -> None:
    """Make a key beside and link it into place: whole or not there, and one for all processes.

    Its folder is made where it does not exist, readable by its owner only.

    Raises
    ------
    OSError
        Where the disk refuses.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink()
    sync_folder(path.parent)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            # a credential's group is its reader (an access control list); others never are
            is_open = os.fstat(stream.fileno()).st_mode & 0o007
            key = stream.read(_BYTES + 1)
    except OSError as error:
        detail = f"{path}: it cannot be read ({error.strerror}); restore it from its backup."
        raise KeyFileError(detail) from None
    if is_open:
        detail = f"{path}: every account can read it; set its mode to 0600."
        raise KeyFileError(detail)
    if len(key) != _BYTES:
        detail = f"{path}: it has to have {_BYTES} bytes; restore it from its backup."
        raise KeyFileError(detail)
    return key
