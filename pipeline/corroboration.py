"""What a language model read, held against the report and against an independent reading by rules.

Nothing unsupported gets through, and where the two readers disagree both readings are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.bearing import (
    bears_out,
    denies,
    doubts,
    is_asked,
    names_bone,
    names_no_bone,
    sides_named,
    with_borne_details,
)
from pipeline.draft import Draft
from pipeline.entry import JOIN
from pipeline.exam import RegionFindings
from pipeline.findings import (
    Disagreement,
    Finding,
    Fracture,
    FractureType,
    OtherFinding,
    SideFindings,
    WristReport,
    collapse,
)
from pipeline.language import has_english
from pipeline.other_findings import others_in
from pipeline.passage import Passage, Section, passages, tidied
from pipeline.quotation import Quotations
from pipeline.region import Laterality, Region

__all__ = ["corroborated"]


def corroborated(
    read: WristReport, text: str, sentences: Sequence[Passage] | None = None
) -> WristReport:
    """Return a language model's reading of a report as far as the report bears it out.

    A finding is dropped and counted where its quote does not stand in the text, stands where
    nothing is found (indication, comparison, closing words, orders to a program), or tells neither
    of the bone nor of what is said of it; a detail that the quoted sentences have no word for is
    left open and counted.

    Where the rules read another state of a bone, the finding becomes ``possible``; another type,
    stage, degree or angle is left open; a side that they do not read is unknown: each with both
    readings in ``disputed``. What only the rules find is disputed too, and no finding. The rules
    read English; in other languages words of denial, headings and sides are known, no more.

    Parameters
    ----------
    read
        The model's reading.
    text
        The report.
    sentences
        Its passages, where they are known already; ``text`` is tidied then.
    """
    tidy = tidied(text) if sentences is None else text
    sentences = tuple(passages(tidy) if sentences is None else sentences)
    english = read.language == "en" or has_english(tidy)
    rules = Draft(tidy, sentences).report() if english else WristReport(language=read.language)
    check = _Check(Quotations(tidy, sentences), rules, english)
    settled = check.settled(check.sided(read, sides_named(tidy.lower())))
    return settled.model_copy(update={"dropped": check.dropped, "disputed": tuple(check.disputed)})


_COUNTS = {Section.TITLE, Section.FINDINGS, Section.IMPRESSION, Section.ADDENDUM}
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
_KNOWN = (Laterality.LEFT, Laterality.RIGHT)


@dataclass
class _Check:
    """A reading against the report's words and the rules' reading of them."""

    quotations: Quotations
    rules: WristReport
    english: bool
    dropped: int = 0
    disputed: list[Disagreement] = field(default_factory=list)

    def sided(self, read: WristReport, named: frozenset[Laterality]) -> WristReport:
        """Return a reading whose sides the report names; what is of another has no side."""
        stated = frozenset(_known(self.rules)) if self.english else named
        foreign = [side for side in _known(read) if side not in stated]
        if not foreign:
            return read
        readings = ("+".join(_known(read)), "+".join(sorted(stated)) or "unknown")
        self._dispute(Laterality.UNKNOWN, None, "laterality", readings, ())
        sides = {side: found for side, found in read.sides.items() if side not in foreign}
        if not set(sides) & set(_KNOWN):
            moved = [read.sides[side] for side in read.sides]
            return read.model_copy(update={"sides": {Laterality.UNKNOWN: _merged(moved)}})
        # the other wrist's findings are not given to the one that the report is about
        self.dropped += sum(_count(read.sides[side]) for side in foreign)
        return read.model_copy(update={"sides": sides})

    def settled(self, read: WristReport) -> WristReport:
        """Return what is left of a reading, side by side, also of a side that only rules read."""
        sides = dict.fromkeys(
            (*read.sides, *(s for s in _known(self.rules) if s not in read.sides))
        )
        if len(read.sides) == 1 and len(_known(self.rules)) <= 1:
            sides = dict.fromkeys(read.sides)
        empty = SideFindings()
        return read.model_copy(
            update={"sides": {s: self._side(s, read.sides.get(s, empty), read) for s in sides}}
        )

    def _side(self, side: Laterality, found: SideFindings, read: WristReport) -> SideFindings:
        rules = _merged(self._counterparts(side, read))
        by_rules = collapse(WristReport(sides={side: rules}))
        stated = {
            region: tuple(self._borne(findings, region, by_rules[region]))
            for region, findings in found.regions.items()
        }
        own = collapse(WristReport(sides={side: SideFindings(regions=stated)}))
        regions = {}
        for region in Region:
            said = stated.get(region, ()), rules.regions.get(region, ())
            at = _Place(own[region], by_rules[region], *said)
            for name, readings, evidence in at.disagreements():
                self._dispute(side, region, name, readings, evidence)
            regions[region] = at.settled()
        return SideFindings(
            regions={region: findings for region, findings in regions.items() if findings},
            alignment=rules.alignment if self.english else None,
            other=self._others(side, found.other, rules.other),
        )

    def _counterparts(self, side: Laterality, read: WristReport) -> list[SideFindings]:
        """Return what the rules read of the same wrist, however they name its side."""
        one_wrist = len(read.sides) <= 1 and len(_known(self.rules)) <= 1
        if one_wrist or set(self.rules.sides) == {Laterality.UNKNOWN}:
            return list(self.rules.sides.values())
        return [self.rules.sides[side]] if side in self.rules.sides else []

    def _borne(
        self, findings: Sequence[Finding], region: Region, rules: RegionFindings
    ) -> Iterator[Finding]:
        """Yield the findings of one bone that the sentences they quote bear out."""
        for finding in findings:
            words = self._quoted(finding.evidence)
            agreed = rules.fracture == finding.fracture
            if not words or not (agreed or _touches(words, region, finding.fracture)):
                self.dropped += 1
            elif finding.fracture is Fracture.ABSENT:
                yield finding
            else:
                borne, opened = with_borne_details(finding, words)
                self.dropped += opened
                if not agreed and not bears_out(words, finding.fracture):
                    self.dropped += 1  # the bone is named, but no word tells of a fracture
                    borne = borne.model_copy(update={"fracture": Fracture.POSSIBLE})
                yield self._undenied(borne, region, words)

    def _undenied(self, finding: Finding, region: Region, words: str) -> Finding:
        """Return a finding, doubted where a language that the rules do not read denies anything."""
        if self.english or finding.fracture is not Fracture.PRESENT or not denies(words):
            return finding
        readings = (finding.fracture.value, "denied?")
        self._dispute(Laterality.UNKNOWN, region, "fracture", readings, (finding.evidence,))
        return finding.model_copy(update={"fracture": Fracture.POSSIBLE})

    def _others(
        self, side: Laterality, read: Sequence[OtherFinding], rules: Sequence[OtherFinding]
    ) -> tuple[OtherFinding, ...]:
        """Return the other findings that stand; what only the rules find is disputed."""
        by_rules = {other.name: other for other in rules}
        kept = [other for other in read if self._other_stands(other, other.name in by_rules)]
        self.dropped += len(read) - len(kept)
        for name in by_rules.keys() - {other.name for other in kept}:
            quote = (by_rules[name].evidence,)
            self._dispute(side, None, name.value, ("not_mentioned", "present"), quote)
        return tuple(kept)

    def _other_stands(self, other: OtherFinding, agreed: bool) -> bool:
        words = self._quoted(other.evidence)
        named = any(name is other.name for name, _ in others_in(words))
        doubted = other.possible and doubts(words)
        return bool(words) and (agreed or named or doubted or not denies(words))

    def _quoted(self, evidence: str) -> str:
        """Return the sentences that evidence quotes, in lower case; empty where it does not stand.

        Each quote has to stand, as whole words, where something can be found.
        """
        if len(evidence.split()) < 2 or not self.quotations.stand(evidence):
            return ""
        told: list[Passage] = []
        for quote in self.quotations.each(evidence):
            counting = [p for p in quote if p.section in _COUNTS and not is_asked(p.words)]
            if not counting:
                return ""
            told += counting
        return " ".join(dict.fromkeys(passage.words for passage in told)).lower()

    def _dispute(
        self,
        side: Laterality,
        region: Region | None,
        name: str,
        readings: tuple[str, ...],
        evidence: tuple[str, ...],
    ) -> None:
        one = Disagreement(
            side=side, region=region, field=name, readings=readings, evidence=evidence
        )
        self.disputed.append(one)


@dataclass(frozen=True)
class _Place:
    """Both readings of one bone: collapsed, and as they were stated."""

    model: RegionFindings
    rules: RegionFindings
    stated: Sequence[Finding]
    by_rules: Sequence[Finding]

    def disagreements(self) -> Iterator[tuple[str, tuple[str, str], tuple[str, ...]]]:
        """Yield every value that was read in two ways, with both readings and their quotes."""
        for name in self._differing():
            readings = str(getattr(self.model, name)), str(getattr(self.rules, name))
            quotes = (JOIN.join(_quotes(f)) for f in (self.stated, self.by_rules) if f)
            yield name, readings, tuple(quotes)

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


def _touches(words: str, region: Region, fracture: Fracture) -> bool:
    """Whether words tell of this bone; a denial may be of the whole wrist."""
    if fracture is Fracture.ABSENT:
        general = names_no_bone(words) or names_bone(words, region)
        return general and bears_out(words, fracture)
    return names_bone(words, region)


def _differ(model: RegionFindings, rules: RegionFindings, name: str) -> bool:
    one, other = getattr(model, name), getattr(rules, name)
    if one is None or other is None:
        return False
    if name == "angulation_deg":
        return bool(abs(one - other) > _SAME_ANGLE)
    if name == "type":
        return one != other and not {FractureType(one), FractureType(other)} & _UNSPECIFIC
    return bool(one != other)


def _quotes(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(finding.evidence for finding in findings)


def _known(report: WristReport) -> tuple[Laterality, ...]:
    return tuple(sorted(side for side in report.sides if side is not Laterality.UNKNOWN))


def _count(found: SideFindings) -> int:
    return sum(len(findings) for findings in found.regions.values()) + len(found.other)


def _merged(sides: Sequence[SideFindings]) -> SideFindings:
    regions = {
        region: tuple(f for side in sides for f in side.regions.get(region, ()))
        for region in Region
    }
    alignments = [side.alignment for side in sides if side.alignment is not None]
    return SideFindings(
        regions={region: found for region, found in regions.items() if found},
        alignment=alignments[0] if alignments else None,
        other=tuple(other for side in sides for other in side.other),
    )
