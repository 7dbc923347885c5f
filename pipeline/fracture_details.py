"""How a fracture is, by the words of a sentence: type, healing, displacement, angulation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pipeline import lexicon
from pipeline.cue import CONSUMER, denied
from pipeline.findings import Displacement, FractureType, Healing

__all__ = ["Details", "degrees_of", "details_in"]


@dataclass(frozen=True)
class Details:
    """How a fracture is; None where the words do not say.

    ``displaced_somehow`` is True where ``displacement`` has no degree: it yields to one that has.
    """

    type: FractureType | None = None
    healing: Healing | None = None
    displacement: Displacement | None = None
    angulation_deg: float | None = None
    displaced_somehow: bool | None = None
    physeal: bool | None = None
    intra_articular: bool | None = None

    def completed_by(self, other: Details) -> Details:
        """Return these details with what is missing taken from others."""
        mine = {name: value for name, value in vars(self).items() if value is not None}
        if self.displaced_somehow and other.displacement and not other.displaced_somehow:
            del mine["displacement"], mine["displaced_somehow"]
        return replace(other, **mine)

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())


def details_in(
    words: str,
    window: tuple[int, int],
    head_end: int | None = None,
    named: FractureType | None = None,
    *,
    of_bone: bool = False,
) -> Details:
    """Read how a fracture is.

    Parameters
    ----------
    words
        A flattened sentence (`pipeline.passage.flatten`).
    window
        From which character to which it describes the fracture.
    head_end
        Where the words that name the fracture end; None where they only remark on one that was
        named before, and say nothing of its type.
    named
        The type in the words that name it.
    of_bone
        Whether such a remark names the bone: "ulna transverse, 5°" says its type and angulation.
    """
    part = words[window[0] : window[1]]
    kind = None
    if head_end is not None:
        kind = named or _adjective(words, window, head_end) or FractureType.UNSPECIFIED
    elif of_bone:
        kind = _adjective(words, window, window[0])
    displacement, somehow = _displacement(part)
    return Details(
        type=kind,
        healing=_healing(part, head_end - window[0] if head_end is not None else 0),
        displacement=displacement,
        displaced_somehow=somehow,
        angulation_deg=_angulation(part, named=of_bone or head_end is not None),
        physeal=True if _is_salter(kind) else _stated(lexicon.PHYSEAL, part),
        intra_articular=_articular(part),
    )


def _is_salter(kind: FractureType | None) -> bool:
    return kind is not None and kind.value.startswith("salter_harris")


def _adjective(words: str, window: tuple[int, int], head_end: int) -> FractureType | None:
    for begin, end in ((window[0], head_end), (head_end, window[1])):
        for kind, pattern in lexicon.ADJECTIVES.items():
            match = pattern.search(words, begin, end)
            if match and not denied(words, match.start()) and not _is_view(words, match):
                return kind
    return None


def _is_view(words: str, match: re.Match[str]) -> bool:
    """Tell whether "oblique" is a projection: "confirmed on the additional oblique"."""
    seen_on = re.search(
        r"\b(?:on|in)\s+(?:(?:the|an?|one|additional|extra|both)\s+)*$", words[: match.start()]
    )
    return bool(seen_on) and not re.match(
        r"\s+(?:\w+\s+)?(?:fract|line|plane)", words[match.end() :]
    )


_NONUNION = re.compile(r"\b(?:non|un)-?\s?un(?:ion|ited)\b")
_HEALING_YET = re.compile(
    r"\bhealing\s+(?:phase|stage)|\b(?:still|is|are)\s+healing|\bunited\s+by\s+\w+\s+callus"
)
_NOT_FORMED = re.compile(
    r"[\w\s]{0,20}?\b(?:not|yet\s+to)\s+(?:\w+\s+)?(?:formed|form|be|seen|visible)\b"
)


def _healing(part: str, head_end: int) -> Healing | None:
    if _NONUNION.search(part):
        return None  # neither healed nor on the way to it
    healing = [
        match
        for match in lexicon.HEALINGS[Healing.HEALING].finditer(part)
        if (not _denied_itself(part, match.start()) or match.group().startswith("not"))
        and not _NOT_FORMED.match(part, match.end())
    ]
    for match in lexicon.HEALINGS[Healing.HEALED].finditer(part):
        if not lexicon.NOT_YET.search(part, 0, match.start()) and not denied(part, match.start()):
            return Healing.HEALING if _HEALING_YET.search(part) else Healing.HEALED
    if healing:
        return Healing.HEALING
    acute = lexicon.ACUTE.finditer(part) if head_end else ()
    if any(not denied(part, match.start()) for match in acute):
        return Healing.ACUTE
    return None


def _denied_itself(part: str, start: int) -> bool:
    """Tell whether a denial before means this, not what it says of it ("no change of")."""
    if not denied(part, start):
        return False
    consumed = list(CONSUMER.finditer(part, max(0, start - 60), start))
    return not consumed or denied(part[consumed[-1].end() :], start - consumed[-1].end())


def _displacement(part: str) -> tuple[Displacement | None, bool | None]:
    """Return the degree, and True where it is only said that there is a displacement."""
    for degree, pattern in lexicon.DISPLACEMENTS:
        match = pattern.search(part)
        if match and (degree is Displacement.NONE or not denied(part, match.start())):
            return degree, None
    stated = [
        match
        for match in lexicon.DISPLACEMENT_MEASURED.finditer(part)
        if not denied(part, match.start()) and not _OF_FAT.search(part[: match.start()])
    ]
    if not stated:
        return None, None
    match = next((m for m in stated if not m["plain"]), None)
    if match is None:
        return Displacement.MODERATE, True
    size = float(match["before"] or match["after"])
    unit = match["unit_before"] or match["unit_after"]
    if unit == "cm":
        size, unit = size * 10, "mm"
    mild, moderate = (2.0, 5.0) if unit == "mm" else (25.0, 50.0)
    if size == 0:
        return Displacement.NONE, None
    begin = match.start("before" if match["before"] else "after")
    if _MORE_THAN.search(part, 0, begin):
        size += 1.0  # "more than 50 %" is over it
    if size <= mild:
        return Displacement.MILD, None
    return (Displacement.MODERATE if size <= moderate else Displacement.SEVERE), None


_MORE_THAN = re.compile(
    r"(?:\b(?:more|greater|larger|wider)\s+than|\bover|\babove|\bexceed(?:s|ing)|\bbeyond"
    r"|\bupwards\s+of|\bin\s+excess\s+of|>)\s*$"
)
_OF_FAT = re.compile(r"\bfat\b[\w\s]{0,20}$")
_ANGULATED = re.compile(r"angul|apex|tilt|\bang\b|\bangle\b|\bbend|\bbent\b|\bbow")


def _angulation(part: str, *, named: bool) -> float | None:
    if not named and not _ANGULATED.search(part):
        return None
    for match in lexicon.ANGLE.finditer(part):
        value = degrees_of(match)
        near = re.split(r"[,;]", part[max(0, match.start() - 40) : match.start()])[-1]
        near += re.split(r"[,;]", part[match.start() : match.end() + 25])[0]
        if not match["earlier"] and value <= 180 and not lexicon.NO_ANGULATION.search(near):
            return value
    return None


def degrees_of(match: re.Match[str]) -> float:
    """Return what an angle measures, the mean of a range (`pipeline.lexicon.ANGLE`)."""
    low = float(match["low"])
    return (low + float(match["high"])) / 2 if match["high"] else low


def _stated(pattern: re.Pattern[str], part: str) -> bool | None:
    match = pattern.search(part)
    return None if match is None else not denied(part, match.start())


def _articular(part: str) -> bool | None:
    if lexicon.EXTRA_ARTICULAR.search(part):
        return False
    return _stated(lexicon.ARTICULAR, part)
