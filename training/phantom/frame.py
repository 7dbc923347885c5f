"""Where a wrist lies on the detector: millimetres of the drawing to pixels of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.bone import Affine, Points, transformed

__all__ = ["Frame"]


@dataclass(frozen=True, eq=False)
class Frame:
    """A detector of ``rows`` × ``columns`` pixels and the way the wrist lies on it.

    Parameters
    ----------
    rows, columns
        Size of the image.
    spacing_mm
        Size of a pixel at the wrist.
    matrix
        Affine from mm to pixels (x is the column).
    field
        Corners of the collimated field in pixels, shape (4, 2).
    """

    rows: int
    columns: int
    spacing_mm: float
    matrix: Affine
    field: Points

    @classmethod
    def around(
        cls,
        window: tuple[float, float, float, float],
        size: int,
        aspect: float,
        degrees: float,
        mirrored: bool,
        field_inset: tuple[float, float, float, float],
        field_degrees: float,
    ) -> Frame:
        """Lay a window of the drawing (x0, y0, x1, y1 in mm) into an image.

        ``size`` is the longer side in pixels, ``aspect`` columns over rows, ``degrees`` the
        wrist's rotation, ``field_inset`` the shares of the image that the collimator covers at
        left, top, right and bottom, ``field_degrees`` the collimator's rotation.
        """
        rows = round(size if aspect <= 1 else size / aspect)
        columns = round(size * aspect if aspect <= 1 else size)
        left, top, right, bottom = field_inset
        seen = np.array([columns * (1 - left - right), rows * (1 - top - bottom)])
        angle = np.deg2rad(degrees)
        cosine, sine = abs(np.cos(angle)), abs(np.sin(angle))
        wide, high = window[2] - window[0], window[3] - window[1]
        spacing = max(
            (wide * cosine + 0.35 * high * sine) / seen[0],
            (high * cosine + 0.6 * wide * sine) / seen[1],
        )
        flip = np.diag([-1.0 if mirrored else 1.0, 1.0])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ flip / spacing
        middle = np.array([(window[0] + window[2]) / 2, (window[1] + window[3]) / 2])
        centre = np.array([columns * left, rows * top]) + seen / 2
        matrix = np.column_stack([linear, centre - linear @ middle])
        field = _field(rows, columns, field_inset, field_degrees)
        return cls(rows, columns, float(spacing), matrix, field)

    def pixels(self, points: Points) -> Points:
        """Map points in mm to pixels."""
        return transformed(points, self.matrix)


def _field(
    rows: int, columns: int, inset: tuple[float, float, float, float], degrees: float
) -> Points:
    left, top, right, bottom = inset
    x0, x1 = columns * left, columns * (1 - right)
    y0, y1 = rows * top, rows * (1 - bottom)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)
    middle = corners.mean(axis=0)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned: Points = (corners - middle) @ turn.T + middle
    return turned
