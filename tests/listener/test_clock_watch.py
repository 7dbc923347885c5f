from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from listener.clock_watch import ClockWatch

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("jump", [3600, -3600, 3, -3])
def test_a_clock_that_is_put_forward_or_back_has_jumped(jump: float) -> None:
    steady = [100.0]
    watch = ClockWatch(NOON, lambda: steady[0])
    steady[0] += 10
    assert not watch.has_jumped(NOON + timedelta(seconds=10))
    assert watch.has_jumped(NOON + timedelta(seconds=10 + jump))


def test_a_clock_that_is_put_right_slowly_never_jumps() -> None:
    steady = [100.0]
    watch = ClockWatch(NOON, lambda: steady[0])
    for minute in range(100):
        now = NOON + timedelta(seconds=61.0 * minute)
        assert not watch.has_jumped(now)
        watch.saw(now)
        steady[0] += 60.0


def test_a_jump_is_told_until_it_was_seen_to() -> None:
    watch = ClockWatch(NOON, lambda: 100.0)
    later = NOON + timedelta(hours=1)
    assert watch.has_jumped(later)
    assert watch.has_jumped(later)
    watch.saw(later)
    assert not watch.has_jumped(later)


def test_it_is_fresh_until_somebody_has_looked() -> None:
    watch = ClockWatch(NOON, lambda: 100.0)
    assert watch.is_fresh
    assert not watch.has_jumped(NOON)
    watch.saw(NOON)
    assert not watch.is_fresh


def test_a_clock_that_is_not_watched_is_trusted() -> None:
    watch = ClockWatch(NOON, None)
    watch.saw(NOON)
    assert not watch.is_fresh
    assert not watch.has_jumped(NOON + timedelta(days=1))
