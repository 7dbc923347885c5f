"""A radiograph of the drawing: how much stands in the beam at every pixel."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantom.bone import Bone, Cloud, Mark, Points
from training.phantom.exposure import Exposure, developed
from training.phantom.frame import Frame
from training.phantom.raster import SHIFT, Image, blurred, fixed, resized
from training.phantom.texture import mottle, trabeculae

__all__ = ["Scene", "Shell", "Wire", "render"]


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

    ``outline`` closed, mm; ``extent`` the part of it that exists, mm; ``thickness`` of the wall
    and ``half_depth`` in mm; ``weave`` 0 for plaster, 1 for a knitted synthetic cast; ``density``
    relative to soft tissue.
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


def render(
    scene: Scene, frame: Frame, exposure: Exposure, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Expose a scene.

    Returns
    -------
    float32, shape (rows, columns), 0..1, bone bright, before side markers and quantisation.
    """
    shape = (frame.rows, frame.columns)
    mineral = np.zeros(shape, np.float32)
    # a bone's mesh follows from its name, so that a fracture leaves the other bones as they were
    mesh, haze = (int(n) for n in rng.integers(1 << 31, size=2))
    for bone in scene.bones:
        own = np.random.default_rng([mesh, zlib.crc32(bone.name.encode())])
        _add_bone(mineral, bone, frame, exposure.texture, own)
    for number, cloud in enumerate(scene.clouds):
        _add_cloud(mineral, cloud, frame, np.random.default_rng([haze, number]))
    soft = _soft_tissue(scene, frame, rng)
    attenuation = exposure.soft * soft + exposure.bone * mineral
    for shell in scene.shells:
        attenuation += exposure.soft * _shell(shell, frame, rng)
    metal = _metal(scene.wires, frame)
    if metal is not None:
        attenuation += exposure.metal * metal
    grey: NDArray[np.float32] = developed(attenuation, frame, exposure, rng)
    return grey


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
        cv2.fillPoly(mask, [fixed(part - (x0, y0))], 255, cv2.LINE_8, SHIFT)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(frame.spacing_mm)
    cortex = _cortex(bone, frame, window)
    radius = np.float32(bone.half_depth)
    outer = _chord(inside, radius)
    inner = _chord(inside - cortex, np.maximum(radius - cortex, np.float32(0.2)))
    spongy = np.float32(bone.trabecular) * (1 + np.float32(texture) * trabeculae(mask.shape, rng))
    layer = outer - inner + spongy * inner
    if bone.keep is not None:
        kept = np.zeros_like(mask)
        cv2.fillPoly(kept, [fixed(frame.pixels(bone.keep) - (x0, y0))], 255, cv2.LINE_AA, SHIFT)
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
    share: Image = np.clip(rows[:, None] + columns[None, :], 0, 1)
    thick: Image = np.float32(bone.cortex[0]) + np.float32(bone.cortex[1] - bone.cortex[0]) * share
    return thick


