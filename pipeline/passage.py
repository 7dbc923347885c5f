"""A report's text cut into passages: sentences that know their section and side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.dictation import is_dictated, utterances
from pipeline.region import Laterality

__all__ = ["Passage", "Section", "flatten", "language_of", "passages", "sides_in", "tidied"]


class Section(StrEnum):
    """What part of a report a sentence stands in."""

    TITLE = "title"
    INDICATION = "indication"
    COMPARISON = "comparison"
    FINDINGS = "findings"
    IMPRESSION = "impression"
    ADDENDUM = "addendum"
    CLOSING = "closing"


@dataclass(frozen=True)
class Passage:
    """One sentence.

    ``words`` is the sentence in lower case with plain punctuation, of the same length as the
    original that starts at ``start``, so that an offset in one is an offset in the other.
    ``side`` is that of the heading it stands under, if any.
    """

    start: int
    words: str
    section: Section
    side: frozenset[Laterality]


def passages(text: str) -> tuple[Passage, ...]:
    """Cut a report into sentences, in reading order, headings left out.

    Runs of white space are to be collapsed before (`tidied`): patterns may be slow on them.
    """
    flat = flatten(text)
    found = []
    dictated = is_dictated(flat)
    for start, end, section, side in _parts(flat):
        for first, last in _sentences(flat, text, start, end):
            words = flat[first:last].replace("\n", " ")
            if not dictated:
                found.append(Passage(first, words, section, side))
                continue
            current = section
            for begin, piece, heading in utterances(words):
                current = _SPOKEN.get(heading.split(" ")[0], current)
                found.append(Passage(first + begin, piece, current, side))
                if current in (Section.INDICATION, Section.COMPARISON):
                    current = Section.FINDINGS
    return tuple(_without_preamble(found))


def tidied(text: str) -> str:
    """Return the text with runs of white space collapsed, lines and paragraphs kept."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def flatten(text: str) -> str:
    """Return the text in lower case and plain punctuation, character for character."""
    return text.translate(_PLAIN)


