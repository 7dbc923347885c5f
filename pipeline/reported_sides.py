"""The sides that a report is about, and which of them a sentence means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipeline.passage import Passage
from pipeline.region import Laterality
from pipeline.section import Section
from pipeline.side import corrected_side, sides_in
from pipeline.statement import statements

__all__ = ["ReportedSides"]

Sides = frozenset[Laterality]


class ReportedSides:
    """The sides of a report: by title and headings, else by its sentences, never guessed.

    Parameters
    ----------
    read
        The passages that count, each with its words spelled right.
    """

    def __init__(self, read: Sequence[tuple[Passage, str]]) -> None:
        self.named = _named(read)
        self._carried: Sides = frozenset()
        before = _named([one for one in read if one[0].section is not Section.ADDENDUM])
        corrected = _corrected(read) if len(before) < 2 else None
        self._corrected: Sides = frozenset({corrected}) if corrected else frozenset()
        if self._corrected:
            self.named = self._corrected

    def carry(self, words: str) -> None:
        """Remember the side that a sentence names for those that name none."""
        self._carried = self.explicit(sides_in(words)) or self._carried

    def explicit(self, sides: Sides) -> Sides:
        """Return the sides that words name: on one wrist "both sides" are those of a bone."""
        if self._corrected or (len(sides) == 2 and len(self.named) == 1):
            return self.named if sides else sides
        return sides

    def of(self, sides: Sides, passage: Passage, *, denial: bool) -> tuple[Laterality, ...]:
        """Return the sides that is spoken of: the words' own, the heading's, the last named.

        ``denial`` is a general one: without a side it is of every wrist.
        """
        if len(self.named) == 2 and _OF_EITHER.search(passage.words):
            return tuple(sorted(self.named))
        for told in (self.explicit(sides), self.explicit(passage.side)):
            if told:
                return tuple(sorted(told))
        if len(self.named) == 1:
            return tuple(self.named)
        if self.named and _OF_BOTH.search(passage.words):
            return tuple(sorted(self.named))
        if self._carried & self.named and len(self._carried) == 1:
            return tuple(self._carried)
        if self.named and denial:
            return tuple(sorted(self.named))
        return (Laterality.UNKNOWN,)


_OF_EITHER = re.compile(
    r"\beither\s+(?:distal\s+|ulnar?\s+)?(?:radius|ulna|styloid)\b(?!\s+(?:n?or|/)\s)"
)
"""Of both wrists: "no fracture of either ulna"."""
_CONCLUDED = re.compile(
    r"(?:^|[.;,]\s+)\W*(?:so|hence|thus|therefore|in\s+(?:fact|short)"
    r"|conclusion)\b[\s:,]*(?:(?:this|it)\s+is\s+)?"
    r"(?:the\s+)?(?P<side>left|right)\s+(?:wrist|side|hand)\b"
)
"""The side that a report settles on: "Request says left, marker says R. So: right wrist."."""
_OF_BOTH = re.compile(
    r"\bboth\s+(?:\w+\s+){0,2}?(?:styloids|radii|radiuses|ulnae|ulnas|metaphyses|processes)\b"
    r"|\b(?:radii|ulnae|styloids)\b"
)


def _named(read: Sequence[tuple[Passage, str]]) -> Sides:
    for _, words in read:
        if concluded := _CONCLUDED.search(words):
            return frozenset({Laterality(concluded["side"])})
    for sections in (
        (Section.TITLE,),
        (Section.FINDINGS, Section.IMPRESSION, Section.ADDENDUM),
        (Section.INDICATION, Section.COMPARISON),
    ):
        told = [
            (passage, words, sides)
            for passage, words in read
            if passage.section in sections or (passage.side and Section.TITLE in sections)
            if (sides := passage.side or sides_in(words))
        ]
        found = frozenset(side for _, _, sides in told for side in sides)
        if len(found) == 2 and Section.FINDINGS in sections:
            # a side that is named by the way: "mother points to the right"
            found = frozenset(_stated(told)) or found
        if found:
            return found
    return frozenset()


def _stated(told: Sequence[tuple[Passage, str, Sides]]) -> Iterator[Laterality]:
    for _, words, sides in told:
        if len(sides) == 2 or statements(words):
            yield from sides


def _corrected(read: Sequence[tuple[Passage, str]]) -> Laterality | None:
    words = [words for passage, words in read if passage.section is Section.ADDENDUM]
    return corrected_side(" . ".join(words)) if words else None
