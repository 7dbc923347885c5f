"""What happens to a report after it was dictated: an addendum, a slip of the keyboard."""

from __future__ import annotations

import re
import zlib

import numpy as np

__all__ = ["SLIPS", "slipped"]

SLIPS = ("addendum", "misspelt")
"""Styles that change the text of another style, and nothing of what it says."""

_SHARE = 0.12  # of the reports, for each
_ADDENDA = (
    "ADDENDUM: The findings were discussed with the referring physician by telephone.",
    "ADDENDUM: Side and patient were verified. The report above stands unchanged.",
    "Addendum: An additional view was obtained later and shows no further abnormality.",
    "Addendum, same day: wording corrected, no change of the findings.",
)
_WORD = re.compile(r"[A-Za-z]{6,}")


def slipped(text: str, slip: str | None = None) -> tuple[str, str | None]:
    """Return a report as it is found in an archive, and which slip it has (`SLIPS`) or None.

    Most reports stay as they are. What happens follows from the text alone, so that nothing else
    that is drawn for an exam depends on it.

    Parameters
    ----------
    text
        The report as dictated.
    slip
        Makes it this one; drawn where None.
    """
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    chance = float(rng.random())
    drawn = SLIPS[int(chance / _SHARE)] if chance < _SHARE * len(SLIPS) else None
    chosen = slip or drawn
    if chosen == "addendum":
        return f"{text}\n{_ADDENDA[int(rng.integers(len(_ADDENDA)))]}", chosen
    if chosen == "misspelt":
        text = _misspelt(text, int(rng.integers(1, 4)), rng)
    return text, chosen


def _misspelt(text: str, count: int, rng: np.random.Generator) -> str:
    """Mistype some longer words: two letters change places, one is lost, or one comes twice."""
    words = list(_WORD.finditer(text))
    chosen = rng.permutation(len(words))[:count]
    for number in sorted(chosen, reverse=True):  # from the end, so that earlier places hold
        word = words[int(number)]
        at = word.start() + int(rng.integers(1, len(word.group()) - 2))
        one, two = text[at], text[at + 1]
        typed = (two + one if one != two else one, two, one + one + two)[int(rng.integers(3))]
        text = text[:at] + typed + text[at + 2 :]
    return text
