"""Work side by side: as many hands as allowed, none while it cannot be done, all finished."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from pipeline.readers import Readers


def queue(count: int) -> Callable[[], int | None]:
    waiting, lock = list(range(count)), threading.Lock()

    def take() -> int | None:
        with lock:
            return waiting.pop() if waiting else None

    return take


def test_all_hands_are_kept_busy() -> None:
    together = threading.Barrier(9)  # eight hands and this test
    readers = Readers(8, lambda: True, queue(8), lambda _: together.wait(20))
    with readers.at_work(0.01):
        together.wait(20)


def test_no_more_is_under_way_than_there_are_hands() -> None:
    under_way, most, lock, done = [0], [0], threading.Lock(), threading.Event()
    left = [12]

    def do(_: int) -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        threading.Event().wait(0.01)
        with lock:
            under_way[0] -= 1
            left[0] -= 1
            if not left[0]:
                done.set()

    with Readers(3, lambda: True, queue(12), do).at_work(0.01):
        assert done.wait(20)
    assert most[0] == 3


def test_nothing_is_taken_while_it_cannot_be_done() -> None:
    ready, done = threading.Event(), threading.Event()
    take = queue(1)
    asked: list[bool] = []

    def is_ready() -> bool:
        asked.append(ready.is_set())
        if len(asked) == 5:
            ready.set()
        return asked[-1]

    with Readers(2, is_ready, take, lambda _: done.set()).at_work(0.01):
        assert done.wait(20)
    assert asked[:5] == [False] * 5


def test_what_is_under_way_is_finished_before_leaving() -> None:
    began, finished = threading.Event(), threading.Event()

    def do(_: int) -> None:
        began.set()
        threading.Event().wait(0.2)
        finished.set()

    with Readers(2, lambda: True, queue(1), do).at_work(0.01):
        assert began.wait(20)
    assert finished.is_set()


@pytest.mark.slow
def test_a_ledger_that_cannot_be_used_for_a_while_is_waited_for() -> None:
    done = threading.Event()
    tries: list[int] = []

    def take() -> int | None:
        tries.append(1)
        if len(tries) == 1:
            statement = "select"
            raise OperationalError(statement, {}, Exception())
        return 1 if len(tries) == 2 else None

    with Readers(1, lambda: True, take, lambda _: done.set()).at_work(0.01):
        assert done.wait(20)
