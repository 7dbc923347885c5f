"""A radiograph of the drawing: thicknesses along the beam, attenuation, scatter, noise, read-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantom.bone import Bone, Cloud, Mark, Points
from training.phantom.frame import Frame

__all__ = ["Exposure", "Scene", "Shell", "Wire", "render"]

Image = NDArray[np.float32]

_SHIFT = 4  # OpenCV draws polygons with 4 fractional bits


@dataclass(frozen=True, eq=False)
class Wire:
    """Metal: a polyline of ``diameter`` mm, or a filled outline of ``thickness`` mm."""

    shape: Points
    diameter: float
    filled: bool = False
    thickness: float = 1.5


@dataclass(frozen=True, eq=False)
class Shell:
    """A cast or splint around the arm.

    ``outline`` closed, mm; ``extent`` the part of it that exists, mm; ``thickness`` of the wall in mm; ``half_depth`` in mm; ``weave`` 0 for
    plaster, 1 for a knitted synthetic cast; ``density`` relative to soft tissue.
    """

    outline: Points
    extent: Points
    thickness: float
    half_depth: float
    weave: float
    density: float


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything in the beam."""

    bones: Sequence[Bone]
    skin: Sequence[Points]
    skin_depth: float
    clouds: Sequence[Cloud] = ()
    wires: Sequence[Wire] = ()
    shells: Sequence[Shell] = ()
    unit: float = 22.0


@dataclass(frozen=True)
class Exposure:
    """Tube, detector and processing.

    Parameters
    ----------
    soft, bone, metal
        Attenuation per mm.
    dose
        Mean count per pixel where nothing absorbs; sets the noise.
    scatter
        Scattered share of the primary beam.
    blur_px
        Detector and focus blur (standard deviation, pixels).
    detail
        Strength of the manufacturer's edge enhancement.
    gamma, low, high
        Tone curve: grey value 0..1 of open air and of the densest bone.
    outside
        ``none`` (no collimation seen), ``white`` (unexposed border) or ``shutter`` (black border).
    texture
        Strength of the trabecular pattern.
    """

    soft: float = 0.021
    bone: float = 0.095
    metal: float = 0.9
    dose: float = 2500.0
    scatter: float = 0.25
    blur_px: float = 0.7
    detail: float = 0.4
    gamma: float = 1.0
    low: float = 0.1
    high: float = 0.75
    outside: str = "shutter"
    texture: float = 0.25

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Exposure:
        """Draw the habits of one room."""
        return cls(
            soft=float(rng.uniform(0.017, 0.027)),
            bone=float(rng.uniform(0.08, 0.115)),
            dose=float(np.exp(rng.uniform(np.log(500), np.log(9000)))),
            scatter=float(rng.uniform(0.1, 0.4)),
            blur_px=float(rng.uniform(0.5, 1.1)),
            detail=float(rng.choice([0.0, rng.uniform(0.2, 1.2)])),
            gamma=float(np.exp(rng.normal(0.0, 0.22))),
            low=float(rng.uniform(0.02, 0.16)),
            high=float(rng.uniform(0.6, 0.9)),
            outside=str(rng.choice(["none", "white", "shutter"], p=[0.25, 0.2, 0.55])),
            texture=float(rng.uniform(0.12, 0.4)),
        )


def render(scene: Scene, frame: Frame, exposure: Exposure, rng: np.random.Generator) -> Image:
    """Expose a scene.

    Returns
    -------
    float32, shape (rows, columns), 0..1, bone bright, before side markers and quantisation.
    """
    shape = (frame.rows, frame.columns)
    mineral = np.zeros(shape, np.float32)
    for bone in scene.bones:
        _add_bone(mineral, bone, frame, exposure.texture, rng)
    for cloud in scene.clouds:
        _add_cloud(mineral, cloud, frame, rng)
    soft = _soft_tissue(scene, frame, rng)
    attenuation = exposure.soft * soft + exposure.bone * mineral
    for shell in scene.shells:
        attenuation += exposure.soft * _shell(shell, frame, rng)
    metal = _metal(scene.wires, frame)
    if metal is not None:
        attenuation += exposure.metal * metal
    return _developed(attenuation, frame, exposure, rng)