def _apply_mark(layer: Image, mark: Mark, frame: Frame, origin: tuple[int, int]) -> None:
    line = frame.pixels(mark.line)
    reach = (mark.width + 4 * mark.blur) / frame.spacing_mm + 3
    low = np.maximum(np.floor(line.min(axis=0) - reach - origin).astype(int), 0)
    high = np.maximum(np.ceil(line.max(axis=0) + reach - origin).astype(int), 0)
    part = layer[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return
    drawn = np.zeros(part.shape, np.uint8)
    width = mark.width / frame.spacing_mm
    points = [fixed(line - origin - low)]
    cv2.polylines(drawn, points, False, 255, max(1, round(width)), cv2.LINE_AA, SHIFT)
    strength = np.float32(min(1.0, width) / 255)
    soft: Image = drawn.astype(np.float32) * strength
    sigma = mark.blur / frame.spacing_mm
    if sigma > 0.3:
        soft = blurred(soft, sigma)
    part *= np.maximum(1 + np.float32(mark.gain) * soft, 0)


def _add_cloud(mineral: Image, cloud: Cloud, frame: Frame, rng: np.random.Generator) -> None:
    points = frame.pixels(cloud.shape)
    sigma = max(cloud.blur / frame.spacing_mm, 0.4)
    window = _window(points, frame, pad=int(3 * sigma + 4))
    if window is None:
        return
    x0, y0, x1, y1 = window
    drawn = np.zeros((y1 - y0, x1 - x0), np.uint8)
    placed = [fixed(points - (x0, y0))]
    if cloud.line_width is None:
        cv2.fillPoly(drawn, placed, 255, cv2.LINE_AA, SHIFT)
    else:
        width = max(1, round(cloud.line_width / frame.spacing_mm))
        cv2.polylines(drawn, placed, False, 255, width, cv2.LINE_AA, SHIFT)
    soft = blurred(drawn.astype(np.float32), sigma)
    soft *= np.float32(cloud.thickness / 255)
    if cloud.mottle:
        soft *= 1 + np.float32(cloud.mottle) * trabeculae(drawn.shape, rng)
    mineral[y0:y1, x0:x1] += soft


def _soft_tissue(scene: Scene, frame: Frame, rng: np.random.Generator) -> Image:
    """Thickness of soft tissue in mm, at half resolution (it has no fine detail)."""
    half = 2
    mask = np.zeros((frame.rows // half + 1, frame.columns // half + 1), np.uint8)
    for outline in scene.skin:
        cv2.fillPoly(mask, [fixed(frame.pixels(outline) / half)], 255, cv2.LINE_8, SHIFT)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(frame.spacing_mm * half)
    wide = np.float32(scene.unit * 1.15)
    tissue = _chord(depth, wide) * np.float32(scene.skin_depth / wide)
    # skin and subcutaneous fat absorb less than the muscle beneath
    rim = np.clip(depth / np.float32(scene.unit * 0.22), 0, 1)
    tissue *= 0.72 + 0.28 * rim
    cloudy = rng.standard_normal((9, 7)).astype(np.float32)
    tissue *= 1 + np.float32(0.02) * cv2.resize(cloudy, tissue.shape[::-1])
    return resized(cv2.blur(tissue, (3, 3)), frame)


def _shell(shell: Shell, frame: Frame, rng: np.random.Generator) -> Image:
    """Thickness of a cast in mm of soft tissue, bright at its rims, with its weave and wrinkles."""
    half = 2
    size = (frame.rows // half + 1, frame.columns // half + 1)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [fixed(frame.pixels(shell.outline) / half)], 255, cv2.LINE_8, SHIFT)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(frame.spacing_mm * half)
    radius = np.float32(shell.half_depth)
    wall = np.float32(shell.thickness)
    thick = _chord(depth, radius) - _chord(depth - wall, radius - wall)
    kept = np.zeros(size, np.uint8)
    cv2.fillPoly(kept, [fixed(frame.pixels(shell.extent) / half)], 255, cv2.LINE_AA, SHIFT)
    thick *= kept * np.float32(shell.density / 255)
    thick = resized(thick, frame)
    coarse = rng.standard_normal((60, 14)).astype(np.float32)
    wrinkles = resized(coarse, frame, smooth=True)
    pattern = 0.12 * wrinkles + 0.17 * mottle((frame.rows, frame.columns), rng)
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
        points = [fixed(frame.pixels(wire.shape))]
        drawn = np.zeros(metal.shape, np.uint8)
        if wire.filled:
            cv2.fillPoly(drawn, points, 255, cv2.LINE_AA, SHIFT)
        else:
            width = max(2, round(wire.diameter / frame.spacing_mm))
            cv2.polylines(drawn, points, False, 255, width, cv2.LINE_AA, SHIFT)
        np.maximum(metal, drawn * np.float32(wire.thickness / 255), out=metal)
    return metal


def _window(points: Points, frame: Frame, pad: int) -> tuple[int, int, int, int] | None:
    """Pixel window of points inside the image, or None where they lie outside."""
    x0, y0 = (np.floor(points.min(axis=0)).astype(int) - pad).tolist()
    x1, y1 = (np.ceil(points.max(axis=0)).astype(int) + pad + 1).tolist()
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = min(x1, frame.columns), min(y1, frame.rows)
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None
