"""OpenCV's pixels: fixed-point polygons, and its filters under one array type."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantom.bone import Points
from training.phantom.frame import Frame

__all__ = ["SHIFT", "Image", "blurred", "fixed", "resized"]

Image: TypeAlias = NDArray[Any]
"""float32 (masks uint8), shape (rows, columns); OpenCV's own types say no more."""

SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws."""


def fixed(points: Points) -> NDArray[np.int32]:
    """Return points in pixels as OpenCV's fixed-point integers, for `SHIFT`."""
    return np.round(np.clip(points, -30000, 30000) * (1 << SHIFT)).astype(np.int32)


def blurred(image: Image, sigma: float) -> Image:
    """Blur by a Gaussian of ``sigma`` pixels."""
    soft: Image = cv2.GaussianBlur(image, (0, 0), sigma)
    return soft


def resized(image: Image, frame: Frame, smooth: bool = False) -> Image:
    """Stretch to the size of the frame, linearly or (``smooth``) by cubic splines."""
    kind = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    stretched: Image = cv2.resize(image, (frame.columns, frame.rows), interpolation=kind)
    return stretched
