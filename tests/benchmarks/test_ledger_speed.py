"""Durable enqueues, leases and records a second, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ledger_parts import instance, record
from postgresql import BOTH, server

from listener.job import JobState
from listener.ledger import Ledger

pytestmark = pytest.mark.benchmark

HANDS = (1, 4)
JOBS = 400  # for each hand


@pytest.fixture(params=BOTH)
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
        return
    with server(durable=True) as it:
        yield it.database()


def rate(url: str, hands: int, act: Callable[[Ledger, int], object]) -> float:
    """Let several hands, each with its own connections, act as fast as they can."""
    ready = threading.Barrier(hands + 1)

    def run(ledger: Ledger, hand: int) -> None:
        act(ledger, -1 - hand)  # connected
        ready.wait()
        for n in range(JOBS):
            act(ledger, hand * JOBS + n)

    with ExitStack() as stack:
        threads = [
            threading.Thread(target=run, args=(stack.enter_context(Ledger(url)), hand))
            for hand in range(hands)
        ]
        for thread in threads:
            thread.start()
        ready.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        return hands * JOBS / (time.perf_counter() - began)


def take(ledger: Ledger, _: int) -> None:
    job = ledger.lease(["index"], 60)
    if job is not None:
        ledger.finish(job)


@pytest.mark.parametrize("hands", HANDS)
def test_durable_transactions_of_the_ledger_a_second(
    durable_url: str, hands: int, capsys: pytest.CaptureFixture[str]
) -> None:
    acts: dict[str, Callable[[Ledger, int], object]] = {
        "instances recorded": lambda ledger, n: record(
            ledger, instance(f"1.2.{n}", study=f"2.{n}")
        ),
        "jobs enqueued": lambda ledger, n: ledger.enqueue("index", f"1.{n}"),
        "jobs leased and finished": take,
    }
    kind = durable_url.partition(":")[0]
    for what, act in acts.items():
        figure = rate(durable_url, hands, act)
        with capsys.disabled():
            print(f"{kind}, {hands} at once: {figure:.0f} {what} a second")  # noqa: T201
    with Ledger(durable_url) as ledger:
        assert ledger.counts() == {("index", JobState.DONE): hands * (JOBS + 1)}