def _developed(
    attenuation: Image, frame: Frame, exposure: Exposure, rng: np.random.Generator
) -> Image:
    """Beam, scatter, collimator, noise, logarithm, processing, tone curve."""
    cv2.GaussianBlur(attenuation, (0, 0), exposure.blur_px, dst=attenuation)
    beam = cv2.exp(-attenuation)
    veil = cv2.GaussianBlur(_smaller(beam, 16), (0, 0), 3.0)
    beam += exposure.scatter * 0.4 * cv2.resize(veil, beam.shape[::-1])
    blades = None
    if exposure.outside != "none":
        blades = _blades(frame, softness=0.006)
        beam *= 0.02 + 0.98 * blades
    grain = _grain(beam.shape, rng)
    beam += cv2.sqrt(beam * np.float32(1.0 / exposure.dose)) * grain
    signal = -cv2.log(np.maximum(beam, np.float32(0.004)))
    if exposure.detail:
        signal += exposure.detail * (signal - cv2.GaussianBlur(signal, (0, 0), 3.5))
    open_air, dense = _range(signal, blades)
    grey = (signal - open_air) / max(dense - open_air, 0.2)
    grey = np.clip(grey, 0.0, 1.6)
    grey = cv2.pow(grey, exposure.gamma)
    grey = exposure.low + (exposure.high - exposure.low) * grey
    if exposure.outside == "shutter":
        grey *= _blades(frame, softness=0.0008, grow=0.012)
    return np.clip(grey, 0.0, 1.0)


def _range(signal: Image, blades: Image | None) -> tuple[float, float]:
    """Return the signal of open air and of dense bone, as an exposure-recognition step would."""
    small = signal[::6, ::6]
    inside = small if blades is None else small[blades[::6, ::6] > 0.9]
    if inside.size < 50:
        inside = small
    low, high = np.percentile(inside, [1.0, 99.2])
    return float(low), float(high)


