"""Gold reports, and how well a miner reads them.

A gold file holds one JSON object a line: ``{"id", "text", "age_years", "gold"}``, where ``gold``
has ``laterality``, ``other`` and ``regions``; for a report on both wrists ``regions`` holds the
regions of each side. Further keys are ignored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import AnswerError, GoldError
from pipeline.exam import RegionFindings
from pipeline.findings import (
    Displacement,
    Fracture,
    FractureType,
    Healing,
    Other,
    WristReport,
    collapse,
    collapse_others,
)
from pipeline.mining import Miner
from pipeline.region import Laterality, Region

__all__ = ["Counts", "GoldReport", "GoldScore", "Miss", "gold_reports", "score"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoldFindings(_Record):
    """What a report says of one bone, in DESIGN's values."""

    fracture: Fracture
    type: FractureType | None
    healing: Healing | None
    displacement: Displacement | None
    angulation_deg: float | None = Field(ge=0, le=180)

    @model_validator(mode="after")
    def _nothing_of_what_is_not_there(self) -> GoldFindings:
        said = (self.type, self.healing, self.displacement, self.angulation_deg)
        if self.fracture in (Fracture.ABSENT, Fracture.NOT_MENTIONED) and any(
            value is not None for value in said
        ):
            message = f"{self.fracture} has no type, healing, displacement or angulation"
            raise ValueError(message)
        return self


_Regions = dict[Region, GoldFindings]
_Sides = dict[Literal[Laterality.LEFT, Laterality.RIGHT], _Regions]


class Gold(_Record):
    """The labels of one report."""

    laterality: Literal["left", "right", "both", "unknown"]
    regions: _Regions | _Sides
    other: tuple[Other, ...]

    @property
    def sides(self) -> Mapping[Laterality | None, Mapping[Region, GoldFindings]]:
        """Regions by side; the one key None where the report speaks of one wrist."""
        by_side: dict[Laterality | None, Mapping[Region, GoldFindings]] = {}
        one: dict[Region, GoldFindings] = {}
        for key, value in self.regions.items():
            if isinstance(value, GoldFindings):
                one[Region(key)] = value
            else:
                by_side[Laterality(key)] = value
        return by_side or {None: one}

    @model_validator(mode="after")
    def _complete(self) -> Gold:
        wanted = {Laterality.LEFT, Laterality.RIGHT} if self.laterality == "both" else {None}
        if set(self.sides) != wanted:
            message = "regions stand by side where the laterality is both, and only there"
            raise ValueError(message)
        for regions in self.sides.values():
            if set(regions) != set(Region):
                message = f"needs every region: {', '.join(Region)}"
                raise ValueError(message)
        return self


class GoldReport(BaseModel):
    """One report with its labels."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    text: str = Field(min_length=1)
    age_years: float | None = None
    gold: Gold


def gold_reports(path: Path) -> tuple[GoldReport, ...]:
    """Read a gold file.

    Raises
    ------
    GoldError
        Where it cannot be read, or a line is none of a gold file; it names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read ({type(error).__name__})."
        raise GoldError(message) from error
    found: dict[str, GoldReport] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            report = GoldReport.model_validate(json.loads(line))
        except json.JSONDecodeError as error:
            message = f"{path}, line {number}: no JSON."
            raise GoldError(message) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            message = f"{path}, line {number}: {where}: {first['msg']}."
            raise GoldError(message) from error
        if report.id in found:
            message = f"{path}, line {number}: the id {report.id!r} is taken."
            raise GoldError(message)
        found[report.id] = report
    return tuple(found.values())


