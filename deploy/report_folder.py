"""Where reports lie: files and folders as somebody names them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from deploy.errors import InputError
from listener.errors import CannotUnderstandError
from listener.file_meta import read_file_meta
from pipeline.report import is_document, is_report

__all__ = ["FoundReports", "find_reports", "reports_in", "shown"]


@dataclass(frozen=True)
class FoundReports:
    """What a search came to.

    Parameters
    ----------
    files
        Text files (.txt) and DICOM files that may hold a report, in order, each once. A folder or
        file that cannot be opened is among them, so that reading it says why.
    no_report
        How many DICOM files are of a class that holds no report.
    other
        How many files are neither text nor DICOM.
    """

    files: tuple[Path, ...]
    no_report: int
    other: int


def shown(file: Path) -> str:
    """Return a file's name as text; bytes that are no UTF-8 are shown by a mark."""
    return os.fsencode(file).decode("utf-8", "replace")


def find_reports(paths: Iterable[Path]) -> FoundReports:
    """Search folders as a whole; a file that is named by itself is taken whatever its ending."""
    found: dict[Path, None] = {}
    left_out = {"no_report": 0, "other": 0}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        for file in _files(path):
            kind = _kind(file)
            if kind == "report":
                found[file] = None
            else:
                left_out[kind] += 1
    return FoundReports(tuple(found), **left_out)


def reports_in(paths: Iterable[Path]) -> FoundReports:
    """Search files and folders that have to hold reports.

    Raises
    ------
    InputError
        Where a path does not exist, or no report lies there.
    """
    paths = tuple(paths)
    for path in paths:
        if not path.exists():
            text = f"{path}: no such file or folder"
            raise InputError(text)
    found = find_reports(paths)
    if not found.files:
        text = (
            f"{paths[0]}: holds no report, that is no text file (.txt), DICOM structured report, "
            f"encapsulated PDF or CDA; left out: {found.no_report} other DICOM files and "
            f"{found.other} files of other kinds"
        )
        raise InputError(text)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield what lies below a folder, links to folders not followed, in order."""
    closed: list[Path] = []
    for place, folders, names in os.walk(
        folder, onerror=lambda error: closed.append(Path(error.filename))
    ):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            if file.is_file() or not file.exists():  # a broken link is said, a socket is not
                yield file
    yield from closed


def _kind(file: Path) -> str:
    if file.suffix.lower() == ".txt":
        return "report"
    try:
        with file.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return "other"
            stream.seek(0)
            stored = Dataset()
            stored.SOPClassUID = read_file_meta(stream).sop_class_uid
    except (OSError, CannotUnderstandError):
        return "report"  # whoever reads it says what is wrong
    return "report" if is_report(stored) or is_document(stored) else "no_report"
