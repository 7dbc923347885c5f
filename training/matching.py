"""Whether the ten nearest exams show what the query shows (WristMIR, Tables 2 and 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import Calibration
from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region
from training.bootstrap import Estimate, Resamples
from training.exam_table import ExamRow
from training.nearest import Way, nearest
from training.statistic import Statistic, f1_of, mean_of
from training.vectors import Advance, ImageVectors

__all__ = [
    "COMPARED",
    "NO_FRACTURE",
    "Matching",
    "Measure",
    "allowed",
    "fracture_class",
    "measures",
]

NO_FRACTURE = "none"

COMPARED = (
    (Way.TWO_STAGE, Way.GLOBAL_ONLY),
    (Way.TWO_STAGE, Way.REGION_ONLY),
    (Way.FUSED, Way.TWO_STAGE),
    (Way.FUSED, Way.REGION_ONLY),
)
"""Which ways are compared pair by pair: the first less the second."""


class Measure(StrEnum):
    """What is counted.

    ``BINARY`` asks whether fracture or no fracture is the query's, ``CLASS`` whether the class of
    the fracture is (`fracture_class`). The paper does not say over which queries, nor whether
    each of the ten counts or their majority. All its cells of these two measures are multiples
    of 1 / 500, as fifty queries of ten matches give; and those of the styloid lie near the
    share of styloid fractures in its data (0.16), far below that of intact styloids: most
    probably ``…_OF_FRACTURED``, the share of the ten, over queries with a fracture of the bone.
    ``…_MAJORITY`` is the other reading: the label of most of the ten is the query's, over all
    queries. ``DIAGNOSIS_F1`` is of the majority's fracture or no fracture, over all queries.
    """

    BINARY_OF_FRACTURED = "binary_of_fractured"
    BINARY_MAJORITY = "binary_majority"
    BINARY_OF_ALL = "binary_of_all"
    CLASS_OF_FRACTURED = "class_of_fractured"
    CLASS_MAJORITY = "class_majority"
    CLASS_OF_ALL = "class_of_all"
    DIAGNOSIS_F1 = "diagnosis_f1"


@dataclass(frozen=True)
class Matching:
    """Tables 2 and 7 for one encoder and one choice of stored exams.

    Parameters
    ----------
    stored_split, same_side
        Which exams may be returned.
    queries, stored
        Exams with findings that ask, and that may be returned.
    fractured
        Queries with a fracture, by bone.
    figures
        By measure, way and bone.
    differences
        By measure, then ``"<way> - <way>"`` of `COMPARED`, then bone; of the same queries in the
        same resamples.
    """

    stored_split: str
    same_side: bool
    queries: int
    stored: int
    fractured: dict[str, int]
    figures: dict[str, dict[str, dict[str, Estimate]]]
    differences: dict[str, dict[str, dict[str, Estimate]]]

    @classmethod
    def of(
        cls,
        asking: tuple[Sequence[ExamRow], ImageVectors],
        stored: tuple[Sequence[ExamRow], ImageVectors],
        *,
        calibration: Mapping[str, Calibration] | None,
        same_side: bool = False,
        candidates: int = 100,
        draws: int = 1000,
        advance: Advance = lambda _: None,
    ) -> Matching:
        """Let exams ask and stored ones answer; only exams whose findings are known take part.

        Parameters
        ----------
        asking, stored
            Rows with their vectors; the two may be the same exams.
        calibration
            Of the vectors; without it the fused way is left out.
        same_side
            Whether the side must be the query's, where it is known.
        candidates
            Size of each stage's pool.
        draws
            Resamples.
        advance
            Told of every bone and way that is done.
        """
        (ask_rows, ask), (have_rows, have) = _with_findings(*asking), _with_findings(*stored)
        may = allowed(ask_rows, have_rows, same_side=same_side)
        ways = [way for way in Way if way is not Way.FUSED or calibration is not None]
        resamples = Resamples([_patient(row) for row in ask_rows], draws)
        statistics: dict[tuple[Measure, Way, Region], Statistic] = {}
        for region in Region:
            truth, known = (_classes(rows, region) for rows in (ask_rows, have_rows))
            for way in ways:
                ten = nearest(
                    ask, have, may, region=region, way=way,
                    calibration=calibration, candidates=candidates,
                )  # fmt: skip
                for measure, statistic in measures(truth, known, ten).items():
                    statistics[measure, way, region] = statistic
                advance(1)
        pairs = [pair for pair in COMPARED if set(pair) <= set(ways)]
        return cls(
            stored_split="/".join(sorted({str(row.split) for row in have_rows})),
            same_side=same_side,
            queries=len(ask_rows),
            stored=len(have_rows),
            fractured={r.value: int(np.sum(_classes(ask_rows, r) != NO_FRACTURE)) for r in Region},
            figures=_table(ways, lambda m, w, r: resamples.estimate(statistics[m, w, r])),
            differences=_table(
                pairs,
                lambda m, p, r: resamples.difference(
                    statistics[m, p[0], r], statistics[m, p[1], r]
                ),
            ),
        )


def fracture_class(found: RegionFindings | None) -> str:
    """Return the class of a bone's fracture, or `NO_FRACTURE`.

    The Salter–Harris types are one class, as in Table 3; a possible fracture counts as one, a
    bone of which the report is silent as none.
    """
    if found is None or found.fracture not in ("present", "possible"):
        return NO_FRACTURE
    kind = found.type or "unspecified"
    return "salter_harris" if kind.startswith("salter_harris") else kind


def allowed(
    asking: Sequence[ExamRow], stored: Sequence[ExamRow], *, same_side: bool
) -> NDArray[np.bool_]:
    """Return which stored exams may be returned for which query: never the query's patient's.

    Returns
    -------
    ndarray
        bool, shape (asking, stored).
    """
    patients = {who: n for n, who in enumerate({_patient(row) for row in (*asking, *stored)})}
    ask, have = (np.array([patients[_patient(r)] for r in rows]) for rows in (asking, stored))
    may: NDArray[np.bool_] = ask[:, None] != have[None, :]
    if same_side:
        sides = list(Laterality)
        a, h = (np.array([sides.index(r.laterality) for r in rows]) for rows in (asking, stored))
        unknown = a == sides.index(Laterality.UNKNOWN)
        may &= (a[:, None] == h[None, :]) | unknown[:, None]
    return may


def measures(
    truth: NDArray[np.str_], known: NDArray[np.str_], ten: NDArray[np.int64]
) -> dict[Measure, Statistic]:
    """Return every measure of one bone and way.

    Parameters
    ----------
    truth
        Class of each query, shape (queries,).
    known
        Class of each stored exam.
    ten
        int64 (queries, k): the nearest, best first, as `nearest` returns them.
    """
    there = ten >= 0
    votes = np.where(there, known[ten], "")
    broken, voted = truth != NO_FRACTURE, (votes != NO_FRACTURE) & there
    binary = _share((voted == broken[:, None]), there)
    kind = _share(votes == truth[:, None], there)
    majority = np.array([_majority([str(v) for v in row if v]) for row in votes], str)
    said = np.array(
        [_majority([str(bool(b)) for b, t in zip(*r, strict=True) if t]) == "True"
         for r in zip(voted, there, strict=True)],
        bool,
    )  # fmt: skip
    return {
        Measure.BINARY_OF_FRACTURED: mean_of(np.where(broken, binary, np.nan)),
        Measure.BINARY_MAJORITY: mean_of(said == broken),
        Measure.BINARY_OF_ALL: mean_of(binary),
        Measure.CLASS_OF_FRACTURED: mean_of(np.where(broken, kind, np.nan)),
        Measure.CLASS_MAJORITY: mean_of(majority == truth),
        Measure.CLASS_OF_ALL: mean_of(kind),
        Measure.DIAGNOSIS_F1: f1_of(said, broken),
    }


def _share(same: NDArray[np.bool_], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = there.sum(axis=1)
    hits = (same & there).sum(axis=1).astype(np.float64)
    shares: NDArray[np.float64] = np.divide(
        hits, count, where=count > 0, out=np.full(len(hits), np.nan)
    )
    return shares


def _majority(votes: Sequence[str]) -> str:
    """Return the label of most votes; of labels with equally many, that of the nearest exam."""
    return max(dict.fromkeys(votes), key=votes.count, default="")


_Row = TypeVar("_Row", Way, tuple[Way, Way])


def _table(
    rows: Sequence[_Row], cell: Callable[[Measure, _Row, Region], Estimate]
) -> dict[str, dict[str, dict[str, Estimate]]]:
    def named(row: _Row) -> str:
        return row.value if isinstance(row, Way) else " - ".join(row)

    return {
        measure.value: {
            named(row): {region.value: cell(measure, row, region) for region in Region}
            for row in rows
        }
        for measure in Measure
    }


def _with_findings(
    rows: Sequence[ExamRow], vectors: ImageVectors
) -> tuple[list[ExamRow], ImageVectors]:
    has = [n for n, row in enumerate(rows) if row.findings]
    return [rows[n] for n in has], {name: found[has] for name, found in vectors.items()}


def _classes(rows: Sequence[ExamRow], region: Region) -> NDArray[np.str_]:
    return np.array([fracture_class(row.findings.get(region)) for row in rows], np.str_)


def _patient(row: ExamRow) -> tuple[str, str]:
    return row.source, row.patient