@dataclass
class Counts:
    """Hits and misses of one yes-or-no question."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def add(self, *, said: bool, true: bool) -> None:
        """Count one answer."""
        self.true_positive += said and true
        self.false_positive += said and not true
        self.false_negative += true and not said

    @property
    def precision(self) -> float | None:
        """Share of what was said that is true; None where nothing was said."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Share of what is true that was said; None where nothing is."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both."""
        wrong = self.false_positive + self.false_negative
        return _share(2 * self.true_positive, 2 * self.true_positive + wrong)


@dataclass(frozen=True)
class Miss:
    """One value that was read otherwise than the gold says."""

    report: str
    place: str
    field: str
    gold: str
    read: str


@dataclass
class GoldScore:
    """What a miner got right.

    ``presence`` by region asks for a fracture that is present or possible. ``exact`` by region is
    the share of its states read exactly; ``details`` by field compares bones that both call
    broken: ``[right, all]``. ``hallucinated`` counts bones called broken of which the report
    denies that, or says nothing.
    """

    reports: int = 0
    presence: dict[str, Counts] = field(default_factory=dict)
    exact: dict[str, list[int]] = field(default_factory=dict)
    details: dict[str, list[int]] = field(default_factory=dict)
    laterality: list[int] = field(default_factory=lambda: [0, 0])
    other: Counts = field(default_factory=Counts)
    hallucinated: int = 0
    dropped: int = 0
    disputed: int = 0
    misses: list[Miss] = field(default_factory=list)

    @property
    def overall(self) -> Counts:
        """Presence over all regions together."""
        total = Counts()
        for counts in self.presence.values():
            total.true_positive += counts.true_positive
            total.false_positive += counts.false_positive
            total.false_negative += counts.false_negative
        return total

    @property
    def hallucination_rate(self) -> float | None:
        """Share of the bones called broken that the report does not call so."""
        total = self.overall
        return _share(self.hallucinated, total.true_positive + total.false_positive)

    def as_json(self) -> dict[str, Any]:
        """Return every figure, without the misses."""

        def counts(one: Counts) -> dict[str, float | None]:
            return {"precision": one.precision, "recall": one.recall, "f1": one.f1}

        return {
            "reports": self.reports,
            "presence": {
                **{region: counts(one) for region, one in self.presence.items()},
                "all": counts(self.overall),
            },
            "state": {region: _share(*pair) for region, pair in self.exact.items()},
            "details": {name: _share(*pair) for name, pair in self.details.items()},
            "laterality": _share(*self.laterality),
            "other": counts(self.other),
            "hallucination_rate": self.hallucination_rate,
            "dropped": self.dropped,
            "disputed": self.disputed,
        }


_DETAILS = ("type", "healing", "displacement", "angulation_deg")
_BROKEN = ("present", "possible")


def score(reports: Sequence[GoldReport], miner: Miner, at_once: int = 1) -> GoldScore:
    """Let a miner read gold reports, ``at_once`` at a time, and compare."""
    result = GoldScore(
        presence={region.value: Counts() for region in Region},
        exact={region.value: [0, 0] for region in Region},
        details={name: [0, 0] for name in _DETAILS},
    )
    with ThreadPoolExecutor(at_once) as pool:
        all_read = list(pool.map(lambda report: _read(miner, report), reports))
    for report, found in zip(reports, all_read, strict=True):
        if found is None:
            result.misses.append(Miss(report.id, "report", "reading", "", "no usable answer"))
        read = found or WristReport()
        result.reports += 1
        result.dropped += read.dropped
        result.disputed += len(read.disputed)
        result.misses += list(_compared(report, read, result))
    return result


def _read(miner: Miner, report: GoldReport) -> WristReport | None:
    """Return what a miner reads, or None where a language model gave no usable answer."""
    try:
        return miner.mine(report.text, report.age_years)
    except AnswerError:
        return None


def _compared(report: GoldReport, read: WristReport, result: GoldScore) -> Iterator[Miss]:
    side = _side_of(read)
    result.laterality[0] += side == report.gold.laterality
    result.laterality[1] += 1
    if side != report.gold.laterality:
        yield Miss(report.id, "report", "laterality", report.gold.laterality, side)
    for gold_side, regions in report.gold.sides.items():
        found = collapse(read, gold_side, one_sided=gold_side is None)
        for region, gold in regions.items():
            place = region.value if gold_side is None else f"{gold_side} {region}"
            for name, wanted, got in _region(gold, found[region], region, result):
                yield Miss(report.id, place, name, wanted, got)
    others = set(collapse_others(read))
    wanted_others = {other.value for other in report.gold.other}
    for other in Other:
        result.other.add(said=other.value in others, true=other.value in wanted_others)
        if (other.value in others) != (other.value in wanted_others):
            said, true = (str(other.value in names) for names in (others, wanted_others))
            yield Miss(report.id, "report", other.value, true, said)


def _region(
    gold: GoldFindings, found: RegionFindings, region: Region, result: GoldScore
) -> Iterator[tuple[str, str, str]]:
    said, true = found.fracture in _BROKEN, gold.fracture in _BROKEN
    result.presence[region.value].add(said=said, true=true)
    result.hallucinated += said and not true
    right = found.fracture == gold.fracture
    result.exact[region.value][0] += right
    result.exact[region.value][1] += 1
    if not right:
        yield "fracture", gold.fracture.value, found.fracture
    if not (said and true):
        return
    for name in _DETAILS:
        wanted, got = getattr(gold, name), getattr(found, name)
        if name == "type":  # a broken bone of which no more is said
            wanted, got = wanted or FractureType.UNSPECIFIED, got or FractureType.UNSPECIFIED
        same = wanted == got
        result.details[name][0] += same
        result.details[name][1] += 1
        if not same:
            yield name, str(wanted), str(got)


def _side_of(read: WristReport) -> str:
    known = Counter(side for side in read.sides if side is not Laterality.UNKNOWN)
    return "both" if len(known) == 2 else read.laterality.value


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
