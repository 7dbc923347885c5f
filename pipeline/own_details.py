"""How each of several bones in one sentence is broken: "the radius 13 degrees, the ulna 7"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline import lexicon
from pipeline.bone import Bone, NamedBone, coordinated_back, names_of
from pipeline.findings import Displacement
from pipeline.fracture_details import Details, degrees_of, details_in

__all__ = ["own_details"]


def own_details(
    words: str,
    window: tuple[int, int],
    named: Sequence[NamedBone],
    bones: Sequence[Bone],
    shared: Details,
) -> Mapping[Bone, Details]:
    """Return the details of each bone where they differ in angle or displacement, else nothing.

    Parameters
    ----------
    words, window
        A flattened sentence and from which character to which it describes the fractures.
    named
        The bones that it names, in order.
    bones
        The bones that are described.
    shared
        The details as of all of them.
    """
    if len(bones) < 2:
        return {}
    angles = _own_angles(words, window, named) if shared.angulation_deg is not None else {}
    shifts = _own_displacements(words, window, named) if shared.displacement else {}
    if set(angles) >= set(bones) and len(set(angles.values())) == 1:
        angles = {}
    if len(set(shifts.values())) < 2:
        shifts = {}
    if not angles and not shifts:
        return {}
    return {
        bone: replace(
            shared,
            angulation_deg=angles.get(bone) if angles else shared.angulation_deg,
            displacement=shifts.get(bone) if shifts else shared.displacement,
        )
        for bone in bones
    }


def _own_angles(
    words: str, window: tuple[int, int], bones: Sequence[NamedBone]
) -> dict[Bone, float]:
    """Return the first angle behind each bone's name."""
    angles: dict[Bone, float] = {}
    ordered = _RESPECTIVELY.search(words, *window)
    named = names_of([bone for bone in bones if window[0] <= bone.start < window[1]])
    if ordered and len(named) == 2:
        return dict(zip(named, map(float, ordered.groups()), strict=True))
    for match in lexicon.ANGLE.finditer(words, *window):
        behind = [bone for bone in bones if bone.start >= match.end()]
        if behind and _IN.fullmatch(words, match.end(), behind[0].start):
            angles.setdefault(behind[0].names[0], degrees_of(match))
            continue
        before = [bone for bone in bones if bone.end <= match.start()]
        group = coordinated_back(words, before, governed=False) if before else []
        for name in names_of(group):
            if not match["earlier"]:
                angles.setdefault(name, degrees_of(match))
    return angles


_IN = re.compile(
    r"\s*(?:(?:of\s+)?(?:dorsal|volar|palmar|radial|ulnar)?\s*(?:angulation|tilt)\s+)?(?:in|at|of"
    r"|for"
    r"|on)\s+(?:the\s+)?(?:left\s+|right\s+)?"
)
"""Between an angle and its bone: "20 degrees in radius and 15 degrees in ulna"."""
_RESPECTIVELY = re.compile(
    r"(\d{1,3}(?:\.\d+)?)\s*(?:°|deg\w*)?\s+and\s+(\d{1,3}(?:\.\d+)?)\s*(?:°"
    r"|deg\w*)?[\s,(]*respectively"
)


def _own_displacements(
    words: str, window: tuple[int, int], bones: Sequence[NamedBone]
) -> dict[Bone, Displacement]:
    """Return the displacement behind each bone's name, up to the next."""
    shifts: dict[Bone, Displacement] = {}
    within = [bone for bone in bones if window[0] <= bone.start and bone.end <= window[1]]
    for number, bone in enumerate(within):
        end = within[number + 1].start if number + 1 < len(within) else window[1]
        degree = details_in(words, (bone.start, end)).displacement
        if degree and len(bone.names) == 1:
            shifts.setdefault(bone.names[0], degree)
    return shifts
