"""The skeleton of a wrist at any age, seen from any direction between PA and lateral."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.phantom.bone import (
    Bone,
    Cloud,
    Mark,
    Points,
    ellipse,
    rigid,
    shifted,
    smooth,
    transformed,
)
from training.phantom.growth import Growth
from training.phantom.proportions import (
    CARPALS,
    METACARPALS,
    METACARPALS_LATERAL,
    RADIUS,
    RADIUS_EPIPHYSIS_LATERAL,
    RADIUS_EPIPHYSIS_PA,
    SKIN,
    THENAR,
    ULNA,
    ULNA_EPIPHYSIS_LATERAL,
    ULNA_EPIPHYSIS_PA,
    ULNA_STYLOID_POINTS,
    MetacarpalRow,
)

__all__ = ["Build", "Skeleton", "skeleton"]


@dataclass(frozen=True)
class Build:
    """What makes one patient's wrist its own (the same at every visit and in every view).

    Lengths are in units of the radius's metaphyseal width.
    """

    radius_width: float = 1.0
    ulna_width: float = 1.0
    ulnar_variance: float = 0.0
    carpal_size: float = 1.04
    inclination: float = 1.0
    cortex: float = 1.0
    plumpness: float = 1.0
    bowing: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Build:
        """Draw a patient."""
        return cls(
            radius_width=float(rng.normal(1.0, 0.04)),
            ulna_width=float(rng.normal(1.0, 0.06)),
            ulnar_variance=float(rng.normal(0.02, 0.07)),
            carpal_size=float(np.clip(rng.normal(1.05, 0.035), 0.96, 1.14)),
            inclination=float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.3)),
            cortex=float(np.clip(rng.normal(1.0, 0.12), 0.7, 1.4)),
            plumpness=float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.2)),
            bowing=float(rng.normal(0.0, 0.03)),
        )


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Bones and skin of one wrist as a left one; mm; origin mid radius at the metaphyseal end.

    Parameters
    ----------
    unit
        Metaphyseal width of the radius, mm.
    turn
        Direction of view in degrees: 0 is PA, 90 lateral.
    bones
        Drawn additively, in any order.
    skin
        Closed outlines whose union is the soft tissue.
    skin_depth
        Half thickness of the soft tissue along the beam, mm.
    clouds
        Callus and periosteal reaction.
    """

    unit: float
    turn: float
    bones: tuple[Bone, ...]
    skin: tuple[Points, ...]
    skin_depth: float
    clouds: tuple[Cloud, ...] = ()

    def bone(self, name: str) -> Bone | None:
        """Return the first bone of that name, or None where it is not ossified."""
        return next((b for b in self.bones if b.name == name), None)

    def named(self, *names: str) -> tuple[Bone, ...]:
        """Return all bones and fragments of these names."""
        return tuple(b for b in self.bones if b.name in names)

    def with_bones(self, bones: Sequence[Bone]) -> Skeleton:
        """Return the same wrist with other bones."""
        return replace(self, bones=tuple(bones))


def skeleton(growth: Growth, build: Build, turn: float, deviation: float = 0.0) -> Skeleton:
    """Build a wrist.

    Parameters
    ----------
    growth, build
        Age and sex; the patient's own proportions.
    turn
        0 for PA, 45 for oblique, 90 for lateral (degrees about the forearm's axis).
    deviation
        Degrees by which the hand leans to the radial side.
    """
    view = _View.at(turn)
    unit = growth.metaphysis_mm
    forearm = [*_radius(growth, build, view), *_ulna(growth, build, view)]
    hand = [*_carpals(growth, build, view), *_metacarpals(growth, view)]
    lean = rigid(deviation * view.across, (-0.15, -0.75), (0.0, 0.045))
    hand = [bone.moved(lean) for bone in hand]
    scale = np.array([[unit, 0.0, 0.0], [0.0, unit, 0.0]])
    skin = tuple(transformed(p, scale) for p in _skin(growth, build, view, lean))
    depth = (0.86 * view.across**2 + 1.15 * view.along**2) * growth.plumpness * build.plumpness
    bones = tuple(_in_mm(bone, unit) for bone in (*forearm, *hand))
    return Skeleton(unit, turn, bones, skin, depth * unit)


