"""The sections of a report, by their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from pipeline.prior import NOW
from pipeline.region import Laterality
from pipeline.side import sides_in

__all__ = ["Section", "sections"]


class Section(StrEnum):
    """What part of a report a sentence stands in."""

    TITLE = "title"
    INDICATION = "indication"
    COMPARISON = "comparison"
    FINDINGS = "findings"
    IMPRESSION = "impression"
    ADDENDUM = "addendum"
    CLOSING = "closing"
    DIRECTIVE = "directive"


_HEADINGS = {
    Section.INDICATION: r"(?:clinical\s+)?indications?(?:\s+for\s+\w+)?|(?:relevant\s+)?clinical"
    r"(?:\s+(?:history|information|info|details|data|context|question|presentation|background"
    r"|notes?|statement))?|(?:patient\s+|medical\s+)?history|hx|reason\s+for\s+(?:the\s+)?"
    r"(?:exam(?:ination)?|study|request|visit|referral)|request|presenting\s+complaint"
    r"|mechanism(?:\s+of\s+injury)?|referral|question",
    Section.COMPARISON: r"comparisons?(?:\s+(?:studies|study|films?))?|compared\s+(?:with|to)"
    r"|(?:prior|previous|last|old|earlier|copied|initial|outside|preliminary)\s+(?:\w+\s+)?"
    r"(?:stud(?:y|ies)|exams?|examinations?|imaging|films?|radiographs|x-?rays?|reports?|impression"
    r"|findings|conclusion|procedure\s+descriptions?)(?:\s+(?:of|from|dated)\s+[^:\n]{1,30})?",
    Section.TITLE: r"exam(?:ination)?(?:\s+(?:type|performed))?|study|procedure|technique|views?"
    r"|protocol|title|modality|projections?"
    r"|(?:current\s+)?(?:imaging\s+)?procedure\s+descriptions?",
    Section.FINDINGS: r"(?:radiographic\s+|x-?ray\s+)?findings?|(?:original\s+|full\s+)?report"
    r"|results?|observations?|description|procedure\s+findings?"
    r"|(?:current|present|today's|this)\s+(?:stud(?:y|ies)|exam(?:ination)?|films?|images?|imaging"
    r"|radiographs?|x-?rays?|reports?|findings)(?:,[^:\n]{1,30})?|current(?:ly)?|today",
    Section.IMPRESSION: r"(?:final\s+)?impressions?|conclusions?|opinion|summary|assessment"
    r"|(?:final\s+)?diagnosis|interpretation|comments?|imp",
    Section.ADDENDUM: r"(?:final\s+|late\s+)?addend(?:um|a)(?:\s+#?\d[\d/.-]*)?"
    r"(?:\s+by\s+\w+(?:\s+\w+)?|,[^:\n]{1,30}(?=:))?"
    r"|amendment|corrections?|erratum|(?:amended|corrected|supplementary|revised)\s+report",
    Section.CLOSING: r"recommendations?|plan|(?:electronically\s+)?signed(?:\s+by)?"
    r"|dictated(?:\s+by)?|reported\s+by|radiologist|verified\s+by|transcribed(?:\s+by)?"
    r"|disclaimer|advice|adv|suggestions?|teaching\s+point",
}
_SIDED = (
    r"(?:(?:x-?rays?|xr|radiographs?|plain\s+films?|\d\s+views?)\s+(?:of\s+)?(?:the\s+)?)?"
    r"(?:left|right|lt|rt|both|bilateral|l|r)\b\.?(?:\s+(?:wrists?|hands?|forearms?|side))?"
    r"(?:\s*[,(][^.:\n]{0,40}|\s+(?:x-?rays?|radiographs?|(?:\w+\s+){0,2}views?))?"
)
_HEADING = re.compile(
    r"(?:^|(?<=[.!?;\n])[ ]|(?<=[.!?;\n]))[ ]*(?:[-*•>]+|\d+[.)])?[ *_]*(?:"
    + "|".join(f"(?P<{section}>{words})" for section, words in _HEADINGS.items())
    + rf"|(?P<sided>{_SIDED})(?:\s+(?P<sided_section>findings?|impression))?"
    + r")(?:[ ]?\([^()\n]{0,40}\))?[ *_]*(?::[*_]*|-(?=[ ])|(?=\n|\Z))",
    re.MULTILINE,
)


def sections(flat: str) -> Iterator[tuple[int, int, Section, frozenset[Laterality]]]:
    """Yield from where to where a flattened report is one section, under the heading of a side."""
    headings = [m for m in _HEADING.finditer(flat) if _is_heading(flat, m)]
    # an addendum or an impression is no heading of the report before it
    sectioned = any(_ends_title(flat, m) for m in headings)
    section = Section.TITLE if sectioned else Section.FINDINGS
    side: frozenset[Laterality] = frozenset()
    start = 0
    titled = [m.lastgroup for m in headings]
    told = any(name in titled for name in ("findings", "impression", "sided"))
    for match in headings:
        yield from _ended(flat, start, match.start(), section, side, told=told)
        start = match.end()
        if match["sided"]:
            side = sides_in(match["sided"] + " wrist")
            if match["sided_section"]:
                section = _section_named(match["sided_section"])
            elif section in (Section.TITLE, Section.INDICATION, Section.COMPARISON):
                section = Section.FINDINGS
        else:
            section = Section(match.lastgroup or "")
            side = sides_in(match.group()) if section in _WITH_SIDE else frozenset()
    yield from _ended(flat, start, len(flat), section, side, told=told)


_WITH_SIDE = (Section.FINDINGS, Section.IMPRESSION)


def _ends_title(flat: str, match: re.Match[str]) -> bool:
    """Tell whether what stands before the first heading is a title because of this one."""
    if match["sided"] or match.lastgroup in ("addendum", "impression", "closing"):
        return False
    within = flat[flat.rfind("\n", 0, match.start() + 1) + 1 : match.start()].strip()
    return not within or match.lastgroup in ("indication", "title")


_TOPIC = re.compile(
    r"^[ ]*(?:[-*•]\s*)?(?:(?:distal\s+)?(?:radius|ulna)|ulnar?\s+styloid|(?:carpal\s+)?bones?"
    r"|osseous\s+structures|fractures?|alignment|soft\s+tissues?|joints?|physes|growth\s+plates?"
    r"|hardware)\s*:",
    re.MULTILINE,
)
_STOP = re.compile(r"[.]\s")
_LOOKED = re.compile(
    r"[.?]\s+(?=[^.:]{0,80}\b(?:views?|radiographs?|films?|x-?rays?|projections?"
    r"|images?)\b[^.:]{0,60}"
    r"\b(?:show|demonstrat|reveal|obtained)|[^.:?]{0,60}\b(?:no\s+(?:\w+\s+){0,3}?(?:fracture"
    r"|injury|bony|osseous|break)"
    r"|there\s+(?:is|are)|intact|unremarkable|normal|regular|not\s+been\s+broken|seen)\b)"
)
"""Where a report of one line goes on from what was asked to what was seen."""
_ANSWERED = re.compile(r"[ ]?[^?\n]{3,120}\?[\s\"]*(?:ans(?:wer)?|a|reply|response)[ ]*[:.=-]")
"""A question with its answer at once is no indication."""
_QUOTE = re.compile(r"[ ]?\"[^\"\n]{3,300}\"(?=[ ][a-z])")
"""A request that is quoted ends with its quotation."""
_GAP = re.compile(r"\n[ ]*\n")


def _ended(
    flat: str, start: int, end: int, section: Section, side: frozenset[Laterality], *, told: bool
) -> Iterator[tuple[int, int, Section, frozenset[Laterality]]]:
    """Yield a part, an indication cut where a report without headings goes on to its findings.

    It ends at an empty line, at a bone's own line, and, where no heading of findings follows at
    all (``told`` is False), with its first line.
    """
    if section is Section.INDICATION and _ANSWERED.match(flat, start, end):
        section = Section.FINDINGS
    if section in (Section.INDICATION, Section.COMPARISON, Section.TITLE):
        ends = [m.start() for p in (_GAP, _TOPIC) if (m := p.search(flat, start, end))]
        if section is Section.INDICATION and (quoted := _QUOTE.match(flat, start, end)):
            ends.append(quoted.end())
        first = flat.find("\n", len(flat[:end]) - len(flat[start:end].lstrip()), end)
        if not told and first >= 0:
            ends.append(first)
        elif section is Section.COMPARISON and (turned := NOW.search(flat, start, end)):
            ends.append(turned.start())
        elif not told and section is Section.COMPARISON:
            ends += [m.end() for m in (_STOP.search(flat, start, end),) if m]
        elif not told and (began := _LOOKED.search(flat, start, end)):
            ends.append(began.end())
        cut = min((e for e in ends if flat[start:e].strip()), default=end)
        yield start, cut, section, side
        start, section = cut, Section.FINDINGS
    yield start, end, section, side


def _is_heading(flat: str, match: re.Match[str]) -> bool:
    if flat[match.start() : match.end()].rstrip().endswith((":", "-", "*", "_")):
        return True
    # a heading without a colon stands alone on its line; a bare side is a title, not a heading
    return not match["sided"] and "\n" in flat[match.end() : match.end() + 1]


def _section_named(words: str) -> Section:
    return Section.IMPRESSION if words.startswith("impression") else Section.FINDINGS
