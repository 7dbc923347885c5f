"""The lead letter at the edge of the field."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.region import Laterality
from training.phantom.frame import Frame

__all__ = ["side_marker"]


def side_marker(
    grey: NDArray[np.float32], frame: Frame, laterality: Laterality, rng: np.random.Generator
) -> None:
    """Write L or R into the image in place, near a side of the field, more or less upright."""
    if laterality is Laterality.UNKNOWN or rng.random() < 0.08:
        return
    letter = "L" if laterality is Laterality.LEFT else "R"
    height = int(max(frame.rows, frame.columns) * rng.uniform(0.035, 0.075))
    stamp = _stamp(letter, height, rng)
    lead = float(rng.uniform(0.85, 1.0))
    box = stamp.shape
    side = rng.choice([0.06, 0.94])
    corners = frame.field
    across = side * (corners[1] - corners[0])
    down = rng.uniform(0.05, 0.95) * (corners[3] - corners[0])
    x, y = (corners[0] + across + down - (box[1] / 2, box[0] / 2)).astype(int).tolist()
    x = int(np.clip(x, 0, frame.columns - box[1]))
    y = int(np.clip(y, 0, frame.rows - box[0]))
    part = grey[y : y + box[0], x : x + box[1]]
    part += (lead - part) * stamp


def _stamp(letter: str, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Coverage 0..1 of a turned letter, sometimes on a faint plastic plate."""
    size = height * 2
    thickness = max(2, round(height * float(rng.uniform(0.1, 0.22))))
    font = cv2.FONT_HERSHEY_SIMPLEX
    scale = height / cv2.getTextSize(letter, font, 1.0, 1)[0][1]
    width = cv2.getTextSize(letter, font, scale, thickness)[0][0]
    drawn: NDArray[Any] = np.zeros((size, size), np.uint8)
    origin = ((size - width) // 2, (size + height) // 2)
    cv2.putText(drawn, letter, origin, font, scale, 255, thickness, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.normal(0, 8)), 1.0)
    drawn = cv2.warpAffine(drawn, turn, (size, size))
    stamp: NDArray[np.float32] = drawn.astype(np.float32) / np.float32(255)
    if rng.random() < 0.4:
        np.maximum(stamp, np.float32(0.06), out=stamp)
    return stamp