@dataclass(frozen=True)
class _View:
    """Cosine and sine of the direction of view."""

    across: float
    along: float

    @classmethod
    def at(cls, turn: float) -> _View:
        angle = np.deg2rad(turn)
        return cls(float(np.cos(angle)), float(np.sin(angle)))

    @property
    def from_the_side(self) -> bool:
        """Whether it is a lateral view, for which the hand is held otherwise."""
        return self.along > _FROM_THE_SIDE

    def place(self, x: float, z: float) -> float:
        """Column of a point at x (radial) and z (volar)."""
        return x * self.across + z * self.along

    def breadth(self, wide: float, deep: float) -> float:
        """Seen half width of something ``wide`` across and ``deep`` along the PA beam."""
        return float(np.hypot(wide * self.across, deep * self.along))

    def mixed(self, pa: Points, lateral: Points) -> Points:
        """Outline between its PA and its lateral shape."""
        mixed: Points = pa * self.across**2 + lateral * self.along**2
        return mixed


_FROM_THE_SIDE = 0.85  # sine of about 58 degrees


def _metacarpal_rows(view: _View) -> tuple[MetacarpalRow, ...]:
    return METACARPALS_LATERAL if view.from_the_side else METACARPALS


def _in_mm(bone: Bone, unit: float) -> Bone:
    scale = np.array([[unit, 0.0, 0.0], [0.0, unit, 0.0]])
    return replace(
        bone.moved(scale),
        half_depth=bone.half_depth * unit,
        cortex=(bone.cortex[0] * unit, bone.cortex[1] * unit),
        marks=tuple(
            replace(m, line=transformed(m.line, scale), width=m.width * unit, blur=m.blur * unit)
            for m in bone.marks
        ),
    )


_SHAFT_ROWS = np.unique(np.concatenate([np.linspace(0, 2.4, 80), np.linspace(2.4, 7.0, 20)]))


def _shaft(
    name: str, table: Points, view: _View, width: float, start: float, cortex: float, bowing: float
) -> Bone:
    """Build a long bone from its profile; ``start`` moves its distal end along y."""
    rows = _SHAFT_ROWS
    column = [np.interp(rows, table[:, 0], table[:, k]) for k in range(1, 5)]
    bow = bowing * np.sin(np.clip(rows / 5.0, 0, 1) * np.pi)
    centre = (column[0] + bow) * view.across + column[2] * view.along
    half = np.hypot(column[1] * width * view.across, column[3] * width * view.along)
    rows = rows + start
    end = np.array([0.88, 0.6, 0.2, -0.2, -0.6, -0.88])
    lift = np.array([-0.012, -0.026, -0.012, -0.016, -0.026, -0.012])
    cap = np.column_stack([centre[0] + end * half[0], start + lift])
    outline = np.concatenate(
        [
            np.column_stack([centre - half, rows]),
            np.column_stack([centre + half, rows])[::-1],
            cap,
        ]
    )
    plate = np.column_stack([centre[0] + np.linspace(-0.94, 0.94, 7) * half[0], np.full(7, start)])
    calcified = Mark(shifted(plate, 0.0, 0.015), 0.05, 0.45, 0.014)
    axis = np.array([(centre[0], start), (np.interp(2.2, _SHAFT_ROWS, centre), start + 2.2)])
    depth = float(np.interp(1.2, table[:, 0], table[:, 4 if view.across > 0.7 else 2]))
    return Bone(
        name,
        (outline,),
        depth * 1.15,
        (0.028 * cortex, 0.125 * cortex * width),
        axis,
        marks=(calcified,),
    )


def _epiphysis(
    name: str, shape: Points, at: tuple[float, float], size: float, depth: float, cortex: float
) -> Bone:
    """Build an epiphysis of ``size`` (0 to 1) with its base at ``at``: a disc becomes a cap."""
    middle = (shape.min(axis=0) + shape.max(axis=0)) / 2
    disc = _disc(shape, 0.9)
    share = np.clip((size - 0.35) / 0.55, 0, 1)
    blended = disc * (1 - share) + shape * share
    base = np.array([middle[0] + 0.06 * (1 - size), 0.0])
    grown = base + (blended - base) * (size, min(1.0, 0.25 + 0.75 * size))
    grown[:, 1] -= 0.07 * (1 - size)
    outline = smooth(grown + np.asarray(at), 2)
    centre = outline.mean(axis=0)
    axis = np.array([centre, (centre[0], centre[1] + 1.0)])
    return Bone(name, (outline,), depth, (0.030 * cortex, 0.030 * cortex), axis, trabecular=0.24)


