"""An import: exams from any source into a table, and a list of what was left out."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.errors import DataError
from training.exam_table import ExamRow, ExamTableWriter
from training.skipped import SKIPPED_FILE, Skipped, write_skipped

__all__ = ["PICTURES", "CutExam", "ExamImport", "Imported", "import_exams", "progress"]

PICTURES = "pictures"
"""Folder of a table for pictures that were made for it; emptied by each import."""


@dataclass(frozen=True, eq=False)
class CutExam:
    """An exam with its crops: uint8 (side, side) by crop name."""

    row: ExamRow
    crops: Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Imported:
    """What became of one seed, row or study."""

    exams: tuple[CutExam, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class ExamImport:
    """What an import came to."""

    rows: tuple[ExamRow, ...]
    skipped: tuple[Skipped, ...]


def import_exams(
    folder: Path,
    side: int,
    imported: Iterable[Imported],
    total: int,
    *,
    skipped: Iterable[Skipped] = (),
    console: Console | None = None,
) -> ExamImport:
    """Write a table, and `SKIPPED_FILE` beside it.

    Parameters
    ----------
    folder
        The table's; what an earlier import left there is replaced.
    side
        Side of the crops in pixels.
    imported
        What the source yields, lazily.
    total
        How many of them there are, for the progress bar.
    skipped
        What was left out before, while the source was looked through.

    Raises
    ------
    DataError
        Where the folder holds other things, or nothing at all could be taken in.
    """
    rows: list[ExamRow] = []
    left_out = list(skipped)
    with ExamTableWriter(folder, side) as writer:
        shutil.rmtree(folder / PICTURES, ignore_errors=True)
        with progress(console) as bar:
            task = bar.add_task("exams", total=total)
            for one in imported:
                for exam in one.exams:
                    try:
                        writer.add(exam.row, exam.crops)
                    except DataError as error:
                        left_out.append(Skipped(exam.row.exam, error.detail))
                        continue
                    rows.append(exam.row)
                left_out += one.skipped
                bar.advance(task)
        write_skipped(left_out, folder / SKIPPED_FILE)
        if not rows:
            detail = f"No exam could be taken in; {folder / SKIPPED_FILE} names the reasons."
            raise DataError(detail)
    return ExamImport(tuple(rows), tuple(left_out))


def progress(console: Console | None = None) -> Progress:
    """Return a progress bar on standard error that leaves no trace."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        transient=True,
    )
