from __future__ import annotations

import threading
import time

import pytest

from pipeline.heartbeat import Heartbeat


class Heart:
    """Counts its beats, and stops being of use after some."""

    def __init__(self, of_use: int = 1000) -> None:
        self.beats = 0
        self._of_use = of_use
        self.reached = threading.Event()

    def beat(self) -> bool:
        self.beats += 1
        if self.beats == self._of_use:
            self.reached.set()
        return self.beats < self._of_use


def is_beating(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


def test_it_beats_while_the_work_is_under_way_and_no_longer() -> None:
    heart = Heart()
    with Heartbeat(heart.beat, 0.01, most=1000).beating("heart-1"):
        deadline = time.monotonic() + 10
        while heart.beats < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert heart.beats >= 3
    assert not is_beating("heart-1")
    counted = heart.beats
    time.sleep(0.05)
    assert heart.beats == counted


def test_work_that_is_done_before_the_first_beat_has_none_and_is_not_held_up() -> None:
    heart, began = Heart(), time.monotonic()
    with Heartbeat(heart.beat, 60, most=3).beating("heart-2"):
        pass
    assert heart.beats == 0
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("of_use", "most", "beats"), [(2, 1000, 2), (1000, 4, 4)])
def test_it_ends_where_a_beat_is_of_no_use_and_where_the_work_hangs(
    of_use: int, most: int, beats: int
) -> None:
    heart = Heart(of_use)
    with Heartbeat(heart.beat, 0.01, most).beating("heart-3"):
        deadline = time.monotonic() + 10
        while is_beating("heart-3") and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not is_beating("heart-3")
    assert heart.beats == beats


def test_work_that_fails_ends_it_too() -> None:
    heart = Heart()
    with (
        pytest.raises(ValueError, match="the work"),
        Heartbeat(heart.beat, 60, 3).beating("heart-4"),
    ):
        raise ValueError("the work")  # noqa: EM101 - as any work may fail
    assert not is_beating("heart-4")
