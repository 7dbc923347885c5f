"""Broken bones: what an injury is, and what it does to the skeleton's outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.exam import RegionFindings
from pipeline.region import Region
from training.phantom.anatomy import Skeleton
from training.phantom.bone import Affine, Bone, Mark, Points, rigid, transformed
from training.phantom.growth import Growth
from training.phantom.healing import callus, mended, periosteum

__all__ = ["Injury", "injured"]

_SHIFTS = {None: (0.0, 0.03), "none": (0.0, 0.015), "mild": (0.06, 0.13),
           "moderate": (0.18, 0.36), "severe": (0.42, 0.75)}  # fmt: skip
_PATTERNS = ("transverse", "transverse", "oblique", "greenstick", "buckle")


@dataclass(frozen=True)
class Injury:
    """One fracture as it will be drawn, the same in every view.

    Lengths are in units of the radius's metaphyseal width, angles in degrees.

    Parameters
    ----------
    region, pattern
        Where, and which outline (a type of `pipeline.findings`, never ``unspecified``).
    level
        Distance of the fracture line from the metaphyseal end, proximally.
    slope
        Rise of the fracture line across the bone.
    side
        +1 where the distal part moves (or the bone buckles) to the radial and dorsal side, else -1.
    across, dorsal, shortening
        Displacement of the distal part.
    tilt_pa, tilt_lateral
        Angulation in the two planes.
    healing
        0 acute; up to 1 shortly before healed; above 1 healed.
    strength
        Visibility of the line: 1, less where the report doubts.
    seed
        Of the line's jags.
    """

    region: Region
    pattern: str
    level: float
    slope: float
    side: float
    across: float
    dorsal: float
    shortening: float
    tilt_pa: float
    tilt_lateral: float
    healing: float
    strength: float
    seed: int

    @classmethod
    def drawn(
        cls,
        region: Region,
        finding: RegionFindings,
        growth: Growth,
        side: float,
        rng: np.random.Generator,
    ) -> Injury:
        """Draw an injury that a report may call ``finding``; all of a wrist go to one side."""
        pattern = finding.type or "unspecified"
        if pattern == "unspecified":
            pattern = str(rng.choice(_PATTERNS))
        if region is Region.ULNAR_STYLOID:
            pattern = "avulsion"
        low, high = _SHIFTS[finding.displacement]
        amount = float(rng.uniform(low, high))
        # the ulna is thinner and held by the radius
        thin = 0.6 if region is Region.DISTAL_ULNA else 1.0
        amount *= thin
        angle = finding.angulation_deg
        if angle is None:
            angle = float(rng.uniform(5, 12)) if pattern == "greenstick" else 12 * amount
        stage = {"acute": 0.0, "healing": float(rng.uniform(0.25, 1.0)), "healed": 1.2}
        young = growth.bone_age < 6
        return cls(
            region=region,
            pattern=pattern,
            level=float(rng.uniform(0.5, 0.95 if young else 1.25)) * thin,
            slope=float(rng.normal(0, 0.1)) if pattern != "oblique" else 0.85 * side,
            side=side,
            across=amount * float(rng.uniform(0.6, 1.0)) * side,
            dorsal=amount,
            shortening=max(0.0, amount - 0.2) * float(rng.uniform(0.3, 0.8)),
            tilt_pa=angle * float(rng.uniform(0.35, 0.6)) * side,
            tilt_lateral=angle,
            healing=stage[finding.healing or "acute"],
            strength=1.0 if finding.fracture == "present" else 0.45,
            seed=int(rng.integers(1 << 30)),
        )


def injured(skeleton: Skeleton, injuries: Sequence[Injury]) -> Skeleton:
    """Return the skeleton with its injuries, radius first, since the hand goes with it."""
    for injury in sorted(injuries, key=lambda i: list(Region).index(i.region)):
        skeleton = _DRAW[injury.pattern](skeleton, injury)
    return skeleton


@dataclass(frozen=True, eq=False)
class _Site:
    """The bone that is hurt, in this view."""

    prefix: str
    shaft: Bone
    unit: float
    cosine: float
    sine: float
    level: float
    left: float
    right: float

    @classmethod
    def of(cls, skeleton: Skeleton, injury: Injury, level: float | None = None) -> _Site:
        prefix = "ulna" if injury.region is not Region.DISTAL_RADIUS else "radius"
        shaft = skeleton.named(f"{prefix}_shaft")[-1]
        unit = skeleton.unit
        turn = np.deg2rad(skeleton.turn)
        start = float(shaft.axis[0, 1])
        at = start + (injury.level if level is None else level) * unit
        outline = shaft.parts[0]
        near = outline[np.abs(outline[:, 1] - at) < 0.12 * unit]
        left, right = float(near[:, 0].min()), float(near[:, 0].max())
        return cls(prefix, shaft, unit, float(np.cos(turn)), float(np.sin(turn)), at, left, right)

    @property
    def middle(self) -> tuple[float, float]:
        return ((self.left + self.right) / 2, self.level)

    def outward(self, injury: Injury) -> float:
        """Seen direction of the injury's side: +1 or -1 along x."""
        return injury.side if self.cosine**2 >= 0.5 else -1.0

    def motion(self, injury: Injury) -> Affine:
        """Move the distal part."""
        shift_x = injury.across * self.cosine - injury.dorsal * self.sine
        tilt = injury.tilt_pa * self.cosine**2 - injury.tilt_lateral * self.sine**2
        shift = (shift_x * self.unit, injury.shortening * self.unit)
        return rigid(tilt, self.middle, shift)

    def line(self, injury: Injury, jag: float = 0.035) -> Points:
        """Fracture line across the bone and a little beyond, from left to right."""
        rng = np.random.default_rng(injury.seed)
        width = self.right - self.left
        x = np.linspace(self.left - 0.35 * width, self.right + 0.35 * width, 15)
        rise = injury.slope * (x - self.middle[0]) * (self.cosine**2 + 0.3 * self.sine**2)
        rough = rng.normal(0, jag, 15) * min(self.unit, 1.4 * width)
        return np.column_stack([x, self.level + rise + rough])


