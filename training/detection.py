"""How well wrist and bones are found (WristMIR, Table 8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.anatomy import WRIST, Anatomy, AnatomyDetector, Box
from pipeline.bundle import Bundle, Thresholds
from pipeline.region import Region
from training.bootstrap import Estimate, Resamples
from training.dataset import BOX_NAMES, Corners, Picture
from training.quality import intersection_over_union
from training.statistic import Floats, Statistic, mean_of
from training.vectors import Advance

__all__ = ["OVERALL", "BoxRow", "Detection", "Locate", "as_served", "box_precision", "every_box"]

OVERALL = "overall"
"""Mean over the three bones, as in the paper's last row."""

Locate = Callable[[Picture], Anatomy]

_LEAST = 0.5  # intersection over union of a hit
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class BoxRow:
    """One row of Table 8.

    Precision, recall, F1 and mean overlap are of the boxes as they are served, average precision
    is over all scores; a box hits at an intersection over union of 0.5.
    """

    drawn: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    average_precision: Estimate
    mean_overlap: Estimate


@dataclass(frozen=True)
class Detection:
    """Table 8: a row for the wrist, each bone, and all bones together."""

    pictures: int
    rows: dict[str, BoxRow]

    @classmethod
    def of(
        cls,
        served: Locate,
        scored: Locate,
        pictures: Sequence[Picture],
        patients: Sequence[str],
        draws: int = 1000,
        advance: Advance = lambda _: None,
    ) -> Detection:
        """Measure on pictures with drawn boxes.

        Parameters
        ----------
        served
            The detector as it serves; a missed wrist is a miss of its bones.
        scored
            The same, reporting a box of each class whatever its score; see `every_box`.
        pictures, patients
            With boxes, and whose each is.
        draws, advance
            Resamples; told of every picture.
        """
        findings: dict[str, list[_Found]] = {name: [] for name in BOX_NAMES}
        for picture in pictures:
            anatomies = served(picture), scored(picture)
            for name in BOX_NAMES:
                findings[name].append(_found(name, *anatomies, picture.boxes.get(name)))
            advance(1)
        resamples = Resamples(patients, draws)
        figures = {name: _figures(found) for name, found in findings.items()}
        bones = [figures[region.value] for region in Region]
        figures[OVERALL] = {key: _mean([bone[key] for bone in bones]) for key in bones[0]}
        drawn = {n: sum(f.drawn for f in found) for n, found in findings.items()}
        drawn[OVERALL] = sum(drawn[region.value] for region in Region)
        return cls(
            len(pictures),
            {
                name: BoxRow(drawn[name], **{k: resamples.estimate(s) for k, s in each.items()})
                for name, each in figures.items()
            },
        )


def every_box(bundle: Bundle) -> Locate:
    """Return the bundle's detectors with no box held back for its score."""
    # a score counts by its logarithm where bones are chosen together, so not quite zero
    none = dict.fromkeys(BOX_NAMES, 1e-9)
    manifest = bundle.manifest.model_copy(update={"thresholds": Thresholds(view=0, **none)})
    return as_served(replace(bundle, manifest=manifest))


def as_served(bundle: Bundle) -> Locate:
    """Return the bundle's detectors as they serve."""
    detector = AnatomyDetector(bundle)
    return lambda picture: detector.locate(picture.pixels)


def box_precision(
    scores: NDArray[np.float64], hits: NDArray[np.bool_], drawn: NDArray[np.bool_]
) -> Statistic:
    """Return the average precision of one class, with at most one box a picture.

    The mean of the precision, made to fall, at 101 recalls: mAP@50 as ultralytics and COCO
    compute it.

    Parameters
    ----------
    scores
        Of the box in each picture; NaN where there is none.
    hits
        Whether it hits.
    drawn
        Whether a box was drawn in the picture.
    """
    has = np.isfinite(scores)
    order = np.flatnonzero(has)[np.argsort(-scores[has], kind="stable")]

    def precision(weights: Floats) -> Floats:
        found = np.cumsum(weights[:, order] * hits[order], axis=1)
        said = np.cumsum(weights[:, order], axis=1)
        there = weights @ drawn.astype(np.float64)
        rows = zip(found, said, there, strict=True)
        return np.array([_area(f, s, t) for f, s, t in rows], np.float64)

    return precision


def _area(found: Floats, said: Floats, there: float) -> float:
    if there == 0:
        return np.nan
    if not len(found):
        return 0.0
    shares = np.divide(found, said, where=said > 0, out=np.zeros_like(said))
    falling = np.maximum.accumulate(shares[::-1])[::-1]
    at = np.searchsorted(found / there, _RECALLS - 1e-12)
    return float(np.mean(np.append(falling, 0.0)[at]))


@dataclass(frozen=True)
class _Found:
    drawn: bool
    reported: bool
    overlap: float  # of the reported box; NaN where no box was drawn
    score: float
    scored_overlap: float


def _found(name: str, served: Anatomy, scored: Anatomy, drawn: Corners | None) -> _Found:
    reported, best = _box(served, name), _box(scored, name)
    return _Found(
        drawn=drawn is not None,
        reported=reported is not None,
        overlap=_overlap(reported, drawn),
        score=np.nan if best is None else best.score,
        scored_overlap=_overlap(best, drawn),
    )


def _box(anatomy: Anatomy, name: str) -> Box | None:
    return anatomy.wrist if name == WRIST else anatomy.bones.get(Region(name))


def _overlap(box: Box | None, drawn: Corners | None) -> float:
    if drawn is None:
        return np.nan
    return 0.0 if box is None else intersection_over_union(box.corners, drawn)


def _figures(found: Sequence[_Found]) -> dict[str, Statistic]:
    drawn = np.array([f.drawn for f in found], bool)
    reported = np.array([f.reported for f in found], bool)
    overlaps = np.array([f.overlap for f in found])
    right = reported & (overlaps >= _LEAST)
    scores = np.array([f.score for f in found])
    hits = np.array([f.scored_overlap >= _LEAST for f in found], bool)
    return {
        "precision": mean_of(np.where(reported, right, np.nan)),
        "recall": mean_of(np.where(drawn, right, np.nan)),
        "f1": _f1(right, reported, drawn),
        "average_precision": box_precision(scores, hits, drawn),
        "mean_overlap": mean_of(overlaps),
    }


def _f1(
    right: NDArray[np.bool_], reported: NDArray[np.bool_], drawn: NDArray[np.bool_]
) -> Statistic:
    """Return 2 TP / (reported + drawn): a box off its place is a false one and a missed one."""
    hits, said = right.astype(np.float64), reported.astype(np.float64) + drawn

    def f1(weights: Floats) -> Floats:
        below = weights @ said
        return np.divide(
            2 * (weights @ hits), below, where=below > 0, out=np.full_like(below, np.nan)
        )

    return f1


def _mean(statistics: Sequence[Statistic]) -> Statistic:
    def mean(weights: Floats) -> Floats:
        return np.asarray(np.mean([statistic(weights) for statistic in statistics], axis=0))

    return mean
