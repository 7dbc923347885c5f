"""Boxes in YOLO's text files: a class and, as shares of the image, centre, width and height."""

from __future__ import annotations

from pathlib import Path

from training.errors import DataError

__all__ = ["Corners", "yolo_boxes"]

Corners = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)`` in pixels: columns and rows from the top left corner."""


def yolo_boxes(
    path: Path, rows: int, columns: int, classes: int
) -> tuple[tuple[int, Corners], ...]:
    """Return class and corners of each line, cut at the image's edges.

    Raises
    ------
    DataError
        Where the file cannot be read, or a line is no box of the ``classes`` known, or lies outside
        the image.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{path} cannot be read ({type(error).__name__})."
        raise DataError(detail) from error
    try:
        return tuple(_box(line, rows, columns, classes) for line in lines if line.strip())
    except ValueError as error:
        detail = f"{path} has a line that is no YOLO box."
        raise DataError(detail) from error


def _box(line: str, rows: int, columns: int, classes: int) -> tuple[int, Corners]:
    name, *numbers = line.split()
    x, y, width, height = (float(number) for number in numbers)
    x0, x1 = (min(max(0.0, x + sign * width / 2), 1.0) * columns for sign in (-1, 1))
    y0, y1 = (min(max(0.0, y + sign * height / 2), 1.0) * rows for sign in (-1, 1))
    if not (0 <= int(name) < classes and x0 < x1 and y0 < y1):
        raise ValueError
    return int(name), (x0, y0, x1, y1)
