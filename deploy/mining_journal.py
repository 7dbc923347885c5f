"""The journal of a mining run: what is done outlives the process."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from deploy.errors import ServiceUnavailableError

__all__ = ["MiningJournal"]


class MiningJournal:
    """A file of JSON lines, one for each content that was read: ``content``, ``miner``, ``row``.

    A line is handed to the system as a whole before `append` returns, so a killed process loses
    none, and is brought to the disk within a second of the next one and when the journal is
    closed. A torn last line is cut off, a line that cannot be understood is passed over. Rows stay
    in the file; memory holds where they stand. Mode 0600: rows hold words of reports.

    Parameters
    ----------
    path
        The file; it is made where it does not exist.
    miner
        Name and version: rows of other miners stand in the file and are not seen.
    columns
        Names that a row has to have; a row of an older release that has others is not seen.

    Raises
    ------
    ServiceUnavailableError
        Where another process writes this journal, or the file is none.
    OSError
        Where it cannot be opened.
    """

    def __init__(self, path: Path, miner: str, columns: frozenset[str]) -> None:
        self.path = path
        self._miner, self._columns = miner, columns
        self._places: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()
        self._synced = time.monotonic()
        self._file = _locked(path)
        try:
            _refuse_other(path, self._file)
            self._end = self._load()
            os.ftruncate(self._file, self._end)
        except BaseException:
            os.close(self._file)
            raise

    def __len__(self) -> int:
        return len(self._places)

    def done(self, content: str) -> bool:
        """Whether a content was read; one that could not be read may be tried again."""
        return content in self._done

    def append(self, content: str, row: Mapping[str, Any]) -> None:
        """Keep the row of a content; a later row of the same content replaces it.

        Raises
        ------
        OSError
            Where the disk refuses, e.g. because it is full; what was kept before stays.
        """
        entry = {"content": content, "miner": self._miner, "row": row}
        line = json.dumps(entry, allow_nan=False).encode("ascii") + b"\n"
        _write(self._file, line, self._end)
        self._note(content, row, self._end, len(line))
        self._end += len(line)
        if time.monotonic() - self._synced > 1:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def row(self, content: str) -> dict[str, Any] | None:
        """Return the row of a content, or None where none is kept."""
        if content not in self._places:
            return None
        start, size = self._places[content]
        row: dict[str, Any] = json.loads(os.pread(self._file, size, start))["row"]
        return row

    def remove(self) -> None:
        """Delete the file, once its rows stand elsewhere."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Bring every line to the disk and let others write.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self) -> int:
        """Note every whole line; return where the last one ends."""
        start = 0
        for line in _whole_lines(self._file):
            entry = _entry(line)
            if entry is not None and entry["miner"] == self._miner:
                row = entry["row"]
                if row.keys() == self._columns:
                    self._note(entry["content"], row, start, len(line))
            start += len(line)
        return start

    def _note(self, content: str, row: Mapping[str, Any], start: int, size: int) -> None:
        self._places[content] = (start, size)
        if row.get("reason") is None:
            self._done.add(content)


def _locked(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:
                os.fchmod(file, 0o600)
                return file
        except BlockingIOError:
            os.close(file)
            text = f"{path}: another process is writing this result; wait for it, or end it"
            raise ServiceUnavailableError(text) from None
        os.close(file)  # the other process had just finished and removed it


def _refuse_other(path: Path, file: int) -> None:
    """Refuse a file that is no journal: what cannot be understood would be cut off."""
    start = os.pread(file, len(_START), 0)
    if not _START.startswith(start):
        text = f"{path}: is there and no journal of a mining run; name another --out"
        raise ServiceUnavailableError(text)


_START = b'{"content"'


def _whole_lines(file: int) -> Iterator[bytes]:
    with open(os.dup(file), "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
        stream.seek(0)
        for line in stream:
            if line.endswith(b"\n"):
                yield line


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or entry.keys() != {"content", "miner", "row"}:
        return None
    known = isinstance(entry["content"], str) and isinstance(entry["row"], dict)
    return entry if known else None


def _write(file: int, line: bytes, start: int) -> None:
    left = memoryview(line)
    while left:
        written = os.pwrite(file, left, start)
        start, left = start + written, left[written:]
