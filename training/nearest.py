"""The ten nearest exams of a query, by every way of retrieval that is compared."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import Calibration
from pipeline.region import GLOBAL, Region
from training.vectors import ImageVectors

__all__ = ["Way", "nearest"]

_STEP = 256  # queries at once


class Way(StrEnum):
    """How exams are retrieved.

    ``GLOBAL_ONLY``
        The paper's single stage: by the whole wrist (equation 3).
    ``REGION_ONLY``
        Appendix F: by the bone alone (equation 4).
    ``TWO_STAGE``
        Section 3.2: the hundred nearest as a whole, reranked by the bone.
    ``FUSED``
        The hundred nearest as a whole and the hundred nearest in the bone together, by the mean
        of both calibrated similarity indices.

    These are the modes of `pipeline.retrieval.Retriever`, without its engine: an exam that lacks
    the bone ranks after all that have it, and a query that lacks it falls back to the whole.
    """

    GLOBAL_ONLY = "global_only"
    REGION_ONLY = "region_only"
    TWO_STAGE = "two_stage"
    FUSED = "fused"


def nearest(
    asking: ImageVectors,
    stored: ImageVectors,
    allowed: NDArray[np.bool_],
    *,
    region: Region,
    way: Way,
    calibration: Mapping[str, Calibration] | None = None,
    candidates: int = 100,
    k: int = 10,
) -> NDArray[np.int64]:
    """Return the ``k`` nearest stored exams of every query, best first.

    Parameters
    ----------
    asking, stored
        Vectors of the queries and of the exams that may be returned.
    allowed
        bool (queries, stored): which of them may be returned for a query.
    region, way
        What is asked, and how it is answered.
    calibration
        By vector name; only `Way.FUSED` needs it.
    candidates
        Size of the pool of each stage.
    k
        How many are returned.

    Returns
    -------
    ndarray
        int64 (queries, k): numbers in ``stored``; -1 where fewer may be returned.
    """
    found = [
        _nearest(
            {name: asking[name][start : start + _STEP] for name in (GLOBAL, region.value)},
            stored,
            allowed[start : start + _STEP],
            _Question(region.value, way, calibration, candidates, k),
        )
        for start in range(0, len(allowed), _STEP)
    ]
    return np.concatenate(found) if found else np.zeros((0, k), np.int64)


class _Question:
    def __init__(
        self,
        bone: str,
        way: Way,
        calibration: Mapping[str, Calibration] | None,
        candidates: int,
        k: int,
    ) -> None:
        self.bone = bone
        self.way = way
        self.calibration = calibration
        self.candidates = max(candidates, k)
        self.k = k


def _nearest(
    asking: ImageVectors, stored: ImageVectors, allowed: NDArray[np.bool_], question: _Question
) -> NDArray[np.int64]:
    whole = asking[GLOBAL] @ stored[GLOBAL].T
    whole[~allowed | np.isnan(whole)] = -np.inf
    bone = asking[question.bone] @ stored[question.bone].T
    bone = np.where(np.isnan(bone), whole - 10, bone)  # after every exam that has the bone
    bone[np.isneginf(whole)] = -np.inf
    pool = _pool(whole, bone, question)
    by_whole, by_bone = (np.take_along_axis(scores, pool, axis=1) for scores in (whole, bone))
    keys: tuple[NDArray[np.floating], ...] = (
        by_whole if question.way is Way.GLOBAL_ONLY else by_bone,
    )
    if question.way is Way.FUSED:
        mean = _fused(by_whole, by_bone, question)
        mean[_repeated(pool)] = -np.inf
        keys = (by_whole, by_bone, mean)
    best = np.lexsort([-key for key in keys], axis=1)[:, : question.k]
    chosen = np.take_along_axis(pool, best, axis=1)
    chosen[np.isneginf(np.take_along_axis(keys[-1], best, axis=1))] = -1
    lacking = question.k - chosen.shape[1]
    return np.pad(chosen, ((0, 0), (0, max(0, lacking))), constant_values=-1)


def _pool(
    whole: NDArray[np.float32], bone: NDArray[np.float32], question: _Question
) -> NDArray[np.int64]:
    if question.way is Way.GLOBAL_ONLY:
        return _top(whole, question.k)
    if question.way is Way.REGION_ONLY:
        return _top(bone, question.k)
    first = _top(whole, question.candidates)
    if question.way is Way.TWO_STAGE:
        return first
    return np.concatenate([first, _top(bone, question.candidates)], axis=1)


def _top(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the columns of the highest scores, in rising order of column."""
    if count >= scores.shape[1]:
        columns: NDArray[np.int64] = np.arange(scores.shape[1])
        return np.tile(columns, (len(scores), 1))
    return np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)


def _repeated(pool: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which entries of a row stand further left in it already."""
    order = np.argsort(pool, axis=1, kind="stable")
    sorted_pool = np.take_along_axis(pool, order, axis=1)
    again = np.zeros(pool.shape, bool)
    np.put_along_axis(again, order[:, 1:], sorted_pool[:, 1:] == sorted_pool[:, :-1], axis=1)
    return again


def _fused(
    whole: NDArray[np.float32], bone: NDArray[np.float32], question: _Question
) -> NDArray[np.float64]:
    """Return the mean of both similarity indices; by the whole alone where the bone lacks."""
    if question.calibration is None:
        message = "fused retrieval needs the calibration of its vectors"
        raise ValueError(message)
    mean = (
        _index(question.calibration[GLOBAL], whole)
        + _index(question.calibration[question.bone], bone)
    ) / 2
    return np.where(bone < -2, whole.astype(np.float64) - 10, mean)


def _index(calibration: Calibration, cosines: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return `Calibration.index` of many cosines."""
    knots = np.array(calibration.knots)
    return np.asarray(np.interp(cosines, knots[:, 0], knots[:, 1]), np.float64)
