"""What a report tells of an earlier time: prior studies, and how a fracture was before."""

from __future__ import annotations

import re

from pipeline.lexicon import HEAD

__all__ = ["NOW", "is_prior", "without_prior_state"]


def is_prior(words: str) -> bool:
    """Tell whether a flattened sentence is about an earlier study and no more."""
    return bool(_PRIOR_STUDY.match(words) and not _STILL.search(words))


def without_prior_state(words: str) -> str:
    """Return words of the same length with blanks for how a fracture was before.

    "The radial fracture, off-ended in the ED, is now slightly displaced."
    """
    if not _EARLIER.search(words):
        return words
    words = _BRACKET.sub(_blanked, words)
    return _PART.sub(_blanked, words)


_STUDY = (
    r"(?:stud(?:y|ies)|films?|radiographs?|radiograms?|x-?rays?|images?|imaging|examinations?"
    r"|exams?"
    r"|reports?|views?|impressions?|findings|conclusions?|visit|reading|assessment)"
)
_FORMER = (
    r"(?:earlier|previous|prior|last|old|outside|initial|first|preliminary|original|pre-?reduction"
    r"|injury"
    r"|external|former|yesterday'?s?|admission|preceding|copied|copy)"
)
_PRIOR_STUDY = re.compile(
    r"\W*(?:(?:the|an?|his|her|their|on|in|at|from|as|per|according|to|only|copied|copy|carried"
    r"|pasted|over|forward|text|of|quoted?|taken|most"
    rf"|recent|available)\s+){{0,5}}{_FORMER}(?:\s+[\w'/.-]+){{0,3}}?\s+{_STUDY}\b"
    rf"|\W*(?:the\s+)?{_STUDY}\s+(?:of|from|dated|taken)\s+(?:\w+\s+){{0,3}}?(?:ago|yesterday"
    rf"|19\d\d|20\d\d"
    r"|last\s+\w+|january|february|march|april|may|june|july|august|september|october|november"
    r"|december)\b"
    r"|\W*(?:last|previous)\s+(?:week|month|year|time)\b"
)
_STILL = re.compile(
    r"\b(?:unchanged|(?<!not )(?:agree|concur)|again"
    r"|still|now|today|current(?:ly)?|persist\w*|remain\w*|compared"
    r"|present\s+(?:study|films?)"
    r"|since|no\s+longer|progress\w*|increas\w+|decreas\w+|interval|improv\w+|has|have"
    r"|(?:is|are)(?!\s+(?:of|from|on|(?:not\s+)?available))"
    r"|resolved|unaltered|can\s+be\s+(?:seen|confirmed))\b"
)
NOW = re.compile(
    r"(?:^|(?<=[.;\n\"]))\s*(?:(?:on|at|in|the)\s+)*(?:today|current(?:ly)?\b|present\s+(?:study"
    r"|films?|exam\w*)|now\b"
    r"|this\s+(?:examination|exam|study|time)\b)"
)
"""Where a report turns from an earlier study to this one."""

_EARLIER_STATE = (
    r"(?:previously|formerly|initially|originally|earlier|beforehand|yesterday"
    r"|before\s+(?:the\s+)?(?:closed\s+)?(?:reduction|manipulation|mua|treatment|surgery)"
    r"|pre-?(?:reduction|manipulation)"
    r"|(?:on|at|in)\s+(?:the\s+)?(?:(?:injury|initial|first|previous|prior|earlier|original"
    r"|admission|last|outside)\s+"
    r"(?:\w+\s+)?(?:films?|x-?rays?|radiographs?|views?|images?|study|exam\w*|visit)|presentation"
    r"|admission|injury"
    r"|ed|er|a\s?&\s?e|casualty|emergency(?:\s+\w+)?)|(?:last|the\s+previous)\s+(?:week|month|time)"
    r"|(?:days?|weeks?|months?)\s+(?:ago|earlier|before))"
)
_EARLIER = re.compile(rf"\b{_EARLIER_STATE}\b")
_BRACKET = re.compile(r"\([^()]{0,80}\)")
_PART = re.compile(
    r"(?<=,)[^,;:]{0,90}(?=[,;.]|$)"
    r"|\b(?:previously|formerly|initially|originally)\s+(?:\w+ly\s+)?(?:\d+\s*(?:°|degrees?|deg"
    r"|%)\s+)?"
    r"(?:displaced|off-?ended|tilted|angulated|translated|shifted)\b"
    r"|(?<=:)[^:;.]{0,90}(?=[;.])"
)
_PRESENT_STATE = re.compile(
    r"\b(?:now|today|current\w*|is|are|has|have|remains?|unchanged|still)\b"
)


def _blanked(match: re.Match[str]) -> str:
    part = match.group()
    if not _EARLIER.search(part) or _PRESENT_STATE.search(part) or HEAD.search(part):
        return part
    return " " * len(part)
