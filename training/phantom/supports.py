"""What a surgeon or a plaster room leaves on the image: casts, splints, wires, plates, nails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.anatomy import Skeleton
from training.phantom.bone import Points, rigid, smooth, transformed
from training.phantom.rendering import Shell, Wire

__all__ = ["Support", "shells", "wires"]


@dataclass(frozen=True)
class Support:
    """Which support the arm carries.

    ``casing`` is ``plaster``, ``synthetic``, ``splint`` or None; ``metal`` is ``wires``,
    ``plate``, ``nail`` or None.
    """

    casing: str | None = None
    metal: str | None = None

    @classmethod
    def drawn(cls, other: tuple[str, ...], age_years: float, rng: np.random.Generator) -> Support:
        """Choose the kind of what ``other`` mentions."""
        casing = str(rng.choice(["plaster", "synthetic", "splint"], p=[0.45, 0.35, 0.2]))
        plate = 0.3 if age_years > 12 else 0.05
        metal = str(rng.choice(["wires", "plate", "nail"], p=[0.85 - plate, plate, 0.15]))
        return cls(
            casing if "cast_or_splint" in other else None,
            metal if "hardware" in other else None,
        )


def shells(skeleton: Skeleton, support: Support, rng: np.random.Generator) -> list[Shell]:
    """Return the cast or splint around the arm, from the palm to beyond the image."""
    if support.casing is None:
        return []
    unit = skeleton.unit
    start = -float(rng.uniform(1.5, 2.6) if rng.random() < 0.35 else rng.uniform(2.6, 4.0)) * unit
    left, right = _sides(skeleton, start - 0.6 * unit)
    padding = float(rng.uniform(0.12, 0.42)) * unit
    wobble = rng.normal(0, 0.06 * unit, (2, 15))
    at = np.linspace(0, 1, 15)
    along = np.linspace(0, 1, len(left))
    left = left - np.column_stack([padding + np.interp(along, at, wobble[0]), 0 * along])
    right = right + np.column_stack([padding + np.interp(along, at, wobble[1]), 0 * along])
    wall = float(rng.uniform(0.1, 0.2)) * unit
    if support.casing == "splint":
        share = float(rng.uniform(0.05, 0.35))
        if rng.random() < 0.5:
            left = left + (right - left) * share
        else:
            right = right + (left - right) * share
        wall *= 0.8
    outline = smooth(np.concatenate([left, right[::-1]]), 1)
    weave = float(rng.uniform(0.6, 1.0)) if support.casing == "synthetic" else 0.0
    density = float(rng.uniform(1.6, 4.0) if support.casing == "plaster" else rng.uniform(1.1, 2.4))
    return [Shell(outline, _extent(left, right, start, rng), wall, 1.25 * unit, weave, density)]


def _extent(left: Points, right: Points, start: float, rng: np.random.Generator) -> Points:
    """Return the region proximal of the cast's uneven distal end."""
    x = np.linspace(left[:, 0].min(), right[:, 0].max(), 9)
    slope = float(rng.normal(0, 0.12))
    y = start + slope * (x - x.mean()) + rng.normal(0, 0.02, 9) * np.ptp(x)
    bottom = float(left[:, 1].max())
    return np.concatenate([np.column_stack([x, y]), [(x[-1], bottom), (x[0], bottom)]])


def _sides(skeleton: Skeleton, start: float) -> tuple[Points, Points]:
    """Return the arm's left and right outline from ``start`` (mm) proximally, without the thumb."""
    arm = skeleton.skin[0]
    half = len(arm) // 2
    left, right = arm[:half], arm[half:][::-1]
    rows = np.linspace(start, float(arm[:, 1].max()), 40)
    sides = []
    for side in (left, right):
        order = np.argsort(side[:, 1])
        sides.append(np.column_stack([np.interp(rows, side[order, 1], side[order, 0]), rows]))
    return sides[0], sides[1]


def wires(skeleton: Skeleton, support: Support, rng: np.random.Generator) -> list[Wire]:
    """Return the metal in the radius."""
    if support.metal is None:
        return []
    shaft = skeleton.named("radius_shaft")[-1]
    lean = float(rng.normal(0, 3))
    place = rigid(lean, (float(shaft.axis[0, 0]), float(shaft.axis[0, 1])))
    kinds = {"wires": _kirschner, "plate": _plate, "nail": _nail}
    drawn = kinds[support.metal](skeleton.unit, skeleton.turn, rng)
    return [Wire(transformed(w.shape, place), w.diameter, w.filled, w.thickness) for w in drawn]


def _kirschner(unit: float, turn: float, rng: np.random.Generator) -> list[Wire]:
    """One or two wires from the radial styloid to the far cortex, bent at the skin."""
    squeeze = 0.6 if turn > 60 else 1.0
    drawn = []
    for number in range(int(rng.integers(1, 3))):
        entry = np.array([0.50 + 0.1 * number, -0.42 + 0.1 * number]) + rng.normal(0, 0.04, 2)
        tip = np.array([-0.22 + 0.1 * number, rng.uniform(1.2, 2.0)])
        back = (entry - tip) / np.linalg.norm(entry - tip)
        tail = entry + back * rng.uniform(0.3, 0.8)
        hook = tail + np.array([0.12, 0.04])
        end = hook - back * 0.22 + np.array([0.06, 0.0])
        line = np.array([tip, entry, tail, hook, end]) * (squeeze, 1.0) * unit
        drawn.append(Wire(line, float(rng.uniform(1.2, 1.8))))
    return drawn


def _plate(unit: float, turn: float, rng: np.random.Generator) -> list[Wire]:
    """Draw a small plate with its screws."""
    half = 0.14 if turn < 60 else 0.05
    length = float(rng.uniform(1.3, 2.0))
    top = float(rng.uniform(0.2, 0.4))
    side = 0.0 if turn < 60 else 0.27
    corners = np.array(
        [
            (side - half * 1.5, top), (side + half * 1.5, top), (side + half, top + 0.4),
            (side + half, top + length), (side - half, top + length), (side - half, top + 0.4),
        ]
    )  # fmt: skip
    drawn = [Wire(corners * unit, 2.0, filled=True, thickness=1.0)]
    for row in np.linspace(top + 0.12, top + length - 0.12, int(rng.integers(4, 7))):
        reach = 0.03 if turn < 60 else 0.5
        screw = np.array([(side, row), (side - reach, row + 0.01)]) * unit
        drawn.append(Wire(screw, 2.4, thickness=2.6))
    return drawn


def _nail(unit: float, turn: float, rng: np.random.Generator) -> list[Wire]:
    """Draw an elastic nail inside the shaft."""
    rows = np.linspace(0.25, 6.5, 20)
    start = 0.42 if turn < 60 else 0.3
    across = 0.05 + (start - 0.05) * np.exp(-(rows - 0.25) / 0.5)
    across += float(rng.uniform(-0.05, 0.05)) * np.sin(rows)
    return [Wire(np.column_stack([across, rows]) * unit, float(rng.uniform(1.8, 2.4)))]