def _blades(frame: Frame, softness: float, grow: float = 0.0) -> Image:
    """Transmission of the collimator: 1 inside its field."""
    middle = frame.field.mean(axis=0)
    corners = middle + (frame.field - middle) * (1 + grow)
    scale = 4 if softness > 0.002 else 1
    mask = np.zeros((frame.rows // scale + 1, frame.columns // scale + 1), np.uint8)
    cv2.fillPoly(mask, [_fixed(corners / scale)], 255, cv2.LINE_AA, _SHIFT)
    sigma = softness * max(frame.rows, frame.columns) / scale
    if sigma > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
    open_ = mask.astype(np.float32) / 255
    return cv2.resize(open_, (frame.columns, frame.rows)) if scale > 1 else open_[:-1, :-1]


def _add_bone(
    mineral: Image, bone: Bone, frame: Frame, texture: float, rng: np.random.Generator
) -> None:
    parts = [frame.pixels(p) for p in bone.parts]
    window = _window(np.concatenate(parts), frame, pad=3)
    if window is None:
        return
    x0, y0, x1, y1 = window
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for part in parts:
        cv2.fillPoly(mask, [_fixed(part - (x0, y0))], 255, cv2.LINE_8, _SHIFT)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(frame.spacing_mm)
    cortex = _cortex(bone, frame, window)
    radius = np.float32(bone.half_depth)
    outer = _chord(inside, radius)
    inner = _chord(inside - cortex, np.maximum(radius - cortex, np.float32(0.2)))
    spongy = np.float32(bone.trabecular) * (1 + np.float32(texture) * _trabeculae(mask.shape, rng))
    layer = outer - inner + spongy * inner
    if bone.keep is not None:
        kept = np.zeros_like(mask)
        cv2.fillPoly(kept, [_fixed(frame.pixels(bone.keep) - (x0, y0))], 255, cv2.LINE_AA, _SHIFT)
        layer *= kept.astype(np.float32) / 255
    for mark in bone.marks:
        _apply_mark(layer, mark, frame, (x0, y0))
    mineral[y0:y1, x0:x1] += layer


def _chord(depth: Image, radius: Image | np.float32) -> Image:
    """Path through a rod of ``radius`` at ``depth`` from its edge, mm; flat beyond its middle."""
    reach = np.clip(depth, 0, radius)
    chord: Image = 2 * cv2.sqrt(np.maximum(reach * (2 * radius - reach), 0))
    return chord


def _cortex(bone: Bone, frame: Frame, window: tuple[int, int, int, int]) -> Image | np.float32:
    """Thickness of the cortex, growing along the bone's axis."""
    if bone.cortex[0] == bone.cortex[1]:
        return np.float32(bone.cortex[0])
    start, end = frame.pixels(bone.axis)
    along = (end - start) / float(np.sum((end - start) ** 2))
    columns = ((np.arange(window[0], window[2]) - start[0]) * along[0]).astype(np.float32)
    rows = ((np.arange(window[1], window[3]) - start[1]) * along[1]).astype(np.float32)
    share = np.clip(rows[:, None] + columns[None, :], 0, 1)
    return np.float32(bone.cortex[0]) + np.float32(bone.cortex[1] - bone.cortex[0]) * share


def _apply_mark(layer: Image, mark: Mark, frame: Frame, origin: tuple[int, int]) -> None:
    line = frame.pixels(mark.line)
    reach = (mark.width + 4 * mark.blur) / frame.spacing_mm + 3
    low = np.maximum(np.floor(line.min(axis=0) - reach - origin).astype(int), 0)
    high = np.ceil(line.max(axis=0) + reach - origin).astype(int)
    part = layer[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return
    drawn = np.zeros(part.shape, np.uint8)
    width = mark.width / frame.spacing_mm
    points = [_fixed(line - origin - low)]
    cv2.polylines(drawn, points, False, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)
    strength = np.float32(min(1.0, width) / 255)
    soft = drawn.astype(np.float32) * strength
    sigma = mark.blur / frame.spacing_mm
    if sigma > 0.3:
        soft = cv2.GaussianBlur(soft, (0, 0), sigma)
    part *= np.maximum(1 + np.float32(mark.gain) * soft, 0)


def _add_cloud(mineral: Image, cloud: Cloud, frame: Frame, rng: np.random.Generator) -> None:
    points = frame.pixels(cloud.shape)
    sigma = max(cloud.blur / frame.spacing_mm, 0.4)
    window = _window(points, frame, pad=int(3 * sigma + 4))
    if window is None:
        return
    x0, y0, x1, y1 = window
    drawn = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = [_fixed(points - (x0, y0))]
    if cloud.line_width is None:
        cv2.fillPoly(drawn, fixed, 255, cv2.LINE_AA, _SHIFT)
    else:
        width = max(1, round(cloud.line_width / frame.spacing_mm))
        cv2.polylines(drawn, fixed, False, 255, width, cv2.LINE_AA, _SHIFT)
    soft = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), sigma)
    soft *= np.float32(cloud.thickness / 255)
    if cloud.mottle:
        soft *= 1 + np.float32(cloud.mottle) * _trabeculae(drawn.shape, rng)
    mineral[y0:y1, x0:x1] += soft


def _soft_tissue(scene: Scene, frame: Frame, rng: np.random.Generator) -> Image:
    """Thickness of soft tissue in mm, at half resolution (it has no fine detail)."""
    half = 2
    mask = np.zeros((frame.rows // half + 1, frame.columns // half + 1), np.uint8)
    for outline in scene.skin:
        cv2.fillPoly(mask, [_fixed(frame.pixels(outline) / half)], 255, cv2.LINE_8, _SHIFT)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(frame.spacing_mm * half)
    wide = np.float32(scene.unit * 1.15)
    tissue = _chord(depth, wide) * np.float32(scene.skin_depth / wide)
    # skin and subcutaneous fat absorb less than the muscle beneath
    rim = np.clip(depth / np.float32(scene.unit * 0.22), 0, 1)
    tissue *= 0.72 + 0.28 * rim
    cloudy = rng.standard_normal((9, 7)).astype(np.float32)
    tissue *= 1 + 0.02 * cv2.resize(cloudy, tissue.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return cv2.resize(tissue, (frame.columns, frame.rows))


def _shell(shell: Shell, frame: Frame, rng: np.random.Generator) -> Image:
    """Thickness of a cast in mm of soft tissue, bright at its rims, with its weave and wrinkles."""
    half = 2
    size = (frame.rows // half + 1, frame.columns // half + 1)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [_fixed(frame.pixels(shell.outline) / half)], 255, cv2.LINE_8, _SHIFT)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(frame.spacing_mm * half)
    radius = np.float32(shell.half_depth)
    wall = np.float32(shell.thickness)
    thick = _chord(depth, radius) - _chord(depth - wall, radius - wall)
    kept = np.zeros(size, np.uint8)
    cv2.fillPoly(kept, [_fixed(frame.pixels(shell.extent) / half)], 255, cv2.LINE_AA, _SHIFT)
    thick *= kept * np.float32(shell.density / 255)
    thick = cv2.resize(thick, (frame.columns, frame.rows))
    coarse = rng.standard_normal((60, 14)).astype(np.float32)
    wrinkles = cv2.resize(coarse, (frame.columns, frame.rows), interpolation=cv2.INTER_CUBIC)
    pattern = 0.13 * wrinkles + 0.10 * _mottle((frame.rows, frame.columns), rng)
    if shell.weave:
        pattern += np.float32(0.16 * shell.weave) * _knit(frame)
    thick *= np.maximum(1 + pattern, 0.1)
    return thick


def _knit(frame: Frame) -> Image:
    pitch = np.float32(2 * np.pi * frame.spacing_mm / 1.9)
    rows = np.sin(np.arange(frame.rows, dtype=np.float32) * pitch)
    columns = np.sin(np.arange(frame.columns, dtype=np.float32) * pitch * np.float32(0.8))
    knit: Image = rows[:, None] * columns[None, :] + 0.5 * rows[:, None]
    return knit


def _metal(wires: Sequence[Wire], frame: Frame) -> Image | None:
    if not wires:
        return None
    metal = np.zeros((frame.rows, frame.columns), np.float32)
    for wire in wires:
        points = [_fixed(frame.pixels(wire.shape))]
        drawn = np.zeros(metal.shape, np.uint8)
        if wire.filled:
            cv2.fillPoly(drawn, points, 255, cv2.LINE_AA, _SHIFT)
        else:
            width = max(2, round(wire.diameter / frame.spacing_mm))
            cv2.polylines(drawn, points, False, 255, width, cv2.LINE_AA, _SHIFT)
        np.maximum(metal, drawn * np.float32(wire.thickness / 255), out=metal)
    return metal


def _fixed(points: Points) -> NDArray[np.int32]:
    """Points as OpenCV's fixed-point integers."""
    return np.round(np.clip(points, -30000, 30000) * (1 << _SHIFT)).astype(np.int32)


def _window(points: Points, frame: Frame, pad: int) -> tuple[int, int, int, int] | None:
    """Pixel window of points inside the image, or None where they lie outside."""
    x0, y0 = (np.floor(points.min(axis=0)).astype(int) - pad).tolist()
    x1, y1 = (np.ceil(points.max(axis=0)).astype(int) + pad + 1).tolist()
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = min(x1, frame.columns), min(y1, frame.rows)
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


def _smaller(image: Image, factor: int) -> Image:
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


_BANK = 1536


@lru_cache(maxsize=1)
def _bank() -> tuple[Image, Image, Image]:
    """Textures drawn once per process: trabeculae, mottle, white grain; each (1536, 1536)."""
    rng = np.random.default_rng(20260)
    noise = rng.standard_normal((3, _BANK, _BANK)).astype(np.float32)
    streaks = cv2.GaussianBlur(noise[0], (0, 0), sigmaX=1.1, sigmaY=4.0)
    ridges = np.exp(-np.abs(streaks / streaks.std()) * 1.6)
    mesh = cv2.GaussianBlur(noise[1], (0, 0), 1.3)
    ridges += 0.5 * np.exp(-np.abs(mesh / mesh.std()) * 1.6)
    ridges = (ridges - ridges.mean()) / ridges.std()
    mottle = cv2.GaussianBlur(noise[1], (0, 0), 5.0)
    return ridges, mottle / mottle.std(), noise[2]


def _cut(texture: Image, shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    rows, columns = shape[0], shape[1]
    if rows > _BANK or columns > _BANK:
        repeats = (-(-rows // _BANK) + 1, -(-columns // _BANK) + 1)
        texture = np.tile(texture, repeats)
    top = int(rng.integers(0, texture.shape[0] - rows + 1))
    left = int(rng.integers(0, texture.shape[1] - columns + 1))
    return texture[top : top + rows, left : left + columns]


def _trabeculae(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    return _cut(_bank()[0], shape, rng)


def _mottle(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    return _cut(_bank()[1], shape, rng)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Unit noise; cut from the bank, mirrored at random, so that it costs next to nothing."""
    grain = _cut(_bank()[2], shape, rng)
    if rng.random() < 0.5:
        grain = grain[::-1]
    return grain[:, ::-1] if rng.random() < 0.5 else grain
