"""Bones that a sentence says to be whole: "the ulna is intact, and so is its styloid"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.bone import COORDINATED, NamedBone, coordinated_back, coordinated_on
from pipeline.lexicon import HEAD

__all__ = ["LINKS", "NO_OF", "SUBJECT_NOT_BONE", "WHOLE", "WholeBones", "whole_bones"]


@dataclass(frozen=True)
class WholeBones:
    """Bones said to be whole, and from where to where a sentence says so."""

    bones: tuple[NamedBone, ...]
    start: int
    end: int

    def with_bone(self, bone: NamedBone) -> WholeBones:
        """Return these and one more: "normal, styloid included"."""
        return WholeBones((*self.bones, bone), self.start, bone.end)


def whole_bones(words: str, bones: Sequence[NamedBone]) -> tuple[WholeBones, ...]:
    """Return the groups of bones said to be whole: "intact ulnar styloid", "ulna: no"."""
    found: list[WholeBones] = []
    for number, bone in enumerate(bones):
        limit = bones[number + 1].start if number + 1 < len(bones) else len(words)
        if found and _goes_on(words, found[-1], bones[number - 1], bone, limit):
            found[-1] = found[-1].with_bone(bone)
        elif group := _whole_group(words, bones, number, limit):
            found.append(group)
    return tuple(found)


def _whole_group(
    words: str, bones: Sequence[NamedBone], number: int, limit: int
) -> WholeBones | None:
    """Return the bones that are whole with this one, the last of them."""
    bone = bones[number]
    neither = number and _NEITHER.search(words, 0, bones[number - 1].start)
    if neither and _NOR.fullmatch(words, bones[number - 1].end, bone.start):
        return WholeBones(tuple(bones[number - 1 : number + 1]), bones[number - 1].start, bone.end)
    if neither and (said := _SUFFERED.match(words, bone.end, limit)):
        return WholeBones(tuple(bones[number - 1 : number + 1]), bone.start, said.end())
    behind = _BEHIND.match(words, bone.end, min(limit, bone.end + 120))
    ahead = _AHEAD.search(words, 0, bone.start)
    if not (behind or ahead) or _is_of_fracture(words, bone):
        return None
    group = coordinated_back(words, bones[: number + 1])
    first = group[0].start
    before = _CLAUSE.split(words[max(0, first - 40) : first])[-1]
    if SUBJECT_NOT_BONE.search(before + words[first : behind.end() if behind else bone.end + 20]):
        return None
    if len(group) > 1 and behind and _ALONE.match(words, group[-2].end, behind.end()):
        group = [bone]
    if ahead:
        group += coordinated_on(words, bones[number:])[1:]
    start = ahead.start() if ahead else bone.start
    return WholeBones(tuple(group), start, behind.end() if behind else group[-1].end)


def _is_of_fracture(words: str, bone: NamedBone) -> bool:
    """Tell whether a bone is where a fracture is: "fracture of the radius without injury of"."""
    heads = [match.end() for match in HEAD.finditer(words, 0, bone.start)]
    return bool(heads and _FRACTURED.fullmatch(words, heads[-1], bone.start))


_FRACTURED = re.compile(r"\s+(?:of|in|through|at)\s+(?:(?:the|left|right)\s+)*")


def _joins(words: str, last: NamedBone, end: int, bone: NamedBone, limit: int) -> bool:
    """Tell whether a bone is whole with those before it: "normal, styloid included"."""
    if end < last.end or bone.start < end:
        return False
    if _INCLUDED.fullmatch(words, end, bone.start):
        return True
    gap = words[end : bone.start]
    behind = _INCLUDED_BEHIND.match(words, bone.end, limit) or _STYLOID_TOO.match(words, bone.end)
    return bool(
        behind
        and re.fullmatch(r"[\s\w-]{0,45}[,(\s]+(?:(?:its|the|with|and)\s+)*", gap)
        and not HEAD.search(gap)
    )


def _goes_on(words: str, whole: WholeBones, last: NamedBone, bone: NamedBone, limit: int) -> bool:
    return _joins(words, last, whole.end, bone, limit) or _lists_on(words, whole, last, bone)


def _lists_on(words: str, whole: WholeBones, last: NamedBone, bone: NamedBone) -> bool:
    """Tell whether a list goes on: "not broken, nor are the ulna or the styloid"."""
    joined = whole.bones[-1] is last and whole.end == last.end and len(whole.bones) > 1
    listed = joined and COORDINATED.fullmatch(words, last.end, bone.start)
    return bool(listed) and not _OWN_VERB.match(words, bone.end)


_OWN_VERB = re.compile(r"(?:\s+process)?\s+(?:is|are|has|have|shows?|was|were|appears?)\b")


WHOLE = (
    r"(?:intact|healthy|uninterrupted|normal(?:ly)?|nl|nad|unremarkable|inconspicuous"
    r"|regular(?:ly)?|uninvolved"
    r"|unaffected|spared"
    r"|preserved|clear|fine|o\.?k(?:ay)?|sound|(?<!as\sa\s)whole|unharmed|unhurt|unscathed|un-?(?:injured"
    r"|damaged|broken|fractured)"
    r"|in\s+one\s+piece|in\s+order|all\s+right|alright|good\s+shape|wnl|within\s+normal\s+limits"
    r"|neg(?:ative)?(?!\s+for)"
    r"|free\s+of\s+(?:injury|abnormality|pathology|changes|damage)|untouched|undisturbed"
    r"|scot-?\s?free|left\s+alone|out\s+of\s+it|faultless|flawless|without\s+fault|blameless"
    r"|(?:come|came|suffered|taken)\s+(?:to\s+)?no\s+(?:harm|damage|injury)|escaped(?:\s+(?:injury"
    r"|unharmed|damage))?"
    r"|(?:not|nor|never)\s+(?:been\s+|appear(?:s)?\s+)?(?:fractured|injured|involved|broken"
    r"|affected|damaged|suffered|harmed|touched|reached|implicated|hurt|cracked|abnormal"
    r"|crossed)(?:\s+by\s+(?:the|this|that|any|a)\s+(?:\w+\s+){0,2}?(?:fracture|break|line"
    r"|injury))?"
    r"|no\s+part\s+(?:of|in)\s+(?:it|this|the\s+(?:fracture|injury))"
    r"|(?:without|no|nothing)\s+(?:(?:any|evidence\s+of|signs?\s+of|relevant"
    r"|pathological|significant"
    r"|bony|osseous|acute|traumatic|recent)\s+)*(?:findings?|abnormalit(?:y|ies)|abnormal|pathology"
    r"|amiss|wrong|injur(?:y|ies)"
    r"|breaks?|cracks?|interruptions?|discontinuit(?:y|ies)|lesions?|damage|peculiarit(?:y|ies)"
    r"|to\s+(?:report|note))"
    r"|as\s+(?:it|they)\s+should\s+be|where\s+(?:it|they)\s+should\s+be)"
)
NO_OF = (
    r"(?!\s+(?:align\w*|variant|mineral\w*|position|variance|densit\w*"
    r"|in\s+(?:position|alignment)|appearing\s+phys))"
)
LINKS = (
    r"(?:(?:is|are|was|were|be|being|been|has|have|appears?|remains?|stays?|looks?|seems?|shows?"
    r"|both|all|too|also"
    r"|of|an?|the|to|otherwise|quite|perfectly|therefore|thus|again|still|now|today|likewise|both"
    r"|themselves|itself"
    r"|came|comes|come|come\s+through|through|emerged?s?|got|gets|away|off|survived|found|proved"
    r"|regarded|considered|reported|read|depicted|imaged|as|in|completely|entirely|age-appropriate"
    r"|(?!not\b|less\b|hardly\b)\w+ly)\s+)*"
)
_PARTS = (
    r"(?:(?:\s+|\s*,\s*)(?:of\s+the\s+(?:left\s+|right\s+)?wrist|metaph\w*\.?|tip|process(?:es)?"
    r"|proper|base|shaft|and|including|distal|proximal|its|the|articular"
    r"|as\s+well|included|too|also|likewise|cortex|contours?))*"
)
_BEHIND = re.compile(
    rf"{_PARTS}\)?\s*[:=-]\s*(?:no|neg|none|nil|n)\b(?!\s+\w)"
    rf"|{_PARTS}\)?(?:'s\b|\s*,\s*(?:which|that|although|though)[^,;:]{{0,50}},|\s*,\s*which\b"
    rf"|\s*\([^()]{{0,40}}\))?"
    rf"\s*(?:[:(=-]|,(?!\s*(?:no|without"
    rf"|nothing)\b))?\s*(?!otherwise\b)(?:shaft\s+and\s+)?(?:(?:distal"
    rf"|its)\s+)*(?:metaph\w*\s+)?{LINKS}(?P<is>{WHOLE})\b{NO_OF}"
    r"|\s+is\s+not\s*(?=[,.;]|$)"
)
_AHEAD = re.compile(
    r"(?:\b|(?=,))(?:(?:integrity|intactness|continuity)\s+of|intact|normal|regular|inconspicuous"
    r"|unremarkable|(?:but|and)\s+not(?:\s+(?:of|in))?"
    r"|,\s*not|so\s+(?:is|are|does)"
    r"|nothing\s+(?:\w+\s+){0,2}?(?:at|in|of|with|on|about)"
    r"|(?:normal|regular|unremarkable|inconspicuous)\s+(?:\w+\s+)?(?:depiction|appearances?"
    r"|contours?|findings)\s+(?:of|at|in)"
    r"|no\s+(?:\w+\s+)?(?:abnormality|injury|pathology)\s+(?:of|in|at|to)"
    r"|nor\s+(?:is|does|has|do|are|was)|(?:is\s+|was\s+)?(?:sparing|spares|spared)(?:\s+of)?"
    r"|\b(?:not|without)\s+(?:involving|affecting|touching|reaching|injuring|harming)"
    r"|\b(?:involves|affects|reaches|touches)\s+neither|the\s+same\s+(?:\w+\s+){1,2}?(?:for|to"
    r"|of))\s+(?:(?:left"
    r"|right|the|its|both)\s+)*$"
)
_INCLUDED = re.compile(
    r"[\s\w]{0,12}[\s,(]+(?:including|incl\.?|inclusive\s+of|as\s+(?:is|are|does|has|have)"
    r"|so\s+(?:is|are|does|has)|nor\s+(?:is|does|has|are)"
    r"|(?:and\s+)?the\s+same\s+(?:\w+\s+){1,2}?(?:for|to|of)|likewise"
    r"|and\s+(?:also\s+)?(?:neither\s+(?:is|does|has)))\s+"
    r"(?:(?:of|the|its|left|right)\s+)*"
)
_INCLUDED_BEHIND = re.compile(
    r"\s*(?:process\s*)?,?\s*(?:included|inclusive|and\s+all|into\s+the\s+bargain|as\s+well|too\b"
    r"|likewise|also\b|neither\b|(?:does|is"
    r"|has)\s+not\s+either)"
)
_STYLOID_TOO = re.compile(
    r"\s*(?:and|,|&)\s*(?:(?:its|the|ulnar)\s+)*styloid(?:\s+process)?,?\s*(?:included|as\s+well"
    r"|too\b|likewise|also\b)"
)
_NOR = re.compile(
    r"\s+(?:is|has|was|shows?|looks?)\s+(?:been\s+)?(?:an?\s+)?(?:fractured?|broken|injured|damaged"
    r"|involved|affected|cracked|abnormal)(?:\s+on\s+\w+\s+\w+)?,?\s+nor\s+(?:(?:is|has|the|its|his"
    r"|her|left|right)\s+)*"
)
"""Between bones: "neither the ulna is fractured nor its styloid"."""
_NEITHER = re.compile(r"\bneither\s+(?:(?:the|left|right)\s+)*$")
_SUFFERED = re.compile(
    r"(?:\s+process)?\s+(?:has|have|is|are|was|were|shows?|looks?"
    r"|appears?)\s+(?:been\s+)?(?:suffered|injured|involved|affected"
    r"|damaged|harmed|hurt|abnormal|broken|fractured|(?:any\s+)?(?:abnormality|injury|damage)"
    r"|come\s+to\s+(?:any\s+)?harm|changed)\b"
)
_ALONE = re.compile(r"\s*,\s*(?:the\s+)?(?:\w+\s+){1,3}?(?:is|appears|looks|remains|seems)\b")
"""A comma between two bones of which only the second is the subject."""

SUBJECT_NOT_BONE = re.compile(
    r"\b(?:phys[ei]\w*|growth|epiphys\w+|align\w*|joints?|artic\w+|varian\w+|minerali\w+|ossific\w+"
    r"|densit\w+"
    r"|soft|position|height|length|inclination|tilt|relation\w*|apophys\w+|space|nucle\w+|angles?"
    r"|(?:volar|dorsal|palmar|anterior|posterior|medial|lateral|opposite|far|one|radial"
    r"|ulnar)\s+cort\w+)\b"
)
_CLAUSE = re.compile(r"[,;.]|\b(?:and|but)\b")
