"""What a language model read, held against the report and against an independent reading by rules.

Nothing unsupported gets through, and where the two readers disagree both readings are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.draft import Draft
from pipeline.entry import JOIN
from pipeline.exam import RegionFindings
from pipeline.findings import (
    Disagreement,
    Displacement,
    Finding,
    Fracture,
    FractureType,
    Healing,
    OtherFinding,
    SideFindings,
    WristReport,
    collapse,
)
from pipeline.passage import Section, passages, tidied
from pipeline.quotation import Quotations
from pipeline.region import Laterality, Region

__all__ = ["corroborated"]


def corroborated(read: WristReport, text: str) -> WristReport:
    """Return a language model's reading of a report as far as the report bears it out.

    A finding whose quote does not stand in the text, or only where nothing is found (indication,
    comparison, closing words, orders to a program), is dropped and counted; so is an angle that
    the quote does not give. Where the rules read another state, the finding becomes ``possible``;
    where they read another type, stage, degree or angle, that is left open; where they read
    another side, the side is unknown: each with both readings in ``disputed``. What only the
    rules find is disputed too, and no finding. The rules read English; of other languages only
    the quotes are checked.

    Parameters
    ----------
    read
        The model's reading; its ``language`` decides whether the rules read as well.
    text
        The report.
    """
    tidy = tidied(text)
    sentences = passages(tidy)
    check = _Check(Quotations(tidy, sentences))
    sides = {side: check.supported(found) for side, found in read.sides.items()}
    supported = read.model_copy(update={"sides": sides})
    if read.language == "en":
        rules = Draft(tidy, sentences).report()
        supported = _Comparison(rules, check.disputed).of(supported)
    return supported.model_copy(
        update={"dropped": check.dropped, "disputed": tuple(check.disputed)}
    )


_COUNTS = {Section.TITLE, Section.FINDINGS, Section.IMPRESSION, Section.ADDENDUM}
_DENIES = re.compile(
    r"\b(?:no|not|without|never|absent|removed|free\s+of|rather\s+than|nor|neither)\b"
)
_NUMBER = re.compile(r"(?<![\d.])\d{1,3}(?![\d.]*\d)")


@dataclass
class _Check:
    """Findings against their quotes."""

    quotations: Quotations
    dropped: int = 0
    disputed: list[Disagreement] = field(default_factory=list)

    def supported(self, found: SideFindings) -> SideFindings:
        """Return what the report bears out; count the rest."""
        regions = {
            region: tuple(self._measured(f) for f in findings if self._stands(f.evidence))
            for region, findings in found.regions.items()
        }
        kept = {region: findings for region, findings in regions.items() if findings}
        other = tuple(o for o in found.other if self._stands(o.evidence) and not _is_denied(o))
        self.dropped += sum(len(f) for f in found.regions.values())
        self.dropped -= sum(len(f) for f in kept.values())
        self.dropped += len(found.other) - len(other)
        return found.model_copy(update={"regions": kept, "other": other})

    def _stands(self, evidence: str) -> bool:
        where = self.quotations.within(evidence)
        counts = any(passage.section in _COUNTS for passage in where)
        return counts and self.quotations.stand(evidence)

    def _measured(self, finding: Finding) -> Finding:
        """Return a finding without an angle that its quote does not give.

        The mean of a range is given by it; an angle in words is left to the comparison.
        """
        numbers = [int(number) for number in _NUMBER.findall(finding.evidence)]
        angle = finding.angulation_deg
        if angle is None or not numbers or min(numbers) <= angle <= max(numbers):
            return finding
        self.dropped += 1
        return finding.model_copy(update={"angulation_deg": None})


def _is_denied(other: OtherFinding) -> bool:
    return bool(_DENIES.match(other.evidence.casefold().lstrip()))


_BROKEN = (Fracture.PRESENT, Fracture.POSSIBLE)
_UNSPECIFIC = {FractureType.UNSPECIFIED, FractureType.SALTER_HARRIS_UNSPECIFIED}
_OPEN: Mapping[str, Any] = {
    "type": FractureType.UNSPECIFIED,
    "healing": None,
    "displacement": None,
    "angulation_deg": None,
}
"""What a value is where two readers differ."""
_SAME_ANGLE = 2.0


@dataclass(frozen=True)
class _Comparison:
    """One reading against that of the rules."""

    rules: WristReport
    disputed: list[Disagreement]

    def of(self, read: WristReport) -> WristReport:
        """Return the reading with every disagreement settled by leaving the value open."""
        sides = {side: self._side(side, found, read) for side, found in read.sides.items()}
        mine, theirs = (_known(report) for report in (read, self.rules))
        if mine and theirs and mine != theirs:
            readings = ("+".join(mine), "+".join(theirs))
            self.disputed.append(
                Disagreement(
                    side=Laterality.UNKNOWN,
                    region=None,
                    field="laterality",
                    readings=readings,
                    evidence=(),
                )
            )
            if len(sides) == 1 and not set(mine) & set(theirs):
                sides = {Laterality.UNKNOWN: next(iter(sides.values()))}
        return read.model_copy(update={"sides": sides})

    def _side(self, side: Laterality, found: SideFindings, read: WristReport) -> SideFindings:
        rules = _merged(self._counterparts(side, read))
        by_rules, own = (collapse(WristReport(sides={side: one})) for one in (rules, found))
        regions = {}
        for region in Region:
            said = (one.regions.get(region, ()) for one in (found, rules))
            at = _Place(side, region, own[region], by_rules[region], *said)
            settled = at.settled()
            self.disputed.extend(at.disagreements())
            if settled:
                regions[region] = settled
        return found.model_copy(update={"regions": regions})

    def _counterparts(self, side: Laterality, read: WristReport) -> list[SideFindings]:
        """Return what the rules read of the same wrist, however they name its side."""
        one_wrist = len(read.sides) == 1 and len(_known(self.rules)) <= 1
        if one_wrist or set(self.rules.sides) == {Laterality.UNKNOWN}:
            return list(self.rules.sides.values())
        return [self.rules.sides[side]] if side in self.rules.sides else []


@dataclass(frozen=True)
class _Place:
    """Both readings of one bone: collapsed, and as they were stated."""

    side: Laterality
    region: Region
    model: RegionFindings
    rules: RegionFindings
    stated: Sequence[Finding]
    by_rules: Sequence[Finding]

    def disagreements(self) -> Iterator[Disagreement]:
        """Yield every value that was read in two ways."""
        for name in self._differing():
            values = (getattr(self.model, name), getattr(self.rules, name))
            yield Disagreement(
                side=self.side,
                region=self.region,
                field=name,
                readings=tuple(str(value) for value in values),
                evidence=tuple(JOIN.join(_quotes(f)) for f in (self.stated, self.by_rules) if f),
            )

    def settled(self) -> tuple[Finding, ...]:
        """Return the model's findings with what differs left open."""
        differing = self._differing()
        if "fracture" in differing and self.stated:
            return (self._doubted(),)
        opened = {name: _OPEN[name] for name in differing if name in _OPEN}
        return tuple(finding.model_copy(update=opened) for finding in self.stated)

    def _differing(self) -> tuple[str, ...]:
        model, rules = Fracture(self.model.fracture), Fracture(self.rules.fracture)
        if Fracture.NOT_MENTIONED in (model, rules):
            # the rules are silent where they do not understand; that is no disagreement
            return ("fracture",) if rules in _BROKEN else ()
        if model is not rules:
            return ("fracture",)
        return tuple(name for name in _OPEN if _differ(self.model, self.rules, name))

    def _doubted(self) -> Finding:
        """Return one doubted finding with what the reader says that calls the bone broken."""
        broken = [f for f in (*self.stated, *self.by_rules) if f.fracture in _BROKEN]
        quotes = dict.fromkeys((*_quotes(self.stated), *_quotes(self.by_rules)))
        return broken[0].model_copy(
            update={"fracture": Fracture.POSSIBLE, "evidence": JOIN.join(quotes)}
        )


def _differ(model: RegionFindings, rules: RegionFindings, name: str) -> bool:
    one, other = getattr(model, name), getattr(rules, name)
    if one is None or other is None:
        return False
    if name == "angulation_deg":
        return bool(abs(one - other) > _SAME_ANGLE)
    if name == "type":
        return one != other and not {FractureType(one), FractureType(other)} & _UNSPECIFIC
    kind = Healing if name == "healing" else Displacement
    return kind(one) is not kind(other)


def _quotes(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(finding.evidence for finding in findings)


def _known(report: WristReport) -> tuple[str, ...]:
    return tuple(sorted(side for side in report.sides if side is not Laterality.UNKNOWN))


def _merged(sides: Sequence[SideFindings]) -> SideFindings:
    regions = {
        region: tuple(f for side in sides for f in side.regions.get(region, ()))
        for region in Region
    }
    return SideFindings(regions={region: found for region, found in regions.items() if found})
