"""The bones that a sentence names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline import lexicon
from pipeline.findings import Other
from pipeline.region import Region

__all__ = [
    "COORDINATED",
    "Bone",
    "Elsewhere",
    "NamedBone",
    "bones_in",
    "coordinated_back",
    "coordinated_on",
    "names_of",
]


class Elsewhere(StrEnum):
    """A bone that is none of the three regions."""

    SCAPHOID = Other.SCAPHOID_FRACTURE.value
    ELSEWHERE = Other.OTHER_FRACTURE.value
    CARPUS = "carpus"


_STYLOID = r"st[yi]l?[oi]{1,2}d\w*"
_DIRECTION = (
    r"(?:deviat\w+|displace\w+|angulat\w+|translat\w+|tilt\w*|inclination|side\w*|aspect|height"
    r"|length|shorten\w+|shift\w*|variance|minus|plus|positive|negative|apex|border|translocation"
    r"|wards?|ly|artery|nerve|column|gutter|slab|club)"
)
_PART = (
    r"(?:metaph(?:ys\w+)?|metadiaphys\w+|phys[ei]\w*|epiphys\w+|growth|cort\w+|buckl\w+|torus"
    r"|fract\w+"
    r"|fxs?|#|greenstick|salter|s-?h[\s-]?[iv\d]|plastic|bowing|avuls\w+|torus|transverse|oblique"
    r"|metaphysis|bone)"
)
_THIRD = (
    r"(?:middle|mid|proximal|upper)(?:\s+(?:and|to|/)\s+(?:middle|proximal|upper))?[\s-]+"
    r"(?:thirds?|ends?|parts?|portions?|halves|half|metaphys[ie]s)"
)
_SHAFT_OF = rf"(?:shafts?|mid-?\s?shafts?|diaphys[ie]s|{_THIRD})\s+of\s+(?:the\s+|both\s+)?"
_FOREARM_BONE = r"(?:radius|radial|ulnar?)"

BONE = re.compile(
    # one look at each word's start instead of one for each alternative: five times as fast
    r"\b(?=[a-z])(?:"
    + "|".join(
        (
            r"(?P<no_bone>\b(?:(?:distal\s+)?radio-?\s?ulnar(?:\s+joint)?|druj)\b"
            rf"|\b(?:radial|ulnar)(?:[- ]sided|\s+{_DIRECTION}\b|ly\b|wards?\b)"
            r"|\bulna\s+(?:minus|plus|positive|negative|variance)\b)",
            rf"(?P<ulnar_styloid>\bu(?:ln(?:ar"
            rf"|a'?s?)?)?\.?[\s-]+(?:distal\s+)?{_STYLOID}(?:\s+process)?"
            rf"|\bulnostyloid|\b{_STYLOID}(?:\s+process)?\s+(?:of|from|at)\s+(?:the\s+)?"
            rf"(?:left\s+|right\s+)?(?:distal\s+)?ulna\b|\bu\.?s\.?p\b|\bus\b(?=\s+(?:fx|#|fract"
            rf"|nonunion|avuls|tip|nad|nl|ok|normal|intact)|\s*[:=(])"
            r"|(?:(?<=du )|(?<=du/)|(?<=du \+ )|(?<=du & )|(?<=du and )|(?<=# ))us\b)",
            rf"(?P<radial_styloid>\b(?:radial|radius)\s+{_STYLOID}(?:\s+process)?|\b{_STYLOID}"
            r"(?:\s+process)?\s+of\s+(?:the\s+)?(?:distal\s+)?radius\b)",
            rf"(?P<styloid>\b{_STYLOID}(?:\s+process)?)",
            r"(?P<scaphoid>\b(?:scaphoid|navicular)\w*)",
            r"(?P<carpus>\bcarp(?:al|us)(?:\s+(?:bones?|rows?|arcs?|alignment))?)",
            r"(?P<elsewhere>\b(?:lunat\w+|triquetr\w+|pisiform|trapezi\w+|capitate|hamat\w+"
            r"|hook\s+of\s+hamate|(?:\w+\s+)?metacarp\w+"
            r"|(?:(?<=st )|(?<=nd )|(?<=rd )|(?<=th ))mcs?\b"
            r"|mc\s?[1-5]\b"
            r"|phalan\w+|fingers?|thumb|elbow|humer\w+"
            r"|supracondylar|radial\s+(?:head|neck)|olecranon|coronoid|clavicle|sesamoid"
            rf"|(?:mid|proximal|mid-?shaft|middle\s+third)\s+(?:third\s+)?{_FOREARM_BONE}"
            rf"|mid-?forearm|proximal\s+forearm|(?<!distal )(?<!distal third ){_SHAFT_OF}"
            rf"(?:left\s+|right\s+)?(?:radius|ulna|forearm"
            rf"|both\s+bones)(?:\s+and\s+(?:the\s+)?ulna)?"
            rf"|(?<!distal ){_FOREARM_BONE}(?:\s+and\s+(?:the\s+)?ulnar?)?"
            r"\s+(?:mid-?)?(?:shafts?|diaphys[ie]s|diaphyseal|midshafts?)))",
            r"(?P<both>\bbb\b(?=\s+(?:fx|#|fract))|\br\s?\+\s?u\b"
            r"|\bboth[\s-]bones?(?:\s+of\s+the)?(?:\s+distal)?(?:\s+forearm)?"
            r"|\bboth\s+(?:the\s+)?(?:distal\s+)?(?:forearm\s+)?bones"
            r"|\bdistal\s+forearm(?:\s+bones)?\b|\bbbfa\b)",
            r"(?P<distal_radius>\bradius\b|\bdist\.?\s+rad(?:ial|ius)?\b"
            r"|(?<!with )(?<!by )(?<!to )(?<!from )(?<!per )(?<!for )\bdr\b"
            r"(?!\.?\s+(?:wrists?|hands?|forearm|images?|system|\w+\s+(?:informed|notified|at)\b))"
            r"|\brad\b(?=\s*(?:[:\d&+/]|and\b|is\b|fx|#)|\s+metaph)|\bdistal\s+radi(?:al|i|us)\b"
            rf"(?!\s+{_DIRECTION})"
            rf"|\bradial\b(?=\s+(?:(?:and|&)\s+(?:the\s+)?(?:distal\s+)?uln|(?:\w+\s+)?{_PART}))"
            r"|\bcolles\w*)",
            r"(?P<distal_ulna>\bulnas?\b|\bdist\.?\s+uln(?:ar?)?\b|\bu(?:ln)?\b\.?(?=\s+metaph)"
            r"|\bdu\b"
            rf"|\buln\b(?!\s+st)|\bdistal\s+ulnar?\b|\bulnar\b(?!\s+{_DIRECTION}))",
        )
    )
    + ")"
)
"""A bone in words; the group is the name of a region, of an `Elsewhere` or one of both kinds.

