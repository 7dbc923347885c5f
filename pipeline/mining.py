"""Report text to findings, by rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.findings import (
    Alignment,
    Disagreement,
    Finding,
    Fracture,
    FractureType,
    Healing,
    Other,
    OtherFinding,
    SideFindings,
    WristReport,
    collapse,
    collapse_others,
)
from pipeline.fracture_details import Details
from pipeline.lexicon import Elsewhere
from pipeline.other_findings import alignment_in, others_in, views_in
from pipeline.passage import Passage, Section, language_of, passages, sides_in, tidied
from pipeline.region import Laterality, Region, View
from pipeline.statement import Statement, statements

__all__ = ["Miner", "RulesMiner", "mine_json", "supported"]

_JOIN = " … "


class Miner(Protocol):
    """Whatever turns the text of a report into findings."""

    name: str
    version: str

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        """Return the findings of one report, each with evidence that stands in the text."""


class RulesMiner:
    """Reads English reports by rules (`pipeline.lexicon`, `pipeline.statement`).

    An indication, a comparison and a recommendation are no findings; an impression outranks
    the findings, an addendum both, and what they contradict is kept in ``disputed``. A report in
    another language is recognised and has no findings.
    """

    name = "rules"
    version = "1"

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        """Return the findings of one report; rules need no age."""
        language = language_of(text)
        if language != "en":
            return WristReport(language=language)
        tidy = tidied(text)
        return supported(_Draft(tidy, passages(tidy)).report(), text)


def supported(report: WristReport, text: str) -> WristReport:
    """Return a report without the findings whose evidence does not stand in the text.

    Case and white space aside; what is left out is counted in ``dropped``.
    """
    plain = _plain(text)
    dropped = report.dropped
    sides = {}
    for side, found in report.sides.items():
        regions = {
            region: tuple(f for f in findings if _stands(f.evidence, plain))
            for region, findings in found.regions.items()
        }
        other = tuple(o for o in found.other if _stands(o.evidence, plain))
        dropped += len(found.other) - len(other)
        dropped += sum(len(f) for f in found.regions.values()) - sum(map(len, regions.values()))
        regions = {region: findings for region, findings in regions.items() if findings}
        sides[side] = found.model_copy(update={"regions": regions, "other": other})
    return report.model_copy(update={"sides": sides, "dropped": dropped})


def mine_json(file: str, report: WristReport, miner: str = "rules 1") -> dict[str, Any]:
    """Return a report as `wristmir mine --json` prints it.

    ``regions`` is the collapsed view over all sides, ``sides`` is the whole.
    """
    collapsed = collapse(report)
    regions = {}
    for region, values in collapsed.items():
        stated = [f for side in report.sides.values() for f in side.regions.get(region, ())]
        quotes = dict.fromkeys(f.evidence for f in stated if f.fracture == values.fracture)
        regions[region.value] = {
            "fracture": values.fracture,
            "type": values.type,
            "healing": values.healing,
            "displacement": values.displacement,
            "angulation_deg": values.angulation_deg,
            "evidence": _JOIN.join(quotes) or None,
        }
    whole = report.model_dump(mode="json")
    return {
        "file": file,
        "language": report.language,
        "laterality": report.laterality.value,
        "regions": regions,
        "other": list(collapse_others(report)),
        "disputed": whole["disputed"],
        "dropped": report.dropped,
        "miner": miner,
        "sides": whole["sides"],
    }


def _plain(words: str) -> str:
    return " ".join(words.casefold().split())


def _stands(evidence: str, plain: str) -> bool:
    quotes = [_plain(quote) for quote in evidence.split(_JOIN.strip())]
    return all(quote and quote in plain for quote in quotes)


_RANK = {Section.TITLE: 0, Section.FINDINGS: 0, Section.IMPRESSION: 1, Section.ADDENDUM: 2}
_SPECIFIC = set(FractureType) - {FractureType.UNSPECIFIED, FractureType.SALTER_HARRIS_UNSPECIFIED}


@dataclass
class _Entry:
    """One statement on one bone, gathering remarks as they come."""

    rank: int
    fracture: Fracture
    details: Details
    quotes: dict[str, None]
    reach: str = "all"

    def gather(self, details: Details, quote: str) -> None:
        kind = details.type
        if self.details.type not in _SPECIFIC and kind is not None:
            self.details = Details(type=kind).completed_by(self.details)
        if self.details.completed_by(details) != self.details:
            self.details = self.details.completed_by(details)
            self.quotes[quote] = None


@dataclass
class _Side:
    """What is gathered of one side."""

    bones: dict[Region, list[_Entry]] = field(default_factory=dict)
    denials: list[_Entry] = field(default_factory=list)
    other: dict[Other, tuple[bool, str]] = field(default_factory=dict)
    alignment: Alignment | None = None

    def note(self, name: Other, *, possible: bool, quote: str) -> None:
        known = self.other.get(name)
        if known is None or (known[0] and not possible):
            self.other[name] = (possible, quote)


class _Draft:
    """A report while it is read, passage after passage."""

    def __init__(self, text: str, read: tuple[Passage, ...]) -> None:
        self._text = text
        self._passages = read
        self._sides: dict[Laterality, _Side] = {}
        self._last: list[tuple[Laterality, Region]] = []
        self._carried: frozenset[Laterality] = frozenset()
        self._named = self._sides_named()

    def report(self) -> WristReport:
        """Read every passage and return the report."""
        for side in sorted(self._named):
            self._sides[side] = _Side()
        for passage in self._passages:
            if passage.section in _RANK:
                self._read(passage)
        disputed: list[Disagreement] = []
        sides = {}
        for side, gathered in self._sides.items():
            regions = {}
            for region in Region:
                findings = _resolve(side, region, gathered, disputed)
                if findings:
                    regions[region] = findings
            other = tuple(
                OtherFinding(name=name, possible=gathered.other[name][0], evidence=quote)
                for name in Other
                if name in gathered.other
                for quote in (gathered.other[name][1],)
            )
            sides[side] = SideFindings(regions=regions, alignment=gathered.alignment, other=other)
        return WristReport(views=self._views(), sides=sides, disputed=tuple(disputed))

    def _sides_named(self) -> frozenset[Laterality]:
        """Return the sides the report is about: by title and headings, else by its sentences."""
        for sections in (
            (Section.TITLE,),
            (Section.FINDINGS, Section.IMPRESSION, Section.ADDENDUM),
            (Section.INDICATION, Section.COMPARISON),
        ):
            found = frozenset(
                side
                for p in self._passages
                if p.section in sections or (p.side and Section.TITLE in sections)
                for side in (p.side if p.side else sides_in(p.words))
            )
            if found:
                return found
        return frozenset()

    def _views(self) -> tuple[View, ...]:
        told = (
            p.words
            for p in self._passages
            if p.section is Section.TITLE
            or any(w in p.words for w in ("view", "project", "radiogr"))
        )
        found = {view for words in told for view in views_in(words)}
        return tuple(view for view in View if view in found)

    def _read(self, passage: Passage) -> None:
        end = passage.start + len(passage.words)
        quote = " ".join(self._text[passage.start : end].split())
        explicit = sides_in(passage.words)
        if explicit and passage.section is not Section.TITLE:
            self._carried = explicit
        if passage.section is not Section.TITLE:
            for statement in statements(passage.words):
                self._take(statement, passage, quote)
        aligned = alignment_in(passage.words)
        others = others_in(passage.words)
        for side in self._joined(explicit, passage, denial=False):
            if aligned:
                self._side(side).alignment = aligned
            for name, possible in others:
                if passage.section is not Section.TITLE or name is Other.CAST_OR_SPLINT:
                    self._side(side).note(name, possible=possible, quote=quote)

    def _side(self, side: Laterality) -> _Side:
        return self._sides.setdefault(side, _Side())

    def _joined(
        self, explicit: frozenset[Laterality], passage: Passage, *, denial: bool
    ) -> tuple[Laterality, ...]:
        """Return the sides that a statement is about: its own, its heading's, the last named."""
        for sides in (explicit, passage.side):
            if sides:
                return tuple(sorted(sides))
        if len(self._named) == 1:
            return tuple(self._named)
        if self._carried & self._named and len(self._carried) == 1:
            return tuple(self._carried)
        if self._named and denial:
            return tuple(sorted(self._named))
        return (Laterality.UNKNOWN,)

    def _take(self, said: Statement, passage: Passage, quote: str) -> None:
        rank = _RANK[passage.section]
        located = [bone for bone in said.bones if isinstance(bone, Region)]
        denial = said.fracture is Fracture.ABSENT
        sides = self._joined(said.sides, passage, denial=denial and not located)
        if said.fracture is None:
            self._remark(said, located, sides, quote)
            return
        if denial and not said.bones:
            for side in sides:
                self._side(side).denials.append(_entry(said, rank, quote))
            return
        targets = [(side, bone) for side in sides for bone in located]
        if not said.bones:
            # "Buckle fracture." in an impression is of the bone that the findings named
            targets = [(side, bone) for side, bone in self._last if not said.sides or side in sides]
        for side, bone in targets:
            self._side(side).bones.setdefault(bone, []).append(_entry(said, rank, quote))
        if not denial:
            self._last = targets or self._last
            self._note_elsewhere(said, sides, quote)

    def _note_elsewhere(self, said: Statement, sides: tuple[Laterality, ...], quote: str) -> None:
        possible = said.fracture is Fracture.POSSIBLE
        for bone in said.bones:
            if isinstance(bone, Elsewhere):
                scaphoid = bone is Elsewhere.SCAPHOID
                name = Other.SCAPHOID_FRACTURE if scaphoid else Other.OTHER_FRACTURE
                for side in sides:
                    self._side(side).note(name, possible=possible, quote=quote)

    def _remark(
        self,
        said: Statement,
        located: list[Region],
        sides: tuple[Laterality, ...],
        quote: str,
    ) -> None:
        """Add to what was said: to the bones named here, else to those named last."""
        named = [(side, bone) for side in sides for bone in located]
        targets = named if said.bones else self._last
        for side, bone in targets:
            entries = self._side(side).bones.get(bone, [])
            broken = [entry for entry in entries if entry.fracture is not Fracture.ABSENT]
            if broken:
                broken[-1].gather(said.details, quote)


