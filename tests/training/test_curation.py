from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.training

from training.curation import most_informative  # noqa: E402
from training.dataset import Pair  # noqa: E402


def said(*captions):
    return [Pair({}, {} if words is None else {"global": words}, {}) for words in captions]


def test_rare_captions_are_taken_before_frequent_ones():
    pairs = said("normal", "normal", "odd", "normal", "odder", "normal", "normal", "normal")
    assert most_informative(pairs, 0.25, seed=1).tolist() == [2, 4]


def test_exams_without_captions_are_never_taken():
    assert most_informative(said(None, "normal", None), 1.0, seed=1).tolist() == [1]


def test_among_equals_chance_decides_and_the_seed_decides_chance():
    pairs = said(*["normal"] * 100)
    one, again, other = (most_informative(pairs, 0.1, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@given(st.lists(st.none() | st.sampled_from("abcd"), min_size=1).filter(any), st.floats(0.01, 1))
def test_any_share_gives_that_many_exams_each_once(words, share):
    found = most_informative(said(*words), share, seed=3)
    told = sum(word is not None for word in words)
    assert len(found) == max(1, round(share * told))
    assert (np.diff(found) > 0).all()