A bare "styloid" is the ulna's: the radius's is called by its name. "Both bones" is both regions.
"""

SHAFT = re.compile(r"(?<!distal )\b(?:mid)?-?(?:shafts?|diaphys[ei]\w+|midshafts?)\b(?!\s+width)")


_SHAFT_BEHIND = re.compile(
    r"(?:(?!\b(?:distal|radius|radial|ulna\w*|styloid|no)\b)[^.;,]){0,60}?\b(?:of|in|through"
    r"|at)\s+(?:the\s+|its\s+|their\s+)?(?:mid-?\s?)?"
    rf"(?:shafts?|diaphys[ie]s|midshaft|{_THIRD})\b(?!\s+width)"
    rf"|\s*[,(]\s*(?:at\s+)?(?:the\s+)?(?:mid-?shaft|{_THIRD})\b"
)
"""Behind a bone's name: it is the shaft that is meant, "ulna: bowing of the midshaft"."""

Bone = Region | Elsewhere


@dataclass(frozen=True)
class NamedBone:
    """Where a sentence names one or several bones."""

    start: int
    end: int
    names: tuple[Bone, ...]


_BONE_NAMES: dict[str, tuple[Bone, ...]] = {
    "ulnar_styloid": (Region.ULNAR_STYLOID,),
    "styloid": (Region.ULNAR_STYLOID,),
    "radial_styloid": (Region.DISTAL_RADIUS,),
    "distal_radius": (Region.DISTAL_RADIUS,),
    "distal_ulna": (Region.DISTAL_ULNA,),
    "both": (Region.DISTAL_RADIUS, Region.DISTAL_ULNA),
    "scaphoid": (Elsewhere.SCAPHOID,),
    "carpus": (Elsewhere.CARPUS,),
    "elsewhere": (Elsewhere.ELSEWHERE,),
}
# where a bone is named only to say where something else lies
_ASIDE_OF_BONE = re.compile(
    r"(?:swelling|swollen|around|o?edema|effusion|relative|relation|compared|adjacent|overlying"
    r"|over|towards?|near"
    r"|alongside|proximal|anterior|posterior|medial|lateral|views?|distal\s+to|minus|plus|parallel)"
    r"\s+(?:(?:to|of|the|about|around|along|a|left|right)\s+){0,3}$"
)


def _is_of_shaft(words: str, match: re.Match[str], found: Sequence[NamedBone]) -> bool:
    """Tell whether a bone is named for its shaft: "mid-shaft fractures of the radius and ulna"."""
    if _OF_SHAFT.search(words, 0, match.start()):
        return True
    with_last = found and found[-1].names == (Elsewhere.ELSEWHERE,)
    bare = match.group().startswith(("rad", "uln"))
    return bool(with_last and bare and COORDINATED.fullmatch(words, found[-1].end, match.start()))


