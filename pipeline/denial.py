"""Denials that are of the whole wrist, without a word for a fracture: "a normal study"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.bone import NamedBone
from pipeline.lexicon import CARPUS, HEAD
from pipeline.region import Region
from pipeline.whole_bones import LINKS, NO_OF, SUBJECT_NOT_BONE, WHOLE

__all__ = ["concludes", "general_denial", "is_anaphoric"]


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
        if _EXCEPT.search(words, 0, match.start()):
            return "rest"
        safe = rest or match["study"] or match["none"]
        if not safe and (HEAD.search(match.group()) or _is_of_bone(words, match, bones)):
            continue
        return "rest" if rest else "all"
    return "acute" if _NOTHING_NEW.search(words) else None


def concludes(words: str) -> bool:
    """Tell whether a general denial is of the wrist as such: "there is no fracture"."""
    return bool(_CONCLUSION.search(words)) and not _LIMITED.search(words)


def is_anaphoric(words: str) -> bool:
    """Tell whether a sentence denies what the one before it asked: "There isn't one."."""
    return bool(_ANAPHORA.search(words))


_NO = (
    r"(?:\bno|\bwithout(?:\s+an?|\s+any)?|\bnot\s+(?:\w+\s+)?an?|\bfree\s+(?:of|from)(?:\s+any)?"
    r"|\bneither\s+an?|\bexcludes?(?:\s+an?)?|\b(?:is|are|not)\s+an?y)"
)
_OF_WRIST = (
    r"(?:\s+(?:of|in|at|on)\s+(?:(?:the|this|either|both|any|his|her|these|our|today's|present"
    r"|current|repeat)\s+)*(?:left\s+"
    r"|right\s+)?(?:wrists?|films?|radiographs?|images?|views?|x-?rays?|bones?|side|study)\b"
    r"|\s+(?:is|are|was|can\s+be|has\s+been)\s+(?:\w+\s+)?(?:seen|identified|present|visible"
    r"|demonstrated|detected|found|shown|evident|there)\b|\s+(?:here|either|at\s+all)\b"
    r"|\s+(?:or|nor|and\s+no)\s+\w+)"
)
_CONCLUSION = re.compile(
    rf"{_NO}\s+(?:(?:evidence|signs?|proof|indication|trace|radiographic|radiological|bony|osseous"
    rf"|broken|suggestion|any|an?|of)\s+)*(?:fractures?|fx|#|broken\s+bones?|(?:bony\s+"
    rf"|osseous\s+|skeletal\s+)injur(?:y|ies))(?:{_OF_WRIST}){{0,3}}\s*(?:[.,;:)]|$)"
    r"|\b(?:normal|unremarkable|unfractured|uninjured|intact|unbroken|healthy)\s+(?:left\s+"
    r"|right\s+)?"
    r"(?:wrist|study|examination|radiographs?|x-?rays?|films?)\b"
    r"|\b(?:wrist|study|examination|radiographs?|films?|x-?rays?)\s+(?:is|are|was|were|looks?"
    r"|appears?|remains?)\s+(?:\w+ly\s+)?(?:normal|unremarkable|unfractured|not\s+broken)\b"
    r"|\bnothing\s+(?:is\s+|looks\s+|has\s+been\s+)?(?:broken|fractured)\b"
    r"|^\W*not\s+(?:fractured|broken)\W*$"
    r"|\bno\s+bones?\s+(?:is\s+|are\s+|has\s+been\s+)?broken\b|\bwrist\s+has\s+not\s+been"
    r"\s+broken\b|\bfractures?\s+(?:is|are)\s+(?:therefore\s+|thus\s+|thereby\s+|hereby\s+)?"
    r"(?:excluded|ruled\s+out|not\s+present|absent)\b"
)
_LIMITED = re.compile(
    r"\b(?:hands?|fingers?|thumb|forearm|elbow|arm|humer\w+|shoulder|clavicle|ankle|foot|feet|knee"
    r"|carp\w+|scaphoid|metacarp\w+|phalan\w+|joints?|align\w*|position|soft|spine|chest|ribs?"
    r"|phys[ei]\w*|other(?:wise)?|another|else(?:where)?|further|additional|second|remaining|rest"
    r"|apart|aside|besides|except|new|previous|prior|at\s+the\s+time|then|initial\w*)\b"
)
"""What makes a denial one of a part, of another place or of another time."""
_ANAPHORA = re.compile(
    r"^\W*(?:(?:but|and|no|answer|well|in\s+fact|however|fortunately|happily|luckily)[,:.;]?\s+)*"
    r"(?:there\s+(?:isn't|is\s+not|wasn't|was\s+not)\s*[.]?$|(?:it|this)\s+(?:(?:does|did)\s+not"
    r"\s+exist|is\s+none|is\s+not\s+(?:one|real|there)|was\s+never\s+there|is\s+no\s+fracture)\b"
    r"|there\s+(?:isn't|is\s+not|wasn't|was\s+not)\s+(?:one|any)\b(?!\s+\w+\s+(?:of|in|at))"
    r"|there\s+(?:is|was)\s+(?:none|nothing\s+of\s+the\s+(?:sort|kind)|no\s+such\s+\w+)\b"
    r"|none\s+(?:(?:is|was|can\s+be|could\s+be)\s+)?(?:\w+\s+)?(?:seen|found|there|present|visible"
    r"|identified|shown|demonstrated|made\s+out)\b|(?:i|we)\s+(?:can\s+)?(?:see|find"
    r"|found)\s+none\b|(?:i|we)\s+(?:can(?:not|\s+not|'t)|do\s+not|don't)\s+(?:see|find)\s+"
    r"(?:one|any|it|such)\b(?!\s+\w+\s+(?:of|in|at))|(?:it|they)\s+(?:is|are|does|do|did|has|was"
    r"|were)(?:\s+not|n't)\s*[.]?$|it\s+(?:is|was)\s+not\s+(?:broken|fractured)\b)"
    r"|\b(?:assure\s+\w+|say|report|state|confirm|certain|sure|clear)\s+(?:\w+\s+)?that\s+"
    r"(?:it|there|they)\s+(?:is|are|does|do|did|has|was|were)(?:\s+not|n't|\s+none)\s*[.]?$"
    r"|\bno\s+(?:sign|evidence|indication|suggestion|trace|hint)\s+(?:that\s+(?:it|one|there|this"
    r"|they)\b[^.;]{0,30}|of\s+(?:one|such|it|that|this|any))\s*[.]?$"
    r"|^\W*(?:it\s+(?:is|was|has\s+been)\s+)?(?:ruled\s+out|excluded|not\s+confirmed|unfounded"
    r"|disproved|refuted)\W*$|\bspeaks?\s+against\s+(?:it|this|that|one)\b"
    r"|\bsuch\s+(?:an?\s+)?(?:fracture|injury|lesion)\b[^.;]{0,40}\b(?:not|absent|excluded)\b"
    r"|\b(?:fracture|break)\s+is\s+(?:thereby|thus|therefore|hence|accordingly|hereby|so)\s+"
    r"(?:excluded|ruled\s+out)\b"
)


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
    r"|\b(?:nor|neither)\s+(?:is|are|does|do|has|have|any|is\s+there|in)\s+(?:any\s+)?(?:other"
    r"|anything\s+else|of\s+the\s+(?:other|remaining)|the\s+(?:other|remaining|rest))\b"
    r"(?!\s+(?:\w+\s+)?(?:wrist|side|arm|hand))"
    r"|\b(?:further|other|additional)\s+(?:\w+\s+){0,2}?(?:lesions?|injur\w+|abnormalit\w+)\s+(?:is"
    r"|are|was|were)\s+not\s+\w+"
)
_ALL = re.compile(
    rf"{_OF_ALL}"
    rf"|(?P<list>\b(?:bones|osseous\s+structures|skeleton)\s*(?:,|and|&)\s[\w\s,]{{0,50}}?(?:are|is"
    rf"|appear|:)\s+(?:all\s+)?{WHOLE})\b{NO_OF}"
    rf"|(?P<study>\b(?:normal|healthy|unremarkable"
    rf"|negative)\s+(?:[\w-]+\s+){{0,2}}?{_STUDY}\b(?!\s+align\w+))"
    rf"|\b(?:normal|intact|unremarkable|negative|regular"
    rf"|inconspicuous)\s+(?:[\w-]+\s+){{0,3}}?{_NOUN}\b(?!\s+(?:align\w+))"
    r"|^\s*(?:none|nil)\s+(?:(?:is|was)\s+)?(?:found|seen|identified|present|visible|demonstrated"
    r"|detected)\b"
    rf"|^\s*{WHOLE}\s*[.]?$|^\s*(?:normal|unremarkable|intact)\s*,"
    r"(?!\s*(?:except|apart|aside|but|with|save|other|bar)\b)"
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
_EXCEPT = re.compile(
    r"\b(?:(?:apart|aside)\s+from|except(?:ing)?(?:\s+for)?|other\s+than|exception\s+of|besides)\b"
)
_OF_A_BONE = re.compile(r"\s*(?:of|in|at|for|on)\s+(?:the\s+)?(?:left\s+|right\s+)?$")
