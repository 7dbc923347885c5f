from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from invented_reports import WatchedMiner, write_reports

from deploy.reading import Outcome, readings
from pipeline.errors import LanguageModelUnavailableError


def test_what_is_done_first_comes_first_and_nothing_waits_for_the_slow_one(tmp_path: Path) -> None:
    files = write_reports(tmp_path, 6)
    slow, others_done = files[0].read_text(encoding="utf-8"), threading.Event()
    miner = WatchedMiner(lambda text: text != slow or others_done.wait(20) or None)
    order = []
    for reading in readings(files, miner, 2):
        order.append(reading.file)
        if len(order) == 5:
            others_done.set()
    assert order[-1] == files[0]
    assert sorted(order) == list(files)


def test_no_more_than_twice_the_concurrency_is_in_hand(tmp_path: Path) -> None:
    files, begun = write_reports(tmp_path, 30), []
    miner = WatchedMiner(begun.append)
    for number, _ in enumerate(readings(files, miner, 2)):
        time.sleep(0.005)
        assert len(begun) <= number + 1 + 4


def test_a_miner_that_does_not_become_ready_is_told_from_one_that_fails(tmp_path: Path) -> None:
    files = write_reports(tmp_path, 1)
    miner = WatchedMiner()

    def go_down(_: str) -> None:
        miner.ready = False
        raise LanguageModelUnavailableError

    miner.before = go_down
    (reading,) = readings(files, miner, 1, patience_seconds=0.2)
    assert (reading.outcome, reading.report) == (Outcome.MINER_GONE, None)
    assert reading.reason


def test_who_stops_early_does_not_wait_for_a_miner_that_is_gone(tmp_path: Path) -> None:
    files, miner = write_reports(tmp_path, 8), WatchedMiner()

    def go_down(_: str) -> None:
        if miner.texts.total():
            miner.ready = False
            raise LanguageModelUnavailableError

    miner.before = go_down
    began = time.monotonic()
    reading = next(found := readings(files, miner, 1, patience_seconds=600))
    found.close()
    assert reading.outcome is Outcome.READ
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("known", [True, False])
def test_what_is_known_is_not_read_again(tmp_path: Path, *, known: bool) -> None:
    miner = WatchedMiner()
    (reading,) = readings(write_reports(tmp_path, 1), miner, known=lambda _: known)
    assert reading.outcome is (Outcome.KNOWN if known else Outcome.READ)
    assert miner.texts.total() == (not known)
