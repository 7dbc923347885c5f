"""What a sentence names beside fractures: casts, hardware and the like, alignment, projections."""

from __future__ import annotations

import re

from pipeline import lexicon
from pipeline.cue import denied, doubted
from pipeline.findings import Alignment, Other
from pipeline.region import View

__all__ = ["alignment_in", "others_in", "views_in"]


def others_in(words: str) -> tuple[tuple[Other, bool], ...]:
    """Return what else a sentence names, each with whether it is doubted; no fractures."""
    found: dict[Other, bool] = {}
    for name, pattern in lexicon.OTHERS.items():
        for match in pattern.finditer(words):
            if denied(words, match.start(), 80) or _absent_behind(words, match.end()):
                continue
            if name in (Other.CAST_OR_SPLINT, Other.HARDWARE) and _removed(words, match):
                continue
            found[name] = found.get(name, True) and doubted(words, match.start())
    return tuple(found.items())


def alignment_in(words: str) -> Alignment | None:
    """Return what a sentence says of alignment."""
    for alignment, pattern in lexicon.ALIGNMENTS.items():
        match = pattern.search(words)
        if match and not denied(words, match.start()):
            return alignment
    return None


def views_in(words: str) -> tuple[View, ...]:
    """Return the projections that a title or technique sentence names."""
    return tuple(view for view, pattern in lexicon.VIEWS.items() if pattern.search(words))


def _removed(words: str, match: re.Match[str]) -> bool:
    before = words[max(0, match.start() - 40) : match.start()]
    return bool(
        lexicon.REMOVED_AHEAD.search(before) or lexicon.REMOVED_BEHIND.match(words, match.end())
    )


def _absent_behind(words: str, end: int) -> bool:
    return bool(
        re.match(
            r"\s*(?:\w+\s+){0,3}(?:not\s+\w+|absent|[\w\s/]{0,20}:\s*(?:no|none|nil))\b",
            words[end:],
        )
    )
