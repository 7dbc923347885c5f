"""Who is sending which copy: known from one process to another, and from the moment of a kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipeline.sendings import Sendings


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "sending.lock"


def test_what_is_being_sent_is_seen_by_everybody_until_it_ends(lock: Path) -> None:
    here, there = Sendings(lock), Sendings(lock)
    with here.of(["2.25.1", "2.25.2"]):
        assert there.any_of(["2.25.9", "2.25.2"])
        assert here.any_of(["2.25.1"])
        assert not there.any_of(["2.25.9"])
    assert not there.any_of(["2.25.1", "2.25.2"])
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert lock.read_bytes() == b""


def test_two_may_send_the_same_copy_and_the_last_one_counts(lock: Path) -> None:
    first, second = Sendings(lock), Sendings(lock)
    with first.of(["2.25.1"]):
        with second.of(["2.25.1"]):
            pass
        assert second.any_of(["2.25.1"])
    assert not second.any_of(["2.25.1"])


def test_of_those_who_send_the_same_copy_the_last_to_end_is_told_that_it_is_alone(
    lock: Path,
) -> None:
    with Sendings(lock).of(["2.25.1", "2.25.2"]) as alone:
        with Sendings(lock).of(["2.25.1"]) as alone_too:
            assert alone_too() == ()
        assert alone() == ("2.25.1", "2.25.2")


def test_two_who_end_at_once_do_not_both_take_the_other_for_the_last(lock: Path) -> None:
    said: list[tuple[str, ...]] = []
    both = threading.Barrier(8)

    def send() -> None:
        with Sendings(lock).of(["2.25.1"]) as alone:
            both.wait()
            said.append(alone())

    senders = [threading.Thread(target=send) for _ in range(8)]
    for one in senders:
        one.start()
    for one in senders:
        one.join(10)
    assert sorted(said) == [()] * 7 + [("2.25.1",)]


def test_what_refers_to_a_copy_is_no_sender_of_it_and_is_waited_for_as_one(lock: Path) -> None:
    with Sendings(lock).referring(["2.25.1"]):
        with Sendings(lock).of(["2.25.1"]) as alone:
            assert alone() == ("2.25.1",)
        assert Sendings(lock).any_of(["2.25.1"])
    assert not Sendings(lock).any_of(["2.25.1"])


def test_an_error_ends_it_as_well(lock: Path) -> None:
    with pytest.raises(TimeoutError), Sendings(lock).of(["2.25.1"]):
        raise TimeoutError
    assert not Sendings(lock).any_of(["2.25.1"])


def test_threads_of_one_process_are_told_apart(lock: Path) -> None:
    seen: list[bool] = []
    with Sendings(lock).of(["2.25.1"]):
        looks = threading.Thread(target=lambda: seen.append(Sendings(lock).any_of(["2.25.1"])))
        looks.start()
        looks.join()
        assert Sendings(lock).any_of(["2.25.1"])  # looking has let go of nothing
    assert seen == [True]


def test_a_sender_that_is_killed_sends_no_more(lock: Path) -> None:
    context = multiprocessing.get_context("fork")
    told, tells = context.Pipe(duplex=False)
    sender = context.Process(target=send_for_ever, args=(lock, tells))
    sender.start()
    assert told.recv() == "begun"
    assert Sendings(lock).any_of(["2.25.1"])
    assert sender.pid is not None
    os.kill(sender.pid, signal.SIGSTOP)  # one that stands still may go on
    assert Sendings(lock).any_of(["2.25.1"])
    os.kill(sender.pid, signal.SIGKILL)
    sender.join(10)
    assert not Sendings(lock).any_of(["2.25.1"])


def test_a_child_that_was_forked_meanwhile_does_not_go_on_sending(lock: Path) -> None:
    context = multiprocessing.get_context("fork")
    waits, ends = context.Pipe(duplex=False)
    child = context.Process(target=waits.recv)
    with Sendings(lock).of(["2.25.1"]):
        child.start()
    assert not Sendings(lock).any_of(["2.25.1"])
    ends.send("end")
    child.join(10)


def send_for_ever(lock: Path, tells: Connection) -> None:
    with Sendings(lock).of(["2.25.1"]):
        tells.send("begun")
        signal.pause()
