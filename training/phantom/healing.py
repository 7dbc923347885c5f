"""What time does to a fracture: callus, periosteal new bone, a thicker cortex."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.phantom.anatomy import Skeleton
from training.phantom.bone import Affine, Bone, Cloud, Points, transformed

__all__ = ["callus", "mended", "periosteum"]


def mended(
    skeleton: Skeleton,
    healing: float,
    shaft: Bone,
    level: float,
    motion: Affine | None,
    seed: int,
    size: float = 1.0,
) -> Skeleton:
    """Add callus and periosteal reaction around a break of ``shaft`` at ``level`` (mm).

    ``healing`` 0 is fresh (nothing is added), 1 well under way, above 1 healed (a faint swelling
    remains). ``motion`` is what moved the distal part; ``size`` scales the callus.
    """
    if healing <= 0:
        return skeleton
    unit = skeleton.unit
    rng = np.random.default_rng(seed + 2)
    grown = healing if healing <= 1 else 0.45
    clouds: list[Cloud] = []
    reach = float(rng.uniform(0.26, 0.4)) * unit
    low, high = level - 1.7 * reach, level + 1.9 * reach
    for edge, outward in zip(_edges(shaft, low, high, motion, level), (-1.0, 1.0), strict=True):
        if len(edge) >= 4:
            swelling = float(rng.uniform(0.09, 0.18)) * size * grown * unit
            clouds.append(_lens(edge, outward * swelling, level, reach, grown))
    clouds += periosteum(shaft, level, healing, unit, seed)
    return replace(skeleton, clouds=(*skeleton.clouds, *clouds))


def _lens(edge: Points, swelling: float, level: float, reach: float, grown: float) -> Cloud:
    """Return callus along one cortex: thick at the fracture, thin at both ends."""
    bulge = np.exp(-(((edge[:, 1] - level) / reach) ** 2)) * swelling
    outer, inner = edge.copy(), edge.copy()
    outer[:, 0] += bulge
    inner[:, 0] -= 0.9 * bulge
    thickness = (0.7 + 0.8 * grown) * abs(swelling)
    blur = max(abs(swelling) * (0.45 - 0.2 * grown), 0.15)
    return Cloud(np.concatenate([outer, inner[::-1]]), thickness, blur, mottle=0.3)


def periosteum(
    shaft: Bone, level: float, healing: float, unit: float, seed: int
) -> tuple[Cloud, ...]:
    """Return thin lines of new bone along the cortex proximal of ``level`` (mm)."""
    if not 0 < healing <= 1:
        return ()
    rng = np.random.default_rng(seed + 3)
    length = float(rng.uniform(0.6, 1.3)) * unit
    left, right = _edges(shaft, level, level + length, None, level)
    lines = []
    for edge, outward in ((left, -1.0), (right, 1.0)):
        if len(edge) < 3 or rng.random() < 0.25:
            continue
        lift = np.sin(np.linspace(0.35, np.pi, len(edge))) * rng.uniform(0.04, 0.07) * unit
        line = edge.copy()
        line[:, 0] += outward * lift
        thickness = (0.07 + 0.08 * healing) * unit
        lines.append(Cloud(line, thickness, 0.012 * unit, line_width=0.035 * unit, mottle=0.15))
    return tuple(lines)


def callus(line: Points, width: float, thickness: float, blur: float) -> Cloud:
    """Return a hazy bridge along ``line``; lengths in mm."""
    return Cloud(line, thickness, blur, line_width=width, mottle=0.3)


def _edges(
    shaft: Bone, low: float, high: float, motion: Affine | None, level: float
) -> tuple[Points, Points]:
    """Return left and right edge of a shaft between two rows, distal parts moved with the hand."""
    outline = shaft.parts[0]
    centre = (outline[:, 0].min() + outline[:, 0].max()) / 2
    chosen = outline[(outline[:, 1] >= low) & (outline[:, 1] <= high)]
    order = np.argsort(chosen[:, 1], kind="stable")
    chosen = chosen[order]
    rows = chosen[:, 1]
    middle = np.array([chosen[np.abs(rows - y) < 2.0][:, 0].mean() for y in rows])
    is_left = chosen[:, 0] < (middle if len(middle) else centre)
    left, right = chosen[is_left], chosen[~is_left]
    if motion is None:
        return left, right
    return _followed(left, motion, level), _followed(right, motion, level)


def _followed(edge: Points, motion: Affine, level: float) -> Points:
    distal = (edge[:, 1] < level)[:, None]
    return np.where(distal, transformed(edge, motion), edge)
