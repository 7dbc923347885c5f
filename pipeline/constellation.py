"""How the bones of a wrist lie to each other: the likeliest set of boxes, not the best of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from pipeline.region import Region

__all__ = ["FEATURES", "Candidate", "Constellation", "features", "overlap"]

Corners = tuple[float, float, float, float]
Candidate = tuple[Corners, float]
"""Corners ``(x0, y0, x1, y1)`` of a box, and its score in 0..1."""

_RADIUS, _ULNA, _STYLOID = Region.DISTAL_RADIUS, Region.DISTAL_ULNA, Region.ULNAR_STYLOID
FEATURES: tuple[tuple[str, Region, Region], ...] = (
    ("distance", _RADIUS, _ULNA),
    ("size", _RADIUS, _ULNA),
    ("overlap", _RADIUS, _ULNA),
    ("distance", _ULNA, _STYLOID),
    ("size", _ULNA, _STYLOID),
    ("distance", _RADIUS, _STYLOID),
)
"""What is compared: the centres' distance in sides of the first box, the logarithm of the areas'
ratio, the share of the union that both cover. None changes when the wrist is shifted, scaled,
mirrored or turned by a quarter."""

_Row = Annotated[tuple[float, ...], Field(min_length=len(FEATURES), max_length=len(FEATURES))]


class Constellation(BaseModel):
    """A normal distribution of `FEATURES`, fitted to wrists with known boxes.

    Parameters
    ----------
    mean, covariance
        Of the features, (6,) and (6, 6).
    weight
        How much the constellation counts against the detector's scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: _Row
    covariance: Annotated[
        tuple[_Row, ...], Field(min_length=len(FEATURES), max_length=len(FEATURES))
    ]
    weight: float = Field(gt=0)

    def likeliest(
        self, candidates: Mapping[Region, Sequence[Candidate]], missing: Mapping[Region, float]
    ) -> dict[Region, Candidate]:
        """Return at most one box a bone: the set that scores and constellation make likeliest.

        Parameters
        ----------
        candidates
            Boxes by bone; a bone may have none.
        missing
            By bone, the score that a box has to be worth: leaving a bone out counts like one box
            of that score, wherever it lies.
        """
        shown = [region for region in Region if candidates.get(region)]
        best: dict[Region, Candidate] = {}
        value = sum(np.log(missing[region]) for region in Region)
        for count in range(1, len(shown) + 1):
            for bones in combinations(shown, count):
                chosen, worth = self._best_of(bones, candidates)
                worth += sum(np.log(missing[region]) for region in Region if region not in bones)
                if worth > value:
                    best, value = chosen, worth
        return best

    def _best_of(
        self, bones: Sequence[Region], candidates: Mapping[Region, Sequence[Candidate]]
    ) -> tuple[dict[Region, Candidate], float]:
        """Return the best set with a box for each of these bones, and what it is worth."""
        places = np.indices([len(candidates[bone]) for bone in bones]).reshape(len(bones), -1)
        boxes, worth = {}, np.zeros(places.shape[1])
        for bone, place in zip(bones, places, strict=True):
            boxes[bone] = np.array([corners for corners, _ in candidates[bone]], float)[place]
            worth += np.log([max(score, 1e-6) for _, score in candidates[bone]])[place]
        used = [n for n, (_, one, other) in enumerate(FEATURES) if {one, other} <= set(bones)]
        if used:
            off = features(boxes)[:, used] - np.array(self.mean)[used]
            inverse = np.linalg.inv(np.array(self.covariance)[np.ix_(used, used)])
            worth -= 0.5 * self.weight * np.einsum("ni,ij,nj->n", off, inverse, off)
        best = int(np.argmax(worth))
        chosen = {
            bone: candidates[bone][int(place)]
            for bone, place in zip(bones, places[:, best], strict=True)
        }
        return chosen, float(worth[best])


def features(boxes: Mapping[Region, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the features of n wrists, (n, 6); NaN where a bone is missing.

    Parameters
    ----------
    boxes
        By bone, corners (n, 4); at least one bone.
    """
    count = len(next(iter(boxes.values())))
    found = np.full((count, len(FEATURES)), np.nan)
    for column, values in _measured(boxes):
        found[:, column] = values
    return found


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union, (n,), of corners (n, 4), or of n boxes with one."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    share: NDArray[np.float64] = common / (_areas(one) + _areas(other) - common)
    return share


def _measured(
    boxes: Mapping[Region, NDArray[np.float64]],
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for column, (kind, one, other) in enumerate(FEATURES):
        if one not in boxes or other not in boxes:
            continue
        first, second = boxes[one], boxes[other]
        if kind == "distance":
            apart = np.linalg.norm(_centres(second) - _centres(first), axis=1)
            yield column, apart / np.sqrt(_areas(first))
        elif kind == "size":
            yield column, np.log(_areas(second) / _areas(first))
        else:
            yield column, overlap(first, second)


def _centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    # a box of no area would be infinitely far from everything
    areas: NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3).prod(axis=1)
    return areas
