"""A window onto a radiograph: which part is shown, how large, how bright, which way round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "CloseUp", "Window", "grey_window"]

Box = tuple[float, float, float, float]
Window = tuple[float, float]

_BRIGHTEST: Final = 232  # a reading room is dark: full white would dazzle
_SAMPLE: Final = 40_000  # grey values that a window is taken from: more change nothing


@dataclass(frozen=True, eq=False)
class CloseUp:
    """The part of a picture around a point, at a scale.

    Parameters
    ----------
    picture
        Grey values, bone bright; shape (rows, columns).
    window
        The grey values that become black and white (`grey_window`).
    centre
        Column and row in the picture that come to the middle.
    scale
        Pixels shown per pixel of the picture, along columns and along rows (they differ where
        pixels are not square).
    size
        Width and height shown, in pixels.
    mirrored
        Whether left and right are exchanged.
    """

    picture: NDArray[Any]
    window: Window
    centre: tuple[float, float]
    scale: tuple[float, float]
    size: tuple[int, int]
    mirrored: bool = False

    @classmethod
    def fitted(
        cls,
        picture: NDArray[Any],
        window: Window,
        box: Box,
        size: tuple[int, int],
        aspect: float = 1.0,
    ) -> CloseUp:
        """Show a whole box as large as it fits; `aspect` is a pixel's height by its width."""
        width, height = box[2] - box[0], (box[3] - box[1]) * aspect
        scale = min(size[0] / max(width, 1.0), size[1] / max(height, 1.0))
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        return cls(picture, window, centre, (scale, scale * aspect), size)

    def pixels(self) -> NDArray[np.uint8]:
        """Return what is seen: uint8, shape (height, width), black beyond the picture's edges."""
        columns, rows = (self._seen(axis) for axis in (0, 1))
        part = self.picture[rows, columns]
        if not part.size:
            return np.zeros(self.size[::-1], np.uint8)
        # areas are averaged before they are moved: else fine trabeculae would turn into noise
        scale_x, scale_y = self.scale
        smaller, (shrunk_x, shrunk_y) = _shrunk(part, (scale_x, scale_y))
        rest_x, rest_y = scale_x / shrunk_x, scale_y / shrunk_y
        # a pixel's centre lies half a pixel from its corner
        x = self.size[0] / 2 - (self.centre[0] - columns.start) * scale_x + (rest_x - 1) / 2
        y = self.size[1] / 2 - (self.centre[1] - rows.start) * scale_y + (rest_y - 1) / 2
        matrix = np.array([[rest_x, 0, x], [0, rest_y, y]])
        low, high = self.window
        seen = cv2.warpAffine(smaller, matrix, self.size, flags=cv2.INTER_CUBIC, borderValue=low)
        grey = np.clip((seen - low) / (high - low), 0.0, 1.0) * _BRIGHTEST
        return np.asarray(grey[:, ::-1] if self.mirrored else grey, np.uint8)

    def shown(self, box: Box) -> Box:
        """Return where a box of the picture is seen, in pixels of the window."""
        xs = [self._across(box[0]), self._across(box[2])]
        ys = [self.size[1] / 2 + (y - self.centre[1]) * self.scale[1] for y in (box[1], box[3])]
        return min(xs), ys[0], max(xs), ys[1]

    def _across(self, column: float) -> float:
        offset = (column - self.centre[0]) * self.scale[0]
        return self.size[0] / 2 + (-offset if self.mirrored else offset)

    def _seen(self, axis: int) -> slice:
        """Return the columns (0) or rows (1) that are seen, and a few beyond."""
        reach = self.size[axis] / 2 / self.scale[axis] + 3
        length = self.picture.shape[1 - axis]
        first = min(length, max(0, math.floor(self.centre[axis] - reach)))
        return slice(first, max(first, min(length, math.ceil(self.centre[axis] + reach))))


def grey_window(picture: NDArray[Any], box: Box, margin: float = 0.0) -> Window:
    """Return the grey values to show black and white, so that those of a box fill the range.

    Parameters
    ----------
    picture
        Grey values, bone bright; shape (rows, columns), any scale.
    box
        Columns and rows whose 1st and 98th percentiles become black and white: metal may dazzle.
    margin
        How far beyond these the range goes at either end, of the distance between them.
    """
    x0, y0, x1, y1 = (round(value) for value in box)
    inside = picture[max(0, y0) : max(1, y1), max(0, x0) : max(1, x1)]
    inside = inside if inside.size else picture
    step = max(1, math.isqrt(inside.size // _SAMPLE))
    low, high = (float(value) for value in np.percentile(inside[::step, ::step], (1.0, 98.0)))
    reach = margin * (high - low)
    return low - reach, max(high + reach, low - reach + 1e-6)


def _shrunk(
    part: NDArray[Any], scale: tuple[float, float]
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Average areas down to a scale, along columns and rows; return also what scale it became.

    By a whole number first, which is three times as fast, and then the rest.
    """
    step_x, step_y = (max(1, int(0.5 / one)) for one in scale)
    rows = max(1, part.shape[0] // step_y) * step_y
    columns = max(1, part.shape[1] // step_x) * step_x
    grey = np.asarray(part[:rows, :columns], np.float32)
    rows, columns = grey.shape
    for wanted in (
        (columns // step_x, rows // step_y),
        (round(columns * min(1.0, scale[0])), round(rows * min(1.0, scale[1]))),
    ):
        size = max(1, wanted[0]), max(1, wanted[1])
        smaller = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        grey = np.asarray(smaller, np.float32)
    return grey, (grey.shape[1] / columns, grey.shape[0] / rows)
