"""What a bundle can do: boxes and views on held-out real images, matches on unseen phantoms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import BoxQuality, Bundle, RetrievalQuality, ViewQuality
from pipeline.calibration import Calibration
from pipeline.region import Region, View
from pipeline.view_model import ViewModel
from training.dataset import BOX_NAMES, Corners, Pair, Picture
from training.matching import NO_FRACTURE, fracture_class
from training.nearest import Way, nearest
from training.vectors import ImageVectors

__all__ = [
    "box_quality",
    "intersection_over_union",
    "retrieval_quality",
    "view_quality",
    "views_told",
]


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


def view_quality(told: Sequence[tuple[View, View]]) -> ViewQuality:
    """Return the recall of each view that occurs, and their mean.

    Parameters
    ----------
    told
        What each picture shows, and what it was taken for.
    """
    right: dict[str, list[bool]] = {}
    for shown, taken in told:
        right.setdefault(shown.value, []).append(shown is taken)
    recall: dict[str, float] = {
        view.value: float(np.mean(right[view.value])) for view in View if view.value in right
    }
    return ViewQuality(
        n={name: len(right[name]) for name in recall},
        recall=recall,
        balanced_accuracy=float(np.mean(list(recall.values()))),
    )


def views_told(bundle: Bundle, pictures: Sequence[Picture]) -> list[tuple[View, View]]:
    """Return what pictures without labels show, and what a bundle takes each for."""
    model, detector = ViewModel(bundle), AnatomyDetector(bundle)
    witness, told = bundle.manifest.witness, []
    for picture in pictures:
        scores = model.classify(picture.pixels)
        if witness is not None:
            scores = witness.weighed(scores, detector.locate(picture.pixels).scores)
        told.append((picture.view, max(scores, key=lambda view: scores[view])))
    return told


def retrieval_quality(
    pairs: Sequence[Pair],
    patients: Sequence[Hashable],
    vectors: ImageVectors,
    untrained: ImageVectors,
    *,
    calibration: Mapping[str, Calibration] | None = None,
    candidates: int = 100,
) -> RetrievalQuality:
    """Return how often the ten nearest share the query's fracture state, bone by bone.

    The first quarter of the exams asks, the others are the pool; an exam of the query's patient is
    never an answer. Binary fracture matching of section 4.2: a match counts where its label,
    fracture or no fracture of that bone, is the query's. Each figure is the balanced mean over
    queries with and without the fracture, so that always finding the more frequent state scores
    one half. Untrained and chance are two-stage too.

    Parameters
    ----------
    pairs, patients
        The exams, and whose each is.
    vectors, untrained
        Of the encoder, and of itself before it learnt.
    calibration
        Of the vectors; without it the fused ranking is left out.
    candidates
        Pool of the first stage.
    """
    queries = len(pairs) // 4
    generator = np.random.default_rng(0)
    nothing = {n: generator.normal(size=v.shape).astype(np.float32) for n, v in vectors.items()}
    ways = {
        "two_stage": (vectors, Way.TWO_STAGE),
        "region_only": (vectors, Way.REGION_ONLY),
        "global_only": (vectors, Way.GLOBAL_ONLY),
        "untrained": (untrained, Way.TWO_STAGE),
        "chance": (nothing, Way.TWO_STAGE),
    }
    if calibration is not None:
        ways["fused"] = (vectors, Way.FUSED)
    figures: dict[str, dict[str, float]] = {name: {} for name in ways}
    other = np.array([[one != two for two in patients[queries:]] for one in patients[:queries]])
    for region in Region:
        state = np.array([fracture_class(p.findings.get(region)) != NO_FRACTURE for p in pairs])
        asked = np.flatnonzero(np.isfinite(vectors[region.value][:queries, 0]))
        for name, (source, way) in ways.items():
            ten = nearest(
                {part: rows[asked] for part, rows in source.items()},
                {part: rows[queries:] for part, rows in source.items()},
                other[asked],
                region=region,
                way=way,
                candidates=candidates,
                calibration=calibration,
            )
            agreed = state[queries:][ten] == state[asked][:, None]
            same = np.nanmean(np.where(ten >= 0, agreed, np.nan), axis=1)
            halves = [same[state[asked] == value] for value in (True, False)]
            filled = [float(half.mean()) for half in halves if len(half)]
            figures[name][region.value] = float(np.mean(filled))
    return RetrievalQuality(queries=queries, pool=len(pairs) - queries, **figures)
