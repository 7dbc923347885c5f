"""What is not a wrist: a hand, a joint of two long bones, a chest, an empty detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from training.phantom.bone import Bone, Cloud, Points, ellipse, rigid, shifted, smooth, transformed
from training.phantom.rendering import Scene

__all__ = ["BODY_PARTS", "Elsewhere", "elsewhere"]


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """A scene that shows no wrist.

    ``window`` (x0, y0, x1, y1 in mm) is what the detector sees; ``body_part`` is a defined term
    of BodyPartExamined (PS3.16 Annex L), empty for the empty detector.
    """

    scene: Scene
    window: tuple[float, float, float, float]
    body_part: str


def elsewhere(unit: float, rng: np.random.Generator) -> Elsewhere:
    """Draw something else at the scale of a child whose radius is ``unit`` mm wide."""
    return _KINDS[str(rng.choice(list(_KINDS), p=[0.28, 0.24, 0.2, 0.2, 0.08]))](unit, rng)


def _long_bone(
    name: str, length: float, end: float, shaft: float, at: tuple[float, float], degrees: float
) -> Bone:
    """Build a bone that flares at its upper end, lying downwards from ``at``; mm."""
    rows = np.array([0.0, 0.03, 0.08, 0.16, 0.3, 0.6, 1.0]) * length
    half = np.array([0.7, 0.97, 1.0, 0.85, 0, 0, 0]) * end
    half[4:] = [0.3 * end + 0.7 * shaft, shaft, shaft]
    outline = smooth(
        np.concatenate([np.column_stack([-half, rows]), np.column_stack([half, rows])[::-1]]), 2
    )
    axis = np.array([(0.0, 0.05 * length), (0.0, 0.4 * length)])
    bone = Bone(name, (outline,), shaft * 1.1, (0.05 * shaft, 0.4 * shaft), axis)
    return bone.moved(rigid(degrees, (0.0, 0.0), at))


def _limb(rows: Points, half: Points) -> Points:
    return np.concatenate([np.column_stack([-half, rows]), np.column_stack([half, rows])[::-1]])


def _elbow(unit: float, rng: np.random.Generator) -> Elsewhere:
    bend = float(rng.uniform(-12, 12)) if rng.random() < 0.6 else float(rng.uniform(50, 95))
    humerus = _long_bone("humerus", 7 * unit, 1.15 * unit, 0.42 * unit, (0, -0.1 * unit), 180)
    arm = rigid(bend, (0.0, 0.0))
    radius = _long_bone("radius", 7 * unit, 0.38 * unit, 0.26 * unit, (0.5 * unit, 0.15 * unit), 3)
    ulna = _long_bone("ulna", 7 * unit, 0.55 * unit, 0.28 * unit, (-0.3 * unit, -0.1 * unit), -3)
    rows = np.linspace(-6, 6, 30) * unit
    half = np.interp(rows / unit, [-6, -1, 0, 1, 6], [1.8, 1.5, 1.5, 1.6, 1.3]) * unit
    skin = _limb(rows, half)
    upper, lower = skin[skin[:, 1] <= 0.8 * unit], skin[skin[:, 1] >= -0.8 * unit]
    bones = (humerus, radius.moved(arm), ulna.moved(arm))
    scene = Scene(bones, (upper, transformed(lower, arm)), 1.3 * unit, unit=1.3 * unit)
    reach = 3.6 * unit
    return Elsewhere(scene, (-reach * 0.8, -reach, reach * 0.8, reach), "ELBOW")


def _knee(unit: float, rng: np.random.Generator) -> Elsewhere:
    big = 1.9 * unit
    femur = _long_bone("femur", 8 * big, 0.75 * big, 0.3 * big, (0, -0.07 * big), 180)
    tibia = _long_bone("tibia", 8 * big, 0.72 * big, 0.27 * big, (0, 0.07 * big), 0)
    fibula = _long_bone("fibula", 8 * big, 0.2 * big, 0.1 * big, (-0.75 * big, 0.5 * big), 2)
    patella = shifted(ellipse(0.4 * big, 0.42 * big, 24), 0.05 * big, -0.5 * big)
    axis = np.array([(0.0, 0.0), (0.0, 1.0)])
    cap = Bone("patella", (patella,), 0.3 * big, (0.04 * big, 0.04 * big), axis)
    rows = np.linspace(-5, 5, 20) * big
    half = np.interp(rows / big, [-5, 0, 1, 5], [1.5, 1.05, 1.1, 0.8]) * big
    scene = Scene((femur, tibia, fibula, cap), (_limb(rows, half),), 1.1 * big, unit=big)
    reach = float(rng.uniform(2.2, 3.2)) * big
    return Elsewhere(scene, (-1.3 * big, -reach, 1.3 * big, reach), "KNEE")


def _hand(unit: float, rng: np.random.Generator) -> Elsewhere:
    """Fingers and metacarpals; the picture ends before the carpus."""
    bones: list[Bone] = []
    skin: list[Points] = []
    spread = float(rng.uniform(0.8, 1.3))
    for number, (x, lean, scale) in enumerate(
        [(0.62, 9, 0.95), (0.1, 1, 1.0), (-0.4, -7, 0.94), (-0.85, -15, 0.8)]
    ):
        place = rigid(lean * spread, (0.0, 0.0), (x * unit, 0.0))
        top = 0.0
        for length, half in ((2.2, 0.13), (1.45, 0.11), (0.9, 0.095), (0.6, 0.08)):
            at = (0.0, -top * unit)
            bone = _long_bone(
                f"ray_{number}", length * scale * unit, half * 1.5 * unit, half * unit, at, 180
            )
            bones.append(bone.moved(place))
            top += (length + 0.08) * scale
        finger = smooth(
            np.array([(-0.3, -1.2), (-0.27, -top), (0.0, -top - 0.25), (0.27, -top), (0.3, -1.2)])
            * unit,
            2,
        )
        skin.append(transformed(finger, place))
    palm = smooth(np.array([(-1.3, 1), (-1.6, -2.4), (1.1, -2.5), (1.4, 1)]) * unit, 1)
    scene = Scene(tuple(bones), (*skin, palm), 0.6 * unit, unit=0.8 * unit)
    return Elsewhere(scene, (-2.8 * unit, -5.9 * unit, 2.6 * unit, -0.1 * unit), "HAND")


def _chest(unit: float, rng: np.random.Generator) -> Elsewhere:
    """Ribs over dark lungs, a spine, a heart's shadow."""
    u = 6 * unit
    axis = np.array([(0.0, -2 * u), (0.0, 2 * u)])
    spine = np.array([(-0.13, -2), (0.13, -2), (0.15, 2), (-0.15, 2)]) * u
    bones = (Bone("spine", (spine,), 0.05 * u, (0.01 * u, 0.01 * u), axis),)
    clouds = []
    for side in (-1.0, 1.0):
        lung = smooth(
            np.array([(0.2, -1.1), (0.5, -1.2), (0.85, -0.3), (0.9, 0.7), (0.25, 0.6)]) * u, 2
        )
        clouds.append(Cloud(lung * (side, 1.0), -0.055 * u, 0.04 * u, mottle=0.05))
        for row in np.linspace(-1.0, 0.9, 9):
            t = np.linspace(0, 1, 14)
            rib = np.column_stack([side * (0.1 + 0.85 * np.sin(t * 1.7)), row + 0.5 * t**2 - 0.15])
            clouds.append(Cloud(rib * u, 0.014 * u, 0.012 * u, line_width=0.06 * u))
    heart = shifted(ellipse(0.38 * u, 0.45 * u, 20), 0.14 * u, 0.35 * u)
    clouds.append(Cloud(heart, 0.035 * u, 0.05 * u, mottle=0.02))
    rows = np.linspace(-2, 2, 12) * u
    half = np.interp(rows / u, [-2, -1.5, -1.1, 0, 2], [0.3, 0.35, 1.15, 1.15, 1.05]) * u
    scene = Scene(bones, (_limb(rows, half),), 0.24 * u, clouds=clouds, unit=0.5 * u)
    tilt = float(rng.uniform(0.9, 1.2))
    return Elsewhere(scene, (-1.15 * u, -1.5 * tilt * u, 1.15 * u, 1.3 * u), "CHEST")


def _empty(unit: float, rng: np.random.Generator) -> Elsewhere:
    wide = float(rng.uniform(3, 6)) * unit
    return Elsewhere(Scene((), (), unit, unit=unit), (-wide, -wide, wide, wide), "")


_KINDS: Mapping[str, Callable[[float, np.random.Generator], Elsewhere]] = {
    "hand": _hand,
    "elbow": _elbow,
    "chest": _chest,
    "knee": _knee,
    "empty": _empty,
}

BODY_PARTS = ("HAND", "ELBOW", "CHEST", "KNEE", "")
"""Values of `Elsewhere.body_part`."""
