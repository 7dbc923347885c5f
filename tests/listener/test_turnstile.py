"""An association's own thread stands when it is told to, however late it is woken."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from listener.turnstile import Turnstile


class Loop(threading.Thread):
    """Goes round and round, as pynetdicom's loop does, and counts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.turnstile = Turnstile(self)
        self.rounds = 0
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            self.turnstile.wait()
            self.rounds += 1


@pytest.fixture
def loop() -> Iterator[Loop]:
    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    it = Loop()
    it.start()
    yield it
    it.is_over = True
    it.turnstile.set()
    it.join(10)
    sys.setswitchinterval(switched)
    assert not it.is_alive()


def test_it_stands_when_it_is_held_up_and_goes_round_when_it_is_let(loop: Loop) -> None:
    for _ in range(2000):
        loop.turnstile.clear()
        assert not loop.turnstile.is_set()
        before = loop.rounds
        for _ in range(20):
            assert loop.rounds == before
        loop.turnstile.set()
    loop.turnstile.clear()
    before = loop.rounds
    loop.turnstile.set()
    while loop.rounds == before:
        pass


def test_whoever_holds_it_up_does_not_wait_for_one_that_has_ended() -> None:
    it = Loop()
    it.is_over = True
    it.start()
    it.join(10)
    it.turnstile.clear()


def test_the_thread_itself_does_not_wait_for_itself() -> None:
    done = threading.Event()

    class Own(Loop):
        def run(self) -> None:
            self.turnstile.clear()
            done.set()

    Own().start()
    assert done.wait(10)
