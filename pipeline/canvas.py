"""A dark sheet to draw on, measured in 1024ths of its width."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.typeface import measured, typeface

__all__ = ["UNITS", "Canvas", "Colour", "Corners", "Place", "Ruler"]

Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]
Place = tuple[float, float]

UNITS: Final = 1024
"""Width of every canvas in its own units, whatever its width in pixels."""

_FINER: Final = 4  # how much finer round and slanted edges are drawn before they are smoothed


class Canvas:
    """An RGB picture with the few marks that the board needs.

    Places and sizes are in units (`UNITS` make the width), x to the right and y down, so that a
    drawing looks the same at every width.

    Parameters
    ----------
    width
        In pixels. The sheet is as long as what is drawn on it.
    background
        What it is before anything is drawn.
    """

    def __init__(self, width: int, background: Colour = (0, 0, 0)) -> None:
        self._scale = width / UNITS
        self._background = background
        self._image = Image.new("RGB", (width, width), background)
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self, height: float) -> NDArray[np.uint8]:
        """Return what was drawn down to a height: uint8, shape (rows, columns, 3)."""
        self._lengthen(height)
        return np.asarray(self._image)[: round(height * self._scale)].copy()

    def size_in_pixels(self, width: float, height: float) -> tuple[int, int]:
        """Return how many pixels an area covers: width, height."""
        return max(1, round(width * self._scale)), max(1, round(height * self._scale))

    def text(
        self,
        place: Place,
        words: str,
        size: float,
        colour: Colour,
        anchor: str = "ls",
        *,
        bold: bool = False,
    ) -> None:
        """Write one line; `anchor` is ``ls`` (left), ``rs`` (right) or ``ms`` (middle), base line.

        The base line stands on a whole pixel: letters of all lines are equally sharp.
        """
        x, y = place
        self._lengthen(y + size)
        at = (x * self._scale, round(y * self._scale))
        self._draw.text(at, words, fill=colour, font=self._font(size, bold), anchor=anchor)

    def wrapped(self, words: str, width: float, size: float, most: int) -> list[str]:
        """Break words into lines of at most a width; the last of `most` lines may end in dots.

        Measured at one size of font, so that lines break alike at every width of the canvas.
        """
        lines: list[str] = []
        line = ""
        for word in words.split():
            longer = f"{line} {word}".strip()
            if line and measured(longer, size) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
        if len(lines) <= most:
            return [_shortened(line, width, size) for line in lines]
        last = _shortened(f"{lines[most - 1]} …", width, size)
        return [*(_shortened(line, width, size) for line in lines[: most - 1]), last]

    def box(
        self, corners: Corners, colour: Colour, weight: float = 1.0, dash: Sequence[float] = ()
    ) -> None:
        """Draw the outline of a rectangle.

        Parameters
        ----------
        corners
            Left, top, right, bottom.
        colour, weight
            The line's colour and width.
        dash
            Lengths of line and gap; empty for a line without gaps.
        """
        line = max(1, round(weight * self._scale))
        self._lengthen(corners[3])
        x0, y0, x1, y1 = self._in_pixels(corners)
        if not dash:
            self._draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)
            return
        on, off = (max(1, round(length * self._scale)) for length in dash)
        for x in range(x0, x1 + 1, on + off):
            for y in (y0, max(y0, y1 - line + 1)):
                self._draw.rectangle((x, y, min(x + on - 1, x1), y + line - 1), fill=colour)
        for y in range(y0, y1 + 1, on + off):
            for x in (x0, max(x0, x1 - line + 1)):
                self._draw.rectangle((x, y, x + line - 1, min(y + on - 1, y1)), fill=colour)

    def bar(self, corners: Corners, colour: Colour) -> None:
        """Fill a rectangle; it is at least one pixel wide and high."""
        self._lengthen(corners[3])
        x0, y0, x1, y1 = self._in_pixels(corners)
        self._draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=colour)

    def disc(self, place: Place, radius: float, colour: Colour, fill: float) -> None:
        """Draw a disc: full (1), its left half (0.5) or only its outline (0)."""
        (x, y), line = place, max(1, round(self._scale * _FINER))
        corners = [(x - radius, y - radius), (x + radius, y + radius)]

        def mark(draw: ImageDraw.ImageDraw, edge: list[Place]) -> None:
            draw.ellipse(edge, outline=255, width=line)
            if fill > 0:
                draw.pieslice(edge, 90, 90 + 360 * fill, fill=255)

        self._smoothly(corners, colour, mark)

    def shape(self, places: Sequence[Place], colour: Colour) -> None:
        """Fill a polygon."""
        self._smoothly(places, colour, lambda draw, fine: draw.polygon(fine, 255))

    def picture(self, place: Place, grey: NDArray[np.uint8]) -> None:
        """Lay a grey picture (rows, columns), already in pixels, with its corner at a place."""
        self._lengthen(place[1] + len(grey) / self._scale)
        rgb = Image.fromarray(grey).convert("RGB")
        self._image.paste(rgb, (round(place[0] * self._scale), round(place[1] * self._scale)))

    def _smoothly(
        self,
        places: Sequence[Place],
        colour: Colour,
        mark: Callable[[ImageDraw.ImageDraw, list[Place]], None],
    ) -> None:
        """Draw a mark on a finer sheet, told where the places are on it, and lay it on this one."""
        self._lengthen(max(y for _, y in places))
        pixels = [(x * self._scale, y * self._scale) for x, y in places]
        left, top = (math.floor(min(place[axis] for place in pixels)) for axis in (0, 1))
        right, bottom = (math.ceil(max(place[axis] for place in pixels)) + 1 for axis in (0, 1))
        mask = Image.new("L", ((right - left) * _FINER, (bottom - top) * _FINER))
        mark(ImageDraw.Draw(mask), [((x - left) * _FINER, (y - top) * _FINER) for x, y in pixels])
        self._image.paste(colour, (left, top), mask.reduce(_FINER))

    def _lengthen(self, y: float) -> None:
        """Make the sheet reach down to a place, and some way beyond."""
        wanted = math.ceil(y * self._scale) + 1
        if wanted > self._image.height:
            longer = Image.new("RGB", (self._image.width, 2 * wanted), self._background)
            longer.paste(self._image)
            self._image, self._draw = longer, ImageDraw.Draw(longer)

    def _in_pixels(self, corners: Corners) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = (math.floor(value * self._scale + 0.5) for value in corners)
        return x0, y0, max(x0, x1), max(y0, y1)

    def _font(self, size: float, bold: bool) -> ImageFont.FreeTypeFont:
        return typeface(round(size * self._scale * 4) / 4, bold=bold)


def _shortened(line: str, width: float, size: float) -> str:
    """Cut a line to a width; dots say that it was cut."""
    if measured(line, size) <= width:
        return line
    kept = line.removesuffix("…").rstrip()
    while kept and measured(f"{kept}…", size) > width:
        kept = kept[:-1].rstrip()
    return f"{kept}…"


class Ruler(Canvas):
    """A canvas that draws nothing: it tells how much room a drawing will need."""

    def __init__(self) -> None:
        super().__init__(UNITS)

    def text(self, *_: object, **__: object) -> None:
        """Write nothing."""

    def box(self, *_: object, **__: object) -> None:
        """Draw nothing."""

    def bar(self, *_: object) -> None:
        """Fill nothing."""

    def disc(self, *_: object) -> None:
        """Draw nothing."""

    def shape(self, *_: object) -> None:
        """Fill nothing."""

    def picture(self, *_: object) -> None:
        """Lay nothing."""
