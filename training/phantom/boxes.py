"""Where the bones lie in the image: boxes from the drawing, by the definitions of the real ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.region import Region
from training.phantom.anatomy import Skeleton
from training.phantom.bone import Points
from training.phantom.frame import Frame

__all__ = ["Box", "boxes"]

Box = tuple[float, float, float, float]

_MARGIN = 0.02  # boxes drawn by eye stand a little off the bone; in units of the radius's width


def boxes(
    skeleton: Skeleton, frame: Frame, fractures_mm: Mapping[Region, float] | None = None
) -> dict[str, Box]:
    """Return ``wrist`` and the three bones as ``(x0, y0, x1, y1)`` in pixels of the image.

    ``wrist``: full soft tissue from mid-metacarpal to about 2.4 widths of the radius proximal of
    its joint; ``distal_radius``: full cortical width from the distal end over 1.5 widths;
    ``distal_ulna``: likewise over 1.9 widths of the ulna; both longer where a fracture lies
    further (``fractures_mm``: its distance from the metaphyseal end); ``ulnar_styloid``: a square
    of about the width of the ulna's end around styloid and epiphysis. A bone of which less than
    half lies in the image has no box.
    """
    unit = skeleton.unit
    found: dict[str, Box | None] = {"wrist": _wrist(skeleton, frame)}
    levels = fractures_mm or {}
    radius = _extent(skeleton, "radius", 1.5 * unit, levels.get(Region.DISTAL_RADIUS))
    ulna_width = _end_width(skeleton, "ulna")
    ulna = _extent(skeleton, "ulna", 1.9 * ulna_width, levels.get(Region.DISTAL_ULNA))
    found[Region.DISTAL_RADIUS.value] = _box(radius, frame, _MARGIN * unit)
    found[Region.DISTAL_ULNA.value] = _box(ulna, frame, _MARGIN * unit)
    styloid = _styloid(skeleton, 0.97 * ulna_width)
    found[Region.ULNAR_STYLOID.value] = _box(styloid, frame, 0.0)
    return {name: box for name, box in found.items() if box is not None}


def _bone_points(skeleton: Skeleton, prefix: str | tuple[str, ...]) -> Points:
    """Outline points of all fragments of a bone, only where the fragment kept its mineral."""
    kept = []
    for bone in skeleton.bones:
        if not bone.name.startswith(prefix):
            continue
        points = bone.points
        if bone.keep is not None:
            points = points[_inside(points, bone.keep)]
        kept.append(points)
    return np.concatenate(kept)


def _inside(points: Points, polygon: Points) -> np.ndarray:
    """Even-odd test of points against a polygon."""
    x, y = points[:, 0:1], points[:, 1:2]
    x0, y0 = polygon[:, 0], polygon[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    inside: np.ndarray = (np.sum(crosses & (x < at), axis=1) % 2) == 1
    return inside


def _end_width(skeleton: Skeleton, prefix: str) -> float:
    points = _bone_points(skeleton, prefix)
    near = points[points[:, 1] < points[:, 1].min() + 0.55 * skeleton.unit]
    return float(np.ptp(near[:, 0]))


def _extent(skeleton: Skeleton, prefix: str, length: float, at_least: float | None) -> Points:
    points = _bone_points(skeleton, prefix)
    top = points[:, 1].min()
    bottom = top + length
    if at_least is not None:
        bottom = max(bottom, at_least + 0.3 * skeleton.unit)
    kept: Points = points[points[:, 1] <= bottom]
    ends = np.array([(kept[:, 0].min(), bottom), (kept[:, 0].max(), bottom)])
    inner = ends.mean(axis=0) + (ends - ends.mean(axis=0)) * 0.5
    return np.concatenate([kept, inner])


def _styloid(skeleton: Skeleton, side: float) -> Points:
    """Corners of the square around styloid and epiphysis, or at the bare metaphyseal end."""
    points = _bone_points(skeleton, "ulna")
    cap = _grown(skeleton)
    whole = _bone_points(skeleton, ("ulna_shaft", "ulna_epiphysis"))
    # a fragment that has gone far does not take the box along
    top = max(points[:, 1].min(), whole[:, 1].min() - 0.4 * skeleton.unit)
    end = points[points[:, 1] < top + 0.5 * skeleton.unit]
    centre = (end[:, 0].min() + end[:, 0].max()) / 2
    outward = -0.14 * side * cap * np.cos(np.deg2rad(skeleton.turn))
    distal = top - (0.66 - 0.52 * cap) * side
    x0 = centre + outward - side / 2
    square = [(x0, distal), (x0 + side, distal), (x0 + side, distal + side), (x0, distal + side)]
    return np.array(square)


def _grown(skeleton: Skeleton) -> float:
    """How much of the ulna's epiphysis is seen: 0 to 1."""
    cap = skeleton.bone("ulna_epiphysis")
    if cap is not None:
        return float(min(np.ptp(cap.points[:, 0]) / (0.5 * skeleton.unit), 1.0))
    return 1.0 if any(len(b.parts) > 1 for b in skeleton.named("ulna_shaft")) else 0.0


def _wrist(skeleton: Skeleton, frame: Frame) -> Box | None:
    unit = skeleton.unit
    low, high = -2.15 * unit, 2.05 * unit
    points = np.concatenate(skeleton.skin)
    inside = points[(points[:, 1] >= low) & (points[:, 1] <= high)]
    return _box(inside, frame, 0.0)


def _box(points: Points, frame: Frame, margin: float) -> Box | None:
    """Bounding box in pixels, cut at the image and the collimator; None where mostly outside."""
    seen = frame.pixels(points)
    grow = margin / frame.spacing_mm
    x0, y0 = (seen.min(axis=0) - grow).tolist()
    x1, y1 = (seen.max(axis=0) + grow).tolist()
    left, top = np.maximum(frame.field.min(axis=0), 0).tolist()
    right, bottom = np.minimum(frame.field.max(axis=0), (frame.columns, frame.rows)).tolist()
    cut = (max(x0, left), max(y0, top), min(x1, right), min(y1, bottom))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        return None
    share = (cut[2] - cut[0]) * (cut[3] - cut[1]) / ((x1 - x0) * (y1 - y0))
    return cut if share >= 0.5 else None
