"""The words of the method: which region, which side, which view."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["GLOBAL", "Laterality", "Region", "View"]

GLOBAL = "global"
"""Name of the vector and crop of the wrist as a whole."""


class Region(StrEnum):
    """A bone that can be asked about (WristMIR, section 2.2)."""

    DISTAL_RADIUS = "distal_radius"
    DISTAL_ULNA = "distal_ulna"
    ULNAR_STYLOID = "ulnar_styloid"

    @property
    def words(self) -> str:
        """The region in plain words, e.g. ``distal radius``."""
        return self.value.replace("_", " ")


class Laterality(StrEnum):
    """Side of the body; ``UNKNOWN`` also stands for both or contradictory."""

    LEFT = "left"
    RIGHT = "right"
    UNKNOWN = "unknown"


class View(StrEnum):
    """Radiographic projection of a wrist, or ``OTHER`` for what is no wrist."""

    PA = "pa"
    LATERAL = "lateral"
    OBLIQUE = "oblique"
    OTHER = "other"