def _disc(shape: Points, size: float) -> Points:
    """Return the oval that a young centre is, point by point beside its grown outline."""
    middle = (shape.min(axis=0) + shape.max(axis=0)) / 2
    span = np.ptp(shape, axis=0) / 2 * size
    relative = (shape - middle) / span
    steps = np.hypot(*(np.roll(relative, -1, axis=0) - relative).T)
    way = np.concatenate([[0.0], np.cumsum(steps)[:-1]]) / steps.sum() * 2 * np.pi
    following = np.roll(relative, -1, axis=0)
    area = np.sum(relative[:, 0] * following[:, 1] - relative[:, 1] * following[:, 0])
    even = np.arctan2(relative[0, 1], relative[0, 0]) + np.sign(area) * way
    disc: Points = middle + np.column_stack([np.cos(even), np.sin(even)]) * span
    return disc


def _joined(shaft: Bone, epiphysis: Bone, gap: float) -> Bone:
    """Return shaft and epiphysis as one bone once the physis has closed, with its scar."""
    left, right = shaft.parts[0][:, 0].min(), shaft.parts[0][:, 0].max()
    level = float(shaft.axis[0, 1])
    ends = shaft.parts[0][np.abs(shaft.parts[0][:, 1] - level) < 0.05]
    left, right = float(ends[:, 0].min()), float(ends[:, 0].max())
    bridge = np.array(
        [
            (left + 0.01, level + 0.06), (right - 0.01, level + 0.06),
            (right, level - gap - 0.06), (left, level - gap - 0.06),
        ]
    )  # fmt: skip
    scar = np.column_stack([np.linspace(left + 0.04, right - 0.04, 6), np.full(6, level - gap / 2)])
    scar[:, 1] += 0.012 * np.sin(np.linspace(0, 7, 6))
    return replace(
        shaft,
        parts=(*shaft.parts, *epiphysis.parts, bridge),
        marks=(Mark(scar, 0.03, 0.3, 0.012), *epiphysis.marks),
    )


def _radius(growth: Growth, build: Build, view: _View) -> list[Bone]:
    width = build.radius_width
    shaft = _shaft("radius_shaft", RADIUS, view, width, 0.0, build.cortex, build.bowing)
    size = growth.ossified("radius_epiphysis")
    if size == 0:
        return [shaft]
    pa = RADIUS_EPIPHYSIS_PA.copy()
    lift = np.where(pa[:, 1] < -0.15, -(pa[:, 1] + 0.19) * (build.inclination - 1), 0.0)
    pa[:, 1] -= lift * (pa[:, 0] > 0)
    shape = view.mixed(pa, RADIUS_EPIPHYSIS_LATERAL) * (width, 1.0)
    gap = 0.02 + 0.05 * growth.physis_open * (1.2 - 0.5 * size)
    cap = _epiphysis("radius_epiphysis", shape, (0.0, -gap), size, 0.32, build.cortex)
    if size > 0.75:
        cap = cap.marked(_rim(shape, gap))
    if growth.physis_open < 0.06:
        return [_joined(shaft, cap, gap)]
    return [shaft, cap]


def _rim(shape: Points, gap: float) -> Mark:
    """Second contour of the joint surface: the far rim, seen through the near one."""
    surface = shifted(shape[[8, 9, 10, 11]], 0.0, 0.075 - gap)
    return Mark(surface, 0.04, 0.55, 0.014)


def _ulna(growth: Growth, build: Build, view: _View) -> list[Bone]:
    size = growth.ossified("ulna_epiphysis")
    start = build.ulnar_variance + 0.06 + 0.1 * (1 - size)
    start += float(np.interp(growth.bone_age, [9, 13], [0.0, 0.08]))
    width = build.ulna_width * float(np.interp(growth.bone_age, [3, 17], [1.02, 0.88]))
    shaft = _shaft("ulna_shaft", ULNA, view, width, start, build.cortex, -build.bowing)
    if size == 0:
        return [shaft]
    pa = ULNA_EPIPHYSIS_PA.copy()
    lateral = ULNA_EPIPHYSIS_LATERAL.copy()
    styloid = growth.ossified("ulna_styloid")
    for shape in (pa, lateral):
        tall = shape[ULNA_STYLOID_POINTS, 1]
        shape[ULNA_STYLOID_POINTS, 1] = -0.13 + (tall + 0.13) * styloid
    shape = view.mixed(pa, lateral) * (width, 1.0)
    gap = 0.025 + 0.045 * growth.physis_open
    at = (view.place(-0.90, -0.16), start - gap)
    cap = _epiphysis("ulna_epiphysis", shape, at, size, 0.24, build.cortex)
    if growth.physis_open < 0.06:
        return [_joined(shaft, cap, gap)]
    return [shaft, cap]


