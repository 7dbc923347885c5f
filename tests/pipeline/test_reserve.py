"""What is kept behind the matches: what any weight would put among them, then the next ones."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reserve import MOST, WEIGHTS, reserve

INDEX = st.floats(0, 100)


def best(indices: list[tuple[float, float]], weight: float, count: int) -> list[int]:
    def score(position: int) -> float:
        whole, bone = indices[position]
        return weight * bone + (1 - weight) * whole

    return sorted(range(len(indices)), key=lambda one: (-score(one), one))[:count]


@given(st.lists(st.tuples(INDEX, INDEX), max_size=200), st.integers(0, 60))
def test_it_is_bounded_in_order_and_holds_no_match(
    indices: list[tuple[float, float]], matches: int
) -> None:
    matches = min(matches, len(indices))
    kept = reserve(indices, matches)
    assert list(kept) == sorted(set(kept))
    assert all(matches <= position < len(indices) for position in kept)
    assert len(kept) == max(0, min(MOST, len(indices)) - matches)


def test_whatever_the_bone_counts_the_best_are_there() -> None:
    rng = random.Random(1)  # noqa: S311  no secret
    indices = [(round(rng.uniform(0, 100), 3), round(rng.uniform(0, 100), 3)) for _ in range(200)]
    indices.sort(key=lambda one: -one[1])  # the answer's own order: by the bone
    kept = {*range(10), *reserve(indices, 10)}
    for weight in WEIGHTS:
        assert set(best(indices, weight, 10)) <= kept


def test_where_room_is_left_the_next_in_order_fill_it() -> None:
    indices = [(100.0 - n, 100.0 - n) for n in range(80)]
    assert reserve(indices, 10) == tuple(range(10, MOST))
