from __future__ import annotations

import numpy as np
import pytest
from made_up_exams import NAMES, unit

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.exam import RegionFindings  # noqa: E402
from pipeline.region import Region  # noqa: E402
from training.attention import attention, attention_maps  # noqa: E402
from training.dataset import Pair  # noqa: E402
from training.vectors import Encoder  # noqa: E402

CAPTION = unit([[1.0, 0.0]])[0]


def spot(crops):
    """A tower that looks at one place: rows 60 to 80, columns 150 to 170."""
    return unit([[1 + crop[60:80, 150:170].mean(), 40.0] for crop in crops])


def crop():
    shown = np.zeros((224, 224), np.uint8)
    shown[60:80, 150:170] = 255
    return shown


def test_the_map_is_hot_where_the_tower_looks_and_nowhere_else():
    look = attention(crop(), CAPTION, spot)
    row, column = np.unravel_index(np.argmax(look.drop), look.drop.shape)
    assert 50 <= row <= 90
    assert 140 <= column <= 180
    assert look.drop[150:, :100] == pytest.approx(0, abs=1e-6)
    assert look.cosine == pytest.approx(256 / np.hypot(256, 40))


def test_every_pixel_is_hidden_at_least_once():
    def darkness(crops):
        return unit([[1.0 + float(shown.sum()), 1e6] for shown in crops])

    look = attention(np.full((224, 224), 90, np.uint8), CAPTION, darkness)
    assert np.isfinite(look.drop).all()


def test_maps_are_made_of_broken_bones_that_were_found():
    broken, whole = RegionFindings("present", "buckle"), RegionFindings("absent")
    words = {name: f"{name} is described" for name in NAMES}
    crops = dict.fromkeys(NAMES, crop())
    exams = [
        Pair(crops, words, dict.fromkeys(Region, whole)),
        Pair({"global": crop()}, words, dict.fromkeys(Region, broken)),
        Pair(crops, words, {Region.DISTAL_ULNA: broken}),
    ]
    tower = Encoder(spot, lambda texts: np.repeat(CAPTION[None], len(texts), axis=0))
    blind = Encoder(lambda crops: np.repeat(CAPTION[None], len(crops), axis=0), tower.texts)
    maps = attention_maps(exams, tower, blind, 2, lambda _: None)
    assert [one.name for one in maps] == ["global", "global", "distal_ulna"]
    assert all(one.untrained.drop == pytest.approx(0) for one in maps)
    assert all(one.trained.drop.max() > 0.05 for one in maps)
