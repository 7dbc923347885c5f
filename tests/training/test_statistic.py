from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.training

metrics = pytest.importorskip("sklearn.metrics", reason="needs the training extra")

from training.statistic import (  # noqa: E402
    area_under_roc,
    average_precision,
    f1_of,
    mean_of,
    median_of,
)

queries = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 2.5, 3.0]), st.booleans(), st.integers(0, 3)),
    min_size=3,
    max_size=25,
).filter(
    lambda rows: {(truth, weight > 0) for _, truth, weight in rows} >= {(True, True), (False, True)}
)


def columns(rows):
    scores, truth, weights = (np.array(column) for column in zip(*rows, strict=True))
    return scores, truth, weights.astype(float)


@given(queries)
def test_each_is_what_scikit_learn_computes_of_the_queries_taken_as_often_as_they_weigh(rows):
    scores, truth, weights = columns(rows)
    taken = np.repeat(np.arange(len(rows)), weights.astype(int))
    s, t = scores[taken], truth[taken]

    def figure(statistic):
        return statistic(weights[None, :])[0]

    assert figure(mean_of(scores)) == pytest.approx(s.mean())
    assert figure(median_of(scores)) == pytest.approx(np.median(s))
    assert figure(f1_of(scores > 1, truth)) == pytest.approx(metrics.f1_score(t, s > 1))
    assert figure(area_under_roc(scores, truth)) == pytest.approx(metrics.roc_auc_score(t, s))
    expected = metrics.average_precision_score(t, s)
    assert figure(average_precision(scores, truth)) == pytest.approx(expected)


def test_a_value_that_is_not_known_counts_for_nothing():
    assert mean_of(np.array([1.0, np.nan, 3.0]))(np.ones((1, 3))) == [2.0]


def test_what_no_query_of_a_draw_defines_is_not_defined():
    nothing = np.array([[0.0, 0.0], [1.0, 0.0]])
    truth, scores = np.array([True, True]), np.array([1.0, 2.0])
    assert np.isnan(mean_of(scores)(nothing)).tolist() == [True, False]
    assert np.isnan(median_of(scores)(nothing)).tolist() == [True, False]
    assert np.isnan(area_under_roc(scores, truth)(nothing)).all()
