"""How long each stage took."""

from __future__ import annotations

import time

from pipeline.stage_clock import StageClock


def test_the_time_between_two_laps_is_the_stages() -> None:
    clock = StageClock()
    clock.lap("nothing")
    time.sleep(0.03)
    clock.lap("sleeping")
    assert list(clock.seconds) == ["nothing", "sleeping"]
    assert clock.seconds["nothing"] < 0.02 < clock.seconds["sleeping"]


def test_a_stage_that_comes_again_is_added_to() -> None:
    clock = StageClock()
    for _ in range(3):
        time.sleep(0.01)
        clock.lap("sleeping")
    assert clock.seconds.keys() == {"sleeping"}
    assert clock.seconds["sleeping"] >= 0.03
