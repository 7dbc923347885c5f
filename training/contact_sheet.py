"""A sheet of exams to look at: picture, boxes, crops and captions of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import VECTOR_NAMES
from pipeline.canvas import UNITS, Canvas, Colour, Place
from pipeline.region import GLOBAL
from training.dataset import BOX_NAMES
from training.exam_picture import exam_picture
from training.exam_table import ExamRow, ExamTable
from training.yolo_boxes import Corners

__all__ = ["contact_sheet", "spread"]

_COLUMNS: Final = 4
_GAP: Final = 8.0
_WIDE: Final = (UNITS - _GAP * (_COLUMNS + 1)) / _COLUMNS
_PICTURE: Final = 250.0
_CROP: Final = (_WIDE - 3 * _GAP / 2) / 4
_SIZE: Final = 8.5
_LINE: Final = 10.5
_LINES: Final = 18
_INK: Final[Colour] = (225, 225, 225)
_FAINT: Final[Colour] = (140, 140, 140)
_COLOURS: Final[dict[str, Colour]] = dict(
    zip(
        BOX_NAMES,
        ((120, 170, 255), (255, 190, 70), (110, 220, 140), (255, 120, 190)),
        strict=True,
    )
)
_FRACTURE: Final[Colour] = (255, 70, 60)


def contact_sheet(folder: Path, table: ExamTable, width: int = 2000) -> NDArray[np.uint8]:
    """Draw every exam of a (part of a) table: uint8, shape (rows, columns, 3).

    Parameters
    ----------
    folder
        The table's.
    table
        The exams, in this order; see `spread`.
    width
        In pixels.

    Raises
    ------
    DataError
        Where a picture cannot be read.
    """
    canvas = Canvas(width)
    said = [_lines(canvas, row) for row in table.rows]
    places = list(_places([len(lines) for lines in said]))
    for number, row in enumerate(table.rows):
        x, y = places[number]
        _draw_picture(canvas, (x, y), exam_picture(folder, row), row)
        y += _PICTURE + _GAP / 2
        _draw_crops(canvas, (x, y), table[number].crops)
        for line, colour in said[number]:
            y += _LINE
            canvas.text((x, y + _CROP), line, _SIZE, colour)
    return canvas.pixels(places[-1][1])


def spread(table: ExamTable, number: int) -> ExamTable:
    """Return a few exams from all over a table, always the same."""
    chosen = np.linspace(0, len(table) - 1, min(number, len(table))).astype(int)
    wanted = {table.rows[place].exam for place in chosen}
    return table.where(lambda row: row.exam in wanted)


def _places(lines: Sequence[int]) -> Iterator[Place]:
    """Yield the corner of each exam, rows as high as their longest text; last the sheet's end."""
    y = _GAP
    for first in range(0, len(lines), _COLUMNS):
        row = lines[first : first + _COLUMNS]
        yield from ((_GAP + along * (_WIDE + _GAP), y) for along in range(len(row)))
        y += _PICTURE + _CROP + _LINE * max(row) + 2.5 * _GAP
    yield (UNITS, y)


def _draw_picture(canvas: Canvas, place: Place, pixels: NDArray[np.float32], row: ExamRow) -> None:
    rows, columns = pixels.shape
    scale = min(_WIDE / columns, _PICTURE / rows)
    size = canvas.size_in_pixels(columns * scale, rows * scale)
    left = place[0] + (_WIDE - columns * scale) / 2
    low, high = np.percentile(pixels, (0.5, 99.5))
    grey = np.clip((pixels - low) / max(float(high - low), 1e-6), 0, 1)
    shown = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    canvas.picture((left, place[1]), (shown * 255).astype(np.uint8))

    def draw(corners: Corners, colour: Colour) -> None:
        x0, y0, x1, y1 = (value * scale for value in corners)
        box = (left + x0, place[1] + y0, left + x1, place[1] + y1)
        canvas.box(box, colour, 0.9)

    for name, corners in row.boxes.items():
        draw(corners, _COLOURS[name])
    for corners in row.fractures:
        draw(corners, _FRACTURE)


def _draw_crops(canvas: Canvas, place: Place, crops: Mapping[str, NDArray[np.uint8]]) -> None:
    """Lay the crops side by side, each framed in the colour of its box."""
    for number, (name, box) in enumerate(zip(VECTOR_NAMES, BOX_NAMES, strict=True)):
        x = place[0] + number * (_CROP + _GAP / 2)
        frame = (x, place[1], x + _CROP, place[1] + _CROP)
        if name in crops:
            size = canvas.size_in_pixels(_CROP, _CROP)
            shown = cv2.resize(crops[name], size, interpolation=cv2.INTER_AREA)
            canvas.picture((x, place[1]), shown.astype(np.uint8))
            canvas.box(frame, _COLOURS[box], 0.7)
        else:
            canvas.box(frame, _FAINT, 0.3)
            canvas.text((x + _CROP / 2, place[1] + _CROP / 2), "not found", _SIZE, _FAINT, "ms")


def _lines(canvas: Canvas, row: ExamRow) -> list[tuple[str, Colour]]:
    found: list[tuple[str, Colour]] = []
    for words, colour, most in _said(row):
        found += [(line, colour) for line in canvas.wrapped(words, _WIDE, _SIZE, most)]
    return found[:_LINES]


def _said(row: ExamRow) -> Iterator[tuple[str, Colour, int]]:
    """Yield words, their colour, and the lines they may fill."""
    age = "age unknown" if row.age_years is None else f"{row.age_years:.1f} years"
    who = (row.split.value, row.laterality.value, row.view.value.upper(), age, row.sex or "")
    yield ", ".join(part for part in who if part), _FAINT, 1
    if not row.captions:
        yield "no findings", _FAINT, 1
    for name, box in zip(VECTOR_NAMES, BOX_NAMES, strict=True):
        if name in row.captions:
            yield row.captions[name], _INK if name == GLOBAL else _COLOURS[box], 4
