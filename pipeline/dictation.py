"""Dictated text without punctuation, cut where a new subject with its verb begins."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["is_dictated", "utterances"]

_WORDS_PER_STOP = 20
_SHORTEST = 14


def is_dictated(flat: str) -> bool:
    """Tell whether a flattened report runs on: many words, next to no punctuation."""
    words = len(flat.split())
    stops = len(re.findall(r"[.,;:](?!\d)|\n", flat.rstrip(" .\n")))
    return words >= _SHORTEST and stops * _WORDS_PER_STOP <= words


_VERB = (
    r"(?:is|are|was|were|has|have|had|shows?|appears?|looks?|remains?|measures?|demonstrates?"
    r"|cannot|can)"
)
_QUALIFIERS = "left right distal ulnar radial normal good satisfactory anatomic bone"
_UNQUALIFIED = "".join(rf"(?<!{word} )" for word in _QUALIFIERS.split())
_SUBJECT = (
    rf"(?:there\s+(?:{_VERB}|remains?|persists?)"
    rf"|(?:the|this|these|both|neither|{_UNQUALIFIED}(?:alignment|position|soft\s+tissues?|carpus"
    rf"|ulna|radius|styloid))"
    rf"\s+(?:[\w/-]+\s+){{0,7}}?{_VERB})\b"
)
_HEADING = (
    r"(?P<heading>impression|conclusion|findings|indication|comparison|addendum|history(?!\s+of)"
    r"|clinical\s+(?:question|history|information|details|indication))\b"
)
_BOUNDARY = re.compile(
    r"(?P<spoken>\s(?:full\s+stop|(?<!\ba )(?<!\bthe )(?<!\bthis )period(?!\s+of)"
    r"|new\s+(?:line|paragraph))\b)"
    rf"|(?<=\w)\s(?=(?:{_HEADING}|no\s|{_SUBJECT}))"
    rf"|\s(?:and|but)\s(?=there\s+{_VERB}|(?:both|neither)\s+{_VERB})"
)
_TIED = re.compile(
    r"\b(?:of|in|at|to|with|without|and|or|but|nor|the|a|an|from|through|on|over|across|for|by|than"
    r"|as|which|that|where|near|into|about|along|around|between|both|neither|not|there|if|when"
    rf"|after|since|following|involving|see|find|saw|report|also|no|{_VERB})$"
)


def utterances(words: str) -> Iterator[tuple[int, str, str]]:
    """Yield where each utterance of a run-on sentence begins, its words and its heading."""
    start, heading = 0, ""
    opening = re.match(_HEADING, words)
    if opening:
        heading = opening["heading"]
    for match in _BOUNDARY.finditer(words):
        if not match["spoken"] and _TIED.search(words, start, match.start()):
            continue
        if words[start : match.start()].strip():
            yield from _piece(words, start, match.start(), heading)
            heading = ""
        start = match.end()
        heading = match["heading"] or heading
    if words[start:].strip():
        yield from _piece(words, start, len(words), heading)


def _piece(words: str, start: int, end: int, heading: str) -> Iterator[tuple[int, str, str]]:
    piece = words[start:end]
    left = len(piece) - len(piece.lstrip())
    yield start + left, piece.strip(), heading
