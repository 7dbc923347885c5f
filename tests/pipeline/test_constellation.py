from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.constellation import FEATURES, Constellation, features
from pipeline.region import Region

RADIUS, ULNA, STYLOID = Region
WRIST = {
    RADIUS: (100.0, 100.0, 200.0, 260.0),
    ULNA: (30.0, 120.0, 90.0, 240.0),
    STYLOID: (35.0, 100.0, 80.0, 150.0),
}
LEAST = dict.fromkeys(Region, 0.05)


def measured(boxes):
    return features({region: np.array([box]) for region, box in boxes.items()})[0]


CONSTELLATION = Constellation(
    mean=tuple(measured(WRIST)), covariance=tuple(map(tuple, 0.02 * np.eye(6))), weight=0.2
)


def placed(boxes, move):
    def turned(box):
        ends = np.array([move(*box[:2]), move(*box[2:])])
        return (*ends.min(axis=0), *ends.max(axis=0))

    return {region: turned(box) for region, box in boxes.items()}


shifts = st.floats(-500, 500)


@given(shifts, shifts, st.floats(0.1, 10), st.booleans(), st.integers(0, 3))
def test_a_wrist_is_the_same_wherever_it_lies_however_large_mirrored_or_turned(
    right, down, scale, mirrored, quarters
):
    def move(x, y):
        x = -x if mirrored else x
        for _ in range(quarters):
            x, y = -y, x
        return scale * x + right, scale * y + down

    assert measured(placed(WRIST, move)) == pytest.approx(measured(WRIST), rel=1e-6, abs=1e-6)


def test_what_needs_a_missing_bone_is_not_measured():
    found = measured({RADIUS: WRIST[RADIUS], ULNA: WRIST[ULNA]})
    known = [{one, other} <= {RADIUS, ULNA} for _, one, other in FEATURES]
    assert np.isfinite(found).tolist() == known


def test_a_better_place_outweighs_a_slightly_better_score():
    inside_the_radius = (130.0, 120.0, 190.0, 240.0)
    found = CONSTELLATION.likeliest(
        {
            RADIUS: [(WRIST[RADIUS], 0.8)],
            ULNA: [(inside_the_radius, 0.12), (WRIST[ULNA], 0.1)],
            STYLOID: [(WRIST[STYLOID], 0.5)],
        },
        LEAST,
    )
    assert {region: corners for region, (corners, _) in found.items()} == WRIST


def test_a_bone_seen_only_where_it_cannot_be_is_left_out():
    far_away = (900.0, 900.0, 1400.0, 1500.0)
    found = CONSTELLATION.likeliest(
        {RADIUS: [(WRIST[RADIUS], 0.8)], ULNA: [(far_away, 0.3)], STYLOID: []}, LEAST
    )
    assert set(found) == {RADIUS}


def test_a_single_bone_is_believed_by_its_score_alone():
    for score, believed in ((0.06, {STYLOID}), (0.04, set())):
        candidates = {STYLOID: [((1e4, 1e4, 2e4, 2e4), score)]}
        assert set(CONSTELLATION.likeliest(candidates, LEAST)) == believed


def test_without_candidates_nothing_is_found():
    assert CONSTELLATION.likeliest({}, LEAST) == {}


@given(
    st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 4), max_size=4),
    st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 4), max_size=4),
)
def test_any_boxes_give_at_most_one_of_each_and_only_such_as_were_given(one, other):
    candidates = {RADIUS: [(box, 0.5) for box in one], ULNA: [(box, 0.5) for box in other]}
    found = CONSTELLATION.likeliest(candidates, LEAST)
    assert all(candidate in candidates[region] for region, candidate in found.items())
