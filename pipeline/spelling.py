"""Key words of wrist reports spelled right, so that the patterns read through slips.

Only longer words are looked at, and only those that are no word themselves as far as is known
here: a slip is one edit (an added, missing, wrong or swapped letter), in a long word two, away
from a key word with the same first letter. What is corrected is read, never quoted: lengths change.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["spelled"]

_KEY_LIST = """
acute acutely alignment anatomic anatomical angulated angulation avulsed avulsion avulsions
backslab bilateral bridged bridging buckle buckling callus carpal carpus comminuted cortical
degrees diaphyseal diaphysis dislocated dislocation displaced displacement distal dorsal dorsally
epiphyseal epiphysis evidence excluded fiberglass fibreglass forearm foreign fracture fractured
fractures greenstick hardware healed healing identified immobilisation immobilised immobilization
immobilized impacted included including intact lesion metacarpal metaphyseal metaphyses metaphysis
mildly minimal minimally moderate moderately nondisplaced nonunion normal oblique osteopenia
osteopenic periosteal physeal physis plaster plastic possible previous previously radial radius
reaction remodeled remodeling remodelled remodelling scaphoid sclerosis sclerotic screws severe
severely slight slightly splint styloid swelling swollen torus transverse triquetral ulnar
undisplaced united unremarkable visible wrist wrists
"""
_KEY = frozenset(_KEY_LIST.split())
_WORDS_LIST = """
alignments anatomically applied assignment bridge calls canal careful carpals carpet cartilage
commented contact corpus cortically dealing degree dental dispersal dispersed displayed displays
disposal dissociation distally distant dorsalis dorsum evident exclude excludes foreseen formal
fracturing headed heading healer healthy hearing heated heating hurting identifies include
included includes inducing initial intake involving lateral lesions lesson limited location
locations manual maximally metatarsal mildest minimise minimize moderator normally oblique
obliquely obliques palmar partial physes physically physics placement planted plastered platelet
platform positive possibly previews prevision radially radiate radical radios radium reacting
reactions reactive reduction rejection remodels replacement sclerosed seven sever several severity
sight slightest spelling spline splints split spoiling steroid swells transfers traverse traversed
traverses traversing ulnarly unites units unity visibility visibly visit waist waists write writes
"""
_WORDS = frozenset(_WORDS_LIST.split())
"""Words that are no slip of a key word, however near."""

_LETTERS = re.compile(r"[a-z]{5,16}")
_SOUNDALIKES = (
    (re.compile(r"\btype\s+(?:too|to)\b"), "type 2"),
    (re.compile(r"\bfraction(?=s?\b)(?!s?\s+of\s+an?\b)"), "fracture"),
    (
        re.compile(r"\bsalter[\s-]+(?:hair\s+is|harass|harrison|heiress|hairs|harry'?s?)\b"),
        "salter harris",
    ),
    (re.compile(r"\bcallous\b"), "callus"),
    (re.compile(r"\bdisc\s+location\b"), "dislocation"),
    (re.compile(r"\b(left|right)\s+rest\b"), r"\1 wrist"),
)
"""What a dictation machine writes for what it heard."""
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60}
_UP_TO_NINETEEN = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_ONES = {word: number for number, word in enumerate(_UP_TO_NINETEEN.split(), start=1)}
_SPOKEN = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})[\s-]?)?(?P<ones>{'|'.join(sorted(_ONES, reverse=True))})?\b"
    r"(?=[\s-]+(?:(?:to|or)\s+\w+\s+)?(?:degrees?|percent|per\s+cent|millimet\w+)\b)"
)


def spelled(words: str) -> str:
    """Return flattened words with slips in key words mended and spoken measures in figures."""
    mended = _LETTERS.sub(_mended, words)
    if "degree" in mended or "cent" in mended or "millimet" in mended:
        mended = _SPOKEN.sub(_figure, mended)
    for heard, said in _SOUNDALIKES:
        mended = heard.sub(said, mended)
    return mended


def _mended(match: re.Match[str]) -> str:
    begin, end = match.span()
    whole = match.string
    if (begin and whole[begin - 1].isalnum()) or (end < len(whole) and whole[end].isalnum()):
        return match.group()
    return _key_word(match.group())


def _figure(match: re.Match[str]) -> str:
    if not match.group():
        return ""
    return str(_TENS.get(match["tens"], 0) + _ONES.get(match["ones"], 0))


@lru_cache(maxsize=8192)
def _key_word(word: str) -> str:
    if word in _KEY or word in _WORDS or word.removesuffix("s") in _KEY:
        return word
    allowed = 2 if len(word) >= 9 else 1
    near = [
        (distance, key)
        for key in _BY_FIRST.get(word[0], ())
        if abs(len(key) - len(word)) <= allowed
        and (distance := _distance(word, key, allowed)) <= allowed
    ]
    return min(near)[1] if near else word


_BY_FIRST: dict[str, tuple[str, ...]] = {
    first: tuple(sorted(key for key in _KEY if key[0] == first)) for first in {k[0] for k in _KEY}
}


def _distance(one: str, other: str, most: int) -> int:
    """Return the edits between two words (optimal string alignment), more than ``most`` early."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, against in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
