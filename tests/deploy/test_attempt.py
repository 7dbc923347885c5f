"""Sign-ins under way: whose give way where there are too many."""

from __future__ import annotations

import pytest

from deploy.web.attempt import Attempt, Attempts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def is_under_way(attempts: Attempts, begun: tuple[str, Attempt]) -> bool:
    key, attempt = begun
    return attempts.take(attempt.state, key) == attempt


def test_one_address_pushes_out_its_own_oldest_and_nobody_elses(clock: Clock) -> None:
    attempts = Attempts(clock)
    reader = attempts.begin("/results", "10.0.0.1")
    flood = [attempts.begin("", "10.0.0.2") for _ in range(6000)]
    assert [is_under_way(attempts, one) for one in flood[-51:]] == [False] + [True] * 50
    assert is_under_way(attempts, reader)


@pytest.mark.slow
def test_many_addresses_push_out_those_with_the_most(clock: Clock) -> None:
    attempts = Attempts(clock)
    reader = attempts.begin("/results", "10.0.0.1")
    for number in range(101):
        for _ in range(50):
            attempts.begin("", f"10.0.1.{number}")
    assert is_under_way(attempts, reader)


def test_one_that_took_too_long_or_was_taken_is_none(clock: Clock) -> None:
    attempts = Attempts(clock)
    late, taken = attempts.begin("", "10.0.0.1"), attempts.begin("", "10.0.0.1")
    assert is_under_way(attempts, taken)
    assert not is_under_way(attempts, taken)
    clock.now = 601
    assert not is_under_way(attempts, late)
