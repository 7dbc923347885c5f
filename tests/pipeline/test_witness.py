"""The bones as a second witness of the view."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipeline.region import Region, View
from pipeline.witness import Witness, joint_score

SURE = dict.fromkeys(Region, 1.0)
DOUBT = {View.PA: 0.5, View.LATERAL: 0.3, View.OBLIQUE: 0.15, View.OTHER: 0.05}
WITNESS = Witness(image=1.0, bones=2.0, bias=2.0)


def test_bones_in_their_place_speak_for_pa_and_missing_ones_against() -> None:
    assert WITNESS.weighed(DOUBT, SURE)[View.PA] > 0.8
    assert WITNESS.weighed(DOUBT, {})[View.PA] < 0.01


def test_the_other_views_keep_their_order() -> None:
    after = WITNESS.weighed(DOUBT, {})
    assert after[View.LATERAL] / after[View.OBLIQUE] == pytest.approx(2)


def test_a_bone_that_was_not_found_counts_as_a_very_poor_one() -> None:
    assert joint_score(SURE) == 0
    assert joint_score({}) == pytest.approx(-5.298, abs=1e-3)
    assert joint_score({Region.DISTAL_RADIUS: 0.0}) == joint_score({})


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda parts: sum(parts) > 0.01),
    st.dictionaries(st.sampled_from(list(Region)), st.floats(0, 1)),
)
def test_probabilities_stay_probabilities(parts: list[float], bones: dict[Region, float]) -> None:
    scores = dict(zip(View, (part / sum(parts) for part in parts), strict=True))
    after = WITNESS.weighed(scores, bones)
    assert all(0 <= score <= 1 for score in after.values())
    assert sum(after.values()) == pytest.approx(1)
