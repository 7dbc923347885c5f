from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

import pytest

from listener.peers import Admission
from listener.places import Places
from listener.settings import PeerSettings, TitleSettings

TITLE = TitleSettings(ae_title="WRISTMIR")
PEER = PeerSettings(ae_title="PACS", addresses=("192.0.2.1",), max_associations=2)
HERE = Admission(TITLE, PEER, 2)
THERE = Admission(TITLE, ip_address("192.0.2.9"), 10)
PROBE = Admission(TITLE, None, 0)

_TAKER = """
import fcntl, os, signal, sys
from ipaddress import ip_address
from listener.peers import Admission
from listener.places import Places
from listener.settings import PeerSettings, TitleSettings
title = TitleSettings(ae_title="WRISTMIR")
peer = PeerSettings(ae_title="PACS", addresses=("192.0.2.1",), max_associations=2)
descriptor = int(sys.argv[1])
places = Places(4, os.dup(descriptor))
places.announce(7)
print(places.take(Admission(title, peer, 2)), flush=True)
if sys.argv[2] == "within":  # the lock is held, and a row half written
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def places() -> Iterator[Places]:
    with closing(Places(4)) as made:
        yield made


class Taker:
    """Another process with the same table, that has taken a place of `PEER`'s."""

    def __init__(self, places: Places, how: str = "after") -> None:
        descriptor = places.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKER, str(descriptor), how],
            pass_fds=[descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.place = self.process.stdout.readline().strip()
        if how == "within":
            assert self.process.stdout.readline() == "held\n"

    def kill(self) -> int:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        return self.process.pid


def test_a_share_has_no_more_places_than_it_may_have(places: Places) -> None:
    assert {places.take(HERE), places.take(HERE)} == {0, 1}
    assert places.take(HERE) is None
    assert places.take(THERE) == 2


def test_all_shares_together_have_no_more_places_than_there_are(places: Places) -> None:
    assert [places.take(THERE) for _ in range(5)] == [0, 1, 2, 3, None]
    assert places.held() == 4


def test_a_place_that_is_given_back_is_another_ones(places: Places) -> None:
    taken = [places.take(THERE) for _ in range(4)]
    assert taken[2] is not None
    places.give_back(taken[2])
    assert places.take(HERE) == 2


def test_what_has_no_share_takes_no_ones_place(places: Places) -> None:
    assert places.take(PROBE) is None
    assert places.held() == 0


@pytest.mark.slow
def test_places_are_counted_over_processes_and_those_of_a_killed_one_are_cleared(
    places: Places,
) -> None:
    other = Taker(places)
    assert other.place == "0"
    assert places.take(HERE) == 1
    assert places.take(HERE) is None
    assert places.vacate(other.kill()) == 1
    assert places.take(HERE) == 0


@pytest.mark.slow
def test_a_process_that_is_killed_with_the_table_in_hand_holds_up_nobody(places: Places) -> None:
    other = Taker(places, "within")
    taken: list[int | None] = []
    waiting = threading.Thread(target=lambda: taken.append(places.take(THERE)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    other.kill()
    waiting.join(5)
    assert taken == [1]


@pytest.mark.slow
def test_processes_know_of_each_others_connections_until_one_is_gone(places: Places) -> None:
    other = Taker(places)
    places.announce(3)
    assert places.announced() == {os.getpid(): 3, other.process.pid: 7}
    places.vacate(other.kill())
    assert places.announced() == {os.getpid(): 3}


def test_many_threads_never_share_a_place() -> None:
    with closing(Places(64)) as places:
        taken: list[int | None] = []

        def take() -> None:
            taken.extend(places.take(Admission(TITLE, PEER, 64)) for _ in range(8))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(n for n in taken if n is not None) == list(range(64))


def test_a_place_may_be_given_back_after_the_table_is_gone() -> None:
    places = Places(1)
    taken = places.take(THERE)
    places.close()
    assert taken is not None
    places.give_back(taken)
    with pytest.raises(ValueError, match="closed"):
        places.take(THERE)
