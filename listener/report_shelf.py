"""The folder of reports that came by other roads than DICOM: one file a message, as it came."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from listener.disk import shelved, sweep, sync_folder, write_new
from listener.headed_text import read_headed_text
from listener.hl7 import read_oru
from listener.private_folder import PrivateFolder
from listener.report import Report
from listener.report_settings import Hl7Settings

__all__ = ["Form", "ReportShelf", "form_of", "read_reports", "report_at"]


class Form(StrEnum):
    """How a report is written down; its file's name ends so."""

    HL7 = "hl7"
    TEXT = "txt"


def read_reports(data: bytes, form: Form, rules: Hl7Settings | None = None) -> tuple[Report, ...]:
    """Return the reports of a message or file, at least one.

    Raises
    ------
    UnusableReportError
        If there is none in it that can be used.
    """
    return read_oru(data, rules) if form is Form.HL7 else read_headed_text(data)


def form_of(path: Path) -> Form:
    """Return how a file of the shelf is written."""
    return Form(path.suffix.removeprefix("."))


def report_at(path: Path, position: int) -> Report | None:
    """Return one of the reports in a file of the shelf; None where it holds fewer.

    Raises
    ------
    OSError
        If the file cannot be read.
    UnusableReportError
        If it holds no report.
    """
    reports = read_reports(path.read_bytes(), form_of(path))
    return reports[position] if position < len(reports) else None


class ReportShelf:
    """Puts messages on the disk, durably, under names that say nothing.

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
        self._folder = PrivateFolder(folder, "reports", watermark_bytes=watermark_bytes)

    def place(self, key: str, form: Form, data: bytes) -> Path:
        """Make a message durable under its key and return where it lies.

        The same key twice is the same message: it is written once more, into the same place.

        Raises
        ------
        OutOfResourcesError
            If space is short.
        ProcessingFailureError
            If the disk fails.
        """
        target = self._folder.path / key[:2] / f"{key}.{form}"
        part = self._folder.path / f"{secrets.token_hex(16)}.part"
        with self._folder.writing(part):
            self._make_shelf(target.parent)
            write_new(part, data)
            part.rename(target)
            sync_folder(target.parent)
        return target

    def files(self) -> Iterator[Path]:
        """Return every message's file."""
        return shelved(self._folder.path, _NAME)

    def sweep(self) -> int:
        """Delete the half-written files whose writers are gone; return how many."""
        return sweep(self._folder.path.glob("*.part"))

    def _make_shelf(self, shelf: Path) -> None:
        with suppress(FileExistsError):
            shelf.mkdir(mode=0o700)
            sync_folder(self._folder.path)


_NAME = re.compile(r"[0-9a-f]{64}\.(hl7|txt)")