def sides_in(words: str) -> frozenset[Laterality]:
    """Return the sides that flattened words name."""
    return frozenset(
        side
        for match in _SIDE.finditer(words)
        if not match["against"]
        for side in (_BOTH if match["both"] else (_side(match),))
    )


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a report's language, ``und`` where it cannot be told.

    A vote of frequent words; a report too short to vote is taken for English.
    """
    letters = "" if text.isascii() else [c for c in text if c.isalpha()]
    if letters and sum(c > "\u024f" for c in letters) > len(letters) / 2:
        return "und"
    words = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    votes = {code: sum(words[word] for word in common) for code, common in _COMMON.items()}
    best = max(votes, key=lambda code: (votes[code], code == "en"))
    return best if votes[best] >= 2 and votes[best] > votes["en"] else "en"


_PLAIN = {ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_PLAIN |= dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_PLAIN |= dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
_PLAIN |= dict.fromkeys(map(ord, "\u00a0\u2009\u202f\t\r\f\v"), " ")
_PLAIN |= {0xBA: "°", 0x201C: '"', 0x201D: '"'}

_BOTH = (Laterality.LEFT, Laterality.RIGHT)
# a lone letter is a side only beside what has one
_LETTER = (
    r"(?:\({0}\)|(?<=wrist ){0}\b|(?<=wrist, ){0}\b"
    r"|(?<![\w.]){0}\.?(?=\s+(?:wrist|hand|forearm|elbow|fa\b|distal|dist\b|dr\b|radius|radial|ulnar?|#))"
    r"|(?<=side: ){0}\b)"
)
_SIDE = re.compile(
    # one look at where a word or bracket starts instead of one for each alternative
    r"(?:\b(?=[bceilrs])|(?=\())(?:(?P<against>\b(?:compared|comparison|relative|similar|identical|symmetric\w*)\s+(?:with|to)\s+"
    r"(?:the\s+)?(?:normal\s+|opposite\s+|contralateral\s+|asymptomatic\s+)?(?:left|right)\b)|"
    r"\b(?P<both>bilateral(?:ly)?|both\s+(?:wrists?|hands|sides|forearms)"
    r"(?!\s+(?:\w+\s+){0,2}?(?:deferred|declined|omitted|cancelled|refused|not))"
    r"|either\s+(?:wrist|side(?!\s+of)))\b"
    r"|\b(?P<left>left|lfet|letf|lt)\b(?!-handed)|\b(?P<right>right|rigth|rihgt|rght|rt)\b(?!-handed)"
    rf"|(?P<l>{_LETTER.format('l')})|(?P<r>{_LETTER.format('r')})"
    r")"
)


def _side(match: re.Match[str]) -> Laterality:
    return Laterality.LEFT if match["left"] or match["l"] else Laterality.RIGHT


_HEADINGS = {
    Section.INDICATION: r"(?:clinical\s+)?indications?(?:\s+for\s+\w+)?|(?:relevant\s+)?clinical"
    r"(?:\s+(?:history|information|info|details|data|context|question|presentation|background"
    r"|notes?|statement))?|(?:patient\s+|medical\s+)?history|hx|reason\s+for\s+(?:the\s+)?"
    r"(?:exam(?:ination)?|study|request|visit|referral)|request|presenting\s+complaint"
    r"|mechanism(?:\s+of\s+injury)?|referral|question",
    Section.COMPARISON: r"comparisons?(?:\s+(?:studies|study|films?))?|compared\s+(?:with|to)"
    r"|(?:prior|previous)\s+(?:stud(?:y|ies)|exams?|examinations?|imaging|films?|radiographs"
    r"|procedure\s+descriptions?)",
    Section.TITLE: r"exam(?:ination)?(?:\s+(?:type|performed))?|study|procedure|technique|views?"
    r"|protocol|title|modality|projections?|(?:current\s+)?(?:imaging\s+)?procedure\s+descriptions?",
    Section.FINDINGS: r"(?:radiographic\s+|x-?ray\s+)?findings?|(?:original\s+|full\s+)?report"
    r"|results?|observations?|description|procedure\s+findings?",
    Section.IMPRESSION: r"(?:final\s+)?impressions?|conclusions?|opinion|summary|assessment"
    r"|(?:final\s+)?diagnosis|interpretation|comments?|imp",
    Section.ADDENDUM: r"addend(?:um|a)(?:\s+#?\d+)?(?:\s*\([^()\n]{0,40}\))?|amendment"
    r"|amended\s+report|corrections?"
    r"|corrected\s+report|supplementary\s+report|revised\s+report",
    Section.CLOSING: r"recommendations?|plan|(?:electronically\s+)?signed(?:\s+by)?"
    r"|dictated(?:\s+by)?|reported\s+by|radiologist|verified\s+by|transcribed(?:\s+by)?|disclaimer",
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
    + r")[ *_]*(?::[*_]*|-(?=[ ])|(?=\n|\Z))",
    re.MULTILINE,
)


def _parts(flat: str) -> Iterator[tuple[int, int, Section, frozenset[Laterality]]]:
    headings = [m for m in _HEADING.finditer(flat) if _is_heading(flat, m)]
    # an addendum or an impression is no heading of the report before it
    sectioned = any(
        m.lastgroup not in ("addendum", "impression") and not m["sided"] for m in headings
    )
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
            section, side = Section(match.lastgroup or ""), frozenset()
    yield from _ended(flat, start, len(flat), section, side, told=told)


_TOPIC = re.compile(
    r"^[ ]*(?:[-*•]\s*)?(?:(?:distal\s+)?(?:radius|ulna)|ulnar?\s+styloid|(?:carpal\s+)?bones?"
    r"|osseous\s+structures|fractures?|alignment|soft\s+tissues?|joints?|physes|growth\s+plates?"
    r"|hardware)\s*:",
    re.MULTILINE,
)
_STOP = re.compile(r"[.]\s")
_LOOKED = re.compile(
    r"[.]\s+(?=[^.:]{0,80}\b(?:views?|radiographs?|films?|x-?rays?|projections?|images?)\b[^.:]{0,60}"
    r"\b(?:show|demonstrat|reveal|obtained)|[^.:]{0,60}\b(?:no\s+(?:acute\s+)?(?:fracture|bony|osseous)"
    r"|there\s+(?:is|are)|intact|unremarkable|seen)\b)"
)
"""Where a report of one line goes on from what was asked to what was seen."""
_GAP = re.compile(r"\n[ ]*\n")


def _ended(
    flat: str, start: int, end: int, section: Section, side: frozenset[Laterality], *, told: bool
) -> Iterator[tuple[int, int, Section, frozenset[Laterality]]]:
    """Yield a part, an indication cut where a report without headings goes on to its findings.

    It ends at an empty line, at a bone's own line, and, where no heading of findings follows at
    all (``told`` is False), with its first line.
    """
    if section in (Section.INDICATION, Section.COMPARISON, Section.TITLE):
        ends = [m.start() for p in (_GAP, _TOPIC) if (m := p.search(flat, start, end))]
        first = flat.find("\n", len(flat[:end]) - len(flat[start:end].lstrip()), end)
        if not told and first >= 0:
            ends.append(first)
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


_SPOKEN = {
    "impression": Section.IMPRESSION,
    "conclusion": Section.IMPRESSION,
    "findings": Section.FINDINGS,
    "indication": Section.INDICATION,
    "clinical": Section.INDICATION,
    "history": Section.INDICATION,
    "comparison": Section.COMPARISON,
    "addendum": Section.ADDENDUM,
}
"""What a heading that was only spoken begins, by its first word."""


def _section_named(words: str) -> Section:
    return Section.IMPRESSION if words.startswith("impression") else Section.FINDINGS


_END = re.compile(r"(?P<stop>[.!](?=[\s\"')\]]|\Z)|;|\?(?=\s*\n|\s*\Z))|(?P<line>\n)", re.MULTILINE)
_ABBREVIATION = re.compile(
    r"(?:\b(?P<always>approx|dist|prox|dr|vs|incl|resp|e\.g|i\.e|p\.a|a\.p|d\.p|uln|rad)"
    r"|(?:^|(?<=[\s.(]))(?P<letter>[a-z])"
    r"|\b(?P<often>fx|deg|lt|rt|metaph|displ|ang|min|mod|tr|transv|wks?|inj|frac|susp|mild|ant|post)"
    r"|(?:^|\n)\s*\d+)$"
)


def _abbreviates(flat: str, text: str, first: int, stop: int) -> bool:
    """Tell whether a full stop ends an abbreviation, and no sentence."""
    found = _ABBREVIATION.search(flat[max(first, stop - 12) : stop])
    if not found:
        return False
    # "angulated 31 deg. Ulna intact." is two sentences
    return not (found["often"] and re.match(r"\s*[A-Z]", text[stop + 1 : stop + 4]))


_BULLET = re.compile(r"\s*(?:[-*•>]|\d+[.)]\s)")


def _sentences(flat: str, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    first = start
    for match in _END.finditer(flat, start, end):
        if match["line"]:
            if not _breaks(flat, first, match.start(), end):
                continue
        elif match["stop"] == "." and _abbreviates(flat, text, first, match.start()):
            continue
        yield from _trimmed(flat, first, match.end())
        first = match.end()
    yield from _trimmed(flat, first, end)


def _breaks(flat: str, first: int, newline: int, end: int) -> bool:
    """Tell whether a line's end is a sentence's end, or the text was only wrapped there."""
    following = flat[newline + 1 : end]
    if not following.strip() or following.lstrip(" ").startswith("\n") or _BULLET.match(following):
        return True
    line = flat[flat.rfind("\n", 0, newline) + 1 : newline].rstrip()
    return len(line) < 45 and not line.endswith((",", " and", " of", " the", " with", " or"))


_LONGEST = 1000
"""No sentence is longer; what is, is cut, so that reading it takes no time without end."""


def _trimmed(flat: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    while last - first > _LONGEST:
        space = flat.rfind(" ", first + 1, first + _LONGEST)
        cut = space if space > first else first + _LONGEST
        yield from _trimmed(flat, first, cut)
        first = cut
    piece = flat[first:last]
    if any(c.isalpha() or c == "#" for c in piece):
        left = len(piece) - len(piece.lstrip())
        yield first + left, first + len(piece.rstrip())


_PREAMBLE = re.compile(
    r"\b(?:fell|fall|foosh|fallen|trauma|injur(?:y|ed)|pain|tender\w*|year[- ]old|y/?o|hit|accident"
    r"|rule\s+out|r/o|complain\w*|trampoline|sports?)\b|\?"
)
_SEEN = re.compile(
    r"\b(?:no\s+(?:acute\s+)?(?:bony|osseous|fracture)|none|neither|not\s+(?:injured|fractured|involved|broken)|spared|normal|intact|unremarkable"
    r"|there\s+(?:is|are)|seen|shows?|demonstrat\w+|noted|identified|visible|evident|reveals?)\b"
)
_QUERIED = re.compile(r"\?[^.?]*\b(?:vs|rad|radius|radial|uln\w*|styloid|phys\w+|metaph\w*)\b")
_TITLED = re.compile(
    r"\b(?:x-?rays?|xr|radiographs?|wrists?|cr|dx|views?|study|plain\s+films?|ap|pa|lat(?:eral)?)\b"
)


def _without_preamble(found: list[Passage]) -> Iterator[Passage]:
    """Yield the passages with an unheaded title and indication named as such."""
    headed = any(p.section is Section.INDICATION for p in found)
    for number, passage in enumerate(found):
        section = passage.section
        words = passage.words
        if number < 3 and section in (Section.FINDINGS, Section.TITLE) and not passage.side:
            said = _SEEN.search(words)
            asked = "?" in words or re.search(r"\b(?:rule|r/o|query|evaluate|exclude)\b", words)
            typed = re.search(
                r"\b(?:salter|s-?h[\s-]?[iv\d]|buckl|torus|greenstick|avulsi|physeal\s+inj)", words
            )
            queried = number and _QUERIED.match(words)
            preamble = _PREAMBLE.search(words) and not queried and (asked or not typed)
            if not headed and not said and preamble:
                section = Section.INDICATION
            elif number == 0 and not said and _TITLED.search(words) and _is_bare(words):
                section = Section.TITLE
        yield Passage(passage.start, words, section, passage.side)


def _is_bare(words: str) -> bool:
    return not re.search(
        r"#|fract|\bfxs?\b|buckl|torus|salter|\bs-?h\b|greenstick|avuls|normal|intact|unremarkable"
        r"|\bno\b|abnormal|swell|swollen|\bsts\b|callus|lucen|line\b|phys[ei]s|broken|plate\b",
        words,
    )


_FREQUENT = {
    "en": (
        "the of is are no and with there in to a seen left right fracture distal without wrist "
        "for at this has been normal view views"
    ),
    "de": (
        "der die das und mit ohne kein keine keinen nicht ist des im am dem den eine einer fraktur "
        "handgelenk links rechts befund beurteilung distale distalen distaler ebenen nachweis "
        "zustand knöcherne"
    ),
    "fr": (
        "le la les de du des et avec sans pas une un est au aux poignet gauche droit droite "
        "visible radiographie absence extrémité inférieure"
    ),
    "es": (
        "el la los las de del y con sin se no una un es en fractura muñeca izquierda derecha "
        "radio cúbito observa distal"
    ),
    "it": (
        "il la lo le di del della e con senza non una un è frattura polso sinistro destro radio "
        "distale evidenza"
    ),
    "pt": (
        "o a os as de do da e com sem não uma um é fratura punho esquerdo direito rádio observa "
        "distal"
    ),
    "nl": (
        "de het een van en met geen zonder is in fractuur pols links rechts linker rechter distale "
        "aanwijzingen"
    ),
    "tr": (
        "ve ile bir yok izlenmedi izlendi kırık el bilek bileği sol sağ grafisi mevcut saptanmadı "
        "hattı"
    ),
    "pl": "i w z na bez nie jest złamanie nadgarstka lewego prawego kości cech",
}
_COMMON = {code: frozenset(words.split()) for code, words in _FREQUENT.items()}
