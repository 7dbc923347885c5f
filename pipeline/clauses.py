"""What belongs to which fracture of a sentence: its bones, and the words that describe it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.bone import COORDINATED, Bone, NamedBone, coordinated_back, names_of
from pipeline.head import Head, tight_bones

__all__ = ["Clauses"]


@dataclass(frozen=True)
class Clauses:
    """A sentence with its bones and the heads that name fractures, each in order."""

    words: str
    bones: tuple[NamedBone, ...]
    heads: tuple[Head, ...]

    def following(self, number: int) -> Head | None:
        """Return the head after this one."""
        return self.heads[number + 1] if number + 1 < len(self.heads) else None

    def window(self, number: int) -> tuple[int, int]:
        """Return from which character to which the words describe this head."""
        end = self._border(number + 1) if self.following(number) else len(self.words)
        return (self._border(number) if number else 0), end

    def _border(self, number: int) -> int:
        last, head = self.heads[number - 1], self.heads[number]
        tight = tight_bones(self.words, head, self.bones)
        begin = max(tight[0].start if tight else head.start, last.end)
        between = [bone for bone in self.bones if last.end <= bone.start < begin]
        links = [
            match
            for match in _CONNECTOR.finditer(self.words, last.end, begin)
            if not _OF_THE_FIRST.match(self.words, match.start(), begin)
        ]
        links = [m for m in links if not between or m.start() >= between[0].end] or links
        return links[-1].start() if links else begin

    def located(self, number: int, *, denied: bool) -> tuple[Bone, ...]:
        """Return the bones of a head: before it, after it, or the clause's subject."""
        words, head, following = self.words, self.heads[number], self.following(number)
        if denied:
            before = [b for b in self.bones if b.end <= head.start]
            if before and _WITHOUT.fullmatch(words, before[-1].end, head.start):
                return names_of(coordinated_back(words, before))
        group = tight_bones(words, head, self.bones)
        if not group:
            limit = following.start if following else len(words)
            taken = (
                {b.start for b in tight_bones(words, following, self.bones)} if following else set()
            )
            behind = [b for b in self.bones if head.end <= b.start < limit]
            group = _behind(words, head, behind, taken)
        if not group:
            begin = self.heads[number - 1].end if number else 0
            subjects = [b for b in self.bones if begin <= b.start and b.end <= head.start]
            border = self.window(number)[0]
            subjects = [b for b in subjects if b.start >= border] or subjects
            if denied and subjects and _THERE.search(words, subjects[-1].end, head.start):
                return ()  # "the physis of the ulna is open, and there is no fracture"
            group = coordinated_back(words, subjects) if subjects else []
            if group and re.search(r"\btheir\b", words[group[-1].end : head.start]):
                group = subjects
        return names_of(group)


_CONNECTOR = re.compile(r"[,;:]|\b(?:and|with|plus|as\s+well\s+as|or|along\s+with)\b")


_OF_THE_FIRST = re.compile(
    r"(?:with|and)\s+(?:[\w-]+\s+){0,5}?(?:displacement|angulation|tilt|translation|shortening"
    r"|callus"
    r"|comminution|involvement)\b"
)
"""What is joined to the fracture before it: "with mild displacement, buckle fracture of"."""
_THERE = re.compile(r"\bthere\s+(?:is|are)\b")
_WITHOUT = re.compile(
    r"(?:\s+(?:process|metaph\w*|tip|itself|too|also|both))*\)?\s*(?:[:=-]|\b(?:is|are|has|have"
    r"|shows?|bears?|appears?|with"
    r"|without|free|no|does|do|not|demonstrat\w*|reveal\w*|exhibit\w*|display\w*)\b)[^,;:.]{0,40}"
)
"""Between a bone and the fracture that it has not: "the ulna shows no"."""
_BREAK = re.compile(
    r"[;]|,\s*and\s+the\b|,\s*(?:[\w-]+\s+){0,2}?(?:physes|physis|growth|epiphys\w+|alignment"
    r"|joints?|soft)\b|\b(?:but|while|whereas|however|although|which|there\s+(?:is|are)|no|without"
    r"|intact|normal)\b"
)


_AND_THE = re.compile(r"\b(?:and|while)\s+(?:the|its|his|her|this)\s+(?:left\s+|right\s+)?$")
_VERB = re.compile(
    r"\s+(?:process\s+|metaph\w+\s+)?(?:is|are|has|have|had|was|were|shows?|appears?|looks?|bears?"
    r"|also)\b"
)


def _is_listed(words: str, head: Head, bone: NamedBone) -> bool:
    """Tell whether a sentence is a list: "Acute torus fractures, distal radius and ulna."."""
    clause = re.search(r"[,;]|\b(?:no|is|are)\b", words[: head.start])
    return not clause and bool(_COMMA.fullmatch(words, head.end, bone.start))


_COMMA = re.compile(r"\s*,\s*(?:left\s+|right\s+)?")


def _behind(
    words: str, head: Head, candidates: Sequence[NamedBone], taken: set[int]
) -> list[NamedBone]:
    group: list[NamedBone] = []
    listed = bool(candidates) and _is_listed(words, head, candidates[0])
    for bone in candidates:
        if bone.start in taken:
            break
        begin = group[-1].end if group else head.end
        gap = words[begin : bone.start]
        if _AND_THE.search(gap) and _VERB.match(words, bone.end):
            break
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
