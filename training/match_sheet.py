"""Queries with their matches to look at, way by way (WristMIR, Figure 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import Calibration
from pipeline.region import GLOBAL, Region
from training.exam_table import ExamTable
from training.matching import NO_FRACTURE, allowed, fracture_class
from training.nearest import Way, nearest
from training.vectors import Advance, ExamVectors

__all__ = ["MatchSheet", "Print", "match_sheets"]

_SHOWN = 6
_WORDS = {NO_FRACTURE: "no fracture", "salter_harris": "Salter-Harris"}
_BROKEN, _WHOLE, _UNKNOWN = 2, 1, 2  # queries of each bone


@dataclass(frozen=True, eq=False)
class Print:
    """One exam on a sheet.

    Parameters
    ----------
    whole, bone
        uint8 crops; ``bone`` is None where it was not found.
    words
        Class of the bone's fracture, side and age.
    agrees
        Whether the class is the query's; None for the query itself, and without a report.
    """

    whole: NDArray[np.uint8]
    bone: NDArray[np.uint8] | None
    words: str
    agrees: bool | None = None


@dataclass(frozen=True, eq=False)
class MatchSheet:
    """A query about a bone, and the first matches of each way."""

    region: Region
    query: Print
    matches: Mapping[Way, tuple[Print, ...]]


def match_sheets(
    asking: tuple[ExamTable, ExamVectors],
    stored: tuple[ExamTable, ExamVectors],
    calibration: Mapping[str, Calibration] | None,
    candidates: int,
    advance: Advance,
    seed: int = 0,
) -> tuple[MatchSheet, ...]:
    """Draw queries of each bone and lay out their matches.

    Two with a fracture and one without; of exams without findings, two.

    Parameters
    ----------
    asking, stored
        Exams with their vectors.
    calibration
        Without it the fused way is left out.
    candidates
        Pool of the first stage.
    advance
        Told of every bone.
    seed
        Of the draw; the same for every bundle, so that sheets compare.
    """
    sheets = []
    generator = np.random.default_rng(seed)
    ways = [way for way in Way if way is not Way.FUSED or calibration is not None]
    for region in Region:
        for number in _drawn(asking[0], region, generator):
            row = asking[0].rows[number]
            may = allowed([row], stored[0].rows, same_side=False)
            one = {name: v[number : number + 1] for name, v in asking[1].images.items()}
            kind = fracture_class(row.findings.get(region))
            matches = {
                way: tuple(
                    _print(stored[0], int(n), region, kind)
                    for n in nearest(
                        one, stored[1].images, may, region=region, way=way,
                        calibration=calibration, candidates=candidates, k=_SHOWN,
                    )[0]
                    if n >= 0
                )
                for way in ways
            }  # fmt: skip
            sheets.append(MatchSheet(region, _print(asking[0], number, region), matches))
        advance(1)
    return tuple(sheets)


def _drawn(table: ExamTable, region: Region, generator: np.random.Generator) -> Iterator[int]:
    order = generator.permutation(len(table))
    known = any(row.findings for row in table.rows)
    left = {True: _BROKEN, False: _WHOLE} if known else {False: _UNKNOWN}
    for number in (int(n) for n in order):
        pair = table[number]
        broken = fracture_class(pair.findings.get(region)) != NO_FRACTURE
        if {region.value, GLOBAL} <= set(pair.crops) and left[broken]:
            left[broken] -= 1
            yield number


def _print(table: ExamTable, number: int, region: Region, kind: str | None = None) -> Print:
    row, crops = table.rows[number], table[number].crops
    found = fracture_class(row.findings.get(region))
    known = bool(row.findings)
    age = "" if row.age_years is None else f", {row.age_years:.0f} y"
    words = _WORDS.get(found, found.replace("_", " ")) if known else "no report"
    return Print(
        crops[GLOBAL],
        crops.get(region.value),
        f"{words}, {row.laterality.value}{age}",
        None if kind is None or not known else found == kind,
    )