def _carpals(growth: Growth, build: Build, view: _View) -> list[Bone]:
    bones = []
    for name, ((x, y, z, deep), corners) in CARPALS.items():
        size = growth.ossified(name)
        if size == 0:
            continue
        shape = np.array(corners)
        wide = float(np.ptp(shape[:, 0])) / 2
        disc = _disc(shape, 0.88)
        share = float(np.clip((size - 0.3) / 0.5, 0, 1))
        outline = disc * (1 - share) + shape * share
        outline = outline * (view.breadth(wide, deep) / wide, 1.0) * size * build.carpal_size
        outline = shifted(smooth(outline, 2), view.place(x, z), y)
        axis = np.array([(x, y), (x, y + 1.0)])
        cortex = 0.026 * build.cortex
        bones.append(Bone(name, (outline,), deep * size, (cortex, cortex), axis, trabecular=0.3))
    return bones


def _metacarpals(growth: Growth, view: _View) -> list[Bone]:
    bones = []
    heads = growth.ossified("metacarpal_heads")
    for name, x, y, z, lean, lateral_lean, length, base, shaft, head in _metacarpal_rows(view):
        along = np.array([0.0, 0.03, 0.09, 0.15, 0.26, 0.5, 0.72, 0.86, 0.95, 1.0]) * length
        half = np.array([0.86, 1.0, 0.97, 0.84, 0, 0, 0, 0, 0.95, 0.6])
        half = half * np.where(along < 0.2 * length, base, head)
        half[4:8] = [0.4 * base + 0.6 * shaft, shaft, shaft * 1.12, 0.75 * head]
        outline = smooth(
            np.concatenate(
                [np.column_stack([-half, -along]), np.column_stack([half, -along])[::-1]]
            ),
            1,
        )
        angle = lean * view.across**2 + lateral_lean * view.along**2
        place = rigid(angle, (0.0, 0.0), (view.place(x, z), y))
        axis = np.array([(0.0, -length * 0.05), (0.0, -length * 0.4)])
        bone = Bone(name, (outline,), shaft * 1.15, (0.03, 0.085), axis, trabecular=0.28)
        bones.append(bone.moved(place))
        if name == "metacarpal_1":
            bones += _thumb_epiphysis(growth, place)
        elif heads > 0:
            disc = ellipse(head * 0.95 * heads, 0.15 * heads, 12)
            disc = shifted(disc, 0.0, -length - 0.14)
            cap = Bone(f"{name}_head", (disc,), 0.16 * heads, (0.02, 0.02), axis)
            bones.append(cap.moved(place))
    return bones


def _thumb_epiphysis(growth: Growth, place: Points) -> list[Bone]:
    size = growth.ossified("thumb_epiphysis")
    if size == 0 or growth.physis_open < 0.06:
        return []
    disc = shifted(ellipse(0.19 * size, 0.055 + 0.02 * size, 14), 0.0, 0.085)
    axis = np.array([(0.0, 0.1), (0.0, 1.0)])
    return [Bone("thumb_epiphysis", (disc,), 0.15 * size, (0.022, 0.022), axis).moved(place)]


def _skin(growth: Growth, build: Build, view: _View, lean: Points) -> list[Points]:
    """Outline of arm and palm, and of the thumb."""
    plump = growth.plumpness * build.plumpness
    rows = np.linspace(SKIN[0, 0], SKIN[-1, 0], 60)
    column = [np.interp(rows, SKIN[:, 0], SKIN[:, k]) for k in range(1, 5)]
    centre = column[0] * view.across + column[2] * view.along
    half = np.hypot(column[1] * view.across, column[3] * view.along) * plump
    arm = np.concatenate(
        [np.column_stack([centre - half, rows]), np.column_stack([centre + half, rows])[::-1]]
    )
    share = np.clip((-0.2 - arm[:, 1]) / 0.9, 0, 1)[:, None]
    arm = arm * (1 - share) + transformed(arm, lean) * share
    _, x, y, z, angle, lateral_angle, length, *_ = _metacarpal_rows(view)[0]
    thumb = smooth(
        np.array([(-0.36, 0.5), (-0.46, -0.2), (-0.4, -length * 0.8), (-0.34, -length * 1.9),
                  (0.34, -length * 1.9), (0.38, -length * 0.8), (0.42, -0.2), (0.30, 0.5)]), 2
    ) * (plump, 1.0)  # fmt: skip
    place = rigid(
        angle * view.across**2 + lateral_angle * view.along**2, (0.0, 0.0), (view.place(x, z), y)
    )
    outlines = [arm, transformed(transformed(thumb, place), lean)]
    if view.from_the_side:
        column_z, row, wide, tall = THENAR
        ball = shifted(ellipse(wide * plump, tall, 24), view.place(0.0, column_z), row)
        outlines.append(transformed(ball, lean))
    return outlines
