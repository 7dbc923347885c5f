"""The sides, left and right, that words name."""

from __future__ import annotations

import re

from pipeline.region import Laterality

__all__ = ["corrected_side", "sides_in"]


def sides_in(words: str) -> frozenset[Laterality]:
    """Return the sides that flattened words name as those that are reported.

    Not the side that is only compared with, was not imaged, of a knee, or in "he left".
    """
    return frozenset(
        side
        for match in _SIDE.finditer(words)
        if not match["against"] and not _is_no_side(words, match)
        for side in (_BOTH if match["both"] else (_side(match),))
    )


def corrected_side(words: str) -> Laterality | None:
    """Return the side that an addendum corrects a report to: "wrong heading, it is the right"."""
    if not _WRONG.search(words):
        return None
    for pattern in (_SHOULD_READ, _IS_OF):
        named = {side for m in pattern.finditer(words) for side in sides_in(m.group())}
        if len(named) == 1:
            return named.pop()
    named = set(sides_in(_INCORRECT.sub(" ", words)))
    return named.pop() if len(named) == 1 else None


_BOTH = (Laterality.LEFT, Laterality.RIGHT)
# a lone letter is a side only beside what has one
_LETTER = (
    r"(?:\({0}\)|(?<=wrist ){0}\b|(?<=wrist, ){0}\b"
    r"|(?<![\w.]){0}\.?(?=\s+(?:wrist|hand|forearm|elbow|thumb|finger|arm|scaphoid|fa\b|distal"
    r"|dist\b|dr\b|radius|radial"
    r"|ulnar?|#))"
    r"|(?<=side: ){0}\b)"
)
_SIDE_WORD = r"(?:left|right|lt|rt)"
_UNSEEN = (
    r"(?:not|never)\s+(?:been\s+)?(?:\w+ly\s+)?(?:imaged|x-?rayed|radiographed|examined|requested"
    r"|included|filmed|shown|obtained|taken|performed|acquired|available"
    r"|reported)|by\s+mistake|in\s+error|by\s+error|wrongly|mistakenly|erroneously"
)
_SIDE = re.compile(
    # one look at where a word or bracket starts instead of one for each alternative
    r"(?:\b(?=[abceilmnrst])|(?=\())(?:(?P<against>\b(?:compared|comparison|relative|similar"
    r"|identical|symmetric\w*|equal|same\s+as)"
    r"\s+(?:with|to|on)\s+(?:(?:that|those|the\s+one)\s+(?:of|on)\s+)?"
    r"(?:the\s+)?(?:normal\s+|opposite\s+|contralateral\s+|asymptomatic\s+|uninjured\s+)?(?:left"
    r"|right)\b"
    rf"|\bto\s+the\s+{_SIDE_WORD}\s+of\b|\b(?:is|are|was|were|what's|that's|has)\s+left\s+of\b"
    rf"|(?<!the )(?<!on )\bleft\s+(?:his|her|their|our|my|home"
    rf"|school|work|hospital)\b|\b{_SIDE_WORD}(?:\s+(?:wrist|side|hand|one))?\s+(?:was|is|were"
    rf"|has\s+been)?\s*(?:only\s+)?(?:taken|done|filmed|imaged|obtained|included"
    rf"|shown)\s+(?:only\s+)?"
    rf"for\s+comparison\s+only\b|\b(?:nothing|anything|none)\s+left\b|\bleft\s+over\b"
    rf"|\b(?:not|never|instead\s+of|rather\s+than|leave|leaving|mistaken\s+for)\s+(?:(?:on|of|at"
    rf"|for)\s+)?(?:the\s+)?{_SIDE_WORD}\b"
    rf"|\b{_SIDE_WORD}(?:-sided)?\s+(?:\w+\s+){{0,5}}?(?:{_UNSEEN})\b"
    r")|"
    r"\b(?P<both>bilateral(?:ly)?|both\s+(?:\w+\s+)?(?:wrists?|hands|sides|forearms)"
    r"(?!\s+(?:\w+\s+){0,2}?(?:deferred|declined|omitted|cancelled|refused|not))"
    r"|either\s+(?:wrist|side(?!\s+of)))\b"
    r"|\b(?P<left>left|lfet|letf|lef|lft|lt)\b(?!-hand)|\b(?P<right>right|rigth|rihgt|rght|rigt"
    r"|rt)\b(?!-hand)"
    rf"|(?P<l>{_LETTER.format('l')})|(?P<r>{_LETTER.format('r')})"
    r")"
)
_ELSEWHERE = re.compile(
    r"\s+(?:knee|foot|ankle|hip|leg|eye|ear|toes?|tibia|femur|lung|shoulder|clavicle|thigh"
    r"|hand(?:ed(?:ness)?|\s+domina\w+)|domina\w+|angles?\b)"
)
_PLACE = (
    r"(?:wrist|hand|forearm|arm|side|radi\w+|uln\w+|distal|styloid|#|fract\w*|carp\w+|one|hand)"
)
_WENT = re.compile(
    r"\b(?:was|were|been|be|being|is|are|has|have|had|he|she|who|it|they|patient|child|and|then|boy"
    r"|girl)\s+$"
)
_GOING = re.compile(
    r"\s+(?:alone|untreated|to\s|as\s+it|behind|open|unreduced|out\b|the\s|with|him|her|over\b"
    r"|in\s+(?:place|situ|plaster|cast|a\b|the\b)"
    r"|on\b|school|hospital|home|undisturbed|for\b|before|without)"
)
_RIGHT_SO = re.compile(r"\s+(?:away|now|after|before|through|across|next|down|up)\b")