_OF_SHAFT = re.compile(
    rf"\b(?:mid-?\s?shaft|shaft|diaphyseal|proximal|{_THIRD}"
    r"|mid-?diaphyseal)\s+(?:\w+\s+){0,2}?"
    r"(?:fractures?|fxs?|#s?)\s+(?:of|in|through)\s+(?:(?:the|both|left|right)\s+){0,3}$"
)


def bones_in(words: str, *, asides: bool = False) -> tuple[NamedBone, ...]:
    """Return the bones of a flattened sentence in order, by wish also those that only locate."""
    found: list[NamedBone] = []
    for match in BONE.finditer(words):
        aside = not asides and _ASIDE_OF_BONE.search(words, 0, match.start())
        if match.lastgroup == "no_bone" or aside:
            continue
        names = _BONE_NAMES[match.lastgroup or ""]
        if match.lastgroup in ("distal_radius", "distal_ulna", "both"):
            near = words[max(0, match.start() - 22) : match.end() + 25]
            shaft = "distal" not in near and (
                SHAFT.search(near) or _SHAFT_BEHIND.match(words, match.end())
            )
            if shaft or _is_of_shaft(words, match, found):
                names = (Elsewhere.ELSEWHERE,)
        found.append(NamedBone(match.start(), match.end(), names))
    return tuple(found)


COORDINATED = re.compile(
    r"\s*(?:\([^()]{0,40}\)\s*)?(?:metaph(?:ys\w+)?\s*|epiphys\w+\s*|phys\w+\s*|process\s*)?(?:,"
    r"|,?\s*and|&|/|\+"
    r"|,?\s*as\s+well\s+as"
    r"|[\s,(]*including(?:\s+its|\s+the)?|,?\s*n?or|(?<=radius)|(?<=ulna)|along\s+with"
    r"|together\s+with)\s*(?:(?:of|in|through|involving|also|the|left|right"
    r"|either|both|distal|tip|base|process|its)\s+)*(?:of\s+the\s+)?"
)
_GOVERNED = re.compile(
    r"[\s,(-]*(?:of|in|through|involving|at|to|within|across|about|along|affecting)\b.{0,60}"
    r"|\s+(?:left\s+|right\s+)?",
    re.DOTALL,
)


_NEW_LIST = re.compile(r",\s*(?:the\s+)?(?:[\w-]+\s+){1,2}(?:and|&)\s+(?:[\w-]+\s+){0,2}$")
"""A list of its own: "fracture of the radius, ulna and styloid intact"."""


def coordinated_back(
    words: str, before: Sequence[NamedBone], *, governed: bool = True
) -> list[NamedBone]:
    """Return the last bone and those that are listed with it.

    A list that a word for a fracture governs ("fracture of the radius, ulna intact") is left to
    it, unless ``governed`` is False.
    """
    group = [before[-1]]
    earlier = (
        [m.end() for m in lexicon.HEAD.finditer(words, 0, before[-1].start)] if governed else []
    )
    for bone in reversed(before[:-1]):
        if earlier and bone.start < earlier[-1]:
            break
        governed_by = earlier and _GOVERNED.fullmatch(words, earlier[-1], bone.start)
        if governed_by and not _NEW_LIST.search(words, earlier[-1], group[0].start):
            break
        listed = COORDINATED.fullmatch(words, bone.end, group[0].start)
        if not listed and not _has_with_it(words, bone, group[0]):
            break
        group.insert(0, bone)
    return group


def _has_with_it(words: str, ulna: NamedBone, styloid: NamedBone) -> bool:
    """Tell whether a styloid is named as a part: "ulna with styloid likewise without fracture"."""
    if ulna.names != (Region.DISTAL_ULNA,) or styloid.names != (Region.ULNAR_STYLOID,):
        return False
    part = _WITH.fullmatch(words, ulna.end, styloid.start)
    return bool(part) and not lexicon.HEAD.match(words, styloid.end + 1)


_WITH = re.compile(r"\s+with\s+(?:its\s+|the\s+)?")


def coordinated_on(words: str, behind: Sequence[NamedBone]) -> list[NamedBone]:
    """Return the first bone and those that are listed with it: "intact ulna and styloid"."""
    group = [behind[0]]
    for bone in behind[1:]:
        if not COORDINATED.fullmatch(words, group[-1].end, bone.start):
            break
        group.append(bone)
    return group


def names_of(bones: Sequence[NamedBone]) -> tuple[Bone, ...]:
    """Return what bones are named, each once."""
    return tuple(dict.fromkeys(name for bone in bones for name in bone.names))
