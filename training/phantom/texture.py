"""Textures cut from a bank that is drawn once per process: bone mesh, plaster, quantum noise."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from training.phantom.raster import Image, blurred

__all__ = ["grain", "mottle", "trabeculae"]

_BANK = 1536


def trabeculae(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Return the mesh of spongy bone: mean 0, deviation 1, streaks along the columns."""
    return _cut(_bank()[0], shape, rng)


def mottle(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Return the clouds of plaster: mean 0, deviation 1, some ten pixels wide."""
    return _cut(_bank()[1], shape, rng)


def grain(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Return unit noise, cut from the bank and mirrored at random: it costs next to nothing."""
    noise = _cut(_bank()[2], shape, rng)
    if rng.random() < 0.5:
        noise = noise[::-1]
    return noise[:, ::-1] if rng.random() < 0.5 else noise


@lru_cache(maxsize=1)
def _bank() -> tuple[Image, Image, Image]:
    """Textures drawn once per process: trabeculae, mottle, white grain; each (1536, 1536)."""
    rng = np.random.default_rng(20260)
    noise = rng.standard_normal((3, _BANK, _BANK)).astype(np.float32)
    streaks: Image = cv2.GaussianBlur(noise[0], (0, 0), sigmaX=1.1, sigmaY=4.0)
    ridges: Image = np.exp(-np.abs(streaks / streaks.std()) * 1.6)
    mesh = blurred(noise[1], 1.3)
    ridges += 0.5 * np.exp(-np.abs(mesh / mesh.std()) * 1.6)
    ridges = (ridges - ridges.mean()) / ridges.std()
    mottle = blurred(noise[1], 5.0)
    return ridges, mottle / mottle.std(), noise[2]


def _cut(texture: Image, shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    rows, columns = shape[0], shape[1]
    if rows > _BANK or columns > _BANK:
        repeats = (-(-rows // _BANK) + 1, -(-columns // _BANK) + 1)
        texture = np.tile(texture, repeats)
    top = int(rng.integers(0, texture.shape[0] - rows + 1))
    left = int(rng.integers(0, texture.shape[1] - columns + 1))
    return texture[top : top + rows, left : left + columns]
