"""The colours of the picture board: few, on one dark neutral ground, told apart by every eye."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pipeline.canvas import Colour
from pipeline.region import Region

__all__ = [
    "BRIGHT",
    "CAUTION",
    "DASHES",
    "DIM",
    "GROUND",
    "LINE",
    "MUTED",
    "PLAIN",
    "bone_colour",
]

GROUND: Final[Colour] = (18, 19, 21)
LINE: Final[Colour] = (62, 64, 68)
DIM: Final[Colour] = (150, 152, 156)
PLAIN: Final[Colour] = (186, 188, 191)
BRIGHT: Final[Colour] = (228, 229, 231)
CAUTION: Final[Colour] = (240, 228, 66)
MUTED: Final[Colour] = (150, 143, 52)  # the frame of what a word in CAUTION is said of

# Okabe and Ito, Color Universal Design (2008): told apart with every kind of colour vision
_BONES: Final[Mapping[Region, Colour]] = MappingProxyType(
    {
        Region.DISTAL_RADIUS: (86, 180, 233),
        Region.DISTAL_ULNA: (230, 159, 0),
        Region.ULNAR_STYLOID: (204, 121, 167),
    }
)
_WRIST: Final[Colour] = (160, 162, 166)

DASHES: Final[Mapping[Region, tuple[float, ...]]] = MappingProxyType(
    {
        Region.DISTAL_RADIUS: (),
        Region.DISTAL_ULNA: (6.0, 3.0),
        Region.ULNAR_STYLOID: (2.5, 2.5),
    }
)
"""Line and gap of each bone's box, in units of a canvas: a monitor may show no colour at all."""


def bone_colour(region: Region | None) -> Colour:
    """Return the colour of a bone, or of the wrist as a whole."""
    return _BONES[region] if region else _WRIST
