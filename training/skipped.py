"""What an import left out, and why."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from training.private_file import open_private

__all__ = ["SKIPPED_FILE", "Skipped", "skipped_table", "write_skipped"]

SKIPPED_FILE = "skipped.csv"
"""Its name beside the table of exams."""


@dataclass(frozen=True)
class Skipped:
    """One file or row that was not used, or not as a whole.

    Parameters
    ----------
    name
        Which: a path below the source's folder, or ``line 12``. A hospital's own paths may name
        patients: they stand in `SKIPPED_FILE` (mode 0600) and are printed nowhere.
    reason
        In words, without any value of the file.
    """

    name: str
    reason: str


def write_skipped(skipped: Sequence[Skipped], path: Path) -> None:
    """Write all of them as CSV with the columns ``name`` and ``reason``; mode 0600."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(("name", "reason"))
    lines.writerows((item.name, item.reason) for item in skipped)
    with open_private(path) as file:
        file.write(text.getvalue().encode())


def skipped_table(skipped: Sequence[Skipped], *, names: bool) -> Table:
    """Return the reasons, the frequent ones first, for printing.

    With ``names`` the first thing that each applies to is named; not for a hospital's.
    """
    table = Table(title="Left out", title_justify="left")
    table.add_column("number", justify="right")
    table.add_column("reason")
    if names:
        table.add_column("first")
    first = {item.reason: item.name for item in reversed(skipped)}
    for reason, number in Counter(item.reason for item in skipped).most_common():
        table.add_row(f"{number:,}", reason, *([first[reason]] if names else []))
    return table
