from __future__ import annotations

import logging
import threading
import time

import pytest
from sqlalchemy.exc import OperationalError
from station import eventually

from listener.ledger_watch import LedgerWatch

SQL = "SELECT 'Invented^Ines'"


def test_what_is_due_is_done_one_after_the_other_without_a_pause() -> None:
    left = list(range(100))

    def look() -> bool:
        left.pop()
        return bool(left)

    watch = LedgerWatch({"one": look}, period_seconds=0.5)
    began = time.monotonic()
    watch.start()
    try:
        assert eventually(lambda: not left, 20)
    finally:
        watch.stop()
    assert time.monotonic() - began < 20  # with a pause after each it would be a minute


def test_a_look_that_waits_holds_up_neither_the_others_nor_the_stop() -> None:
    free, looked = threading.Event(), threading.Event()

    def hang() -> bool:
        free.wait(60)
        return False

    def look() -> bool:
        looked.set()
        return False

    watch = LedgerWatch({"hangs": hang, "looks": look}, period_seconds=0.01)
    watch.start()
    try:
        assert looked.wait(20)
    finally:
        began = time.monotonic()
        watch.stop()
        assert time.monotonic() - began < 10
        free.set()


def test_a_ledger_that_cannot_be_used_is_said_and_looked_at_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.ledger_watch._PAUSE_SECONDS", 0.01)
    caplog.set_level(logging.ERROR, logger="wristmir.listener")
    looks: list[int] = []

    def look() -> bool:
        looks.append(1)
        if len(looks) == 1:
            raise OperationalError(SQL, None, Exception("Invented^Ines"))
        return False

    watch = LedgerWatch({"one": look}, period_seconds=0.01)
    watch.start()
    try:
        assert eventually(lambda: len(looks) > 1, 20)
    finally:
        watch.stop()
    assert caplog.messages == ["the ledger cannot be used: OperationalError"]


def test_after_a_stop_it_looks_no_more_until_it_is_started_again() -> None:
    looked = threading.Event()

    def look() -> bool:
        looked.set()
        return True

    watch = LedgerWatch({"one": look}, period_seconds=0.01)
    for _ in range(2):
        watch.start()
        assert looked.wait(20)
        watch.stop()
        looked.clear()
        assert not looked.wait(0.1)