def _entry(said: Statement, rank: int, quote: str) -> _Entry:
    return _Entry(rank, said.fracture or Fracture.ABSENT, said.details, {quote: None}, said.reach)


def _resolve(
    side: Laterality, region: Region, gathered: _Side, disputed: list[Disagreement]
) -> tuple[Finding, ...]:
    """Return the findings of one bone: the highest section's, completed by the others."""
    entries = sorted(gathered.bones.get(region, []), key=lambda entry: -entry.rank)
    entries = [*_overruling(entries, gathered.denials), *entries]
    if not entries:
        denials = sorted(gathered.denials, key=lambda entry: -entry.rank)
        entries = denials[:1]
    if not entries:
        return ()
    top = [entry for entry in entries if entry.rank == entries[0].rank]
    lower = [entry for entry in entries if entry.rank < entries[0].rank]
    disputed += _contradicted(side, region, top, lower)
    kept = _merged(top)
    for entry in lower:
        alike = [k for k in kept if k.fracture is entry.fracture and _compatible(k, entry)]
        if alike and entry.fracture is not Fracture.ABSENT:
            alike[0].gather(entry.details, next(iter(entry.quotes)))
    return tuple(_finding(entry) for entry in kept)


def _overruling(entries: list[_Entry], denials: list[_Entry]) -> Iterator[_Entry]:
    """Yield the general denial of a higher section that outranks what a lower one says."""
    if not entries or entries[0].fracture is Fracture.ABSENT:
        return
    stated = entries[0]
    for denial in denials:
        if denial.rank <= stated.rank or denial.reach == "rest":
            continue
        doubted = stated.fracture is Fracture.POSSIBLE
        lasting = stated.details.healing in (Healing.HEALING, Healing.HEALED)
        if doubted or (denial.reach == "all" and not lasting):
            yield denial
            return


