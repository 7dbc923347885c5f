"""Slips of the tongue that the speaker corrects at once: "right wrist, sorry, left wrist"."""

from __future__ import annotations

import re

__all__ = ["without_slips"]


def without_slips(flat: str) -> str:
    """Return flattened text of the same length with a word without meaning for what was taken back.

    Not with blanks: other patterns are slow on long runs of white space.
    """
    return _SLIP.sub(lambda match: "x" * (len(match.group()) - 1) + " ", flat)


_TAKEN_BACK = (
    r"[\s,-]+(?:(?:no|sorry|correction|rather|pardon|scratch\s+that|strike\s+that|i\s+mean"
    r"|make\s+that"
    r"|excuse\s+me|i\s+beg\s+your\s+pardon|beg\s+pardon|wait|that\s+is|should\s+be)[\s,-]+){1,3}"
)
_NUMBER = (
    r"(?:\d+(?:\.\d+)?|(?:(?:twenty|thirty|forty|fifty|sixty)[\s-]?)?(?:one|two|three|four|five|six"
    r"|seven|eight"
    r"|nine|ten|eleven|twelve|\w{3,5}teen)|twenty|thirty|forty|fifty|sixty)"
)
_SLIP = re.compile(
    rf"\b(?:left|right)\b(?:[^\S\n]+(?:wrist|hand|forearm|side))?{_TAKEN_BACK}(?=(?:(?:of|on|it'?s"
    rf"|it\s+is)\s+)?(?:the\s+)?(?:left"
    rf"|right)\b)"
    rf"|\b{_NUMBER}\s*(?:°|degrees?\b|deg\b|mm\b|%|percent\b)?{_TAKEN_BACK}(?={_NUMBER}\b)"
)
