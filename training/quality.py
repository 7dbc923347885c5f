"""What a bundle can do: boxes and views on held-out real images, matches on unseen phantoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import BoxQuality, RetrievalQuality, ViewQuality
from pipeline.region import GLOBAL, Region, View
from pipeline.view_model import ViewModel
from training.dataset import BOX_NAMES, Corners, Pair, Picture

__all__ = ["box_quality", "intersection_over_union", "retrieval_quality", "view_quality"]

Vectors = Mapping[str, NDArray[np.float32]]
"""By vector name, float32 (n, 512), unit rows; a row of NaN where the bone is missing."""


def intersection_over_union(one: Corners, other: Corners) -> float:
    """Return the share of two boxes' union that both cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(common / (sum(areas) - common)) if common else 0.0


def box_quality(
    detector: AnatomyDetector, pictures: Sequence[Picture], least: float = 0.5
) -> dict[str, BoxQuality]:
    """Compare the boxes found with those drawn, by class.

    A class has one box an image at most, so recall is the share of drawn boxes that were hit
    with an intersection over union of at least ``least``, and precision the share of reported
    boxes that hit; a miss of the wrist is a miss of its bones.
    """
    overlaps: dict[str, list[float]] = {name: [] for name in BOX_NAMES}
    reported = dict.fromkeys(BOX_NAMES, 0)
    for picture in pictures:
        found = detector.locate(picture.pixels).boxes
        for name in found:
            reported[name] += 1
        for name, drawn in picture.boxes.items():
            hit = intersection_over_union(found[name], drawn) if name in found else 0.0
            overlaps[name].append(hit)
    quality = {}
    for name, values in overlaps.items():
        hits = sum(value >= least for value in values)
        quality[name] = BoxQuality(
            n=len(values),
            recall=hits / max(1, len(values)),
            precision=hits / max(1, reported[name]),
            mean_iou=float(np.mean(values or [0.0])),
        )
    return quality


def view_quality(model: ViewModel, pictures: Sequence[Picture]) -> ViewQuality:
    """Return the recall of each view that occurs, and their mean."""
    right: dict[str, list[bool]] = {}
    for picture in pictures:
        scores = model.classify(picture.pixels)
        best = max(scores, key=lambda view: scores[view])
        right.setdefault(picture.view.value, []).append(best is picture.view)
    recall: dict[str, float] = {
        view.value: float(np.mean(right[view.value])) for view in View if view.value in right
    }
    return ViewQuality(
        n={name: len(right[name]) for name in recall},
        recall=recall,
        balanced_accuracy=float(np.mean(list(recall.values()))),
    )


def retrieval_quality(
    pairs: Sequence[Pair], vectors: Vectors, untrained: Vectors, queries: int, candidates: int
) -> RetrievalQuality:
    """Return how often the ten nearest share the query's fracture state, bone by bone.

    The first ``queries`` exams ask, the others are the pool. Binary fracture matching of section
    4.2: a match counts where its label, fracture or no fracture of that bone, is the query's.
    Each figure is the balanced mean over queries with and without the fracture, so that always
    finding the more frequent state scores one half.
    """
    modes = ("two_stage", "region_only", "global_only", "untrained", "chance")
    figures: dict[str, dict[str, float]] = {mode: {} for mode in modes}
    generator = np.random.default_rng(0)
    for region in Region:
        fractured = np.array([_is_fractured(pair, region) for pair in pairs])
        has = np.isfinite(vectors[region.value][:, 0])
        asked = [n for n in range(queries) if has[n]]
        for mode in modes:
            source = untrained if mode == "untrained" else vectors
            shares: dict[bool, list[float]] = {True: [], False: []}
            for n in asked:
                found = _ten(
                    source, n, queries=queries, region=region, mode=mode,
                    candidates=candidates, generator=generator,
                )  # fmt: skip
                shares[bool(fractured[n])].append(float(np.mean(fractured[found] == fractured[n])))
            filled = [float(np.mean(values)) for values in shares.values() if values]
            figures[mode][region.value] = float(np.mean(filled))
    return RetrievalQuality(queries=queries, pool=len(pairs) - queries, **figures)


def _is_fractured(pair: Pair, region: Region) -> bool:
    found = pair.findings.get(region)
    return found is not None and found.fracture in ("present", "possible")


def _ten(
    vectors: Vectors,
    query: int,
    *,
    queries: int,
    region: Region,
    mode: str,
    candidates: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return ten exams of the pool, by one way of ranking."""
    size = len(vectors[GLOBAL]) - queries
    if mode == "chance":
        return generator.choice(size, 10, replace=False) + queries
    whole = vectors[GLOBAL][queries:] @ vectors[GLOBAL][query]
    bone = np.nan_to_num(vectors[region.value][queries:] @ vectors[region.value][query], nan=-1.0)
    if mode == "global_only":
        return np.argsort(-whole, kind="stable")[:10] + queries
    if mode == "region_only":
        return np.argsort(-bone, kind="stable")[:10] + queries
    pool = np.argsort(-whole, kind="stable")[:candidates]
    return pool[np.argsort(-bone[pool], kind="stable")][:10] + queries
