"""The words that name a fracture, and the bones right before them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.bone import COORDINATED, NamedBone, coordinated_back
from pipeline.findings import FractureType
from pipeline.lexicon import HEAD, SALTER_HARRIS

__all__ = ["Head", "heads_in", "tight_bones"]


@dataclass(frozen=True)
class Head:
    """Where words name a fracture, of which kinds (`pipeline.lexicon.HEAD`) and type."""

    start: int
    end: int
    kinds: tuple[str, ...]
    type: FractureType | None

    @property
    def weak(self) -> bool:
        """True where the words may only hint at a fracture: "cortical irregularity"."""
        return self.kinds == ("irregularity",)

    def any_of(self, words: str) -> bool:
        """Tell whether a list ends in fractures of any type: "no buckle or other fracture"."""
        return "fracture" in self.kinds and " or " in words[self.start : self.end]

    @property
    def needs_denial(self) -> bool:
        """True where the words name a fracture only when they are denied: "no bony injury"."""
        return set(self.kinds) <= {"injury", "line"}


_MERGING = re.compile(
    r"[\s,/():-]*(?:(?:type|or|likely|possibly|probably|probable|incomplete|complete|minimally"
    r"|mildly|non|displaced|undisplaced|nondisplaced|impacted|intra-?articular|extra-?articular"
    r"|metaphyseal|physeal|epiphyseal|dorsal|volar|cortical|transverse|oblique|spiral|comminuted"
    r"|acute|healing|healed|old|deformity|injury|pattern|a|of)\b[\s,/():-]*)*"
)


def heads_in(words: str, bones: Sequence[NamedBone]) -> tuple[Head, ...]:
    """Return the heads of a flattened sentence in order, several words for one fracture as one."""
    heads: list[Head] = []
    for match in HEAD.finditer(words):
        head = Head(match.start(), match.end(), (_kind(match),), _type_of(match))
        if heads and _merges(words, heads[-1], head, bones):
            last = heads[-1]
            specific = last.type
            if specific in (None, FractureType.SALTER_HARRIS_UNSPECIFIED):
                specific = head.type or specific
            heads[-1] = Head(last.start, head.end, last.kinds + head.kinds, specific)
        else:
            heads.append(head)
    return tuple(heads)


def _kind(match: re.Match[str]) -> str:
    return next(name for name in _KINDS if match[name])


_KINDS = (
    "salter_harris",
    "buckle",
    "greenstick",
    "plastic_bowing",
    "avulsion",
    "physeal",
    "fracture",
    "line",
    "injury",
    "irregularity",
)


def _type_of(match: re.Match[str]) -> FractureType | None:
    kind = _kind(match)
    if kind == "salter_harris":
        number = match["after"] or match["before"]
        if number and not match["alternative"]:
            return SALTER_HARRIS[number]
        return FractureType.SALTER_HARRIS_UNSPECIFIED
    if kind == "physeal":
        return FractureType.SALTER_HARRIS_UNSPECIFIED
    return FractureType(kind) if kind in set(FractureType) else None


def _merges(words: str, last: Head, head: Head, bones: Sequence[NamedBone]) -> bool:
    if head.kinds == ("injury",) or last.kinds == ("injury",) or head.weak or last.weak:
        return False
    between = [bone for bone in bones if last.end <= bone.start < head.start]
    if between:
        return _embraces(words, last, head, between)
    salter = FractureType.SALTER_HARRIS_UNSPECIFIED
    clash = (
        last.type and head.type and head.type != last.type and salter not in (last.type, head.type)
    )
    return not clash and bool(_MERGING.fullmatch(words, last.end, head.start))


def _embraces(words: str, last: Head, head: Head, between: Sequence[NamedBone]) -> bool:
    """Tell whether two heads are one around bones: "Salter-Harris II distal radius fracture"."""
    if "fracture" in last.kinds or head.kinds != ("fracture",):
        return False
    gaps = [(last.end, between[0].start), (between[-1].end, head.start)]
    if any(_NOT_TIGHT.search(words, *gap) for gap in gaps):
        return False
    return all(
        COORDINATED.fullmatch(words, one.end, other.start) for one, other in pairwise(between)
    )


_NOT_TIGHT = re.compile(
    r"[,;:+&]|\b(?:plus|also|then|of|with|in|at|and|is|are|has|have|shows?|demonstrat\w+|no|without"
    r"|there|but"
    r"|through"
    r"|involv\w+|from|which|the|a|an|appears?|was|were|for|reveals?|or|to)\b"
)


def tight_bones(words: str, head: Head, bones: Sequence[NamedBone]) -> list[NamedBone]:
    """Return the bones directly before a head: "distal radius and ulna fractures"."""
    within = [bone for bone in bones if head.start <= bone.start and bone.end <= head.end]
    if within:
        return within
    before = [bone for bone in bones if bone.end <= head.start]
    if not before or head.start - before[-1].end > 45:
        return []
    if _NOT_TIGHT.search(words, before[-1].end, head.start):
        return []
    return coordinated_back(words, before)
