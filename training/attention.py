"""Where an encoder looks: how much its answer suffers when a place is hidden (Figures 3 and 5).

Occlusion sensitivity (Zeiler and Fergus, 2014) needs nothing but the exported image tower, so it
holds for any bundle and speaks of what is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import VECTOR_NAMES
from pipeline.region import GLOBAL, Region
from training.dataset import Pair
from training.matching import NO_FRACTURE, fracture_class
from training.vectors import Advance, Encoder

__all__ = ["Attention", "AttentionMap", "attention", "attention_maps"]


@dataclass(frozen=True, eq=False)
class Attention:
    """One map.

    Parameters
    ----------
    drop
        float32 (size, size): by how much the cosine of image and caption falls, on average over
        the patches that hide a pixel; below 0 where hiding it helps.
    cosine
        Of the whole crop and the caption.
    """

    drop: NDArray[np.float32]
    cosine: float


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """A crop with what it says, and what a trained and an untrained tower look at in it.

    What an untrained tower marks too is the crop's and the architecture's doing (Adebayo et al.,
    2018): only the difference was learnt.
    """

    name: str
    caption: str
    crop: NDArray[np.uint8]
    trained: Attention
    untrained: Attention


def attention_maps(
    exams: Sequence[Pair], trained: Encoder, untrained: Encoder, each: int, advance: Advance
) -> tuple[AttentionMap, ...]:
    """Map the first crops of each kind whose caption tells a fracture of that bone, or any.

    Parameters
    ----------
    exams
        For example the test part of a table.
    trained, untrained
        Towers.
    each
        How many of each kind of crop.
    advance
        Told of every map.
    """
    found = []
    for name in VECTOR_NAMES:
        for pair in _broken(exams, name, each):
            crop, caption = np.asarray(pair.crops[name]), pair.captions[name]
            looks = [attention(crop, t.texts([caption])[0], t.images) for t in (trained, untrained)]
            found.append(AttentionMap(name, caption, crop, *looks))
            advance(1)
    return tuple(found)


def _broken(exams: Sequence[Pair], name: str, most: int) -> Iterator[Pair]:
    regions = list(Region) if name == GLOBAL else [Region(name)]
    left = most
    for pair in exams:
        if left == 0:
            return
        broken = any(fracture_class(pair.findings.get(r)) != NO_FRACTURE for r in regions)
        if broken and name in pair.crops and name in pair.captions:
            left -= 1
            yield pair


def attention(
    crop: NDArray[np.uint8],
    caption: NDArray[np.float32],
    images: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.float32]],
    *,
    patch: int = 40,
    stride: int = 16,
) -> Attention:
    """Hide one place after the other, and see what becomes of the caption's cosine.

    Parameters
    ----------
    crop
        uint8 (size, size).
    caption
        float32 (512,): the vector of what is said of the crop.
    images
        The image tower.
    patch, stride
        Side of the hidden square and distance of two of them, in pixels. What is hidden is
        blurred beyond recognition, so that its edges and its brightness bring in nothing new.
    """
    size = crop.shape[0]
    vague = np.asarray(cv2.GaussianBlur(crop, (0, 0), patch / 2), np.uint8)
    corners = [
        (y, x)
        for y in range(-patch // 2, size - patch // 2, stride)
        for x in range(-patch // 2, size - patch // 2, stride)
    ]
    hidden = []
    for y, x in corners:
        shown = crop.copy()
        place = _square(y, x, patch)
        shown[place] = vague[place]
        hidden.append(shown)
    cosines = images([crop, *hidden]) @ caption
    total, count = (np.zeros((size, size), np.float32) for _ in range(2))
    for (y, x), cosine in zip(corners, cosines[1:], strict=True):
        total[_square(y, x, patch)] += cosines[0] - cosine
        count[_square(y, x, patch)] += 1
    drop: NDArray[np.float32] = np.divide(total, np.maximum(count, 1))
    return Attention(drop, float(cosines[0]))


def _square(y: int, x: int, patch: int) -> tuple[slice, slice]:
    return slice(max(0, y), y + patch), slice(max(0, x), x + patch)