def _side(match: re.Match[str]) -> Laterality:
    return Laterality.LEFT if match["left"] or match["l"] else Laterality.RIGHT


def _is_no_side(words: str, match: re.Match[str]) -> bool:
    """Tell whether the word is of another part of the body, or no side at all."""
    if match["both"]:
        return False
    if _ELSEWHERE.match(words, match.end()):
        return True
    if match["left"]:
        placed = re.match(rf"\s+{_PLACE}\b", words[match.end() : match.end() + 20])
        return not placed and bool(
            _WENT.search(words, max(0, match.start() - 20), match.start())
            and _GOING.match(words, match.end())
        )
    if match["right"]:
        return bool(
            _RIGHT_SO.match(words, match.end())
            or re.search(r"\b(?:all|quite|that's|is\s+that)\s+$", words[: match.start()])
        )
    return False


_WRONG = re.compile(
    r"\bfor\s+[\"']?(?:left|right)[\"']?,?\s+(?:please\s+)?read\b|\b(?:wrong(?:ly)?|incorrect\w*"
    r"|erroneous\w*|mistake\w*|mislabel\w*|error|laterality|should\s+(?:read"
    r"|be|say|have\s+\w+)"
    r"|correct(?:ion|ed|s)?|(?:in|of)\s+fact|not\s+(?:of\s+)?(?:the\s+)?(?:left|right)|swapped"
    r"|transposed|side\s+marker)\b"
)
_SHOULD_READ = re.compile(
    r"\b(?:should|must|ought\s+to)\s+(?:read|be|say|have\s+(?:read|been"
    r"|said))\s+(?:as\s+)?(?:the\s+)?[\"']?(?:left|right)\b"
    r"|\b(?:changed|corrected|amended)\s+(?:from\s+\"?\w+\"?\s+)?to\s+[\"']?(?:left|right)\b"
    r"|(?<=please )read\s+[\"']?(?:left|right)\b"
    r"|\bread\s+[\"']?(?:left|right)[\"']?\s+(?:for|instead|throughout|not)\b"
)
_IS_OF = re.compile(
    r"\b(?:is|are|was|were|shows?)\s+(?:(?:in\s+fact|actually|of|indeed)\s+)*(?:the\s+)?(?:left"
    r"|right)\b"
    rf"(?!\s+(?:\w+\s+){{0,3}}?(?:{_UNSEEN}))"
    r"|\b(?:left|right)\s+(?:wrist|hand|side|forearm|one)\s+(?:was|is"
    r"|has\s+been)\s+(?:\w+ly\s+)?(?:imaged|x-?rayed"
    r"|radiographed|examined|filmed|injured|the\s+injured)\b"
)
_INCORRECT = re.compile(
    r"\b(?:references?|title[ds]?|labell?ed|heading|says?|said|states?|stated|dictated"
    r"|marked)\b[^.;]{0,30}?"
    r"\b(?:left|right)\b|\b(?:wrong\w*|incorrect\w*|erroneous\w*)\b[^.;]{0,30}?\b(?:left|right)\b"
)
