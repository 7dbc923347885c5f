"""From an image to its caption among all captions (WristMIR, Tables 1, 4, 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import VECTOR_NAMES
from pipeline.region import GLOBAL
from training.bootstrap import Estimate, Resamples
from training.statistic import mean_of, median_of
from training.vectors import ExamVectors

__all__ = ["DEPTHS", "POOLS", "CaptionRanking", "CaptionRanks", "Positives", "caption_ranks"]

DEPTHS = (5, 10, 50, 100)
"""The k of Recall@k."""

_CURVE = (
    1,
    2,
    3,
    5,
    7,
    10,
    15,
    20,
    30,
    50,
    70,
    100,
    150,
    200,
    300,
    500,
    700,
    1000,
    1500,
    2000,
    3000,
)

POOLS = {"pairs": VECTOR_NAMES, "whole wrists": (GLOBAL,)}
"""Whose crops ask and whose captions are ranked: all four kinds together, or whole wrists alone.

The paper's 876 images give 3,504 pairs. An encoder that knows nothing has a mean rank of half
the pool, 1,752.5: MedCLIP's is 1,801 (Table 5). Its Recall@5 of 0.13 % is near 5 / 3,504, its mAP
of 0.24 % near the mean of 1 / rank, 0.25 %. So the paper's pool is most probably all pairs.
"""


class Positives(StrEnum):
    """Which captions are right for an image.

    ``OWN``
        Its own entry alone, so that every entry of the pool with the identical caption competes
        with it; entries equally near stand in every order alike. MedCLIP's figures are near
        chance in this reading and in no other: most probably the paper's.
    ``SHARED``
        Every entry with the identical caption, as in training (equation 2): the rank is that of
        the first of them.
    ``DISTINCT``
        The caption itself: the pool holds each distinct caption once.
    """

    OWN = "own"
    SHARED = "shared"
    DISTINCT = "distinct"


@dataclass(frozen=True, eq=False)
class CaptionRanks:
    """Where each query's caption stands.

    Parameters
    ----------
    exams
        int64 (q,): whose crop asks.
    above
        float64 (q,): entries nearer than the right one; an entry of another caption that is
        exactly as near counts half where several entries are right.
    block
        float64 (q,): entries among which the right one may stand anywhere.
    precision
        float64 (q,): average precision.
    pool
        Entries ranked.
    """

    exams: NDArray[np.int64]
    above: NDArray[np.float64]
    block: NDArray[np.float64]
    precision: NDArray[np.float64]
    pool: int

    @property
    def rank(self) -> NDArray[np.float64]:
        """Mean rank of the right entry, from 1."""
        return self.above + (self.block + 1) / 2

    def found(self, depth: int) -> NDArray[np.float64]:
        """Return the probability that the right entry is among the first ``depth``."""
        return np.clip((depth - self.above) / self.block, 0, 1)


@dataclass(frozen=True)
class CaptionRanking:
    """One row of Tables 5 and 6, in one reading; shares are of 1, ranks count from 1.

    ``recall`` is by depth; ``curve`` holds ``(depth, recall)`` at more depths, without intervals.
    """

    pool: str
    positives: Positives
    queries: int
    entries: int
    captions: int
    recall: dict[int, Estimate]
    mean_average_precision: Estimate
    mean_rank: Estimate
    median_rank: Estimate
    curve: tuple[tuple[int, float], ...]

    @classmethod
    def of(
        cls, vectors: ExamVectors, pool: str, positives: Positives,
        patients: Sequence[str], draws: int = 1000,
    ) -> CaptionRanking:  # fmt: skip
        """Measure some exams; ``patients`` says whose each exam is."""
        ranks = caption_ranks(vectors, POOLS[pool], positives)
        resamples = Resamples([patients[n] for n in ranks.exams], draws)
        numbers = np.concatenate([vectors.numbers[name] for name in POOLS[pool]])
        return cls(
            pool,
            positives,
            len(ranks.exams),
            ranks.pool,
            len(set(numbers.tolist()) - {-1}),
            {k: resamples.estimate(mean_of(ranks.found(k))) for k in DEPTHS},
            resamples.estimate(mean_of(ranks.precision)),
            resamples.estimate(mean_of(ranks.rank)),
            resamples.estimate(median_of(ranks.rank)),
            tuple((k, float(ranks.found(k).mean())) for k in _CURVE if k <= ranks.pool),
        )


def caption_ranks(vectors: ExamVectors, names: Sequence[str], positives: Positives) -> CaptionRanks:
    """Rank the captions of a pool for every crop in it, by the cosine of equation 1's vectors.

    Parameters
    ----------
    vectors
        Of the exams.
    names
        Crops of these names, and their captions, make the pool; a crop without caption, or a
        caption without crop, is left out.
    positives
        Which entries are right.
    """
    asking = [
        (name, np.flatnonzero((vectors.numbers[name] >= 0) & np.isfinite(rows[:, 0])))
        for name, rows in vectors.images.items()
        if name in names
    ]
    own = np.concatenate([vectors.numbers[name][exams] for name, exams in asking])
    images = np.concatenate([vectors.images[name][exams] for name, exams in asking])
    entries = np.bincount(own, minlength=len(vectors.captions)).astype(np.float64)
    counts = np.minimum(entries, 1) if positives is Positives.DISTINCT else entries
    above, tied = _competitors(images, vectors.texts, own, counts)
    alike = counts[own]
    if positives is Positives.OWN:
        block = tied + alike
        precision = _harmonic(above + block) - _harmonic(above)
        precision /= block
    else:
        above, block = above + tied / 2, np.ones_like(above)
        precision = np.array(
            [_block_precision(h, int(c)) for h, c in zip(above, alike, strict=True)]
        )
    exams = np.concatenate([exams for _, exams in asking])
    return CaptionRanks(exams, above, block, precision, int(counts.sum()))


def _competitors(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    own: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many entries of other captions are nearer than the own caption, and as near."""
    above, tied = np.zeros(len(own)), np.zeros(len(own))
    step = 512
    for start in range(0, len(own), step):
        part = slice(start, start + step)
        cosines = images[part] @ texts.T
        right = np.take_along_axis(cosines, own[part, None], axis=1)
        above[part] = (cosines > right) @ counts
        tied[part] = (cosines == right) @ counts - counts[own[part]]
    return above, tied


def _harmonic(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 + 1/2 + … + 1/n of whole numbers n."""
    sums = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(numbers.max(initial=0)) + 1))])
    return np.asarray(sums[numbers.astype(np.int64)], np.float64)


def _block_precision(above: float, alike: int) -> float:
    """Return the average precision of ``alike`` right entries in a row below ``above`` others."""
    place = np.arange(1, alike + 1)
    return float(np.mean(place / (above + place)))