def _halves(line: Points, unit: float) -> tuple[Points, Points]:
    """Regions distal and proximal of a line that runs from left to right."""
    far = 20 * unit
    left, right = line[0, 0] - far, line[-1, 0] + far
    span = np.concatenate([[(left, line[0, 1])], line, [(right, line[-1, 1])]])
    distal = np.concatenate([span, [(right, -far), (left, -far)]])
    proximal = np.concatenate([span, [(right, far), (left, far)]])
    return distal, proximal


def _hand_moved(skeleton: Skeleton, site: _Site, motion: Affine) -> Skeleton:
    """Carry along what hangs on the distal part of this bone; the skin follows gradually."""
    if site.prefix == "ulna":
        goes = {"ulna_epiphysis"}
    else:
        stays = {"radius_shaft", "ulna_shaft", "ulna_epiphysis", "ulna_styloid"}
        goes = {b.name for b in skeleton.bones} - stays
    bones = [b.moved(motion) if b.name in goes else b for b in skeleton.bones]
    if site.prefix == "ulna":
        return skeleton.with_bones(bones)
    skin = []
    centre = np.asarray(site.middle)
    pulled = motion.copy()  # soft tissue spans the step: it follows the turn and half of the shift
    pulled[:, 2] -= 0.5 * (transformed(centre[None], motion)[0] - centre)
    for outline in skeleton.skin:
        share = np.clip((site.level - outline[:, 1]) / (0.7 * site.unit) + 0.4, 0, 1)[:, None]
        skin.append(outline * (1 - share) + transformed(outline, pulled) * share)
    return replace(skeleton, skin=tuple(skin), bones=tuple(bones))


def _replaced(skeleton: Skeleton, old: Bone, new: Sequence[Bone]) -> Skeleton:
    bones = [b for b in skeleton.bones if b is not old]
    return skeleton.with_bones([*bones, *new])


def _crack(injury: Injury, unit: float, line: Points, wide: float = 0.03) -> tuple[Mark, ...]:
    """Draw the line itself: dark when fresh, filled and dense as it heals."""
    heal = min(injury.healing, 1.0)
    fresh = max(0.0, 1.0 - 1.15 * heal) * injury.strength
    marks = []
    if fresh > 0.05:
        marks.append(Mark(line, wide * unit, -0.8 * fresh, (0.008 + 0.02 * heal) * unit))
    if heal > 0:
        dense = 0.45 * heal if injury.healing <= 1 else 0.2
        marks.append(Mark(line, 0.14 * unit, dense, 0.055 * unit))
    return tuple(marks)


