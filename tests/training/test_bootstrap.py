from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

from training.bootstrap import Estimate, Resamples  # noqa: E402
from training.statistic import mean_of  # noqa: E402


def test_a_figure_is_that_of_all_queries_and_lies_in_its_interval():
    values = np.random.default_rng(1).normal(size=200)
    found = Resamples(range(200)).estimate(mean_of(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low < found.value < found.high


def test_the_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(2).normal(size=400)
    found = Resamples(range(400), draws=4000).estimate(mean_of(values))
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_ninety_five_in_a_hundred_intervals_hold_the_truth():
    generator = np.random.default_rng(3)
    held = 0
    for n in range(200):
        found = Resamples(range(60), 400, seed=n).estimate(mean_of(generator.normal(size=60)))
        held += found.low <= 0 <= found.high
    assert 180 <= held <= 198


def test_ten_exams_of_one_patient_count_as_one():
    values = np.repeat(np.random.default_rng(4).normal(size=40), 10)
    alone = Resamples(range(400)).estimate(mean_of(values))
    together = Resamples(np.repeat(np.arange(40), 10).tolist()).estimate(mean_of(values))
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_a_difference_is_of_the_same_draws_so_a_constant_one_is_certain():
    values = np.random.default_rng(5).normal(size=50)
    found = Resamples(range(50)).difference(mean_of(values + 0.01), mean_of(values))
    assert (found.value, found.low, found.high) == pytest.approx((0.01, 0.01, 0.01))
    assert found.certain
    assert not Resamples(range(50)).difference(mean_of(values), mean_of(values)).certain


def test_the_same_seed_gives_the_same_interval():
    statistic = mean_of(np.arange(30.0))
    assert Resamples(range(30), seed=7).estimate(statistic) == Resamples(
        range(30), seed=7
    ).estimate(statistic)
    assert Resamples(range(30), seed=8).estimate(statistic) != Resamples(
        range(30), seed=7
    ).estimate(statistic)


def test_many_queries_are_drawn_in_blocks_without_changing_the_draws(monkeypatch):
    statistic = mean_of(np.arange(30.0))
    whole = Resamples(range(30), 50).estimate(statistic)
    monkeypatch.setattr("training.bootstrap._AT_ONCE", 60)
    assert Resamples(range(30), 50).estimate(statistic) == whole


def test_without_queries_nothing_is_known():
    assert Resamples([]).estimate(mean_of(np.zeros(0))) == Estimate(None)
