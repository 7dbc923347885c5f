"""Figures of weighted queries: the form that a bootstrap can recompute a thousand times at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Statistic",
    "area_under_roc",
    "average_precision",
    "f1_of",
    "mean_of",
    "median_of",
]

Floats = NDArray[np.float64]

Statistic = Callable[[Floats], Floats]
"""From weights (draws, n) of n queries to one figure a draw; NaN where it is not defined."""


def mean_of(values: NDArray[np.floating] | NDArray[np.bool_]) -> Statistic:
    """Return the weighted mean of the values that are not NaN.

    Parameters
    ----------
    values
        One a query, shape (n,).
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)

    def mean(weights: Floats) -> Floats:
        return _divided(weights @ filled, weights @ known.astype(np.float64))

    return mean


def median_of(values: NDArray[np.floating]) -> Statistic:
    """Return the median of the values, each taken as often as its whole-numbered weight says."""
    order = np.argsort(values, kind="stable")
    rising = np.asarray(values, np.float64)[order]

    def median(weights: Floats) -> Floats:
        reached = np.cumsum(weights[:, order], axis=1)
        half = reached[:, -1:] / 2
        lower = np.argmax(reached >= half, axis=1)
        upper = np.argmax(reached > half, axis=1)
        # nothing exceeds half of nothing: a draw without weight has no median
        middle = (rising[lower] + rising[upper]) / 2
        return np.where(half[:, 0] > 0, middle, np.nan)

    return median


def f1_of(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Statistic:
    """Return the F1 score of a yes or no: 2 TP / (2 TP + FP + FN)."""
    hits = (predicted & truth).astype(np.float64)
    said = predicted.astype(np.float64) + truth.astype(np.float64)

    def f1(weights: Floats) -> Floats:
        return _divided(2 * (weights @ hits), weights @ said)

    return f1


def area_under_roc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> Statistic:
    """Return the share of pairs, one true and one false, ranked rightly; a tie counts half."""
    order, starts = _levels(scores)
    true, false = truth[order].astype(np.float64), (~truth[order]).astype(np.float64)

    def area(weights: Floats) -> Floats:
        positives = np.add.reduceat(weights[:, order] * true, starts, axis=1)
        negatives = np.add.reduceat(weights[:, order] * false, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return _divided((positives * below).sum(axis=1), pairs)

    return area


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> Statistic:
    """Return the area under precision and recall as a sum of steps, without interpolation.

    It is what ``sklearn.metrics.average_precision_score`` computes.
    """
    order, starts = _levels(-np.asarray(scores, np.float64))
    true = truth[order].astype(np.float64)

    def precision(weights: Floats) -> Floats:
        hits = np.add.reduceat(weights[:, order] * true, starts, axis=1)
        taken = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
        at = np.divide(np.cumsum(hits, axis=1), taken, where=taken > 0, out=np.zeros_like(taken))
        return _divided((hits * at).sum(axis=1), hits.sum(axis=1))

    return precision


def _levels(scores: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rising order, and where in it each distinct score begins."""
    order = np.argsort(scores, kind="stable")
    rising = np.asarray(scores)[order]
    starts = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
    return order, starts


def _divided(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, where=below > 0, out=np.full_like(above, np.nan))
