"""What can happen to a radiograph on its way: turned, cropped, written on, badly exposed."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from training.dataset import Corners, Picture

__all__ = ["augmented", "exposed"]

Pixels = NDArray[np.float32]


def augmented(
    picture: Picture, generator: np.random.Generator, *, shrink: tuple[float, float] = (0.5, 1.1)
) -> Picture:
    """Return a picture as another hospital might have sent it; its boxes go along.

    Parameters
    ----------
    picture
        What to start from.
    generator
        Source of chance: the same state gives the same picture.
    shrink
        Range of sizes of the old picture inside the new one.
    """
    matrix, rows, columns = _motion(picture.pixels.shape, generator, shrink)
    ground = float(np.quantile(picture.pixels, 0.02))
    border = cv2.BORDER_REPLICATE if generator.random() < 0.3 else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(
        picture.pixels,
        matrix,
        (columns, rows),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=ground,
    )
    boxes = {name: _moved(box, matrix) for name, box in picture.boxes.items()}
    covered = _written_on(_patched(moved.astype(np.float32), generator), generator)
    pixels = exposed(covered, generator)
    return Picture(picture.name, pixels, picture.view, picture.patient, boxes)


def exposed(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return other grey values of the same scene: gamma, window, uneven field, blur, noise."""
    rows, columns = pixels.shape
    gamma = np.float32(np.exp(generator.normal(0, 0.35)))
    out: Pixels = np.asarray(np.clip(pixels, 0, 1) ** gamma, np.float32)
    if generator.random() < 0.4:
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        slope = generator.normal(0, 0.25, 2)
        field = np.clip(1 + slope[0] * (x / columns - 0.5) + slope[1] * (y / rows - 0.5), 0, 2)
        out = np.asarray(out * field, np.float32)
    if generator.random() < 0.35:
        blurred = cv2.GaussianBlur(out, (0, 0), float(generator.uniform(0.4, 1.6)))
        out = np.asarray(blurred, np.float32)
    if generator.random() < 0.6:
        noise = generator.standard_normal(pixels.shape, dtype=np.float32)
        out = np.asarray(out + noise * np.float32(generator.uniform(0.003, 0.025)), np.float32)
    low = generator.uniform(-0.05, 0.08)
    return np.asarray(np.clip((out - low) / generator.uniform(0.8, 1.1), 0, 1), np.float32)


def _motion(
    shape: tuple[int, ...], generator: np.random.Generator, shrink: tuple[float, float]
) -> tuple[NDArray[np.float64], int, int]:
    """Return an affine map (2, 3) and the size of the canvas it maps to."""
    rows, columns = shape
    # hands lie at any angle, most of them nearly upright; a quarter of films is turned as a whole
    quarter = int(generator.choice(4, p=(0.7, 0.08, 0.14, 0.08))) * 90
    angle = float(np.clip(generator.normal(0, 12), -35, 35)) + quarter
    scale = float(generator.uniform(*shrink))
    aspect = float(np.exp(generator.normal(0, 0.06)))
    tall, wide = (columns, rows) if quarter in (90, 270) else (rows, columns)
    turn = np.array(cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, scale), np.float64)
    turn[:, 2] += np.array([wide - columns, tall - rows]) / 2
    turn[0] *= aspect
    if generator.random() < 0.5:  # a left wrist mirrored is a right one
        turn[0] = (0, 0, wide - 1) - turn[0]
    free = abs(1 - scale) / 2 + 0.05
    turn[:, 2] += generator.uniform(-free, free, 2) * (wide, tall)
    return turn, tall, wide


def _moved(box: Corners, matrix: NDArray[np.float64]) -> Corners:
    """Return the upright box around a moved one.

    Bones are rounder than their boxes: the moved corners would make the box too large, a moved
    inscribed ellipse slightly too small. The mean of both is close for small angles, and exact
    for quarter turns.
    """
    x0, y0, x1, y1 = box
    linear = matrix[:, :2]
    centre = matrix @ ((x0 + x1) / 2, (y0 + y1) / 2, 1)
    half = np.array([(x1 - x0) / 2, (y1 - y0) / 2])
    corners = np.abs(linear) @ half
    ellipse = np.sqrt((linear**2) @ (half**2))
    reach = (corners + ellipse) / 2
    low, high = centre - reach, centre + reach
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _patched(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Cover parts: blurred, grey or noisy rectangles, and a collimator's edge."""
    rows, columns = pixels.shape
    out = pixels.copy()
    for _ in range(int(generator.integers(0, 4))):
        height, width = (generator.uniform(0.04, 0.22, 2) * (rows, columns)).astype(int) + 1
        top = int(generator.integers(0, max(1, rows - height)))
        left = int(generator.integers(0, max(1, columns - width)))
        part = out[top : top + height, left : left + width]
        fill = generator.choice(3)
        if fill == 0:
            part[:] = cv2.blur(part, (int(width) | 1, int(height) | 1))
        elif fill == 1:
            part[:] = generator.uniform(0, 1)
        else:
            part[:] = generator.uniform(0, 1, part.shape) * 0.5 + part * 0.5
    if generator.random() < 0.25:
        edge = int(generator.uniform(0.01, 0.08) * min(rows, columns)) + 1
        level = generator.choice((0.0, 0.0, 1.0))
        sides: Mapping[int, tuple[slice, slice]] = {
            0: (slice(0, edge), slice(None)),
            1: (slice(-edge, None), slice(None)),
            2: (slice(None), slice(0, edge)),
            3: (slice(None), slice(-edge, None)),
        }
        for side in generator.choice(4, int(generator.integers(1, 4)), replace=False):
            out[sides[int(side)]] = level
    return out


def _written_on(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Burn in side markers and words."""
    rows, columns = pixels.shape
    out = np.ascontiguousarray(pixels)
    letters = list("RLABCDEPSTX0123456789 /.:-")
    for _ in range(int(generator.integers(0, 4))):
        length = int(generator.choice((1, 1, 2, 6, 10)))
        word = "".join(generator.choice(letters, length))
        size = float(generator.uniform(0.3, 1.8) * rows / 500)
        origin = (int(generator.uniform(0, columns * 0.9)), int(generator.uniform(0, rows)))
        level = float(generator.choice((1.0, 1.0, 0.8, 0.0)))
        cv2.putText(out, word, origin, 0, size, level, max(1, round(2 * size)), cv2.LINE_AA)
    return out
