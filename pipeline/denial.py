"""Denials that are of the whole wrist, without a word for a fracture: "a normal study"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.bone import NamedBone
from pipeline.lexicon import CARPUS, HEAD
from pipeline.region import Region
from pipeline.whole_bones import LINKS, NO_OF, SUBJECT_NOT_BONE, WHOLE

__all__ = ["general_denial"]


def general_denial(words: str, bones: Sequence[NamedBone]) -> str | None:
    """Return the reach of a denial about the whole wrist (`pipeline.statement.Statement`)."""
    for match in sorted(
        (*_REST.finditer(words), *_ALL.finditer(words)), key=lambda m: (m.start(), -m.end())
    ):
        rest = match.re is _REST
        if _CONTRADICTED.search(words, 0, match.start()):
            continue
        near = words[max(0, match.start() - 30) : match.end()]
        if match["list"]:
            return "rest" if rest else "all"
        if CARPUS.search(near) or SUBJECT_NOT_BONE.search(near):
            continue
        safe = rest or match["study"] or match["none"]
        if not safe and (HEAD.search(match.group()) or _is_of_bone(words, match, bones)):
            continue
        return "rest" if rest else "all"
    return "acute" if _NOTHING_NEW.search(words) else None


def _is_of_bone(words: str, match: re.Match[str], bones: Sequence[NamedBone]) -> bool:
    """Tell whether it is one bone that is normal: "distal ulna of normal appearance"."""
    within = [b for b in bones if match.start() <= b.start < match.end()]
    before = [b for b in bones if b.end <= match.start()]
    behind = [b for b in bones if match.end() <= b.start]
    if any(not set(b.names) <= set(Region) for b in within):
        return True
    if within or (before and not re.search(r"[,;:.]", words[before[-1].end : match.start()])):
        return True
    return bool(behind and _OF_A_BONE.fullmatch(words, match.end(), behind[0].start))


_SUBJECT = (
    r"(?:bones|bony\s+(?:structures|skeleton|\w+)|(?:osseous|skeletal)\s+(?:structures|\w+)"
    r"|skeleton|cortices"
    r"|wrists?(?:\s+joint)?|(?:left|right)\s+(?:side|one)|radiographs?|study|examination|exam"
    r"|films?|x-?rays?"
    r"|appearances?|findings|images|(?<!\w )everything)"
)
_ASIDE = (
    r"(?:\s*\([^()]{0,60}\)\s*|\s*,[^,.;:]{0,60},\s*"
    r"|\s+(?:under\s+view|shown|included|imaged|visuali[sz]ed|seen)"
    r"|\s+(?:was|were|has\s+been)\s+(?:\w+\s+)?(?:taken|obtained|performed|acquired|imaged|x-?rayed"
    r"|radiographed|included|done|made)\b[^.;]{0,60}?\s(?:and|it)\s)?"
)
_OF_ALL = (
    rf"\b{_SUBJECT}{_ASIDE}\s*(?:of\s+the\s+(?:left\s+|right\s+)?wrist\s+)?[:,-]?\s*{LINKS}"
    rf"(?:{WHOLE}|not\s+broken)\b{NO_OF}(?!\s+(?:\w+\s+)?(?:phys|growth|epiph|joint|soft))"
)
_STUDY = r"(?:wrists?|study|exam\w*|radiograph\w*|x-?rays?|films?|series)"
_NOUN = (
    r"(?:bones|skeleton|appearances?|findings|depiction"
    r"|views?|plain|osseous\s+\w+|bony\s+\w+)"
)
_REST = re.compile(
    rf"(?P<list>\b(?:remaining|other)\s+(?:\w+\s+)?(?:bones|osseous\s+structures"
    rf"|skeleton)\b[\w\s,:-]{{0,50}}?\b{WHOLE})\b|"
    r"\b(?:otherwise|remaining|remainder|rest\s+of|elsewhere|other(?:\s+\w+){0,2}\s+(?:bones"
    r"|structures)|everything\s+else|all\s+else|else)\b"
    rf"[\w\s,:-]{{0,50}}?\b{WHOLE}\b"
    rf"|\brest\s+(?:is\s+)?{WHOLE}\b|\b(?:nothing|nil)\s+(?:else|further"
    rf"|other)\b(?:\s+bony)?(?!\s+(?:to\s+(?:do|add|say|offer)|than))"
    r"|\bno\s+(?:other|further|additional)\s+(?:\w+\s+){0,2}?(?:injur(?:y|ies)|abnormalit(?:y|ies)"
    r"|lesions?|findings?|pathology)\b"
    r"|\b(?:further|other|additional)\s+(?:\w+\s+){0,2}?(?:lesions?|injur\w+|abnormalit\w+)\s+(?:is"
    r"|are|was|were)\s+not\s+\w+"
)
_ALL = re.compile(
    rf"{_OF_ALL}"
    rf"|(?P<list>\b(?:bones|osseous\s+structures|skeleton)\s*(?:,|and|&)\s[\w\s,]{{0,50}}?(?:are|is"
    rf"|appear|:)\s+(?:all\s+)?{WHOLE})\b{NO_OF}"
    rf"|(?P<study>\b(?:normal|unremarkable"
    rf"|negative)\s+(?:[\w-]+\s+){{0,2}}?{_STUDY}\b(?!\s+align\w+))"
    rf"|\b(?:normal|intact|unremarkable|negative|regular"
    rf"|inconspicuous)\s+(?:[\w-]+\s+){{0,3}}?{_NOUN}\b(?!\s+(?:align\w+))"
    r"|^\s*none\s+(?:(?:is|was)\s+)?(?:found|seen|identified|present|visible|demonstrated"
    r"|detected)\b"
    rf"|^\s*{WHOLE}\s*[.]?$"
    r"|^\s*it\s+(?:is|looks|appears)\s+(?:\w+ly\s+)?(?:normal|unremarkable|intact)\s*[.]?$"
    r"|\bwithin\s+normal\s+limits|\bnad\b|\bnbi\b|\bn\.a\.d|^\s*(?:\d+[.)]\s*)?(?:entirely\s+"
    r"|completely\s+)?(?:normal"
    r"|unremarkable|negative|regular|clear)\s*\.?$"
    r"|(?P<none>\b(?:fract\w+|break|injury)\b[^.;]{0,60}\bnone)\s+(?:is|was|are|were)?\s*"
    r"(?:present|seen|identified|evident|visible|found|detected|demonstrated|shown)\b"
    r"|\b(?:nothing|no\s+bones?)\s+(?:is\s+|are\s+|looks\s+|appears\s+|has\s+been\s+)?broken\b"
    r"|\bnothing\s+(?:abnormal|amiss|wrong|untoward|of\s+note|relevant|to\s+report)\b(?!\s+(?:in|at"
    r"|with|of|about))"
)
_NOTHING_NEW = re.compile(
    r"\bnothing\s+acute\b|\bno\s+acute\s+(?:(?:radiographic|bony|osseous|skeletal)\s+)?"
    r"(?:findings?|process|pathology|change|abnormality)\b"
)
_CONTRADICTED = re.compile(
    r"\b(?:disagree|cannot\s+(?:be\s+)?sa(?:id|y)|not\s+(?:true|correct|agree|the\s+case)|contrary"
    r"|reported\s+(?:as|to\s+be)|called"
    r"|said\s+to\s+be|thought\s+to\s+be|does\s+not\s+(?:mean|prove|exclude))\b[^.;:]*$"
)
_OF_A_BONE = re.compile(r"\s*(?:of|in|at|for|on)\s+(?:the\s+)?(?:left\s+|right\s+)?$")