def _contradicted(
    side: Laterality, region: Region, top: list[_Entry], lower: list[_Entry]
) -> Iterator[Disagreement]:
    statuses = {entry.fracture for entry in top}
    for entry in lower:
        opposite = {Fracture.PRESENT: Fracture.ABSENT, Fracture.ABSENT: Fracture.PRESENT}
        if opposite.get(entry.fracture) in statuses and entry.fracture not in statuses:
            readings = (top[0].fracture.value, entry.fracture.value)
            yield _disagreement(side, region, "fracture", readings, (top[0], entry))
        elif entry.fracture in statuses and not any(_compatible(t, entry) for t in top):
            kinds = (top[0].details.type, entry.details.type)
            readings = (str(kinds[0]), str(kinds[1]))
            yield _disagreement(side, region, "type", readings, (top[0], entry))


def _disagreement(
    side: Laterality,
    region: Region,
    of: str,
    readings: tuple[str, str],
    entries: tuple[_Entry, _Entry],
) -> Disagreement:
    quotes = tuple(_JOIN.join(entry.quotes) for entry in entries)
    return Disagreement(side=side, region=region, field=of, readings=readings, evidence=quotes)


def _merged(entries: list[_Entry]) -> list[_Entry]:
    """Join the entries that may be about the same fracture."""
    kept: list[_Entry] = []
    for entry in entries:
        alike = [k for k in kept if k.fracture is entry.fracture and _compatible(k, entry)]
        if not alike:
            kept.append(entry)
        elif entry.fracture is not Fracture.ABSENT:
            alike[0].gather(entry.details, next(iter(entry.quotes)))
    return kept


def _compatible(one: _Entry, other: _Entry) -> bool:
    kinds = (one.details.type, other.details.type)
    if FractureType.SALTER_HARRIS_UNSPECIFIED in kinds:
        return all(k is None or k not in _SPECIFIC or k.startswith("salter") for k in kinds)
    return kinds[0] == kinds[1] or not all(kind in _SPECIFIC for kind in kinds)


def _finding(entry: _Entry) -> Finding:
    evidence = _JOIN.join(entry.quotes)
    if entry.fracture is Fracture.ABSENT:
        return Finding(fracture=entry.fracture, evidence=evidence)
    values: Mapping[str, Any] = vars(entry.details)
    return Finding(fracture=entry.fracture, evidence=evidence, **values)
