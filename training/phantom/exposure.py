"""From attenuation to grey values: beam, scatter, collimator, noise, processing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.phantom.frame import Frame
from training.phantom.raster import SHIFT, Image, blurred, fixed, resized
from training.phantom.texture import grain

__all__ = ["Exposure", "developed"]


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
            bone=float(rng.uniform(0.06, 0.105)),
            dose=float(np.exp(rng.uniform(np.log(500), np.log(9000)))),
            scatter=float(rng.uniform(0.1, 0.4)),
            blur_px=float(rng.uniform(0.5, 1.1)),
            detail=float(rng.choice([0.0, rng.uniform(0.2, 1.2)])),
            gamma=float(np.exp(rng.normal(0.0, 0.22))),
            low=float(rng.uniform(0.02, 0.16)),
            high=float(rng.uniform(0.5, 0.88)),
            outside=str(rng.choice(["none", "white", "shutter"], p=[0.25, 0.2, 0.55])),
            texture=float(rng.uniform(0.1, 0.32)),
        )


def developed(
    attenuation: Image, frame: Frame, exposure: Exposure, rng: np.random.Generator
) -> Image:
    """Return the radiograph of an attenuation: float32, (rows, columns), 0..1, bone bright.

    Beam, scatter, collimator, quantum noise, logarithm, edge enhancement, tone curve.
    """
    beam = _inverse(blurred(attenuation, exposure.blur_px))
    veil = blurred(_smaller(beam, 16), 3.0)
    beam += exposure.scatter * 0.4 * resized(veil, frame)
    blades = None
    if exposure.outside != "none":
        blades = _blades(frame, softness=0.006)
        beam *= 0.02 + 0.98 * blades
    beam += np.sqrt(beam * np.float32(1.0 / exposure.dose)) * grain(beam.shape, rng)
    signal = _logarithm(beam)
    if exposure.detail:
        signal += exposure.detail * (signal - _background(signal, frame))
    open_air, dense = _range(signal, blades)
    grey = _toned((signal - open_air) / max(dense - open_air, 0.2), exposure)
    if exposure.outside == "shutter":
        grey *= _blades(frame, softness=0.0008, grow=0.012)
    return grey


def _background(signal: Image, frame: Frame) -> Image:
    """Blur by 3.5 pixels, at half resolution."""
    return resized(blurred(_smaller(signal, 2), 1.7), frame)


def _inverse(attenuation: Image) -> Image:
    beam: Image = cv2.exp(-attenuation)
    return beam


def _logarithm(beam: Image) -> Image:
    signal: Image = cv2.log(np.maximum(beam, np.float32(0.004)))
    return -signal


def _toned(signal: Image, exposure: Exposure) -> Image:
    """Apply the tone curve, by a table of 16,384 steps (a power per pixel costs far more)."""
    top, steps = 1.6, 1 << 14
    step = np.linspace(0.0, top, steps) ** exposure.gamma
    curve = np.clip(exposure.low + (exposure.high - exposure.low) * step, 0, 1).astype(np.float32)
    index = (np.clip(signal, 0.0, top) * np.float32((steps - 1) / top)).astype(np.uint16)
    toned: Image = curve[index]
    return toned


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
    mask: Image = np.zeros((frame.rows // scale + 1, frame.columns // scale + 1), np.uint8)
    cv2.fillPoly(mask, [fixed(corners / scale)], 255, cv2.LINE_AA, SHIFT)
    sigma = softness * max(frame.rows, frame.columns) / scale
    if sigma > 0.3:
        mask = blurred(mask, sigma)
    passed: Image = mask.astype(np.float32) / np.float32(255)
    return resized(passed, frame) if scale > 1 else passed[:-1, :-1]


def _smaller(image: Image, factor: int) -> Image:
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    smaller: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return smaller
