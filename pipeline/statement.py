"""What one sentence of a report states: which bones, broken or not, and in what way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pipeline import lexicon
from pipeline.bone import COORDINATED, Bone, NamedBone, bones_in, coordinated_back, names_of
from pipeline.denial import general_denial, whole_bones
from pipeline.findings import Fracture, FractureType, Healing
from pipeline.fracture_details import Details, details_in
from pipeline.own_details import own_details
from pipeline.passage import sides_in
from pipeline.region import Laterality

__all__ = ["Statement", "statements"]


@dataclass(frozen=True)
class Statement:
    """One thing said.

    ``fracture`` None is a remark on a fracture that was named before ("callus is seen"). Without
    ``bones`` a denial is about the whole wrist, anything else about what was named before.
    ``reach`` of a denial: ``all``, ``acute`` (of new or displaced fractures only) or ``rest`` (of
    what was not named). A ``plural`` remark is about all that were named ("neither is
    displaced"), an ``implied`` one tells of a fracture though it names none ("ulna: healed").
    ``past`` is a fracture that is only said to have been ("known previous fracture").
    """

    fracture: Fracture | None
    bones: tuple[Bone, ...] = ()
    sides: frozenset[Laterality] = frozenset()
    reach: str = "all"
    details: Details = field(default_factory=Details)
    plural: bool = False
    implied: bool = False
    past: bool = False


def statements(words: str) -> tuple[Statement, ...]:
    """Read one flattened sentence (`pipeline.passage.flatten`).

    Cues of denial, doubt and history reach forward to the next terminator and backward from
    the end of a clause, after ConText (Harkema et al., 2009), with the cues of wrist reports.
    """
    shared = _SHARED.search(words)
    if shared:
        words, tail = words[: shared.start()], words[shared.end("link") :]
        return (*statements(words), *(replace(s, plural=True) for s in _remark(tail, ())))
    named = bones_in(words)
    intact = whole_bones(words, named)
    whole = {bone for group in intact for bone in group}
    bones = tuple(bone for bone in named if bone not in whole)
    heads = _heads(words, bones)
    heads = tuple(head for head in heads if not head.weak or len(heads) == 1)
    sentence = _Sentence(words, bones, heads)
    said = [Statement(Fracture.ABSENT, names_of(group), sides_in(words)) for group in intact]
    for number in range(len(heads)):
        said += sentence.read(number)
    reach = general_denial(words)
    if reach == "rest" or (reach and not intact):
        said.append(Statement(Fracture.ABSENT, (), sides_in(words), reach))
    if not heads and not said:
        said += _remark(words, named)
    return tuple(said)


@dataclass(frozen=True)
class _Head:
    start: int
    end: int
    kinds: tuple[str, ...]
    type: FractureType | None

    @property
    def weak(self) -> bool:
        return self.kinds == ("irregularity",)

    def any_of(self, words: str) -> bool:
        """Tell whether a list ends in fractures of any type: "no buckle or other fracture"."""
        return "fracture" in self.kinds and " or " in words[self.start : self.end]

    @property
    def needs_denial(self) -> bool:
        return set(self.kinds) <= {"injury", "line"}


_MERGING = re.compile(
    r"[\s,/():-]*(?:(?:type|or|likely|possibly|probably|probable|incomplete|complete|minimally"
    r"|mildly|non|displaced|undisplaced|nondisplaced|impacted|intra-?articular|extra-?articular"
    r"|metaphyseal|physeal|epiphyseal|dorsal|volar|cortical|transverse|oblique|spiral|comminuted"
    r"|acute|healing|healed|old|deformity|injury|pattern|a|of)\b[\s,/():-]*)*"
)


def _heads(words: str, bones: Sequence[NamedBone]) -> tuple[_Head, ...]:
    heads: list[_Head] = []
    for match in lexicon.HEAD.finditer(words):
        head = _Head(match.start(), match.end(), (_kind(match),), _type_of(match))
        if heads and _merges(words, heads[-1], head, bones):
            last = heads[-1]
            specific = last.type
            if specific in (None, FractureType.SALTER_HARRIS_UNSPECIFIED):
                specific = head.type or specific
            heads[-1] = _Head(last.start, head.end, last.kinds + head.kinds, specific)
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
            return lexicon.SALTER_HARRIS[number]
        return FractureType.SALTER_HARRIS_UNSPECIFIED
    if kind == "physeal":
        return FractureType.SALTER_HARRIS_UNSPECIFIED
    return FractureType(kind) if kind in set(FractureType) else None


def _merges(words: str, last: _Head, head: _Head, bones: Sequence[NamedBone]) -> bool:
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


def _embraces(words: str, last: _Head, head: _Head, between: Sequence[NamedBone]) -> bool:
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
    r"[,;:+&]|\b(?:of|with|in|at|and|is|are|has|have|shows?|demonstrat\w+|no|without|there|but|through"
    r"|involv\w+|from|which|the|a|an|appears?|was|were|for|reveals?|or|to)\b"
)


def _tight(words: str, head: _Head, bones: Sequence[NamedBone]) -> list[NamedBone]:
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


_CONNECTOR = re.compile(r"[,;:]|\b(?:and|with|plus|as\s+well\s+as|or|along\s+with)\b")


@dataclass(frozen=True)
class _Sentence:
    """A sentence with its bones and heads, each in order."""

    words: str
    bones: tuple[NamedBone, ...]
    heads: tuple[_Head, ...]

    def read(self, number: int) -> tuple[Statement, ...]:
        """Return what one head states, each bone apart where each has its own angle."""
        said = self._stated(number)
        if said is None:
            return ()
        return _apportioned(self.words, self._window(number), self.bones, said)

    def _stated(self, number: int) -> Statement | None:
        """Return what one head states, or None where it is no statement."""
        words, head = self.words, self.heads[number]
        status, reach = _stance(words, head, self._next(number))
        if status is None:
            return None
        located = self._located(number)
        window = self._window(number)
        if reach == "rest" and not any(b.start >= head.end for b in self.bones):
            located = ()  # "a fracture of the radius and no other fracture"
        if status is not Fracture.ABSENT and not located and not bones_in(words):
            # "Fragment adjacent to the ulnar styloid, suspicious for a fracture."
            located = names_of(bones_in(words[: head.start], asides=True)[-1:])
        if status is not Fracture.ABSENT:
            if head.needs_denial:
                told = "line" in head.kinds
                return Statement(None, located, details=details_in(words, window), implied=told)
            if head.weak:
                if not located:
                    return None
                status = Fracture.POSSIBLE
        elif not located and (head.weak or (head.type and not head.any_of(words))):
            return None  # "no buckle fracture" says nothing of other fractures
        elif not located and "line" in head.kinds:
            details = Details(healing=Healing.HEALED) if "longer" in words else Details()
            return Statement(None if details else status, (), sides_in(words), "acute", details)
        sides = sides_in(words[window[0] : window[1]]) or sides_in(words)
        if status is Fracture.ABSENT:
            return Statement(status, located, sides, reach)
        details = details_in(words, window, head.end, head.type)
        if details.healing is None and _ALL_ACUTE.match(words):
            details = replace(details, healing=Healing.ACUTE)
        past = bool(_PAST.search(words, 0, head.start)) and not _SEEN_STILL.search(words)
        return Statement(status, located, sides, details=details, past=past)

    def _next(self, number: int) -> _Head | None:
        return self.heads[number + 1] if number + 1 < len(self.heads) else None

    def _window(self, number: int) -> tuple[int, int]:
        """Return from which character to which the words describe this head."""
        end = self._border(number + 1) if self._next(number) else len(self.words)
        return (self._border(number) if number else 0), end

    def _border(self, number: int) -> int:
        last, head = self.heads[number - 1], self.heads[number]
        tight = _tight(self.words, head, self.bones)
        begin = max(tight[0].start if tight else head.start, last.end)
        between = [bone for bone in self.bones if last.end <= bone.start < begin]
        links = list(_CONNECTOR.finditer(self.words, last.end, begin))
        links = [m for m in links if not between or m.start() >= between[0].end] or links
        return links[-1].start() if links else begin

    def _located(self, number: int) -> tuple[Bone, ...]:
        """Return the bones of a head: before it, after it, or the clause's subject."""
        words, head, following = self.words, self.heads[number], self._next(number)
        group = _tight(words, head, self.bones)
        if not group:
            limit = following.start if following else len(words)
            taken = {b.start for b in _tight(words, following, self.bones)} if following else set()
            behind = [b for b in self.bones if head.end <= b.start < limit]
            group = _behind(words, head, behind, taken)
        if not group:
            begin = self.heads[number - 1].end if number else 0
            subjects = [b for b in self.bones if begin <= b.start and b.end <= head.start]
            border = self._window(number)[0]
            subjects = [b for b in subjects if b.start >= border] or subjects
            group = coordinated_back(words, subjects) if subjects else []
            if group and re.search(r"\btheir\b", words[group[-1].end : head.start]):
                group = subjects
        return names_of(group)


_SHARED = re.compile(
    r"(?P<link>\s*(?:,|;|-|\band|\bbut)\s+(?:and\s+)?)(?:both|neither|all)\s+"
    r"(?:(?:of\s+(?:which|them|these)|bones|fractures|injuries|fragments|sites)\s+)?"
    r"(?:is|are|remain\w*|shows?|appear\w*|has|have|being|in\s+\w+\s+position|un\w+|non\w+|min\w+"
    r"|mild\w*|slight\w*|heal\w+|well|now|displaced|angulated|with)\b(?!\s+(?:intact|normal))"
)
"""Where a sentence turns to all its fractures: ", both undisplaced"."""

_ALL_OF_THEM = re.compile(r"^\s*(?:both|neither|they|these|all)\b|\bboth\s*[.]?\s*$")
_ALL_ACUTE = re.compile(r"(?:acute|fresh)\s[^:,;.]{0,40}:")
_PAST = re.compile(r"\b(?:known\s+)?(?:previous|prior)\s+(?:\w+\s+){0,3}?$")
_SEEN_STILL = re.compile(
    r"\b(?:again|seen|visible|noted|described|demonstrated|identified|unchanged|stable|persist\w*"
    r"|remain\w*|now|line|heal\w+|callus|align\w+|position)\b"
)
_MENDING = re.compile(r"\b(?:heal(?:ed|ing)|united|remodel\w+|callus|bridg\w+|union)\b")
_DISEASED = re.compile(
    r"\b(?:rickets|infect\w+|osteomyelitis|lesion|cyst|fibroma|defect|tumou?r)\b"
)
_BENT = re.compile(r"\bangulat\w+|\bresidual\b|\bapex\b")

_BREAK = re.compile(
    r"[;]|\b(?:but|while|whereas|however|although|which|there\s+(?:is|are)|no|without|intact|normal)\b"
)


def _is_listed(words: str, head: _Head, bone: NamedBone) -> bool:
    """Tell whether a sentence is a list: "Acute torus fractures, distal radius and ulna."."""
    clause = re.search(r"[,;]|\b(?:no|is|are)\b", words[: head.start])
    return not clause and bool(_COMMA.fullmatch(words, head.end, bone.start))


_COMMA = re.compile(r"\s*,\s*(?:left\s+|right\s+)?")


def _behind(
    words: str, head: _Head, candidates: Sequence[NamedBone], taken: set[int]
) -> list[NamedBone]:
    group: list[NamedBone] = []
    listed = bool(candidates) and _is_listed(words, head, candidates[0])
    for bone in candidates:
        if bone.start in taken:
            break
        begin = group[-1].end if group else head.end
        gap = words[begin : bone.start]
        if _BREAK.search(gap) or len(gap) > (70 if not group else 60):
            break
        if group and not (
            COORDINATED.fullmatch(words, begin, bone.start)
            or re.search(
                r"\b(?:and|as\s+well\s+as|also|plus)\b.{0,40}\b(?:of|in|through|involving)\s", gap
            )
        ):
            continue
        if not group and re.search(r",\s*(?:the\s+)?$", gap) and ":" not in gap and not listed:
            break
        group.append(bone)
    return group


def _stance(words: str, head: _Head, following: _Head | None) -> tuple[Fracture | None, str]:
    """Return how a head is meant: status and reach; no status where it is no statement."""
    forward = list(lexicon.FORWARD.finditer(words, 0, head.start))
    meant = Fracture.PRESENT
    for cue in reversed(forward):
        gap = words[cue.end() : head.start]
        kind = cue.lastgroup
        if cue.group() in ("neither", "nor"):
            gap = _VERB.sub("", gap)
        if lexicon.TERMINATOR.search(gap) or kind == "pseudo":
            continue
        if kind == "denial":
            if lexicon.CONSUMER.search(gap) or _is_of_change(gap, words[head.end :]):
                continue
            return Fracture.ABSENT, _reach(gap + words[head.start : head.end])
        if kind == "aside":
            return None, ""
        if not _HEADED.search(gap):
            meant = Fracture.POSSIBLE
    behind = words[head.end : following.start if following else len(words)]
    behind = re.split(r"[;]|\b(?:but|however|although)\b", behind)[0]
    cue_behind = lexicon.BACKWARD.search(behind)
    if _CONFIRMED.match(behind):
        return Fracture.PRESENT, "all"
    if cue_behind and cue_behind.lastgroup == "doubt":
        meant = Fracture.POSSIBLE
    elif cue_behind and not re.search(
        r",|\b(?:and|with|callus|displacement|angulation|healing|well|extension|line)\b",
        behind[: cue_behind.start()],
    ):
        return Fracture.ABSENT, "all"
    return meant, "all"


def _is_of_change(gap: str, behind: str) -> bool:
    """Tell whether a denial is of what became of it: "no evidence that it has displaced"."""
    return bool(re.search(r"\bthat\b", gap) and re.match(r"\s*(?:has|have|had)\b", behind))


_CONFIRMED = re.compile(r"[\w\s]{0,30}\b(?:is|was|are|has\s+been)\s+(?:now\s+|thus\s+)?confirmed\b")
_VERB = re.compile(r"\b(?:shows?|demonstrates?|has)\b")
_HEADED = re.compile(r"#|\bfract\w+(?!\s+or)")


def _reach(words: str) -> str:
    if re.search(r"\b(?:other|further|additional|second|else|associated)\b", words):
        return "rest"
    if re.search(r"\b(?:acute|new|recent|displaced|obvious|definite)\b", words):
        return "acute"
    return "all"


def _remark(words: str, bones: Sequence[NamedBone]) -> Iterator[Statement]:
    details = details_in(words, (0, len(words)), of_bone=bool(bones))
    if details:
        said = Statement(None, names_of(bones), sides_in(words), details=details)
        plural = bool(_ALL_OF_THEM.search(words))
        said = replace(said, plural=plural, implied=_implies(words, details))
        yield from _apportioned(words, (0, len(words)), bones, said)


def _implies(words: str, details: Details) -> bool:
    """Tell whether a remark on a bone makes sense only where it is, or was, broken."""
    if _DISEASED.search(words):
        return False
    stage = details.healing in (Healing.HEALING, Healing.HEALED) and _MENDING.search(words)
    return bool(stage or (details.angulation_deg is not None and _BENT.search(words)))


def _apportioned(
    words: str, window: tuple[int, int], bones: Sequence[NamedBone], said: Statement
) -> tuple[Statement, ...]:
    """Return a statement on several bones apart where each has its own angle or displacement."""
    own = own_details(words, window, bones, said.bones, said.details)
    return tuple(replace(said, bones=(b,), details=own[b]) for b in said.bones) if own else (said,)
