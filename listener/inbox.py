"""The folder of received files: temporary file → fsync → rename → fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import itertools
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from listener.disk import disk_refusal, shelved, sweep, sync_folder
from listener.errors import ListenerError, OutOfResourcesError, RefusalError
from listener.file_digest import FileDigest
from listener.instance import data_set_digest
from listener.settings import ListenerSettings

__all__ = ["Inbox", "Spool"]

_WATCH_EVERY = 64 * 1024 * 1024  # bytes between two looks at the free space
_WRITTEN_BACK = 1024 * 1024  # bytes after which the disk is set to work, and a digest beside
_SKIMMED = 256 * 1024  # bytes kept in memory of an object that is only looked at
_BEGINNING = 8 * 1024  # bytes kept in memory of one that is written: most headers are shorter
_NAME = re.compile(r"[0-9a-f]{64}\.dcm")


class Spool:
    """One object while it comes in.

    Writing never raises: the network thread must go on draining the peer so that it can be told.
    What went wrong stands in ``error``.

    Parameters
    ----------
    transfer_syntax
        Takes part in the digest.
    most_bytes
        Largest data set that is taken.
    path
        Temporary file; None to keep no more than the first 256 KiB, in memory.
    start
        What the file begins with before the data set (preamble and file meta information).
    error
        A refusal that is known from the beginning: everything is drained, nothing kept.
    """

    def __init__(
        self,
        transfer_syntax: str,
        most_bytes: int,
        path: Path | None = None,
        start: bytes = b"",
        error: RefusalError | None = None,
    ) -> None:
        self.transfer_syntax = transfer_syntax
        self.size = 0
        self.error = error
        self.closed = False
        self.path = path
        self._most_bytes = most_bytes
        self._offset = len(start)
        self._memory = bytearray()
        self._hash = data_set_digest(transfer_syntax)
        self._beside: FileDigest | None = None
        self._digest: str | None = None
        self._fd: int | None = None
        self._watched_at = self._written_back = 0
        self._is_synced = False
        # the network thread writes, the association's thread discards
        self._lock = threading.RLock()
        if path is not None and error is None:
            self._open(path, start)

    @property
    def digest(self) -> str:
        """SHA-256 over the transfer syntax and all of the data set, in hexadecimal.

        Raises
        ------
        RefusalError
            If the disk refuses to give back what was written.
        """
        with self._lock:
            if self._digest is None:
                beside, self._beside = self._beside, None
                try:
                    whole = None if beside is None else beside.finish(self._offset + self.size)
                except OSError as error:
                    raise disk_refusal(error) from None
                self._digest = whole or self._hash.hexdigest()
            return self._digest

    def write(self, data: bytes | memoryview) -> int:
        """Take the next piece of the data set."""
        with self._lock:
            if self.error is None and not self.closed:
                self._take(data)
        return len(data)

    def stream(self) -> BinaryIO:
        """Open what was kept, from the data set's first byte on.

        Its beginning is in memory: what is looked at mostly lies there, and no file is opened.
        """
        if self._fd is None or self.path is None:
            return io.BytesIO(self._memory)
        return io.BufferedReader(_Kept(bytes(self._memory), self.path, self._offset))

    def sync(self) -> None:
        """Bring the file's bytes to the disk.

        Raises
        ------
        RefusalError
            If the disk refuses.
        """
        if self._fd is None or self._is_synced:
            return
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise disk_refusal(error) from None
        self._is_synced = True

    def discard(self) -> None:
        """Close, and delete the temporary file where it still lies under its temporary name."""
        with self._lock:
            self.closed = True
            self._drop()

    def release(self) -> None:
        """Close after the file has been moved to its place."""
        self.path = None
        self.discard()

    def _open(self, path: Path, start: bytes) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that its writer lives
            _write_all(self._fd, start)
        except OSError as error:
            self._fail(disk_refusal(error))

    def _take(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if self._beside is None:
            self._hash.update(data)
        if self.size > self._most_bytes:
            self._fail(OutOfResourcesError("It is larger than max_object_bytes."))
            return
        most = _SKIMMED if self._fd is None else _BEGINNING
        if len(self._memory) < most:
            self._memory += data[: most - len(self._memory)]
        if self._fd is not None:
            try:
                self._watch()
                _write_all(self._fd, data)
                if self.size - self._written_back >= _WRITTEN_BACK:
                    self._write_back(self._fd)
            except OSError as error:
                self._fail(disk_refusal(error))

    def _write_back(self, fd: int) -> None:
        """Have the disk begin with what was written, so that it has little to do in the end.

        The kernel takes the advice that these pages are not needed as word to write them out, as
        sync_file_range(2) would; those that are on their way stay in its cache.
        """
        begun, self._written_back = self._written_back, self.size
        os.posix_fadvise(fd, self._offset + begun, self.size - begun, os.POSIX_FADV_DONTNEED)
        if self._beside is None:
            with contextlib.suppress(RuntimeError):  # without a thread for it, as before
                self._beside = FileDigest(self._hash, fd, self._offset + self.size)
        else:
            self._beside.advance(self._offset + self.size)

    def _watch(self) -> None:
        if self.path is not None and self.size - self._watched_at >= _WATCH_EVERY:
            self._watched_at = self.size
            if shutil.disk_usage(self.path.parent).free < _WATCH_EVERY:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fail(self, error: RefusalError) -> None:
        """Note the refusal and give the space back at once."""
        self.error = error
        self._drop()

    def _drop(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.abandon()
        fd, self._fd = self._fd, None
        if fd is not None:
            # one that cannot be closed is gone all the same, and what stays is swept at the next
            # start; what has to be durable was synced before
            with contextlib.suppress(OSError):
                os.close(fd)
            with contextlib.suppress(OSError):
                if self.path is not None:
                    self.path.unlink(missing_ok=True)
        self._memory.clear()


class Inbox:
    """The inbox folder.

    Parameters
    ----------
    folder
        Made with mode 0700 where it is missing; it needs a local file system.
    watermark_bytes
        Free disk space under which nothing is taken.
    most_bytes
        Largest object that is taken.
    """

    def __init__(self, folder: Path, *, watermark_bytes: int, most_bytes: int) -> None:
        self._folder = folder.absolute()
        self._incoming = self._folder / "incoming"
        self._watermark_bytes = watermark_bytes
        self._most_bytes = most_bytes
        self._run, self._numbers = secrets.token_hex(8), itertools.count()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for shelf in ("incoming", *(f"{n:02x}" for n in range(256))):
                (self._folder / shelf).mkdir(exist_ok=True, mode=0o700)
            sync_folder(self._folder)
            sync_folder(self._folder.parent)
        except OSError as error:
            msg = f"The inbox folder cannot be made: {type(error).__name__}."
            raise ListenerError(msg) from None

    @classmethod
    def of(cls, settings: ListenerSettings) -> Inbox:
        """Return the inbox that the settings name.

        Raises
        ------
        ListenerError
            If its folder cannot be made.
        """
        return cls(
            settings.inbox_dir,
            watermark_bytes=settings.watermark_bytes,
            most_bytes=settings.max_object_bytes,
        )

    def is_short_of_space(self) -> bool:
        """Tell whether the disk has less free space than the watermark, or does not say."""
        try:
            return shutil.disk_usage(self._folder).free < self._watermark_bytes
        except OSError:
            return True

    def is_too_large(self, size: int) -> bool:
        """Tell whether a data set of so many bytes is refused, whatever the space is."""
        return size > self._most_bytes

    def receive(self, transfer_syntax: str, start: bytes, most_bytes: int | None = None) -> Spool:
        """Return a spool onto the disk, or one that drains where space is short.

        ``most_bytes`` bounds what is less than an object.
        """
        if self.is_short_of_space():
            error = OutOfResourcesError("Free disk space is under watermark_bytes.")
            return self.refuse(transfer_syntax, error)
        path = self._incoming / f"{os.getpid()}-{self._run}-{next(self._numbers)}.part"
        return Spool(transfer_syntax, most_bytes or self._most_bytes, path, start)

    def skim(self, transfer_syntax: str) -> Spool:
        """Return a spool that keeps only an object's beginning, in memory."""
        return Spool(transfer_syntax, self._most_bytes)

    def refuse(self, transfer_syntax: str, error: RefusalError) -> Spool:
        """Return a spool that drains and keeps nothing."""
        return Spool(transfer_syntax, self._most_bytes, error=error)

    def place(self, spool: Spool, name: str) -> Path:
        """Make a spool's file durable under its name and return where it lies.

        Raises
        ------
        RefusalError
            If the disk refuses; no file is left under the name then.
        """
        if spool.path is None:
            msg = "Nothing of it was kept."
            raise OutOfResourcesError(msg)
        shelf = self._folder / name[:2]
        target = shelf / name
        spool.sync()
        try:
            spool.path.rename(target)
            spool.release()
            sync_folder(shelf)
        except OSError as error:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
            raise disk_refusal(error) from None
        return target

    def files(self) -> Iterator[Path]:
        """Return every received file."""
        return shelved(self._folder, _NAME)

    def sweep(self, process_id: int | None = None) -> int:
        """Delete the temporary files whose writers are gone; return how many.

        Parameters
        ----------
        process_id
            Of the one process whose files are meant, while others go on receiving: theirs are
            not locked yet in the moment in which they are made.
        """
        return sweep(
            self._incoming.glob("*.part" if process_id is None else f"{process_id}-*.part")
        )


class _Kept(io.RawIOBase):
    """A data set on the disk, from its first byte on, with its beginning in memory.

    Parameters
    ----------
    beginning
        Its first bytes.
    path
        The file, opened where more is read.
    offset
        Where the data set begins in it.
    """

    def __init__(self, beginning: bytes, path: Path, offset: int) -> None:
        super().__init__()
        self._beginning = beginning
        self._path = path
        self._offset = offset
        self._at = 0
        self._file: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = self._path.stat().st_size - self._offset + offset, os.SEEK_SET
        self._at = max(0, offset if whence == os.SEEK_SET else self._at + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = self._beginning[self._at : self._at + len(buffer)]
        if not piece:
            self._file = self._file or self._path.open("rb", buffering=0)
            self._file.seek(self._offset + self._at)
            piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _write_all(fd: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
