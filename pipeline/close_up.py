"""A window onto a radiograph: which part is shown, how large, and which way round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "CloseUp", "windowed"]

Box = tuple[float, float, float, float]

_BRIGHTEST: Final = 232  # a reading room is dark: full white would dazzle


@dataclass(frozen=True, eq=False)
class CloseUp:
    """The part of a picture around a point, at a scale.

    Parameters
    ----------
    picture
        uint8, shape (rows, columns).
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

    picture: NDArray[np.uint8]
    centre: tuple[float, float]
    scale: tuple[float, float]
    size: tuple[int, int]
    mirrored: bool = False

    @classmethod
    def fitted(
        cls, picture: NDArray[np.uint8], box: Box, size: tuple[int, int], aspect: float = 1.0
    ) -> CloseUp:
        """Show a whole box as large as it fits; `aspect` is a pixel's height by its width."""
        width, height = box[2] - box[0], (box[3] - box[1]) * aspect
        scale = min(size[0] / max(width, 1.0), size[1] / max(height, 1.0))
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        return cls(picture, centre, (scale, scale * aspect), size)

    def pixels(self) -> NDArray[np.uint8]:
        """Return what is seen: uint8, shape (height, width), black beyond the picture's edges."""
        scale_x, scale_y = self.scale
        smaller = cv2.resize(
            self.picture,
            None,
            fx=min(1.0, scale_x),
            fy=min(1.0, scale_y),
            interpolation=cv2.INTER_AREA,
        )
        rest_x = scale_x * self.picture.shape[1] / smaller.shape[1]
        rest_y = scale_y * self.picture.shape[0] / smaller.shape[0]
        x, y = (
            self.centre[0] * smaller.shape[1] / self.picture.shape[1],
            self.centre[1] * smaller.shape[0] / self.picture.shape[0],
        )
        matrix = np.array(
            [
                [rest_x, 0, self.size[0] / 2 - rest_x * x],
                [0, rest_y, self.size[1] / 2 - rest_y * y],
            ]
        )
        seen = cv2.warpAffine(smaller, matrix, self.size, flags=cv2.INTER_CUBIC)
        return np.asarray(seen[:, ::-1] if self.mirrored else seen, np.uint8)

    def shown(self, box: Box) -> Box:
        """Return where a box of the picture is seen, in pixels of the window."""
        xs = [self._across(box[0]), self._across(box[2])]
        ys = [self.size[1] / 2 + (y - self.centre[1]) * self.scale[1] for y in (box[1], box[3])]
        return min(xs), ys[0], max(xs), ys[1]

    def _across(self, column: float) -> float:
        offset = (column - self.centre[0]) * self.scale[0]
        return self.size[0] / 2 + (-offset if self.mirrored else offset)


def windowed(picture: NDArray[np.floating], box: Box, margin: float = 0.0) -> NDArray[np.uint8]:
    """Return a picture in 8 bits, with the grey values of a box spread over the range.

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
    low, high = np.percentile(inside if inside.size else picture, (1.0, 98.0))
    reach = margin * (high - low)
    spread = (picture - (low - reach)) / max(float(high - low + 2 * reach), 1e-6)
    return np.asarray(np.clip(spread, 0.0, 1.0) * _BRIGHTEST, np.uint8)
