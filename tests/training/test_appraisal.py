from __future__ import annotations

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.training

pytest.importorskip("open_clip", reason="needs the training extra")

from pipeline.region import Region  # noqa: E402
from training.appraisal import best_mode  # noqa: E402
from training.bootstrap import Estimate  # noqa: E402


def matching(*lows):
    gains = {r: Estimate(0.1, low, 0.2) for r, low in zip(Region, lows, strict=True)}
    return SimpleNamespace(differences={"binary_of_fractured": {"fused - two_stage": gains}})


@pytest.mark.parametrize(
    ("lows", "mode"),
    [
        ((0.01, 0.02, 0.01), "fused"),
        ((0.01, -0.01, 0.01), "two_stage"),
        ((0.01, 0.01, None), "two_stage"),
    ],
)
def test_fused_is_the_default_only_where_it_wins_for_every_bone_with_intervals(lows, mode):
    assert best_mode(matching(*lows)) == mode
