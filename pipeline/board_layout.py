"""The grid of the picture board: landscape, with pictures as large as the words leave them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from pipeline.board_row import BoardCase, BoardRow
from pipeline.canvas import UNITS

__all__ = ["MARGIN", "WIDTH", "BoardLayout", "most_shown"]

MARGIN: Final = 20.0
"""Around the sheet, in units of a canvas."""

WIDTH: Final = UNITS - 2 * MARGIN
"""Between the margins."""

_SHEET: Final = 0.75 * UNITS  # its height: a viewer's window is seldom narrower than 4:3
_GAP: Final = 14.0
_QUERY_GAP: Final = 34.0
_BETWEEN: Final = 4.0
_PER_LINE: Final = 5
_LINES: Final = 2
_PER_LINE_OF_SEVERAL: Final = 4
_SMALLEST: Final = 96.0
_TALLEST: Final = 1.5  # by the width: a forearm is longer than wide
_WRIST_SHARE: Final = 0.46  # of a stack: the bone was asked about, so it is shown larger


@dataclass(frozen=True)
class BoardLayout:
    """Columns and picture sizes, alike in all rows, in units of a canvas.

    Parameters
    ----------
    columns
        Matches in a line.
    beside
        Whether a bone's crop stands beside its wrist and not beneath: where bones or lines share
        the sheet, frames would else be wide and low, and wrists small.
    stack
        Height of the pictures of a case together.
    """

    columns: int
    beside: bool
    stack: float = 0.0

    @classmethod
    def of(cls, rows: Sequence[BoardRow]) -> BoardLayout:
        """Return the grid for rows, its pictures still flat."""
        most = max((len(row.matches) for row in rows), default=0)
        lines = ceil(most / _PER_LINE) if len(rows) == 1 else 1
        columns = ceil(most / max(1, lines))
        several, cropped = len(rows) > 1, any(row.part.region for row in rows)
        return cls(max(3 if several else 2, columns), cropped and (several or lines > 1))

    def filled(self, rows: Sequence[BoardRow], words: float) -> BoardLayout:
        """Give the pictures what is left of the sheet.

        Parameters
        ----------
        rows
            All of the board.
        words
            Height of everything but pictures.
        """
        lines = sum(max(1, len(list(self.lines(row)))) for row in rows)
        least, most = _SMALLEST, _TALLEST * self.frame
        if any(row.part.region for row in rows) and not self.beside:
            least, most = 2 * least + _BETWEEN, 2 * most + _BETWEEN

        def room(height: float) -> float:
            return (height - words) / max(1, lines)

        # many words make a longer sheet, and smaller pictures only where it would be upright
        wanted = max(room(_SHEET), min(least, room(UNITS)), least / 2)
        return replace(self, stack=min(most, wanted))

    def lines(self, row: BoardRow) -> Iterator[Sequence[BoardCase]]:
        """Yield the matches of a row, line by line."""
        for first in range(0, len(row.matches), self.columns):
            yield row.matches[first : first + self.columns]

    @property
    def cell(self) -> float:
        """Width of a case."""
        return (WIDTH - _QUERY_GAP - (self.columns - 1) * _GAP) / (self.columns + 1)

    @property
    def frame(self) -> float:
        """Width of a picture where a case has two."""
        return (self.cell - _BETWEEN) / 2 if self.beside else self.cell

    def column(self, number: int) -> float:
        """Return where a match begins, from the left."""
        return MARGIN + self.cell + _QUERY_GAP + number * (self.cell + _GAP)

    @property
    def divider(self) -> float:
        """Where a line parts the query from its matches."""
        return MARGIN + self.cell + _QUERY_GAP / 2

    def wrist_size(self, row: BoardRow) -> tuple[float, float]:
        """Return width and height of a wrist's picture."""
        if row.part.region is None:
            return self.cell, self.stack
        if self.beside:
            return self.frame, self.stack
        return self.cell, max(0.0, _WRIST_SHARE * (self.stack - _BETWEEN))

    def bone_size(self, row: BoardRow) -> tuple[float, float]:
        """Return width and height of a crop."""
        if self.beside:
            return self.frame, self.stack
        return self.cell, max(0.0, self.stack - _BETWEEN - self.wrist_size(row)[1])

    def bone_offset(self, row: BoardRow) -> tuple[float, float]:
        """Return where a crop begins, from the corner of its wrist: right and down."""
        width, height = self.wrist_size(row)
        return (width + _BETWEEN, 0.0) if self.beside else (0.0, height + _BETWEEN)


def most_shown(rows: int) -> int:
    """Return how many matches a row shows at the most, by the number of rows."""
    return _PER_LINE * _LINES if rows == 1 else _PER_LINE_OF_SEVERAL
