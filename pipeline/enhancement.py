"""Grey values made comparable: exposure, CLAHE and unsharp mask, square padding (section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import Preprocessing

__all__ = ["Placement", "enhance", "grey", "resize", "square"]

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where an image lies inside a padded or scaled copy of itself.

    ``x_copy = x * scale_x + left`` and ``y_copy = y * scale_y + top``, in pixels, the origin at
    the top left corner of the top left pixel.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float

    def back(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the original that lies at ``(x, y)`` of the copy."""
        return (x - self.left) / self.scale_x, (y - self.top) / self.scale_y


def grey(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> Grey:
    """Return grey values in 0..255, stretched between two percentiles.

    Parameters
    ----------
    pixels
        float, shape (rows, columns), bone bright.

    Notes
    -----
    Burned-in letters and a few dead pixels do not set the scale, and a window chosen badly by
    the modality is undone. A constant image becomes black.
    """
    # a grid of at most about 250,000 pixels gives the same percentiles, faster
    step = max(1, int((pixels.size / 250_000) ** 0.5))
    ends = (preprocessing.black_percentile, preprocessing.white_percentile)
    low, high = np.percentile(pixels[::step, ::step], ends)
    if high - low < 1e-6:
        return np.zeros(pixels.shape, np.uint8)
    scaled = (pixels - np.float32(low)) * np.float32(255.0 / (high - low))
    clipped: NDArray[np.float32] = np.clip(np.rint(scaled), 0, 255)
    return clipped.astype(np.uint8)


def enhance(image: Grey, preprocessing: Preprocessing) -> Grey:
    """Return the image after CLAHE and unsharp masking; the same shape."""
    tiles = preprocessing.clahe_tiles
    clahe = cv2.createCLAHE(preprocessing.clahe_clip, (tiles, tiles))
    flat = clahe.apply(image)
    blurred = cv2.GaussianBlur(flat, (0, 0), preprocessing.unsharp_sigma)
    amount = preprocessing.unsharp_amount
    return cv2.addWeighted(flat, 1 + amount, blurred, -amount, 0).astype(np.uint8, copy=False)


def resize(image: Grey, rows: int, columns: int) -> Grey:
    """Return the image at another size: averaged when shrunk, bicubic when grown."""
    shrinks = rows * columns < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (columns, rows), interpolation=method).astype(np.uint8, copy=False)


def square(image: Grey, size: int) -> tuple[Grey, Placement]:
    """Return the image centred in a black square, its aspect ratio kept, and where it lies there.

    Parameters
    ----------
    image
        uint8, shape (rows, columns), neither zero.
    size
        Side of the square in pixels.
    """
    rows, columns = image.shape
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    top, left = (size - height) // 2, (size - width) // 2
    canvas = np.zeros((size, size), np.uint8)
    canvas[top : top + height, left : left + width] = resize(image, height, width)
    return canvas, Placement(width / columns, height / rows, left, top)
