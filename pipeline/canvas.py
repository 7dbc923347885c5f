"""A black sheet to draw on, measured in 1024ths of its width."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["UNITS", "Canvas", "Colour", "Corners", "Place"]

Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]
Place = tuple[float, float]

_SPACE: Final = 0.27  # of the size

UNITS: Final = 1024
"""Width of every canvas in its own units, whatever its width in pixels."""


class Canvas:
    """An RGB picture with the few marks that the board needs.

    Places and sizes are in units (`UNITS` make the width), x to the right and y down, so that a
    drawing looks the same at every width.

    Parameters
    ----------
    width
        In pixels. The sheet is as long as what is drawn on it.
    """

    def __init__(self, width: int) -> None:
        self._scale = width / UNITS
        self._image = Image.new("RGB", (width, width))
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self, height: float) -> NDArray[np.uint8]:
        """Return what was drawn down to a height: uint8, shape (rows, columns, 3)."""
        self._lengthen(height)
        return np.asarray(self._image)[: round(height * self._scale)].copy()

    def size_in_pixels(self, width: float, height: float) -> tuple[int, int]:
        """Return how many pixels an area covers: width, height."""
        return max(1, round(width * self._scale)), max(1, round(height * self._scale))

    def text(
        self, place: Place, words: str, size: float, colour: Colour, anchor: str = "ls"
    ) -> None:
        """Write one line; `anchor` is ``ls`` (left), ``rs`` (right) or ``ms`` (middle), base line.

        Word by word: at small sizes the font's kerning would swallow the spaces.
        """
        x, y = place
        self._lengthen(y + size)
        length = self.length(words, size)
        x -= {"l": 0.0, "m": length / 2, "r": length}[anchor[0]]
        font = self._font(size)
        for word in words.split(" "):
            at = (x * self._scale, y * self._scale)
            self._draw.text(at, word, fill=colour, font=font, anchor=f"l{anchor[1]}")
            x += self._word(word, size) + _SPACE * size

    def length(self, words: str, size: float) -> float:
        """Return the width of a line of text."""
        parts = words.split(" ")
        return sum(self._word(part, size) for part in parts) + _SPACE * size * (len(parts) - 1)

    def _word(self, word: str, size: float) -> float:
        return self._font(size).getlength(word) / self._scale

    def wrapped(self, words: str, width: float, size: float, most: int) -> list[str]:
        """Break words into lines of at most a width; the last of `most` lines may end in dots.

        Measured at one size of font, so that lines break alike at every width of the canvas.
        """
        lines: list[str] = []
        line = ""
        for word in words.split():
            longer = f"{line} {word}".strip()
            if line and _measured(longer, size) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
        if len(lines) <= most:
            return lines
        last = lines[most - 1]
        while last and _measured(f"{last}...", size) > width:
            last = last[:-1].rstrip()
        return [*lines[: most - 1], f"{last}..."]

    def box(self, corners: Corners, colour: Colour, weight: float = 1.0) -> None:
        """Draw the outline of a rectangle; `weight` is the line's width."""
        line = max(1, round(weight * self._scale))
        self._lengthen(corners[3])
        self._draw.rectangle(self._in_pixels(corners), outline=colour, width=line)

    def bar(self, corners: Corners, colour: Colour) -> None:
        """Fill a rectangle; it is at least one pixel wide and high."""
        self._lengthen(corners[3])
        self._draw.rectangle(self._in_pixels(corners), fill=colour)

    def disc(self, place: Place, radius: float, colour: Colour, fill: float) -> None:
        """Draw a disc: full (1), its left half (0.5) or only its outline (0)."""
        (x, y), s = place, self._scale
        self._lengthen(y + radius)
        around = [(x - radius) * s, (y - radius) * s, (x + radius) * s, (y + radius) * s]
        self._draw.ellipse(around, outline=colour, width=max(1, round(s)))
        if fill > 0:
            self._draw.pieslice(around, 90, 90 + 360 * fill, fill=colour)

    def picture(self, place: Place, grey: NDArray[np.uint8]) -> None:
        """Lay a grey picture (rows, columns), already in pixels, with its corner at a place."""
        self._lengthen(place[1] + len(grey) / self._scale)
        rgb = Image.fromarray(grey).convert("RGB")
        self._image.paste(rgb, (round(place[0] * self._scale), round(place[1] * self._scale)))

    def _lengthen(self, y: float) -> None:
        """Make the sheet reach down to a place, and some way beyond."""
        wanted = math.ceil(y * self._scale) + 1
        if wanted > self._image.height:
            longer = Image.new("RGB", (self._image.width, 2 * wanted))
            longer.paste(self._image)
            self._image, self._draw = longer, ImageDraw.Draw(longer)

    def _in_pixels(self, corners: Corners) -> list[int]:
        x0, y0, x1, y1 = (round(value * self._scale) for value in corners)
        return [x0, y0, max(x0, x1), max(y0, y1)]

    def _font(self, size: float) -> ImageFont.FreeTypeFont:
        return _font(round(size * self._scale * 4) / 4)


def _measured(words: str, size: float) -> float:
    """Return the width of a line of text in units, whatever the canvas."""
    parts = words.split(" ")
    return sum(map(_font(4 * size).getlength, parts)) / 4 + _SPACE * size * (len(parts) - 1)


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        message = "Pillow was built without FreeType: text cannot be drawn at a chosen size"
        raise TypeError(message)
    return font
