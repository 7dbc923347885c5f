"""Text that stands in a picture: a name, a date or a number that somebody burned into it.

It is the second line of defence; the first is what an image says of itself (BurnedInAnnotation).
Letters are told by what they share: strokes of one width and one grey, of like height, side
by side on one baseline, four at least, on ground on which little else stands out. Nothing is read.

What it finds was measured on pictures and typefaces on which nothing was chosen (half ``b`` of
``tests/pipeline/written_pictures.py``): of 112 lines in the corners of 16 real and 24 drawn wrists,
of any grey, on any ground, a third each inverted, compressed or noisy, 103 are found (0.92); of
those 40 pictures without a line none is withheld; of two real ones with remains of a written word
one is found. On the half on which the threshold was chosen: 95 of 104, none of 38, four of four.
(Half ``b`` was measured after each of three versions: 101, 103 and 103 of 112 and none of 40. What
led from one to the next was seen on half ``a`` and on letters on plain ground, never on ``b``.)
Missed are lines across the edge of the field or of
a bone, and in a grey near the ground's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["TextLine", "has_text", "text_lines"]

_THRESHOLD: Final = 3.6
_FEWEST_GLYPHS: Final = 4  # a side marker has three at the most, such as "R PA"
_HEIGHTS: Final = (7, 30)  # of a glyph at one scale, in pixels
_STROKE: Final = 15  # strokes are thinner, at one scale
_SMALL, _LARGE = 640, 2000  # pictures whose longer side is beyond are enlarged, or halved, first
_FAINTEST: Final = 10.0  # contrast, of 255
_MOST_GLYPHS: Final = 1500  # at one scale; the clearest count


@dataclass(frozen=True)
class TextLine:
    """A line of text in a picture.

    Parameters
    ----------
    box
        x0, y0, x1, y1 in pixels of the picture.
    glyphs
        How many were told apart.
    clarity
        How far they stand out: contrast over the unrest of glyphs and ground.
    """

    box: tuple[int, int, int, int]
    glyphs: int
    clarity: float


def has_text(*pictures: NDArray[np.number[Any]]) -> bool:
    """Tell whether a line of text stands in one of several renderings of an image.

    One that differs from another before it in brightness and contrast alone is not looked at.
    """
    seen: list[NDArray[np.uint8]] = []
    for grey in map(_as_grey, pictures):
        if any(
            cv2.norm(grey, like, cv2.NORM_INF) <= 1 for one in seen for like in (one, 255 - one)
        ):
            continue
        if text_lines(grey):
            return True
        seen.append(grey)
    return False


def text_lines(
    picture: NDArray[np.number[Any]], threshold: float = _THRESHOLD
) -> tuple[TextLine, ...]:
    """Return lines of text in a picture, the clearest first; none where there is none.

    Parameters
    ----------
    picture
        Grey values of any range, shape (rows, columns), light or dark text.
    threshold
        Least clarity of a line.
    """
    found = []
    for scale, grey in _scales(_as_grey(picture)):
        for shade in (grey, 255 - grey):
            glyphs = _glyphs(shade)
            for upright in (glyphs, glyphs.turned(grey.shape[0])):
                lines = _lines(upright, threshold)
                turned = upright is not glyphs
                found += [_at(line, scale, grey.shape[0] if turned else None) for line in lines]
    return tuple(sorted(found, key=lambda line: -line.clarity))


def _as_grey(picture: NDArray[np.number[Any]]) -> NDArray[np.uint8]:
    """Return the picture in 256 greys, of which the outermost, 1 in 5,000, are cut off."""
    values = np.asarray(picture, np.float32)
    low, high = np.percentile(values[::4, ::4], (0.02, 99.98))
    low, high = (low, high) if high > low else (float(values.min()), float(values.max()) + 1e-6)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1) * 255, np.uint8)


def _scales(grey: NDArray[np.uint8]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield the picture ever smaller, so that letters of every size come to the same."""
    scale = 1.0
    if max(grey.shape) < _SMALL:
        scale = 2.0
        grey = np.asarray(
            cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8
        )
    while min(grey.shape) >= 2 * _HEIGHTS[1]:
        if max(grey.shape) <= _LARGE:
            yield scale, grey
        scale /= 2
        half = (grey.shape[1] // 2, grey.shape[0] // 2)
        grey = np.asarray(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, eq=False)
class _Glyphs:
    """What may be letters: one row each of left, top, right, bottom, and what they look like."""

    boxes: NDArray[np.float32]
    stroke: NDArray[np.float32]
    contrast: NDArray[np.float32]
    value: NDArray[np.float32]
    clarity: NDArray[np.float32]

    def turned(self, rows: int) -> _Glyphs:
        """Return them as they stand in the picture turned a quarter, clockwise."""
        left, top, right, bottom = self.boxes.T
        boxes = np.stack([rows - bottom, left, rows - top, right], axis=1)
        return _Glyphs(boxes, self.stroke, self.contrast, self.value, self.clarity)


def _glyphs(grey: NDArray[np.uint8]) -> _Glyphs:
    """Find light strokes on darker ground that stand alone and are as large as letters."""
    element = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    raised = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, element), np.uint8)
    around = np.asarray(cv2.dilate(raised, element), np.uint8)
    mask = np.asarray((2 * raised.astype(np.uint16) > around) & (raised > _FAINTEST), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, width, height, area = stats.T.astype(np.float32)
    low, high = _HEIGHTS
    larger = np.maximum(width, height)
    fits = (larger >= low) & (larger <= high) & (area >= 0.12 * width * height)
    fits &= (left > 0) & (top > 0)
    fits &= (left + width < grey.shape[1]) & (top + height < grey.shape[0])
    fits[0] = False
    at = np.flatnonzero(mask)
    of, height_of = labels.ravel()[at], raised.ravel()[at]
    # the edges of a letter are blurred: whether it is of one grey, its core tells
    core = height_of > 0.75 * around.ravel()[at]
    greys = grey.ravel()[at][core].astype(np.float32)
    value = _mean(greys, of[core], count)
    variance = np.maximum(_mean(greys * greys, of[core], count) - value * value, 0)
    stroke = 4 * _mean(cv2.distanceTransform(mask, cv2.DIST_L2, 3).ravel()[at], of, count) - 1
    contrast = _mean(height_of, of, count)
    clarity = contrast / (np.sqrt(variance + _texture(raised, mask, stats)) + 4)
    fits &= (stroke < 0.45 * larger) & (clarity > 1)
    chosen = np.flatnonzero(fits)
    chosen = chosen[np.argsort(-clarity[chosen])[:_MOST_GLYPHS]]
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return _Glyphs(boxes[chosen], stroke[chosen], contrast[chosen], value[chosen], clarity[chosen])


def _mean(values: NDArray[Any], labels: NDArray[Any], count: int) -> NDArray[np.float32]:
    sizes = np.bincount(labels, minlength=count)
    sums = np.bincount(labels, weights=values, minlength=count)
    return np.asarray(sums / np.maximum(sizes, 1), np.float32)


def _texture(
    raised: NDArray[Any], mask: NDArray[np.uint8], stats: NDArray[Any]
) -> NDArray[np.float32]:
    """Return how much else stands out around each component, as a mean square."""
    ground = 1 - np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)), np.float32)
    window = (2 * _HEIGHTS[1] + 1, 2 * _HEIGHTS[1] + 1)
    share = cv2.boxFilter(ground, cv2.CV_32F, window)
    square = cv2.boxFilter(ground * np.square(raised.astype(np.float32)), cv2.CV_32F, window)
    x = stats[:, 0] + stats[:, 2] // 2
    y = stats[:, 1] + stats[:, 3] // 2
    found = square[y, x] / np.maximum(share[y, x], 1e-3)
    return np.asarray(np.where(share[y, x] > 0.02, found, 255.0), np.float32)