def _broken_through(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Transverse and oblique fractures: two fragments, the distal one moved."""
    site = _Site.of(skeleton, injury)
    line = site.line(injury)
    motion = site.motion(injury)
    distal, proximal = _halves(line, site.unit)
    shaft = site.shaft
    marks = _crack(injury, site.unit, line, 0.028 + 0.012 * injury.strength)
    upper = replace(shaft, keep=distal).marked(*marks).moved(motion)
    lower = replace(shaft, keep=proximal).marked(*marks)
    skeleton = _replaced(skeleton, shaft, ())
    skeleton = _hand_moved(skeleton, site, motion)
    skeleton = skeleton.with_bones([*skeleton.bones, upper, lower])
    return mended(skeleton, injury.healing, shaft, site.level, motion, injury.seed)


def _comminuted(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Break through, with further cracks towards the joint."""
    site = _Site.of(skeleton, injury)
    rng = np.random.default_rng(injury.seed + 1)
    width = site.right - site.left
    cracks = []
    for start in (-0.2, 0.18):
        x = site.middle[0] + start * width + rng.normal(0, 0.05, 6) * width
        y = np.linspace(site.level, float(site.shaft.axis[0, 1]), 6)
        cracks.append(np.column_stack([x, y]))
    marks = [m for crack in cracks for m in _crack(injury, site.unit, crack, 0.045)]
    skeleton = _replaced(skeleton, site.shaft, [site.shaft.marked(*marks)])
    return _broken_through(skeleton, injury)


def _buckled(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Buckle: the cortex bulges, the spongy bone behind it is pressed together."""
    site = _Site.of(skeleton, injury)
    unit = site.unit
    bulge = (0.08 if injury.strength == 1 else 0.03) * unit
    outward = site.outward(injury)
    outline = site.shaft.parts[0].copy()
    near = np.exp(-(((outline[:, 1] - site.level) / (0.11 * unit)) ** 2))
    waist = np.exp(-(((outline[:, 1] - site.level - 0.21 * unit) / (0.12 * unit)) ** 2))
    sign = np.sign(outline[:, 0] - np.interp(outline[:, 1], *_centre_line(outline)))
    share = np.where(sign == outward, 1.0, 0.6)
    outline[:, 0] += sign * share * (near * bulge - waist * 0.3 * bulge)
    shaft = replace(site.shaft, parts=(outline, *site.shaft.parts[1:]))
    line = site.line(injury, jag=0.025)
    dense = 0.4 if injury.strength == 1 else 0.2
    dense *= 1.0 - 0.3 * min(injury.healing, 1.0)
    shaft = shaft.marked(Mark(line, 0.1 * unit, dense, 0.045 * unit))
    skeleton = _replaced(skeleton, site.shaft, [shaft])
    return mended(skeleton, injury.healing, shaft, site.level, None, injury.seed, 0.45)


def _centre_line(outline: Points) -> tuple[Points, Points]:
    """Return rows and centres of a long bone's outline, for interpolation."""
    order = np.argsort(outline[:, 1])
    rows = outline[order, 1]
    bins = np.linspace(rows[0], rows[-1], 40)
    index = np.digitize(rows, bins)
    used = np.unique(index)
    x = outline[order, 0]
    centres = np.array([(x[index == k].min() + x[index == k].max()) / 2 for k in used])
    return np.array([rows[index == k].mean() for k in used]), centres


def _greenstick(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """One cortex tears and opens, the other bends."""
    site = _Site.of(skeleton, injury)
    unit, outward = site.unit, site.outward(injury)
    hinge = (site.right if outward > 0 else site.left, site.level)
    tilt = abs(injury.tilt_pa) * 1.3 * site.cosine**2 + injury.tilt_lateral * site.sine**2
    motion = rigid(outward * max(tilt, 2.5), hinge)
    outline = site.shaft.parts[0]
    share = np.clip(0.5 + (site.level - outline[:, 1]) / (0.12 * unit), 0, 1)[:, None]
    bent = outline * (1 - share) + transformed(outline, motion) * share
    line = site.line(injury)
    torn = line[: int(len(line) * 0.58)] if outward > 0 else line[int(len(line) * 0.42) :]
    shaft = replace(
        site.shaft, parts=(bent, *(transformed(p, motion) for p in site.shaft.parts[1:]))
    )
    old = tuple(replace(m, line=transformed(m.line, motion)) for m in site.shaft.marks)
    shaft = replace(shaft, marks=(*old, *_crack(injury, unit, torn, 0.05)))
    skeleton = _replaced(skeleton, site.shaft, ())
    skeleton = _hand_moved(skeleton, site, motion)
    skeleton = skeleton.with_bones([*skeleton.bones, shaft])
    return mended(skeleton, injury.healing, shaft, site.level, None, injury.seed, 0.7)


def _bowed(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Plastic bowing: the shaft bends without a line."""
    site = _Site.of(skeleton, injury, level=2.0)
    degrees = max(8.0, injury.tilt_lateral)
    sag = np.tan(np.deg2rad(degrees)) * 0.55 * site.unit
    sag *= site.outward(injury)

    def bend(points: Points) -> Points:
        rows = np.clip((points[:, 1] / site.unit + 0.1) / 5.0, 0, 1)
        bent: Points = points + np.column_stack([sag * np.sin(np.pi * rows), 0 * rows])
        return bent

    shaft = replace(site.shaft, parts=tuple(bend(p) for p in site.shaft.parts))
    skeleton = _replaced(skeleton, site.shaft, [shaft])
    return mended(skeleton, injury.healing, shaft, site.level, None, injury.seed, 0.3)


def _physeal(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Salter–Harris I and II: the epiphysis slips, in II with a corner of the metaphysis."""
    site = _Site.of(skeleton, injury, level=0.06)
    unit, outward = site.unit, site.outward(injury)
    heal = min(injury.healing, 1.0)
    gap = (0.012 + 0.035 * injury.strength) * (1 - 0.8 * heal)
    slip = replace(injury, level=0.0, shortening=-gap)
    motion = site.motion(slip)
    width = site.right - site.left
    shaft = site.shaft
    fragments = [shaft]
    if injury.pattern == "salter_harris_2":
        line = _corner(site, injury, outward, width)
        corner, rest = _corner_halves(line, unit, outward)
        marks = _crack(injury, unit, line, 0.045)
        piece = replace(shaft, keep=corner).marked(*marks).moved(motion)
        fragments = [replace(shaft, keep=rest).marked(*marks), piece]
    skeleton = _replaced(skeleton, shaft, ())
    skeleton = _hand_moved(skeleton, replace(site, level=site.level - 0.06 * unit), motion)
    if heal > 0:
        start = float(shaft.axis[0, 1])
        zone = np.array([(site.left + 0.05 * width, start + 0.03 * unit),
                         (site.right - 0.05 * width, start + 0.03 * unit)])  # fmt: skip
        dense = Mark(zone, 0.1 * unit, 0.45 * heal if injury.healing <= 1 else 0.2, 0.03 * unit)
        fragments = [fragment.marked(dense) for fragment in fragments]
    skeleton = skeleton.with_bones([*skeleton.bones, *fragments])
    clouds = periosteum(shaft, site.level + 0.1 * unit, injury.healing, unit, injury.seed)
    return replace(skeleton, clouds=(*skeleton.clouds, *clouds))


def _corner(site: _Site, injury: Injury, outward: float, width: float) -> Points:
    """Line from the physis to the cortex that cuts off the Thurston–Holland fragment."""
    rng = np.random.default_rng(injury.seed)
    start = float(site.shaft.axis[0, 1]) - 0.03 * site.unit
    middle = (site.left + site.right) / 2
    inner = middle + outward * width * rng.uniform(-0.05, 0.15)
    outer = middle + outward * width * 0.62
    height = rng.uniform(0.38, 0.6) * site.unit
    x = np.linspace(inner, outer, 7)
    y = start + np.linspace(0, 1, 7) ** 0.9 * height
    rough = rng.normal(0, 0.012, 7) * site.unit
    return np.column_stack([x, y + rough])


def _corner_halves(line: Points, unit: float, outward: float) -> tuple[Points, Points]:
    """Corner region and the rest of the shaft, to either side of a corner line."""
    far = 20 * unit
    top = line[0, 1] - far
    beyond = line[-1, 0] + outward * far
    corner = np.concatenate([line, [(beyond, line[-1, 1]), (beyond, top), (line[0, 0], top)]])
    other = line[0, 0] - outward * far
    around = [(beyond, line[-1, 1]), (beyond, far), (other, far), (other, top)]
    rest = np.concatenate([[(line[0, 0], top)], line, around])
    return corner, rest


def _epiphyseal(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Salter–Harris III and IV: through the epiphysis, in IV on through the metaphysis."""
    site = _Site.of(skeleton, injury, level=0.06)
    cap = skeleton.bone(f"{site.prefix}_epiphysis")
    if cap is None:
        return _physeal(skeleton, injury)
    unit, outward = site.unit, site.outward(injury)
    rng = np.random.default_rng(injury.seed)
    x0 = float(cap.points[:, 0].mean()) + rng.uniform(-0.1, 0.1) * unit
    y = np.linspace(cap.points[:, 1].min() - 0.1 * unit, cap.points[:, 1].max() + 0.05 * unit, 7)
    line = np.column_stack([x0 + rng.normal(0, 0.012, 7) * unit, y])
    far = 20 * unit
    piece = np.concatenate([line, [(x0 + outward * far, y[-1]), (x0 + outward * far, y[0])]])
    rest = np.concatenate([line, [(x0 - outward * far, y[-1]), (x0 - outward * far, y[0])]])
    amount = max(0.05, abs(injury.across)) * (1 - 0.6 * min(injury.healing, 1.0))
    motion = rigid(0.0, (0.0, 0.0), (outward * amount * unit, 0.3 * amount * unit))
    marks = _crack(injury, unit, line, 0.05)
    parts = [
        replace(cap, keep=rest).marked(*marks),
        replace(cap, keep=piece).marked(*marks).moved(motion),
    ]
    skeleton = _replaced(skeleton, cap, parts)
    if injury.pattern == "salter_harris_4":
        corner = _corner(site, injury, outward, site.right - site.left)
        shaft = site.shaft.marked(*_crack(injury, unit, corner, 0.06))
        skeleton = _replaced(skeleton, site.shaft, [shaft])
    clouds = periosteum(site.shaft, site.level + 0.1 * unit, injury.healing, unit, injury.seed)
    return replace(skeleton, clouds=(*skeleton.clouds, *clouds))


def _avulsed(skeleton: Skeleton, injury: Injury) -> Skeleton:
    """Tear the tip or base of the ulnar styloid off, as a fragment of its own."""
    cap = (skeleton.named("ulna_epiphysis") or skeleton.named("ulna_shaft"))[0]
    unit = skeleton.unit
    rng = np.random.default_rng(injury.seed)
    points = cap.points
    top = points[np.argmin(points[:, 1])]
    cosine = float(np.cos(np.deg2rad(skeleton.turn)))
    beside = points[np.abs(points[:, 0] - top[0] - 0.2 * unit) < 0.1 * unit]
    height = float(beside[:, 1].min() - top[1]) if len(beside) else 0.15 * unit
    cut = top[1] + max(rng.uniform(0.6, 0.95) * height, 0.09 * unit)
    inner, outer = top[0] + 0.16 * unit, top[0] - 0.3 * unit
    x = np.linspace(outer, inner, 6)
    y = cut - (x - top[0]) * 0.25 + rng.normal(0, 0.006, 6) * unit
    line = np.column_stack([x, y])
    far = 20 * unit
    high, left = top[1] - far, outer - far
    above = np.concatenate([line, [(inner, high), (left, high), (left, y[0])]])
    around = [(inner, high), (far, high), (far, far), (left, far), (left, y[0])]
    below = np.concatenate([line, around])
    gap = 0.07 + 0.32 * abs(injury.dorsal)
    away = (-0.35 * gap * unit * cosine, -gap * unit)
    motion = rigid(float(rng.uniform(-25, 5)) * (0.3 + injury.dorsal), (top[0], cut), away)
    tip = replace(cap, name="ulna_styloid", keep=above, marks=()).moved(motion)
    rounded = 0.3 * min(injury.healing, 1.0)
    rim = Mark(line, 0.06 * unit, rounded, 0.02 * unit)
    tip = replace(tip, trabecular=tip.trabecular * 1.35)
    base = replace(cap, keep=below)
    if rounded:
        base = base.marked(rim)
    skeleton = _replaced(skeleton, cap, [base, tip])
    if injury.healing <= 0:
        return skeleton
    bridge = np.array([(x.mean(), cut), (x.mean() + away[0], cut + away[1])])
    haze = callus(
        bridge, 0.16 * unit, 0.035 * unit * min(injury.healing, 1.0) * unit / 10, 0.05 * unit
    )
    return replace(skeleton, clouds=(*skeleton.clouds, haze))


_DRAW = {
    "transverse": _broken_through,
    "oblique": _broken_through,
    "comminuted": _comminuted,
    "buckle": _buckled,
    "greenstick": _greenstick,
    "plastic_bowing": _bowed,
    "salter_harris_1": _physeal,
    "salter_harris_2": _physeal,
    "salter_harris_3": _epiphyseal,
    "salter_harris_4": _epiphyseal,
    "avulsion": _avulsed,
}
