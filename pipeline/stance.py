"""How a fracture that is named is meant: as there, doubted, denied, or not as a statement."""

from __future__ import annotations

import re

from pipeline.cue import BACKWARD, CONSUMER, FORWARD, TERMINATOR
from pipeline.findings import Fracture
from pipeline.head import Head

__all__ = ["stance_of"]


def stance_of(words: str, head: Head, following: Head | None) -> tuple[Fracture | None, str]:
    """Return how a head is meant: status and reach; no status where it is no statement."""
    forward = list(FORWARD.finditer(words, 0, head.start))
    meant = Fracture.PRESENT
    for cue in reversed(forward):
        gap = words[cue.end() : head.start]
        kind = cue.lastgroup
        if cue.group() in ("neither", "nor"):
            gap = _VERB.sub("", gap)
        if TERMINATOR.search(gap) or kind in ("pseudo", "affirmed"):
            continue
        if kind == "denial":
            if CONSUMER.search(gap) or _is_of_change(gap, words[head.end :]):
                continue
            return Fracture.ABSENT, _reach(words, cue.start(), head)
        if kind == "aside":
            return None, ""
        if not _HEADED.search(gap):
            meant = Fracture.POSSIBLE
    if _WOULD.match(words, head.end):
        return None, ""
    behind = words[head.end : following.start if following else len(words)]
    behind = re.split(r"[;]|\b(?:but|however|although)\b", behind)[0]
    cue_behind = BACKWARD.search(behind)
    if _CONFIRMED.match(behind):
        return Fracture.PRESENT, "all"
    if cue_behind and cue_behind.lastgroup == "doubt":
        meant = Fracture.POSSIBLE
    elif cue_behind and not re.search(
        r",|\b(?:and|with|callus|displacement|angulation|healing|well|extension|line)\b",
        behind[: cue_behind.start()],
    ):
        return Fracture.ABSENT, "rest" if _OTHER.search(words, 0, head.start) else "all"
    return meant, "all"


def _is_of_change(gap: str, behind: str) -> bool:
    """Tell whether a denial is of what became of it: "no evidence that it has displaced"."""
    return bool(re.search(r"\bthat\b", gap) and re.match(r"\s*(?:has|have|had)\b", behind))


_CONFIRMED = re.compile(r"[\w\s]{0,30}\b(?:is|was|are|has\s+been)\s+(?:now\s+|thus\s+)?confirmed\b")
_WOULD = re.compile(
    r"[^.;:,]{0,45}\bwould\s+(?:have\s+|also\s+|now\s+)*(?:show|be\s+(?:seen|visible|expected"
    r"|apparent"
    r"|evident)|been\s+(?:seen|visible|apparent)|appear|look|stand|display|declared?)\b"
)
"""What a fracture would do if there were one."""
_VERB = re.compile(r"\b(?:shows?|demonstrates?|has)\b")
_HEADED = re.compile(r"#|\bfract\w+(?!\s+or)")


def _reach(words: str, start: int, head: Head) -> str:
    """Return how far the denial from ``start`` to a head reaches."""
    denied = words[start : head.end]
    if _OTHERWISE.search(words, max(0, start - 30), start) or _ELSEWHERE.match(words, head.end):
        return "rest"
    if re.search(r"\b(?:other|further|additional|second|else|associated)\b", denied):
        return "rest"
    if re.search(r"\b(?:acute|new|fresh|recent|displaced|obvious|definite|certain)\b", denied):
        return "acute"
    return "all"


_OTHER = re.compile(r"\b(?:other|further|additional|second)\s+(?:\w+\s+){0,2}$")
_OTHERWISE = re.compile(
    r"\b(?:otherwise|(?:apart|aside)\s+from\s+(?:this|that|these)|besides)\b[^.;]{0,20}$"
)
_ELSEWHERE = re.compile(r"\s+(?:(?:is|are|was)\s+)?(?:\w+\s+)?elsewhere\b")
