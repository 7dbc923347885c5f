"""A report's text cut into passages: sentences that know their section and side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.advice import advice_from
from pipeline.bone import BONE
from pipeline.dictation import is_dictated, utterances
from pipeline.directive import is_command, is_directive, opens_turn
from pipeline.hearsay import is_hearsay, quotes_in, without_quotes
from pipeline.lexicon import HEAD
from pipeline.prior import is_prior
from pipeline.region import Laterality
from pipeline.section import Section, sections
from pipeline.self_correction import without_slips
from pipeline.side import sides_in
from pipeline.whole_bones import WHOLE

__all__ = ["UNSEEN", "Passage", "Section", "flatten", "passages", "tidied"]


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
    flat = without_slips(flatten(text))
    found = []
    dictated = is_dictated(flat)
    for start, end, section, side in sections(flat):
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
    return tuple(_told_apart(_without_preamble(found), flat))


UNSEEN = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")
"""Characters that take no room: soft hyphens, zero-width spaces and joiners, marks of direction."""
_UNSEEN = dict.fromkeys(map(ord, UNSEEN))


def tidied(text: str) -> str:
    """Return the text with runs of white space collapsed, lines and paragraphs kept.

    Characters that nobody sees are left out: they would hide words from the rules.
    """
    seen = text if text.isascii() else text.translate(_UNSEEN)
    lines = (" ".join(line.split()) for line in seen.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def flatten(text: str) -> str:
    """Return the text in lower case and plain punctuation, character for character."""
    return text.translate(_PLAIN)


_PLAIN = {ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_PLAIN |= dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_PLAIN |= dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
_PLAIN |= dict.fromkeys(map(ord, "\u00a0\u2009\u202f\t\r\f\v"), " ")
_PLAIN |= {0xBA: "°", 0x201C: '"', 0x201D: '"'}

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


_END = re.compile(
    r"(?P<stop>[.!](?=[\s\"')\]]|\Z)|;|\?(?=\s*\n|\s*\Z)(?!\s*(?:ans(?:wer)?|a|reply"
    r"|response)\s*[:.=-]))|(?P<line>\n)"
    r"|(?P<dash>\s-\s(?=known\b|k/c/o\b|c/o\b|case\s+of\b|f/u\b))",
    re.MULTILINE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?P<always>approx|dist|prox|dr|vs|incl|resp|e\.g|i\.e|p\.a|a\.p|d\.p|uln|rad)"
    r"|(?:^|(?<=[\s.(]))(?P<letter>[a-z])"
    r"|\b(?P<often>fx|deg|lt|rt|metaph|displ|ang|min|mod|tr|transv|wks?|inj|frac|susp|mild|ant"
    r"|post)"
    r"|(?:^|\n)\s*\d+)$"
)


def _abbreviates(flat: str, text: str, first: int, stop: int) -> bool:
    """Tell whether a full stop ends an abbreviation, and no sentence."""
    found = _ABBREVIATION.search(flat[max(first, stop - 12) : stop])
    if not found:
        return False
    # "angulated 31 deg. Ulna intact." is two sentences, as is "# DR. No other #."
    if text[stop - 3 : stop].strip() == "DR":
        return False
    return not (found["often"] and re.match(r"\s*[A-Z]", text[stop + 1 : stop + 4]))


_ANSWER = re.compile(r"\s*(?:ans(?:wer)?|a|reply|response)\s*[:.=-]")
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
    if flat[first:newline].endswith("?") and _ANSWER.match(following):
        return False
    if not following.strip() or following.lstrip(" ").startswith("\n") or _BULLET.match(following):
        return True
    line = flat[flat.rfind("\n", 0, newline) + 1 : newline].rstrip()[-_LONGEST:]
    if is_directive(line):
        return True
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
    r"|rule\s+out|r/o|complain\w*|trampoline|sports?)\b|\?|^\W*(?:the\s+)?(?:request|referral"
    r"|referrer|form|order|requisition)\b"
)
_TOLD = re.compile(
    r"\b(?:fell|fall|foosh|fallen|pain|tender\w*|year[- ]old|y/?o|hit|accident|complain\w*"
    r"|trampoline|sports?)\b"
)
_SEEN = re.compile(
    r"\b(?:no\s+(?:\w+\s+){0,6}?(?:bony|osseous|fracture|injury|break)|none|regular|inconspicuous"
    r"|escaped|not\s+been"
    r"|(?:is|are)\s+not|was\s+(?:imaged|x-?rayed|radiographed)|neither|not\s+(?:injured|fractured"
    r"|involved|broken)|spared|normal|intact|unremarkable"
    r"|there\s+(?:is|are|isn't|aren't)|seen|shows?|demonstrat\w+|noted|identified|visible|evident"
    r"|reveals?)\b|=\s*[a-z]"
    r"|\?\W*(?:(?:ans(?:wer)?|a|reply|response|result)\s*[:.-]+\s*)?(?:no|none|nil|not|negative"
    r"|positive|yes|it\s+(?:is|was|has|does)|there)\b|(?:cannot|can\s*not|not|difficult\s+to"
    r"|hard\s+to)\s+(?:be\s+)?exclu"
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
            queried = (number or words.startswith("?")) and _QUERIED.match(words)
            # "Galeazzi injury: fracture of the radius" is seen, "hurt in sports, fracture" was told
            stated = HEAD.search(words) and BONE.search(words) and not asked
            told = (_TOLD if stated else _PREAMBLE).search(words)
            preamble = told and not queried and (asked or not typed)
            if not headed and not said and preamble:
                section = Section.INDICATION
            elif number == 0 and not said and _TITLED.search(words) and _is_bare(words):
                section = Section.TITLE
        yield Passage(passage.start, words, section, passage.side)


_RESUMED = re.compile(
    rf"(?:the\s+)?(?:distal\s+)?(?:radius|ulna|(?:ulnar\s+)?styloid|carpal\s+bones|bones)\b"
    rf"[^.;]{{0,60}}\b{WHOLE}\s*[.]?$"
)


def _resumes(passage: Passage) -> bool:
    """Tell whether advice is over on its own line: "Adv: review. Ulna and styloid normal."."""
    return passage.section is Section.CLOSING and bool(_RESUMED.match(passage.words))


_READ = frozenset((Section.TITLE, Section.FINDINGS, Section.IMPRESSION, Section.ADDENDUM))


def _told_apart(found: Iterator[Passage], flat: str) -> Iterator[Passage]:
    """Yield the passages with orders, advice and what is told of earlier studies named as such."""
    ordered = in_turn = in_quote = False
    titled: frozenset[Laterality] = frozenset()
    end = 0
    for passage in found:
        words = passage.words
        if "\n" in flat[end : passage.start]:
            in_turn = in_quote = False
        end = passage.start + len(words)
        # the end of a quotation may stand before the next sentence
        in_quote = in_quote and not words.startswith('"')
        ordered = in_turn or is_directive(words) or (ordered and is_command(words))
        in_turn = ordered and (in_turn or opens_turn(words))
        quoted = words.count('"') % 2 == 1
        if ordered:
            yield replace(passage, section=Section.DIRECTIVE)
        elif passage.section not in _READ:
            yield replace(passage, section=Section.FINDINGS) if _resumes(passage) else passage
        elif in_quote or is_prior(words) or is_hearsay(words) or _of_other_side(words, titled):
            yield replace(passage, section=Section.COMPARISON)
            in_quote = in_quote != quoted
        else:
            titled = titled or sides_in(words)
            for first, last in quotes_in(words):
                quote = passage.words[first:last]
                start = passage.start + first
                yield replace(passage, start=start, words=quote, section=Section.COMPARISON)
            yield from _without_advice(replace(passage, words=without_quotes(words)))


_KNOWN = re.compile(
    r"\b(?:known|under\s+treatment|previous(?:ly)?|prior|earlier|old|last\s+(?:year|month|week)"
    r"|(?:years?|months?|weeks?|days?)\s+(?:ago|back|earlier)|in\s+(?:19|20)\d\d|history)\b"
)


def _of_other_side(words: str, titled: frozenset[Laterality]) -> bool:
    """Tell whether a known fracture is of the side that the report is not about."""
    if len(titled) != 1 or not _KNOWN.search(words) or not HEAD.search(words):
        return False
    sides = sides_in(words)
    return bool(sides) and not sides & titled


def _without_advice(passage: Passage) -> Iterator[Passage]:
    start = advice_from(passage.words)
    if start is None:
        yield passage
        return
    if start:
        yield replace(passage, words=passage.words[:start].rstrip())
    words = passage.words[start:]
    yield replace(passage, start=passage.start + start, words=words, section=Section.CLOSING)


def _is_bare(words: str) -> bool:
    return not re.search(
        r"#|fract|\bfxs?\b|buckl|torus|salter|\bs-?h\b|greenstick|avuls|normal|intact|unremarkable"
        r"|\bno\b|\bnbi\b|\bnad\b|\bnl\b|\bneg\b|\bok\b|negative|clear|nothing|regular|abnormal"
        r"|swell|swollen|\bsts\b|callus|lesion|island|foreign|cyst|osteop|disloc|lucen|line\b"
        r"|phys[ei]s|broken|plate\b",
        words,
    )
