"""A gold file that is being written: one line a report, corrected by a person."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.private_file import private_file
from pipeline.gold import GoldReport, gold_reports

__all__ = ["GoldFile", "text_id"]


def text_id(text: str) -> str:
    """Return the id of a report in gold files: a hash of its words, since names may name people."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class GoldFile:
    """Corrections on disk; what others have put into the file stays as it is.

    Every change is written as a whole, mode 0600, before it counts. Where the file was changed by
    somebody else in the meantime it is read again first.

    Parameters
    ----------
    path
        The file; it need not exist yet.

    Raises
    ------
    GoldError
        Where it is no gold file; nothing is written to it then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._lines: dict[str, dict[str, Any]] = {}
        self._reports: dict[str, GoldReport] = {}
        self._seen: tuple[int, ...] | None = None
        self._refresh()

    def __len__(self) -> int:
        return len(self._lines)

    def of(self, text: str) -> GoldReport | None:
        """Return the labels of the report with this `text_id`, or None where there are none."""
        return self._reports.get(text)

    def put(self, report: GoldReport, read: GoldReport, miner: str) -> None:
        """Keep the labels of a report; they replace earlier ones of the same text.

        Parameters
        ----------
        report
            What a person says of it.
        read
            What the miner has read; it is kept beside it, as ``read``.
        miner
            Its name and version.

        Raises
        ------
        GoldError
            Where somebody else has made the file unreadable.
        OSError
            Where the disk refuses; nothing is changed then.
        """
        with self._lock, self._alone():
            self._refresh()
            line = report.model_dump(mode="json") | {
                "read": read.gold.model_dump(mode="json"),
                "miner": miner,
                "reviewed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            earlier = self._reports.get(text_id(report.text))
            if earlier is not None:  # its id and further keys are somebody's own
                kept = self._lines[earlier.id]
                line = kept | line | {"id": kept["id"], "age_years": kept.get("age_years")}
            kept_report = GoldReport.model_validate(line)
            self._write(
                self._lines | {line["id"]: line},
                self._reports | {text_id(report.text): kept_report},
            )

    def remove(self, text: str) -> None:
        """Take the labels of the report with this `text_id` back.

        Raises
        ------
        GoldError, OSError
            As `put`.
        """
        with self._lock, self._alone():
            self._refresh()
            earlier = self._reports.get(text)
            if earlier is not None:
                self._write(
                    {name: line for name, line in self._lines.items() if name != earlier.id},
                    {name: gold for name, gold in self._reports.items() if name != text},
                )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other process change the file between reading and writing it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.lock")
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _write(self, lines: dict[str, dict[str, Any]], reports: dict[str, GoldReport]) -> None:
        with private_file(self.path.resolve()) as stream:
            for line in lines.values():
                stream.write(json.dumps(line).encode("ascii") + b"\n")
        self._lines, self._reports, self._seen = lines, reports, _stamp(self.path)

    def _refresh(self) -> None:
        if self._seen != _stamp(self.path):
            self._read()

    def _read(self) -> None:
        stamp = _stamp(self.path)
        reports = gold_reports(self.path) if stamp else ()
        lines = self.path.read_text(encoding="utf-8").split("\n") if stamp else ()
        raw = [json.loads(line) for line in lines if line.strip()]
        self._lines = {line["id"]: line for line in raw}
        self._reports = {text_id(report.text): report for report in reports}
        self._seen = stamp


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - of the file that a link leads to
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
