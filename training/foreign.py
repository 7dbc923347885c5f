"""Drawn images of anything but a wrist: what a model must also have seen to say "other"."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.region import View
from training.dataset import Picture

__all__ = ["drawn_other"]

Pixels = NDArray[np.float32]


def drawn_other(generator: np.random.Generator) -> Picture:
    """Return one drawn image: a chest, a long bone, a slice, a page, or a texture."""
    kinds: tuple[Callable[[Pixels, np.random.Generator], None], ...] = (
        _chest,
        _long_bones,
        _slice,
        _page,
        _texture,
    )
    rows, columns = (int(side) for side in generator.integers(200, 400, 2))
    canvas = np.full((rows, columns), generator.uniform(0, 0.3), np.float32)
    kind = kinds[int(generator.integers(len(kinds)))]
    kind(canvas, generator)
    if generator.random() < 0.7:
        canvas = cv2.GaussianBlur(canvas, (0, 0), float(generator.uniform(0.7, 4))).astype(
            np.float32
        )
    return Picture(kind.__name__.strip("_"), np.clip(canvas, 0, 1), View.OTHER)


def _chest(canvas: Pixels, generator: np.random.Generator) -> None:
    rows, columns = canvas.shape
    canvas[:] = generator.uniform(0.45, 0.7)
    for side in (0.3, 0.7):
        centre = (int(columns * (side + generator.normal(0, 0.02))), int(rows * 0.5))
        axes = (
            int(columns * generator.uniform(0.13, 0.19)),
            int(rows * generator.uniform(0.28, 0.4)),
        )
        cv2.ellipse(
            canvas, centre, axes, generator.normal(0, 6), 0, 360, generator.uniform(0.1, 0.3), -1
        )
    for rib in range(int(generator.integers(6, 11))):
        y = int(rows * (0.15 + 0.08 * rib))
        for side in (0.3, 0.7):
            axes = (int(columns * 0.2), int(rows * 0.08))
            centre = (int(columns * side), y)
            cv2.ellipse(
                canvas, centre, axes, 0, 190, 350, generator.uniform(0.4, 0.6), max(1, rows // 60)
            )
    heart = (int(columns * 0.56), int(rows * 0.62))
    cv2.ellipse(canvas, heart, (columns // 7, rows // 7), 30, 0, 360, 0.85, -1)


def _long_bones(canvas: Pixels, generator: np.random.Generator) -> None:
    """Draw one or two shafts without a joint, or a few toes or ribs."""
    rows, columns = canvas.shape
    angle = generator.uniform(0, np.pi)
    across = np.array([-np.sin(angle), np.cos(angle)])
    along = np.array([np.cos(angle), np.sin(angle)]) * (rows + columns)
    middle = np.array([columns, rows]) * generator.uniform(0.35, 0.65, 2)
    width = generator.uniform(0.04, 0.12) * columns
    for number in range(int(generator.choice((1, 2, 2, 5)))):
        at = middle + across * number * width * generator.uniform(1.4, 2.4)
        ends = [tuple(int(v) for v in at + sign * along) for sign in (-1, 1)]
        for thickness, level in ((2.4, 0.35), (1.0, 0.85), (0.5, 0.6)):
            cv2.line(canvas, ends[0], ends[1], level, max(1, int(width * thickness)))


def _slice(canvas: Pixels, generator: np.random.Generator) -> None:
    rows, columns = canvas.shape
    canvas[:] = 0
    centre = (columns // 2, rows // 2)
    axes = (int(columns * generator.uniform(0.3, 0.46)), int(rows * generator.uniform(0.3, 0.46)))
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, 0.9, -1)
    inner = (int(axes[0] * 0.92), int(axes[1] * 0.92))
    cv2.ellipse(canvas, centre, inner, 0, 0, 360, 0.4, -1)
    for _ in range(int(generator.integers(3, 14))):
        at = tuple(int(c + generator.normal(0, 0.4) * a) for c, a in zip(centre, axes, strict=True))
        size = tuple(max(2, int(a * generator.uniform(0.05, 0.3))) for a in axes)
        turn = generator.uniform(0, 180)
        cv2.ellipse(canvas, at, size, turn, 0, 360, generator.uniform(0.1, 0.8), -1)


def _page(canvas: Pixels, generator: np.random.Generator) -> None:
    rows = canvas.shape[0]
    canvas[:] = generator.choice((0.0, 0.9))
    ink = 1 - float(canvas[0, 0])
    letters = list("ABCDEFGHIKLMNOPRSTUVWXYZ0123456789 ")
    for y in range(20, rows, int(generator.integers(14, 40))):
        word = "".join(generator.choice(letters, int(generator.integers(3, 26))))
        cv2.putText(canvas, word, (8, y), 0, generator.uniform(0.3, 0.9), ink, 1, cv2.LINE_AA)


def _texture(canvas: Pixels, generator: np.random.Generator) -> None:
    """Draw smooth noise at a few scales, with or without a gradient."""
    rows, columns = canvas.shape
    canvas[:] = 0.5
    for scale in generator.choice((3, 6, 12, 25, 60), 2, replace=False):
        coarse = generator.standard_normal((rows // scale + 2, columns // scale + 2))
        canvas += 0.15 * cv2.resize(coarse.astype(np.float32), (columns, rows))
    canvas += np.linspace(-0.3, 0.3, columns, dtype=np.float32) * np.float32(generator.normal())
