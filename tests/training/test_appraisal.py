from __future__ import annotations

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.training

pytest.importorskip("open_clip", reason="needs the training extra")

from pipeline.region import Region  # noqa: E402
from training.appraisal import best_mode  # noqa: E402
from training.bootstrap import Estimate  # noqa: E402


def matching(lows, high=0.2):
    gains = {r: Estimate(0.1, low, 0.2) for r, low in zip(Region, lows, strict=True)}
    others = dict.fromkeys(Region, Estimate(0.0, -0.1, high))
    pair = "fused - two_stage"
    return SimpleNamespace(
        differences={
            "binary_of_fractured": {pair: gains},
            "binary_of_all": {pair: others},
            "class_of_fractured": {pair: others},
        }
    )


@pytest.mark.parametrize(
    ("lows", "mode"),
    [
        ((0.01, 0.02, 0.01), "fused"),
        ((0.01, -0.01, 0.01), "two_stage"),
        ((0.01, 0.01, None), "two_stage"),
    ],
)
def test_fused_is_the_default_only_where_it_wins_for_every_bone_with_intervals(lows, mode):
    assert best_mode(matching(lows)) == mode


def test_it_is_not_where_something_else_loses_by_it():
    assert best_mode(matching((0.01, 0.02, 0.01), high=-0.001)) == "two_stage"
