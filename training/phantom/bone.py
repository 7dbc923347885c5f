"""One bone of the cartoon: its outline, and how much mineral stands behind each point of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Affine",
    "Bone",
    "Cloud",
    "Mark",
    "Points",
    "ellipse",
    "rigid",
    "shifted",
    "smooth",
    "transformed",
]

Points = NDArray[np.float64]
"""Shape (n, 2), x and y in mm; for a left wrist seen PA x grows radially, y proximally."""

Affine = NDArray[np.float64]
"""Shape (2, 3): maps points to points."""


@dataclass(frozen=True, eq=False)
class Mark:
    """A line in a bone that is darker (a fracture) or brighter (sclerosis) than the bone around.

    Parameters
    ----------
    line
        Polyline, mm.
    width
        Full width in mm.
    gain
        Relative change of mineral on the line: -1 empties the bone, +0.5 adds half.
    blur
        Softness of the line's edges, mm (standard deviation).
    """

    line: Points
    width: float
    gain: float
    blur: float = 0.2


@dataclass(frozen=True, eq=False)
class Cloud:
    """Mineral without a cortex: callus, or a thin periosteal line.

    ``shape`` is filled where ``line_width`` is None, else drawn as a line of that width in mm.
    ``thickness`` is in mm of bone mineral, ``blur`` in mm.
    """

    shape: Points
    thickness: float
    blur: float
    line_width: float | None = None
    mottle: float = 0.3


@dataclass(frozen=True, eq=False)
class Bone:
    """A bone, or a fragment of one.

    Parameters
    ----------
    name
        For example ``radius_shaft``; ``fragment_of`` names keep the name of the whole.
    parts
        Closed outlines, mm; their union is the bone.
    half_depth
        Half of the thickness along the beam at the middle of the bone, mm.
    cortex
        Thickness of the cortex at both ends of ``axis``, mm.
    axis
        Two points, distal and proximal, between which the cortex thickens; mm.
    trabecular
        Mineral of spongy bone relative to cortex.
    keep
        Outline of the half plane (or wedge) that this fragment kept when the bone broke.
    marks
        Lines in this bone.
    """

    name: str
    parts: tuple[Points, ...]
    half_depth: float
    cortex: tuple[float, float]
    axis: Points
    trabecular: float = 0.26
    keep: Points | None = None
    marks: tuple[Mark, ...] = ()

    def moved(self, matrix: Affine) -> Bone:
        """Return the bone with all its points mapped by ``matrix``."""
        return replace(
            self,
            parts=tuple(transformed(p, matrix) for p in self.parts),
            axis=transformed(self.axis, matrix),
            keep=None if self.keep is None else transformed(self.keep, matrix),
            marks=tuple(replace(m, line=transformed(m.line, matrix)) for m in self.marks),
        )

    def marked(self, *marks: Mark) -> Bone:
        """Return the bone with further lines in it."""
        return replace(self, marks=(*self.marks, *marks))

    @property
    def points(self) -> Points:
        """All outline points together."""
        return np.concatenate(self.parts)


def transformed(points: Points, matrix: Affine) -> Points:
    """Map ``points`` (n, 2) by an affine (2, 3)."""
    mapped: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def shifted(points: Points, x: float, y: float) -> Points:
    """Shift ``points`` (n, 2)."""
    moved: Points = points + np.array([x, y])
    return moved


def rigid(
    degrees: float, about: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)
) -> Affine:
    """Return the rotation by ``degrees`` about a point, followed by a shift (mm)."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.asarray(about, dtype=np.float64)
    offset = centre - turn @ centre + np.asarray(shift, dtype=np.float64)
    return np.column_stack([turn, offset])


def smooth(points: Points, rounds: int = 2) -> Points:
    """Round the corners of a closed polygon (Chaikin's corner cutting)."""
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2)
    return points


def ellipse(half_width: float, half_height: float, count: int) -> Points:
    """Return ``count`` points of an ellipse about the origin, from its right end."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.column_stack([half_width * np.cos(turn), half_height * np.sin(turn)])
