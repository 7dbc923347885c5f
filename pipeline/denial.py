"""What a sentence says to be whole, without a word for a fracture: "the ulna is intact"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.bone import NamedBone, coordinated_back, coordinated_on
from pipeline.lexicon import CARPUS

__all__ = ["general_denial", "whole_bones"]

_WHOLE = (
    r"(?:intact|normal|nl|nad|unremarkable|uninvolved|unaffected|spared|preserved|clear|fine"
    r"|ok(?:ay)?|un(?:injured|damaged|broken|fractured)|whole|in\s+one\s+piece"
    r"|within\s+normal\s+limits|wnl|neg(?:ative)?|not\s+(?:fractured|injured|involved|broken)|(?:n|nil)(?=\s*(?:[.,;]|$)))"
)
_BEHIND = re.compile(
    r"(?:\s+(?:metaph\w*\.?|tip|process|base)){0,2}\)?\s*[:=-]\s*(?:no|neg|none|nil)\b(?!\s+\w)"
    r"|\)?(?:\b(?:is|are|appears?|remains?|looks?|seems?)\b|[:,(=-])?\s*(?:\w+\s+){0,2}?"
    rf"(?:otherwise\s+)?\b{_WHOLE}\b"
    r"(?!\s+(?:align\w*|variant|mineral\w*|position|variance|appearing\s+phys))"
)
_AHEAD = re.compile(
    r"\b(?:intact|normal|so\s+(?:is|are|does)|nothing\s+(?:\w+\s+){0,2}?(?:at|in|of|with|on))\s+"
    r"(?:(?:left|right|the)\s+)*$"
)
_INCLUDED = re.compile(
    r"[\s\w]{0,12}[\s,(]+(?:including|incl\.?|inclusive\s+of|as\s+is|so\s+is)\s+(?:(?:of|the|its)\s+)*"
)
_INCLUDED_BEHIND = re.compile(r"\s*(?:process\s*)?(?:included|as\s+well|too\b|likewise|also\b)")

_ALONE = re.compile(r"\s*,\s*(?:the\s+)?(?:\w+\s+){1,3}?(?:is|appears|looks|remains|seems)\b")
"""A comma between two bones of which only the second is the subject."""

_SUBJECT_NOT_BONE = re.compile(
    r"\b(?:phys[ei]\w*|growth|epiphys\w+|align\w*|joint|artic\w+|varian\w+|minerali\w+|ossific\w+"
    r"|soft|position|height|length|inclination|tilt|relation\w*|apophys\w+|space)\b"
)


def whole_bones(words: str, bones: Sequence[NamedBone]) -> list[tuple[NamedBone, ...]]:
    """Return the groups of bones said to be whole: "intact ulnar styloid", "ulna: no"."""
    found: list[tuple[NamedBone, ...]] = []
    end = -1
    for number, bone in enumerate(bones):
        limit = bones[number + 1].start if number + 1 < len(bones) else len(words)
        if found and _joins(words, bones[number - 1], end, bone, limit):
            found[-1] += (bone,)
            end = bone.end
            continue
        behind = _BEHIND.match(words, bone.end, min(limit, bone.end + 60))
        ahead = _AHEAD.search(words, 0, bone.start)
        before = re.split(r",|;|\band\b", words[max(0, bone.start - 40) : bone.start])[-1]
        near = before + words[bone.start : behind.end() if behind else bone.end + 20]
        if not (behind or ahead) or _SUBJECT_NOT_BONE.search(near):
            continue
        group = coordinated_back(words, bones[: number + 1])
        if len(group) > 1 and behind and _ALONE.match(words, group[-2].end, behind.end()):
            group = [bone]
        if ahead:
            group += coordinated_on(words, bones[number:])[1:]
        found.append(tuple(group))
        end = behind.end() if behind else group[-1].end
    return found


def _joins(words: str, last: NamedBone, end: int, bone: NamedBone, limit: int) -> bool:
    """Tell whether a bone is whole with those before it: "normal, styloid included"."""
    if end < last.end or bone.start < end:
        return False
    if _INCLUDED.fullmatch(words, end, bone.start):
        return True
    gap = words[end : bone.start]
    return bool(
        _INCLUDED_BEHIND.match(words, bone.end, limit) and re.fullmatch(r"[\s\w]{0,12}[,\s]+", gap)
    )


_REST = re.compile(
    r"\b(?:otherwise|remaining|remainder|rest\s+of|other(?:\s+\w+)?\s+bones)\b[\w\s]{0,50}?"
    r"(?:intact|normal|unremarkable|ok(?:ay)?|clear|fine)"
    r"|\brest\s+(?:is\s+)?(?:intact|normal|ok(?:ay)?|clear|fine|nad)"
)
_ALL = re.compile(
    r"\b(?:visuali[sz]ed\s+|imaged\s+)?(?:bones|bony\s+structures|osseous\s+structures"
    r"|skeleton|bony\s+\w+|cortices|wrists?|radiographs?|study|examination|exam|films?|x-?rays?"
    r"|appearances?|images)\s*(?:\([^)]*\)\s*)?(?:(?:is|are|appears?|remains?|all|of\s+the\s+"
    r"(?:left|right)?\s*wrist|in\s+\w+)\s*)*[:,-]?\s*(?:within\s+normal\s+limits|intact|normal"
    r"|unremarkable|un(?:injured|damaged|broken|fractured)|negative\b(?!\s+for))"
    r"|\b(?:normal|unremarkable|negative)\s+(?:\w+\s+){0,2}?(?:wrists?|study|exam\w*|radiograph\w*"
    r"|x-?rays?|films?|bones|appearances?|series|views?|plain)\b(?!\s+(?:align\w+))"
    r"|\bwithin\s+normal\s+limits|\bnad\b|\bnbi\b|\bn\.a\.d|^\s*(?:\d+[.)]\s*)?(?:normal"
    r"|unremarkable|negative)\s*\.?$"
    r"|\b(?:fract\w+|break|injury)\b[^.;]{0,60}\bnone\s+(?:is|was|are|were)?\s*"
    r"(?:present|seen|identified|evident|visible|found|detected|demonstrated|shown)\b"
    r"|\bnothing\s+(?:is\s+|looks\s+|appears\s+)?broken\b"
)


_NOTHING_NEW = re.compile(
    r"\bnothing\s+acute\b|\bno\s+acute\s+(?:(?:radiographic|bony|osseous|skeletal)\s+)?"
    r"(?:findings?|process|pathology|change)\b"
)


def general_denial(words: str) -> str | None:
    """Return the reach of a denial about the whole wrist (`pipeline.statement.Statement`)."""
    for match in sorted(
        (*_REST.finditer(words), *_ALL.finditer(words)), key=lambda m: (m.start(), -m.end())
    ):
        near = words[max(0, match.start() - 30) : match.end()]
        if not CARPUS.search(near) and not _SUBJECT_NOT_BONE.search(near):
            return "rest" if match.re is _REST else "all"
    return "acute" if _NOTHING_NEW.search(words) else None
