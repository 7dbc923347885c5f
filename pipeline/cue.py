"""Cues of denial and doubt: what stands under one that came before it."""

from __future__ import annotations

from pipeline import lexicon

__all__ = ["denied", "doubted"]


def denied(words: str, start: int, reach: int = 45) -> bool:
    """Tell whether what begins at ``start`` stands under a denial shortly before."""
    behind = words[max(0, start - reach) : start]
    cues = [m for m in lexicon.FORWARD.finditer(behind) if m.lastgroup in ("denial", "pseudo")]
    return bool(cues) and not lexicon.TERMINATOR.search(behind, cues[-1].end())


def doubted(words: str, start: int) -> bool:
    """Tell whether what begins at ``start`` stands under a doubt, or in an aside."""
    cues = [
        m for m in lexicon.FORWARD.finditer(words, 0, start) if m.lastgroup in ("doubt", "aside")
    ]
    return bool(cues) and not lexicon.TERMINATOR.search(words, cues[-1].end(), start)
