"""Intervals that know that a patient's exams resemble each other: patients are drawn, not exams."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.statistic import Floats, Statistic

__all__ = ["Estimate", "Resamples"]

_AT_ONCE = 4_000_000  # numbers in one block of weights


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; None where it is not defined.

    Parameters
    ----------
    value
        Over all queries.
    low, high
        2.5 and 97.5 percent of the figures of the resamples.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """True for a difference whose interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Resamples:
    """Draws of patients with replacement: all queries of a patient come or stay away together.

    Equal arguments give equal draws, so that figures of the same queries are compared draw by
    draw (`difference`).

    Parameters
    ----------
    patients
        Whose each query is, in the order of the queries.
    draws
        How often is drawn.
    seed
        Of the draws.
    """

    def __init__(self, patients: Sequence[Hashable], draws: int = 1000, seed: int = 0) -> None:
        numbers = {patient: n for n, patient in enumerate(dict.fromkeys(patients))}
        self._of = np.array([numbers[patient] for patient in patients], np.int64)
        self._patients = len(numbers)
        self._draws = draws
        self._seed = seed

    def estimate(self, statistic: Statistic) -> Estimate:
        """Return a figure with its interval."""
        return _estimate(self._figures(statistic))

    def difference(self, one: Statistic, other: Statistic) -> Estimate:
        """Return by how much one figure exceeds another of the same queries, draw by draw."""
        return _estimate(self._figures(lambda weights: one(weights) - other(weights)))

    def _figures(self, statistic: Statistic) -> Floats:
        """Return the figure of all queries, then those of the draws."""
        if not len(self._of):
            return np.full(1, np.nan)
        return np.concatenate([statistic(weights) for weights in self._weights()])

    def _weights(self) -> Iterator[Floats]:
        yield np.ones((1, len(self._of)))
        step = max(1, _AT_ONCE // len(self._of))
        for start in range(0, self._draws, step):
            yield self._drawn[start : start + step, self._of].astype(np.float64)

    @cached_property
    def _drawn(self) -> NDArray[np.uint16]:
        """How often each patient is drawn, shape (draws, patients)."""
        generator = np.random.default_rng(self._seed)
        even = np.full(self._patients, 1 / self._patients)
        drawn: NDArray[np.int64] = generator.multinomial(self._patients, even, size=self._draws)
        return drawn.astype(np.uint16)


def _estimate(figures: Floats) -> Estimate:
    value, drawn = figures[0], figures[1:][np.isfinite(figures[1:])]
    if not np.isfinite(value):
        return Estimate(None)
    if not len(drawn):
        return Estimate(float(value))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(float(value), float(low), float(high))
