"""Whether the ten nearest are wrists like the query's: age, side, cast and metal (Appendix F).

The paper argues that the global stage keeps laterality and age; here it is measured. It needs no
report, so it can be measured on images whose fractures nobody described.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import Calibration
from pipeline.findings import Other
from pipeline.region import Laterality, Region
from training.bootstrap import Estimate, Resamples
from training.exam_table import ExamRow
from training.matching import COMPARED, allowed
from training.nearest import Way, nearest
from training.statistic import mean_of
from training.vectors import Advance, ImageVectors

__all__ = ["CHANCE", "Consistency", "Likeness"]

Part = tuple[Sequence[ExamRow], ImageVectors]
"""Rows with their vectors."""

CHANCE = "chance"


class Likeness(StrEnum):
    """What is compared with the query.

    ``AGE``
        Mean absolute difference in years; smaller is better.
    ``SIDE``
        Share of the ten of the query's side.
    ``CAST``, ``METAL``
        Share of the ten with a cast or splint, or with hardware, over queries that have it.
    """

    AGE = "age"
    SIDE = "side"
    CAST = "cast"
    METAL = "metal"


@dataclass(frozen=True)
class Consistency:
    """Likeness of the ten nearest, by likeness and way; `CHANCE` is any exam of another patient.

    A way that asks about a bone is averaged over the three. ``known`` says how many queries each
    likeness could be told of; ``differences`` are by ``"<way> - <way>"``, those of
    `training.matching.COMPARED` and every way less chance, of the same queries in the same
    resamples.
    """

    stored_split: str
    queries: int
    stored: int
    known: dict[str, int]
    figures: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]

    @classmethod
    def of(
        cls,
        asking: Part,
        stored: Part,
        *,
        calibration: Mapping[str, Calibration] | None,
        candidates: int = 100,
        draws: int = 1000,
        advance: Advance = lambda _: None,
    ) -> Consistency:
        """Let exams ask and stored ones answer, whether or not their findings are known."""
        ask_rows, have_rows = asking[0], stored[0]
        resamples = Resamples([(row.source, row.patient) for row in ask_rows], draws)
        values = _values(asking, stored, calibration, candidates, advance)
        return cls(
            stored_split="/".join(sorted({str(row.split) for row in have_rows})),
            queries=len(ask_rows),
            stored=len(have_rows),
            known={name: int(np.isfinite(v[CHANCE]).sum()) for name, v in values.items()},
            figures={
                name: {way: resamples.estimate(mean_of(v)) for way, v in by_way.items()}
                for name, by_way in values.items()
            },
            differences={
                name: {
                    f"{one} - {other}": resamples.difference(mean_of(v[one]), mean_of(v[other]))
                    for one, other in (*((way, CHANCE) for way in Way), *COMPARED)
                    if one in v and other in v
                }
                for name, v in values.items()
            },
        )


def _values(
    asking: Part,
    stored: Part,
    calibration: Mapping[str, Calibration] | None,
    candidates: int,
    advance: Advance,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return each query's figure, by likeness and way."""
    (ask_rows, ask), (have_rows, have) = asking, stored
    may = allowed(ask_rows, have_rows, same_side=False)
    agreements = {
        likeness: np.where(may, _agreement(likeness, ask_rows, have_rows), np.nan)
        for likeness in Likeness
    }
    values = {likeness.value: {CHANCE: _row_means(t)} for likeness, t in agreements.items()}
    for way in Way:
        if way is Way.FUSED and calibration is None:
            continue
        tens = [
            nearest(
                ask, have, may, region=region, way=way,
                calibration=calibration, candidates=candidates,
            )
            for region in (list(Region)[:1] if way is Way.GLOBAL_ONLY else Region)
        ]  # fmt: skip
        for likeness, table in agreements.items():
            each = [_row_means(_taken(table, ten)) for ten in tens]
            values[likeness.value][way.value] = _row_means(np.stack(each, axis=1))
        advance(1)
    return values


def _agreement(
    likeness: Likeness, asking: Sequence[ExamRow], stored: Sequence[ExamRow]
) -> NDArray[np.float64]:
    """Return the likeness of every query with every stored exam, NaN where it is not known."""
    if likeness is Likeness.AGE:
        ask, have = (_ages(rows) for rows in (asking, stored))
        return np.asarray(np.abs(ask[:, None] - have[None, :]), np.float64)
    if likeness is Likeness.SIDE:
        ask, have = (_sides(rows) for rows in (asking, stored))
        same = (ask[:, None] == have[None, :]).astype(np.float64)
        same[np.isnan(ask)] = np.nan
        same[:, np.isnan(have)] = np.nan
        return np.asarray(same, np.float64)
    code = {Likeness.CAST: Other.CAST_OR_SPLINT, Likeness.METAL: Other.HARDWARE}[likeness].value
    ask, have = (np.array([float(code in r.other) for r in rows]) for rows in (asking, stored))
    return np.asarray(np.where(ask[:, None] > 0, have[None, :], np.nan), np.float64)


def _ages(rows: Sequence[ExamRow]) -> NDArray[np.float64]:
    return np.array([np.nan if r.age_years is None else r.age_years for r in rows], np.float64)


def _sides(rows: Sequence[ExamRow]) -> NDArray[np.float64]:
    numbers = {Laterality.LEFT: 0.0, Laterality.RIGHT: 1.0}
    return np.array([numbers.get(row.laterality, np.nan) for row in rows], np.float64)


def _taken(table: NDArray[np.float64], ten: NDArray[np.int64]) -> NDArray[np.float64]:
    taken = np.take_along_axis(table, np.maximum(ten, 0), axis=1)
    return np.where(ten >= 0, taken, np.nan)


def _row_means(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row's known values, NaN where it has none."""
    known = np.isfinite(table)
    count = known.sum(axis=1)
    total = np.where(known, table, 0).sum(axis=1)
    means: NDArray[np.float64] = np.divide(
        total, count, where=count > 0, out=np.full(len(table), np.nan)
    )
    return means
