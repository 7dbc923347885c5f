"""What one sentence of a report states: which bones, broken or not, and in what way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline import lexicon
from pipeline.findings import Fracture, FractureType, Healing
from pipeline.fracture_details import Details, details_in
from pipeline.lexicon import Elsewhere
from pipeline.passage import sides_in
from pipeline.region import Laterality, Region

__all__ = ["Bone", "Statement", "statements"]

Bone = Region | Elsewhere


@dataclass(frozen=True)
class Statement:
    """One thing said.

    ``fracture`` None is a remark on a fracture that was named before ("callus is seen"). Without
    ``bones`` a denial is about the whole wrist, anything else about what was named before.
    ``reach`` of a denial: ``all``, ``acute`` (of new or displaced fractures only) or ``rest`` (of
    what was not named).
    """

    fracture: Fracture | None
    bones: tuple[Bone, ...] = ()
    sides: frozenset[Laterality] = frozenset()
    reach: str = "all"
    details: Details = field(default_factory=Details)


def statements(words: str) -> tuple[Statement, ...]:
    """Read one flattened sentence (`pipeline.passage.flatten`).

    Cues of denial, doubt and history reach forward to the next terminator and backward from
    the end of a clause, after ConText (Harkema et al., 2009), with the cues of wrist reports.
    """
    named = _bones(words)
    intact = _intact(words, named)
    whole = {bone for group, _ in intact for bone in group}
    bones = tuple(bone for bone in named if bone not in whole)
    heads = _heads(words, bones)
    heads = tuple(head for head in heads if not head.weak or len(heads) == 1)
    sentence = _Sentence(words, bones, heads)
    said = [statement for _, statement in intact]
    said += [s for s in map(sentence.read, range(len(heads))) if s is not None]
    said += [s for s in _normal(words) if s.reach == "rest" or not intact]
    if not heads and not said:
        said += _remark(words, named)
    return tuple(said)


@dataclass(frozen=True)
class _Bone:
    start: int
    end: int
    names: tuple[Bone, ...]


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


_BONE_NAMES: dict[str, tuple[Bone, ...]] = {
    "ulnar_styloid": (Region.ULNAR_STYLOID,),
    "styloid": (Region.ULNAR_STYLOID,),
    "radial_styloid": (Region.DISTAL_RADIUS,),
    "distal_radius": (Region.DISTAL_RADIUS,),
    "distal_ulna": (Region.DISTAL_ULNA,),
    "both": (Region.DISTAL_RADIUS, Region.DISTAL_ULNA),
    "scaphoid": (Elsewhere.SCAPHOID,),
    "carpus": (Elsewhere.CARPUS,),
    "elsewhere": (Elsewhere.ELSEWHERE,),
}
# where a bone is named only to say where something else lies
_ASIDE_OF_BONE = re.compile(
    r"(?:swelling|o?edema|effusion|relative|relation|compared|adjacent|overlying|over|towards?|near"
    r"|alongside|proximal|anterior|posterior|medial|lateral|views?|distal\s+to|minus|plus|parallel)"
    r"\s+(?:(?:to|of|the|about|around|along|a|left|right)\s+){0,3}$"
)


def _bones(words: str) -> tuple[_Bone, ...]:
    found = []
    for match in lexicon.BONE.finditer(words):
        if match.lastgroup == "no_bone" or _ASIDE_OF_BONE.search(words, 0, match.start()):
            continue
        names = _BONE_NAMES[match.lastgroup or ""]
        if match.lastgroup in ("distal_radius", "distal_ulna", "both"):
            near = words[max(0, match.start() - 22) : match.end() + 16]
            if lexicon.SHAFT.search(near) and "distal" not in near:
                names = (Elsewhere.ELSEWHERE,)
        found.append(_Bone(match.start(), match.end(), names))
    return tuple(found)


_MERGING = re.compile(
    r"[\s,/():-]*(?:(?:type|or|likely|possibly|probably|probable|incomplete|complete|minimally"
    r"|mildly|non|displaced|undisplaced|nondisplaced|impacted|intra-?articular|extra-?articular"
    r"|metaphyseal|physeal|epiphyseal|dorsal|volar|cortical|transverse|oblique|spiral|comminuted"
    r"|acute|healing|healed|old|deformity|injury|pattern|a|of)\b[\s,/():-]*)*"
)


def _heads(words: str, bones: Sequence[_Bone]) -> tuple[_Head, ...]:
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


def _merges(words: str, last: _Head, head: _Head, bones: Sequence[_Bone]) -> bool:
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


def _embraces(words: str, last: _Head, head: _Head, between: Sequence[_Bone]) -> bool:
    """Tell whether two heads are one around bones: "Salter-Harris II distal radius fracture"."""
    if "fracture" in last.kinds or head.kinds != ("fracture",):
        return False
    gaps = [(last.end, between[0].start), (between[-1].end, head.start)]
    if any(_NOT_TIGHT.search(words, *gap) for gap in gaps):
        return False
    return all(
        _COORDINATED.fullmatch(words, one.end, other.start) for one, other in pairwise(between)
    )


_NOT_TIGHT = re.compile(
    r"[,;:]|\b(?:of|with|in|at|and|is|are|has|have|shows?|demonstrat\w+|no|without|there|but|through"
    r"|involv\w+|from|which|the|a|an|appears?|was|were|for|reveals?|or|to)\b"
)
_COORDINATED = re.compile(
    r"\s*(?:metaph(?:ys\w+)?\s*|epiphys\w+\s*|phys\w+\s*|process\s*)?(?:,|,?\s*and|&|/|\+|,?\s*as\s+well\s+as"
    r"|[\s,(]*including(?:\s+its|\s+the)?|,?\s*or|along\s+with|together\s+with)\s*(?:(?:of|in|through|involving|also|the|left|right"
    r"|distal|tip|base|also)\s+)*(?:of\s+the\s+)?"
)
_GOVERNED = re.compile(
    r"[\s,(-]*(?:of|in|through|involving|at|to|within|across|about|along|affecting)\b.{0,60}",
    re.DOTALL,
)


def _tight(words: str, head: _Head, bones: Sequence[_Bone]) -> list[_Bone]:
    """Return the bones directly before a head: "distal radius and ulna fractures"."""
    within = [bone for bone in bones if head.start <= bone.start and bone.end <= head.end]
    if within:
        return within
    before = [bone for bone in bones if bone.end <= head.start]
    if not before or head.start - before[-1].end > 45:
        return []
    if _NOT_TIGHT.search(words, before[-1].end, head.start):
        return []
    return _coordinated_back(words, before)


def _coordinated_back(words: str, before: Sequence[_Bone]) -> list[_Bone]:
    group = [before[-1]]
    earlier = [m.end() for m in lexicon.HEAD.finditer(words, 0, before[-1].start)]
    for bone in reversed(before[:-1]):
        if earlier and bone.start < earlier[-1]:
            break
        if earlier and _GOVERNED.fullmatch(words, earlier[-1], bone.start):
            break
        if not _COORDINATED.fullmatch(words, bone.end, group[0].start):
            break
        group.insert(0, bone)
    return group


_CONNECTOR = re.compile(r",|;|\b(?:and|with|plus|as\s+well\s+as|or|along\s+with)\b")


@dataclass(frozen=True)
class _Sentence:
    """A sentence with its bones and heads, each in order."""

    words: str
    bones: tuple[_Bone, ...]
    heads: tuple[_Head, ...]

    def read(self, number: int) -> Statement | None:
        """Return what one head states, or None where it is no statement."""
        words, head = self.words, self.heads[number]
        status, reach = _stance(words, head, self._next(number))
        if status is None:
            return None
        located = self._located(number)
        window = self._window(number)
        if status is not Fracture.ABSENT:
            if head.needs_denial:
                return Statement(None, located, details=details_in(words, window))
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
        return Statement(
            status, located, sides, details=details_in(words, window, head.end, head.type)
        )

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
            group = _coordinated_back(words, subjects) if subjects else []
        return tuple(dict.fromkeys(name for bone in group for name in bone.names))


_BREAK = re.compile(
    r"[;]|\b(?:but|while|whereas|however|although|which|there\s+(?:is|are)|no|without|intact|normal)\b"
)


def _behind(words: str, head: _Head, candidates: Sequence[_Bone], taken: set[int]) -> list[_Bone]:
    group: list[_Bone] = []
    for bone in candidates:
        if bone.start in taken:
            break
        begin = group[-1].end if group else head.end
        gap = words[begin : bone.start]
        if _BREAK.search(gap) or len(gap) > (70 if not group else 60):
            break
        if group and not (
            _COORDINATED.fullmatch(words, begin, bone.start)
            or re.search(
                r"\b(?:and|as\s+well\s+as|also|plus)\b.{0,40}\b(?:of|in|through|involving)\s", gap
            )
        ):
            continue
        if not group and re.search(r",\s*(?:the\s+)?$", gap) and ":" not in gap:
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
        if lexicon.TERMINATOR.search(gap) or kind == "pseudo":
            continue
        if kind == "denial":
            if lexicon.CONSUMER.search(gap):
                continue
            return Fracture.ABSENT, _reach(gap + words[head.start : head.end])
        if kind == "aside":
            return None, ""
        if not _HEADED.search(gap):
            meant = Fracture.POSSIBLE
    behind = words[head.end : following.start if following else len(words)]
    behind = re.split(r"[;]|\b(?:but|however|although)\b", behind)[0]
    cue_behind = lexicon.BACKWARD.search(behind)
    if cue_behind and cue_behind.lastgroup == "doubt":
        meant = Fracture.POSSIBLE
    elif cue_behind and not re.search(
        r",|\b(?:and|with|callus|displacement|angulation|healing|well|extension|line)\b",
        behind[: cue_behind.start()],
    ):
        return Fracture.ABSENT, "all"
    return meant, "all"


_HEADED = re.compile(r"#|\bfract\w+(?!\s+or)")


def _reach(words: str) -> str:
    if re.search(r"\b(?:other|further|additional|second|else|associated)\b", words):
        return "rest"
    if re.search(r"\b(?:acute|new|recent|displaced|obvious|definite)\b", words):
        return "acute"
    return "all"


_SUBJECT_NOT_BONE = re.compile(
    r"\b(?:phys[ei]\w*|growth|epiphys\w+|align\w*|joint|artic\w+|varian\w+|minerali\w+|ossific\w+"
    r"|soft|position|height|length|inclination|tilt|relation\w*|apophys\w+|space)\b"
)


def _intact(words: str, bones: Sequence[_Bone]) -> list[tuple[tuple[_Bone, ...], Statement]]:
    """Return denials that name no fracture: "the ulna is intact", "intact ulnar styloid"."""
    found = []
    for number, bone in enumerate(bones):
        limit = bones[number + 1].start if number + 1 < len(bones) else len(words)
        behind = lexicon.INTACT.match(words, bone.end, min(limit, bone.end + 60))
        ahead = _INTACT_AHEAD.search(words[: bone.start])
        before = re.split(r",|;|\band\b", words[max(0, bone.start - 25) : bone.start])[-1]
        near = before + words[bone.start : behind.end() if behind else bone.end + 20]
        if not (behind or ahead) or _SUBJECT_NOT_BONE.search(near):
            continue
        group = tuple(_coordinated_back(words, bones[: number + 1]))
        names = tuple(dict.fromkeys(name for b in group for name in b.names))
        found.append((group, Statement(Fracture.ABSENT, names, sides_in(words))))
    return found


_INTACT_AHEAD = re.compile(r"\b(?:intact|normal|so\s+(?:is|are|does))\s+(?:(?:left|right|the)\s+)*$")


def _normal(words: str) -> Iterator[Statement]:
    for match in lexicon.NORMAL.finditer(words):
        near = words[max(0, match.start() - 30) : match.end()]
        if lexicon.CARPUS.search(near) or _SUBJECT_NOT_BONE.search(near):
            continue
        reach = "rest" if match["rest"] else "all"
        yield Statement(Fracture.ABSENT, (), sides_in(words), reach)
        return


def _remark(words: str, bones: Sequence[_Bone]) -> Iterator[Statement]:
    details = details_in(words, (0, len(words)))
    if details:
        names = tuple(dict.fromkeys(name for bone in bones for name in bone.names))
        yield Statement(None, names, sides_in(words), details=details)