@dataclass(frozen=True)
class _Line:
    box: tuple[float, float, float, float]
    glyphs: int
    clarity: float


def _lines(glyphs: _Glyphs, threshold: float) -> Iterator[_Line]:
    """Join letters of like height, stroke and contrast that stand on one line, side by side."""
    left, top, right, bottom = glyphs.boxes.T
    height = bottom - top
    tall = (height >= _HEIGHTS[0]) & (right - left <= 1.7 * height)
    for group in _chains(glyphs, tall):
        boxes = glyphs.boxes[group]
        if not _is_line(boxes):
            continue
        clarity = float(np.median(glyphs.clarity[group]))
        if clarity >= threshold:
            edges = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
            yield _Line((edges[0], edges[1], edges[2], edges[3]), len(group), clarity)


def _chains(glyphs: _Glyphs, usable: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """Yield the groups of letters, large enough, in which each has its like beside it."""
    chosen = np.flatnonzero(usable)
    left, top, right, bottom = glyphs.boxes[chosen].T
    height, stroke = bottom - top, glyphs.stroke[chosen]
    contrast, value = glyphs.contrast[chosen], glyphs.value[chosen]
    taller = np.maximum.outer(height, height)
    gap = left[None, :] - right[:, None]
    beside = (gap >= -0.15 * taller) & (gap <= 1.1 * taller) & (left[None, :] > left[:, None])
    beside &= np.abs(np.subtract.outer(bottom, bottom)) <= 0.22 * taller
    beside &= taller <= 1.7 * np.minimum.outer(height, height)
    beside &= np.maximum.outer(stroke, stroke) <= 1.8 * np.minimum.outer(stroke, stroke) + 0.5
    alike = np.maximum.outer(contrast, contrast) <= 1.7 * np.minimum.outer(contrast, contrast)
    beside &= alike | (np.abs(np.subtract.outer(value, value)) <= 20)
    one, other = np.nonzero(beside)
    group = np.arange(len(chosen))
    before = np.full_like(group, -1)
    while not np.array_equal(group, before):
        before = group.copy()
        for near, far in ((one, other), (other, one)):
            np.minimum.at(group, near, before[far])
        group = group[group]
    sizes = np.bincount(group, minlength=len(chosen))
    for number in np.flatnonzero(sizes >= _FEWEST_GLYPHS):
        yield chosen[group == number]


def _is_line(boxes: NDArray[np.float32]) -> bool:
    """Whether letters stand on one baseline and beside one another."""
    left, top, right, bottom = boxes.T
    height = float(np.median(bottom - top))
    middle = (left + right) / 2
    slope, at = np.polyfit(middle, bottom, 1)
    off = np.abs(bottom - (slope * middle + at))
    long = right.max() - left.min() >= 1.8 * height
    return bool(long and abs(slope) <= 0.12 and np.median(off) <= 0.1 * height)


def _at(line: _Line, scale: float, turned: int | None) -> TextLine:
    """Return a line where it is in the picture; `turned` are the rows of one that was turned."""
    x0, y0, x1, y1 = line.box
    if turned is not None:
        x0, y0, x1, y1 = y0, turned - x1, y1, turned - x0
    box = (int(x0 / scale), int(y0 / scale), int(x1 / scale), int(y1 / scale))
    return TextLine(box, line.glyphs, line.clarity)
