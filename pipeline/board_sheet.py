"""The sheet that a picture board is drawn on: canvas, grid and words, and the marks used all over.

What writes or draws on it, here and elsewhere, returns where the next may begin below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.board_layout import BoardLayout
from pipeline.canvas import Canvas, Colour, Place
from pipeline.dictionary import Dictionary

__all__ = ["LEADING", "MIRROR", "SMALL", "TEXT", "BoardSheet"]

TEXT: Final = 12.0
"""Size of what is read."""

SMALL: Final = 11.5
"""Size of what names something."""

LEADING: Final = 15.5
"""From line to line."""

MIRROR: Final = 15.0
"""Width of the sign of a mirrored picture."""


@dataclass(frozen=True, eq=False)
class BoardSheet:
    """Where a board is drawn, by which grid, in which language."""

    canvas: Canvas
    layout: BoardLayout
    words: Dictionary

    def lines(self, place: Place, lines: Sequence[str], colour: Colour) -> float:
        """Write lines beneath each other; the place is the top left corner."""
        x, y = place
        for line in lines:
            y += LEADING
            self.canvas.text((x, y - 3), line, TEXT, colour)
        return y

    def paragraph(
        self, place: Place, words: str, width: float, colour: Colour, most: int = 2
    ) -> float:
        """Write words in lines of a width, in `most` lines at the most."""
        return self.lines(place, self.canvas.wrapped(words, width, TEXT, most), colour)

    def mirror(self, place: Place, colour: Colour) -> None:
        """Draw the sign of a mirrored picture: two shapes that face each other across an axis.

        Its left end and the base line of the text beside it are given.
        """
        x, y = place
        middle = x + MIRROR / 2
        for way in (-1, 1):
            tip, back = middle + way * 2.2, middle + way * MIRROR / 2
            self.canvas.shape([(tip, y - 8.5), (tip, y), (back, y)], colour)
        left, right = middle - 0.6, middle + 0.6
        self.canvas.shape(
            [(left, y - 10), (right, y - 10), (right, y + 1.5), (left, y + 1.5)], colour
        )
