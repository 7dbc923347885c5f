"""A report while it is read: what was said so far, by side and bone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.bone import Elsewhere, NamedBone, bones_in, names_of
from pipeline.denial import is_anaphoric
from pipeline.entry import Entry, entry_of, resolved
from pipeline.findings import (
    Alignment,
    Disagreement,
    Fracture,
    FractureType,
    Other,
    OtherFinding,
    SideFindings,
    WristReport,
)
from pipeline.fracture_details import Details
from pipeline.lexicon import HEAD
from pipeline.other_findings import alignment_in, others_in, taken_off, views_in
from pipeline.passage import Passage
from pipeline.prior import without_prior_state
from pipeline.region import Laterality, Region, View
from pipeline.reported_sides import ReportedSides
from pipeline.section import Section
from pipeline.side import sides_in
from pipeline.spelling import spelled
from pipeline.statement import Statement, statements

__all__ = ["Draft"]

_RANK = {Section.TITLE: 0, Section.FINDINGS: 0, Section.IMPRESSION: 1, Section.ADDENDUM: 2}


_Place = tuple[Laterality, Region]

_EVERYWHERE = {Region.DISTAL_RADIUS, Region.DISTAL_ULNA, Elsewhere.CARPUS}
"""Bones that together stand for the whole wrist."""


_PLACING = re.compile(
    r"\s*(?:it|this|(?:the\s+)?(?:fracture|location|site|lesion))\s*(?::|(?:is|lies|involves|runs"
    r"|sits"
    r"|affects|crosses|concerns|located)\b)"
)


_OF_FRACTURE = re.compile(
    r"\b(?:displac\w+|angulat\w+|callus|dislocat\w+|union|malunion|reduction|bridging|swelling"
    r"|hardware|wires?)\b[^.;]{0,30}$"
)
"""Where a sentence ends on what a fracture has, so that "there is none" is of that."""
_OF_PART = re.compile(r"\b(?:fore-?arm|hand|elbow|arm)s?\W*$")
"""A heading of more than the wrist, or of another part."""
_SAME = re.compile(
    r"\bsame\s+(?:\w+\s+){0,2}?(?:goes|applies|holds|is\s+true|was\s+true|can\s+be\s+said|result"
    r"|answer|outcome)\b|\b(?:ditto|likewise|similarly|equally)\b[^.;]{0,30}\W?$"
)
_AFFIRMED = re.compile(
    r"^\W*(?:but\s+|and\s+|yes,?\s+)?(?:indeed\s+)?there\s+is\s+(?:one|indeed\s+one)\b"
)
"""An answer that needs its question: "There is one, of the distal radius."."""
_VANISHED = re.compile(r"\bno\s+longer\b|\bany\s?(?:more|longer)\b|\bgone\b|\bvanished\b")


@dataclass(frozen=True)
class _Asked:
    """The regions that a sentence asked of, and whether it named any bone."""

    regions: tuple[Region, ...]
    named: bool
    age: int = 0


def _regions(named: Sequence[NamedBone]) -> tuple[Region, ...]:
    return tuple(b for b in names_of(named) if isinstance(b, Region))


_FORGOTTEN = 1
"""After so many sentences about something else nobody says "there is none" of it."""
_APPARENT = re.compile(
    r"\b(?:apparent|seeming\w*|looks?\s+like|suspicious|conspicuous|ask\w*)\b|\?"
)


@dataclass
class _Side:
    """What is gathered of one side."""

    bones: dict[Region, list[Entry]] = field(default_factory=dict)
    denials: list[Entry] = field(default_factory=list)
    other: dict[Other, tuple[bool, str]] = field(default_factory=dict)
    alignment: Alignment | None = None

    def note(self, name: Other, *, possible: bool, quote: str) -> None:
        known = self.other.get(name)
        if known is None or (known[0] and not possible):
            self.other[name] = (possible, quote)


class Draft:
    """A report while it is read, passage after passage."""

    def __init__(self, text: str, read: tuple[Passage, ...]) -> None:
        self._text = text
        self._passages = tuple(
            (passage, spelled(passage.words))
            for passage in read
            if passage.section is not Section.DIRECTIVE
        )
        self._reported = ReportedSides(self._passages)
        self._sides: dict[Laterality, _Side] = {}
        self._last: list[_Place] = []
        self._broken: list[_Place] = []
        self._early: list[tuple[Statement, str]] = []
        self._recalled: dict[_Place, tuple[Statement, str]] = {}
        self._before = ""
        self._asked: _Asked | None = None
        self._denied = False

    def report(self) -> WristReport:
        """Read every passage and return the report."""
        for side in sorted(self._reported.named):
            self._sides[side] = _Side()
        for passage, words in self._passages:
            if passage.section in _RANK:
                self._read(passage, words)
            elif passage.section is Section.COMPARISON:
                self._recall(passage, words)
            self._remember_asked(words)
        disputed: list[Disagreement] = []
        sides = {}
        for side, gathered in self._sides.items():
            regions = {}
            for region in Region:
                findings = resolved(
                    side, region, gathered.bones.get(region, []), gathered.denials, disputed
                )
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

    def _views(self) -> tuple[View, ...]:
        told = (
            words
            for passage, words in self._passages
            if passage.section is Section.TITLE
            or any(w in words for w in ("view", "project", "radiogr"))
        )
        found = {view for words in told for view in views_in(words)}
        return tuple(view for view in View if view in found)

    def _quote(self, passage: Passage) -> str:
        return " ".join(self._text[passage.start :][: len(passage.words)].split())

    def _read(self, passage: Passage, words: str) -> None:
        quote = self._quote(passage)
        explicit = sides_in(words)
        if passage.section is not Section.TITLE:
            self._reported.carry(words)
            said_so = _AFFIRMED.sub("there is a fracture", words) if self._asked else words
            said = statements(without_prior_state(said_so)) or self._same_again(words)
            for statement in said:
                self._take(statement, passage, quote)
            if said:
                self._denied = said[-1].fracture is Fracture.ABSENT
            self._place(words, explicit, passage, quote)
        aligned = alignment_in(words)
        others = others_in(words)
        if taken_off(words):
            for gathered in self._sides.values():
                gathered.other.pop(Other.CAST_OR_SPLINT, None)
        for side in self._reported.of(explicit, passage, denial=False):
            if aligned:
                self._side(side).alignment = aligned
            for name, possible in others:
                if passage.section is not Section.TITLE or name is Other.CAST_OR_SPLINT:
                    self._side(side).note(name, possible=possible, quote=quote)

    def _same_again(self, words: str) -> tuple[Statement, ...]:
        """Return what is denied by reference: "The same goes for the ulna."."""
        if not self._denied or not _SAME.search(words):
            return ()
        return (Statement(Fracture.ABSENT, names_of(bones_in(words)), sides_in(words)),)

    def _remember_asked(self, words: str) -> None:
        """Keep what the next sentence may deny without a name: "There isn't one."."""
        if is_anaphoric(words):
            pass  # "It is not. Nor is there any sign that it ever was."
        elif HEAD.search(words):
            named = bones_in(words, asides=True) or bones_in(self._before, asides=True)
            other = _OF_FRACTURE.search(words) is not None
            self._asked = None if other else _Asked(_regions(named), bool(named))
        elif _APPARENT.search(words) and (named := bones_in(words)):
            self._asked = _Asked(_regions(named), named=True)
        elif self._asked and self._asked.age < _FORGOTTEN:
            self._asked = replace(self._asked, age=self._asked.age + 1)
        else:
            self._asked = None
        self._before = words

    def _deny_asked(
        self, said: Statement, sides: tuple[Laterality, ...], rank: int, quote: str, place: int
    ) -> None:
        """Deny what was asked, and what was taken for a statement of it."""
        if self._asked is None:
            return
        if not self._asked.regions:
            if not self._asked.named:
                for side in sides:
                    entry = entry_of(replace(said, reach="all"), rank, quote, place)
                    self._side(side).denials.append(entry)
            return
        for side in sides:
            for bone in self._asked.regions:
                entries = self._side(side).bones.setdefault(bone, [])
                for entry in entries:
                    entry.past = entry.past or entry.rank <= rank
                entries.append(entry_of(replace(said, reach="all"), rank, quote, place))

    def _recall(self, passage: Passage, words: str) -> None:
        """Remember a fracture of an earlier study: the report may say that it is still there."""
        for said in statements(words):
            if said.fracture in (None, Fracture.ABSENT):
                continue
            for side in self._reported.of(said.sides, passage, denial=False):
                for bone in said.bones:
                    if isinstance(bone, Region):
                        self._recalled[side, bone] = (said, self._quote(passage))

    def _side(self, side: Laterality) -> _Side:
        return self._sides.setdefault(side, _Side())

    def _take(self, said: Statement, passage: Passage, quote: str) -> None:
        rank = _RANK[passage.section]
        located = [bone for bone in said.bones if isinstance(bone, Region)]
        place = passage.start
        denial = said.fracture is Fracture.ABSENT
        sides = self._reported.of(said.sides, passage, denial=denial and not located)
        if said.reach == "asked":
            self._deny_asked(said, sides, rank, quote, place)
            return
        if said.fracture is None:
            self._remark(said, sides, rank, quote, place)
            return
        if denial and not said.bones:
            if _OF_PART.search(self._text[max(0, place - 20) : place].lower()):
                said = replace(said, concludes=False)  # "Left forearm: no fracture."
            for side in sides:
                self._side(side).denials.append(entry_of(said, rank, quote, place))
            return
        targets = [(side, bone) for side in sides for bone in located]
        if not said.bones:
            targets = self._meant(said, sides, passage)
            if not targets and len(self._reported.named) < 2:
                self._early.append((said, quote))
        self._note(said, targets, rank, quote, place)
        if not denial:
            self._note_elsewhere(said, sides, quote)
        elif set(said.bones) >= _EVERYWHERE:
            for side in sides:
                entry = entry_of(replace(said, reach="rest"), rank, quote, place)
                self._side(side).denials.append(entry)

    def _meant(
        self, said: Statement, sides: tuple[Laterality, ...], passage: Passage
    ) -> list[_Place]:
        """Return where a fracture lies that is named without a bone."""
        # "Plate on the radius. The fracture has healed."
        near = [(side, bone) for bone in self._named_before() for side in sides]
        near = [(side, bone) for side, bone in near if not self._is_whole(side, bone)]
        if near and self._text[: passage.start].rstrip().endswith(";"):
            return near
        # "Buckle fracture." in an impression is of the bone that the findings named
        last = [(side, bone) for side, bone in self._last if not said.sides or side in sides]
        return last or near or [place for place in self._recalled if place[0] in sides]

    def _place(
        self, words: str, explicit: frozenset[Laterality], passage: Passage, quote: str
    ) -> None:
        """Give a fracture that was named without a bone its place: "It involves the radius."."""
        early = self._unplaced()
        if not early or not _PLACING.match(words):
            return
        named = [b for bone in bones_in(words) for b in bone.names if isinstance(b, Region)]
        sides = self._reported.of(explicit, passage, denial=False)
        targets = [(side, bone) for bone in named for side in sides]
        self._note(early[0], targets, _RANK[passage.section], quote, passage.start)

    def _unplaced(self) -> list[Statement]:
        return [said for said, _ in self._early if said.fracture not in (None, Fracture.ABSENT)]

    def _is_whole(self, side: Laterality, bone: Region) -> bool:
        entries = self._side(side).bones.get(bone, [])
        return any(entry.fracture is Fracture.ABSENT for entry in entries)

    def _named_before(self) -> list[Region]:
        named = bones_in(self._before, asides=True)
        return [b for bone in named for b in bone.names if isinstance(b, Region)]

    def _note(
        self, said: Statement, targets: list[_Place], rank: int, quote: str, place: int
    ) -> None:
        for side, bone in targets:
            entry = entry_of(said, rank, quote, place)
            self._side(side).bones.setdefault(bone, []).append(entry)
            if said.fracture is Fracture.ABSENT:
                continue
            for remark, words in self._early:
                entry.gather(remark.details, words)
            if (side, bone) in self._recalled and (said.implied or not said.bones):
                before, words = self._recalled[side, bone]
                entry.gather(Details(type=before.details.type), words)
            if (side, bone) not in self._broken:
                self._broken.append((side, bone))
        if said.fracture is not Fracture.ABSENT and targets:
            self._early, self._last = [], targets

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
        sides: tuple[Laterality, ...],
        rank: int,
        quote: str,
        place: int,
    ) -> None:
        """Add to what was said: to the bones named here, else to those named last or to all."""
        targets = self._last
        if said.bones:
            located = [bone for bone in said.bones if isinstance(bone, Region)]
            targets = [(side, bone) for side in sides for bone in located]
        elif said.plural:
            targets = [(side, bone) for side, bone in self._broken if side in sides]
        elif not self._broken and self._recalled and said.details.healing:
            targets = [place for place in self._recalled if place[0] in sides]
            said = replace(said, implied=True)
        elif not self._broken and len(self._reported.named) < 2:
            self._early.append((said, quote))
        for side, bone in targets:
            entries = self._side(side).bones.get(bone, [])
            broken = [entry for entry in entries if entry.fracture is not Fracture.ABSENT]
            if broken and rank == _RANK[Section.ADDENDUM] > broken[-1].rank:
                broken[-1].amend(said.details, quote)
            elif broken:
                broken[-1].gather(said.details, quote)
                if broken[-1].past and _VANISHED.search(quote.lower()):
                    broken[-1].vanished = True
            elif (said.implied or self._unplaced()) and not entries:
                details = replace(said.details, type=FractureType.UNSPECIFIED)
                meant = next((early.fracture for early in self._unplaced()), Fracture.PRESENT)
                implied = replace(said, fracture=meant, details=details)
                self._note(implied, [(side, bone)], rank, quote, place)
