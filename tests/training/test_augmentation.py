from __future__ import annotations

import numpy as np
import pytest

from pipeline.region import View
from training.augmentation import augmented, exposed
from training.dataset import Picture


def disc(rows=240, columns=200, x=90, y=110, radius=30):
    """A picture of one bright disc with its box."""
    ys, xs = np.mgrid[0:rows, 0:columns]
    inside = (xs + 0.5 - x) ** 2 + (ys + 0.5 - y) ** 2 < radius**2
    pixels = np.where(inside, 1.0, 0.05).astype(np.float32)
    box = (x - radius, y - radius, x + radius, y + radius)
    return Picture("disc", pixels, View.PA, 7, {"wrist": box})


def covered(pixels, box):
    """The share of bright pixels that lie in the box."""
    rows, columns = pixels.shape
    x0, y0, x1, y1 = (round(v) for v in box)
    bright = pixels > 0.5 * pixels.max()
    inside = np.zeros((rows, columns), bool)
    inside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
    return (bright & inside).sum() / max(1, bright.sum())


def test_the_same_state_of_chance_gives_the_same_picture():
    one, other = (augmented(disc(), np.random.default_rng(3)) for _ in range(2))
    assert (one.pixels == other.pixels).all()
    assert one.boxes == other.boxes


def test_patient_view_and_name_stay():
    picture = augmented(disc(), np.random.default_rng(3))
    assert (picture.name, picture.view, picture.patient) == ("disc", View.PA, 7)


@pytest.mark.parametrize("seed", range(12))
def test_a_box_goes_along_with_what_is_in_it(seed, monkeypatch):
    # letters and patches would be bright too
    for cover in ("_patched", "_written_on", "exposed"):
        monkeypatch.setattr(f"training.augmentation.{cover}", lambda pixels, _: pixels)
    picture = augmented(disc(), np.random.default_rng(seed), shrink=(0.6, 0.9))
    x0, y0, x1, y1 = picture.boxes["wrist"]
    assert covered(picture.pixels, (x0 - 1, y0 - 1, x1 + 1, y1 + 1)) > 0.97
    area = (picture.pixels > 0.5).sum()
    # a turned disc keeps its box, which the corners of a square would have outgrown
    assert (x1 - x0) * (y1 - y0) < 1.9 * area


@pytest.mark.parametrize("seed", range(5))
def test_other_exposures_stay_within_0_and_1_and_keep_bone_brighter_than_air(seed):
    picture = disc()
    pixels = exposed(picture.pixels, np.random.default_rng(seed))
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert pixels[110, 90] > pixels[10, 10]
