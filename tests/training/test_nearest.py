from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_exams import NAMES, random_unit

pytestmark = pytest.mark.training

from pipeline.calibration import Calibration  # noqa: E402
from pipeline.edge_index import EdgeIndex  # noqa: E402
from pipeline.exam import Exam  # noqa: E402
from pipeline.region import Laterality, Region, View  # noqa: E402
from pipeline.request import Mode, Request  # noqa: E402
from pipeline.retrieval import Retriever  # noqa: E402
from training.nearest import Way, nearest  # noqa: E402

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGION = Region.DISTAL_ULNA
CALIBRATION = {
    name: Calibration(
        knots=((-1.0, 0.0), (0.0, float(n)), (0.3, 20.0 + n), (1.0, 100.0)),
        nothing_similar_below=0.0,
    )
    for n, name in enumerate(NAMES)
}


def drawn(count, seed, lacking=0.3):
    generator = np.random.default_rng(seed)
    vectors = {name: random_unit(count, [seed, n], 6) for n, name in enumerate(NAMES)}
    vectors[REGION.value][generator.random(count) < lacking] = np.nan
    return vectors


def by_hand(ask, stored, may, way, candidates, k):
    """The retriever's rules in plain loops, for one query."""
    whole = {n: float(ask["global"] @ stored["global"][n]) for n in np.flatnonzero(may)}
    bone = {n: float(ask[REGION] @ stored[REGION][n]) for n in whole}
    bone = {n: score for n, score in bone.items() if np.isfinite(score)}
    by_whole = sorted(whole, key=lambda n: -whole[n])
    by_bone = [*sorted(bone, key=lambda n: -bone[n]), *(n for n in by_whole if n not in bone)]
    if way is Way.GLOBAL_ONLY:
        return by_whole[:k]
    if way is Way.REGION_ONLY:
        return by_bone[:k]
    first = by_whole[:candidates]
    if way is Way.TWO_STAGE:
        return [n for n in by_bone if n in first][:k]
    both = [n for n in by_bone if n in {*first, *by_bone[:candidates]}]

    def mean(n):
        return CALIBRATION["global"].index(whole[n]) + CALIBRATION[REGION].index(bone[n])

    return sorted(both, key=lambda n: (n not in bone, -mean(n) if n in bone else -whole[n]))[:k]


@pytest.mark.parametrize("way", Way)
@given(seed=st.integers(0, 1000), candidates=st.integers(4, 40))
@settings(max_examples=20, deadline=None)
def test_the_nearest_are_those_of_the_definition(way, seed, candidates):
    ask, stored = drawn(9, seed), drawn(30, seed + 5000)
    may = np.random.default_rng(seed).random((9, 30)) < 0.8
    found = nearest(
        ask, stored, may, region=REGION, way=way, calibration=CALIBRATION,
        candidates=candidates, k=4,
    )  # fmt: skip
    for n, row in enumerate(found):
        query = {name: vectors[n] for name, vectors in ask.items()}
        assert row.tolist() == by_hand(query, stored, may[n], way, candidates, 4)


@pytest.mark.parametrize("way", Way)
def test_where_too_few_may_be_returned_the_rest_is_empty(way):
    ask, stored = drawn(2, 1), drawn(6, 2)
    may = np.zeros((2, 6), bool)
    may[0, [1, 4]] = True
    found = nearest(
        ask, stored, may, region=REGION, way=way, calibration=CALIBRATION, candidates=3, k=5
    )
    assert sorted(found[0].tolist()) == [-1, -1, -1, 1, 4]
    assert (found[1] == -1).all()


def test_a_pool_of_everyone_makes_two_stages_the_bone_alone():
    ask, stored = drawn(20, 3), drawn(50, 4)
    may = np.ones((20, 50), bool)
    two, one = (
        nearest(ask, stored, may, region=REGION, way=way, candidates=50)
        for way in (Way.TWO_STAGE, Way.REGION_ONLY)
    )
    assert (two == one).all()


@pytest.mark.parametrize(
    ("way", "mode"),
    [
        (Way.GLOBAL_ONLY, Mode.GLOBAL),
        (Way.REGION_ONLY, Mode.REGION),
        (Way.TWO_STAGE, Mode.TWO_STAGE),
        (Way.FUSED, Mode.FUSED),
    ],
)
def test_what_is_measured_is_what_the_plugin_returns(way, mode, tmp_path):
    stored, ask = drawn(60, 11), drawn(5, 12, lacking=0)
    found = nearest(
        ask, stored, np.ones((5, 60), bool), region=REGION, way=way, calibration=CALIBRATION,
        candidates=15,
    )  # fmt: skip
    with EdgeIndex(tmp_path, "measured", 512) as index:
        index.upsert(exam(n, stored, n) for n in range(60))
        retriever = Retriever(index, CALIBRATION)
        request = Request(regions=(REGION,), mode=mode, candidates=15, same_side=False)
        for n, row in enumerate(found):
            answer = retriever.answer(exam(1000 + n, ask, n), request, NOW)
            matches = answer.regions[0].matches
            assert [m.exam.patient_key for m in matches] == [f"p{k}" for k in row]


def exam(number, vectors, place):
    has = {name: v[place] for name, v in vectors.items() if np.isfinite(v[place, 0])}
    return Exam(
        f"1.2.{number}.1", f"1.2.{number}.2", f"1.2.{number}.3", "1.2.840.10008.5.1.4.1.1.1.1",
        f"p{number}", Laterality.LEFT, View.PA, 9.0, "F", has, {}, "measured", "test", NOW, NOW,
    )  # fmt: skip


def test_fused_without_calibration_is_refused():
    with pytest.raises(ValueError, match="calibration"):
        nearest(drawn(1, 1), drawn(5, 2), np.ones((1, 5), bool), region=REGION, way=Way.FUSED)
