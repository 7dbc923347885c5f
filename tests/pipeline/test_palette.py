"""Colours are compared as people with and without full colour vision see them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.canvas import Colour
from pipeline.palette import BRIGHT, CAUTION, DASHES, DIM, GROUND, PLAIN, bone_colour
from pipeline.region import Region

# Machado, Oliveira and Fernandes, IEEE TVCG 2009, severity 1.0, on linear RGB
VISION = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
D65 = np.array([0.9505, 1.0, 1.089])
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: Colour) -> NDArray[np.float64]:
    value = np.array(colour) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of WCAG 2."""
    dark, light = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(colour: Colour, vision: str) -> NDArray[np.float64]:
    xyz = XYZ @ np.clip(VISION[vision] @ linear(colour), 0, 1) / D65
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colour", [BRIGHT, PLAIN, DIM, CAUTION])
def test_what_is_written_stands_out_from_the_ground(colour: Colour) -> None:
    assert contrast(colour, GROUND) > 4.5  # WCAG 2, level AA


@pytest.mark.parametrize("region", [None, *Region])
def test_a_bar_stands_out_from_the_ground(region: Region | None) -> None:
    assert contrast(bone_colour(region), GROUND) > 3  # WCAG 2, for graphics


@pytest.mark.parametrize("vision", VISION)
def test_the_colours_of_two_bones_differ_with_every_kind_of_colour_vision(vision: str) -> None:
    for one, other in combinations(map(bone_colour, Region), 2):
        assert np.linalg.norm(lab(one, vision) - lab(other, vision)) > 15


def test_the_boxes_of_two_bones_differ_without_any_colour() -> None:
    assert len({DASHES[region] for region in Region}) == len(Region)
