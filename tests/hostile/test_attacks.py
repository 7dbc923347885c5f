"""Every attack of the table, measured in the same way, on a receiver in a process of its own.

Its memory grows by less than 100 MB, no thread or descriptor of it stays, a good peer's C-STORE is
served within a second meanwhile, the attacker is told what the standard says, and the log says what
happened without a word of a patient.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from attacks import PLANTED, TABLE, Attack, files
from receiver import Receiver
from station import EXPLICIT, LOOPBACK, encoded, eventually, radiograph
from wire import CR, Wire

pytestmark = pytest.mark.slow

MOST_BYTES = 100_000_000
LEAK_SECONDS = 60
SERVED_SECONDS = 1.0
GOOD = radiograph(instance="1.2.3.1000000")
BODY = encoded(GOOD, EXPLICIT)


@dataclass(frozen=True)
class Cost:
    """Bytes that the receiver grew by, seconds that a good peer waited, how often it was served."""

    grown: int
    waited: float
    served: int


COSTS: list[Cost] = []
AT_THE_DOOR = [
    attack
    for attack in TABLE
    if attack.name
    in {
        "1 GiB as data",
        "a thousand health checks",
        "two hundred silent connections",
        "too many associations",
        "a peer that never reads",
    }
]


class GoodPeer(threading.Thread):
    """Stores one object after the other from another address, each over a new association."""

    def __init__(self, target: Receiver) -> None:
        super().__init__(name="good peer", daemon=True)
        self._target = target
        self._enough = threading.Event()
        self.statuses: list[int | None] = []
        self.seconds: list[float] = []

    def run(self) -> None:
        while not self._enough.is_set() or len(self.seconds) < 2:
            began = time.monotonic()
            self.statuses.append(self._store(1_000_001 + len(self.seconds)))
            self.seconds.append(time.monotonic() - began)
            time.sleep(0.01)

    def finish(self) -> None:
        self._enough.set()
        self.join(120)
        assert not self.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(
            (LOOPBACK, self._target.port), timeout=30, source_address=("127.0.0.2", 0)
        )

    def _store(self, number: int) -> int | None:
        uid = f"1.2.3.{number}"
        with Wire(self) as wire:
            if wire.associate() != 2:
                return None
            status = wire.store(CR, uid, BODY.replace(b"1.2.3.1000000", uid.encode()))
            wire.send(5, bytes(4))
            wire.read()
            return status


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    peers = [{"ae_title": "PACS", "addresses": ["127.0.0.0/8"]}]
    receiver = Receiver(
        tmp_path_factory.mktemp("attacked") / "state",
        peers=peers,
        pdu_seconds=0.8,
        idle_seconds=1.2,
        max_object_bytes=64 << 20,
    )
    yield receiver
    assert receiver.stop() == 0
    print(  # noqa: T201 - what a good peer and the machine have felt of it
        f"{len(COSTS)} attacks: the receiver grew by {max(c.grown for c in COSTS) / 1e6:.1f} MB, "
        f"a good peer waited {max(c.waited for c in COSTS):.2f} s at the most; "
        f"{sum(c.served for c in COSTS)} objects were stored meanwhile"
    )


@pytest.fixture(scope="module")
def patience(target: Receiver) -> float:
    """Return how long a good peer may wait: a second, more only where the machine is that slow."""
    peer = GoodPeer(target)
    peer.start()
    time.sleep(1)
    peer.finish()
    return max(SERVED_SECONDS, 12 * statistics.median(peer.seconds))


@pytest.mark.parametrize("attack", TABLE, ids=lambda attack: attack.name)
def test_an_attack_costs_nobody_but_the_attacker(
    target: Receiver, patience: float, attack: Attack
) -> None:
    said_before = len(target.said())
    threads, descriptors = target.threads(), target.descriptors()
    target.forget_peak()
    before = target.resident_bytes()
    good = GoodPeer(target)
    good.start()
    ended = attack.act(target)
    good.finish()
    cost = Cost(target.peak_bytes() - before, max(good.seconds), len(good.seconds))
    COSTS.append(cost)
    assert ended <= attack.ends
    assert cost.grown < MOST_BYTES
    assert set(good.statuses) == {0x0000}
    assert cost.waited < patience
    assert eventually(lambda: target.threads() <= threads, LEAK_SECONDS)
    assert eventually(lambda: target.descriptors() <= descriptors, LEAK_SECONDS)
    # what repeats itself is told once in a minute
    assert eventually(lambda: re.search(attack.says, target.said()[said_before:]), LEAK_SECONDS + 5)
    said = target.said()[said_before:]
    for secret in (PLANTED, "SECRET", "Invented", "INVENTED", "FUZZ", "1.2.3.", "Traceback"):
        assert secret not in said
    assert not list(Path(target.folder / "inbox" / "incoming").iterdir())


@pytest.fixture(scope="module")
def shared_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Run a receiver of two processes that share its port."""
    receiver = Receiver(
        tmp_path_factory.mktemp("shared") / "state",
        peers=[{"ae_title": "PACS", "addresses": ["127.0.0.0/8"]}],
        pdu_seconds=0.8,
        idle_seconds=1.2,
        max_object_bytes=64 << 20,
        processes=2,
    )
    yield receiver
    assert receiver.stop() == 0


@pytest.mark.parametrize("attack", AT_THE_DOOR, ids=lambda attack: attack.name)
def test_an_attack_at_a_door_that_processes_share_costs_nobody_but_the_attacker(
    shared_target: Receiver, attack: Attack
) -> None:
    said_before = len(shared_target.said())
    before = {pid: len(_descriptors(pid)) for pid in shared_target.children()}
    good = GoodPeer(shared_target)
    good.start()
    ended = attack.act(shared_target)
    good.finish()
    assert ended <= attack.ends
    assert set(good.statuses) == {0x0000}
    assert max(good.seconds) < max(SERVED_SECONDS, 12 * statistics.median(good.seconds))
    assert eventually(
        lambda: all(len(_descriptors(pid)) <= count for pid, count in before.items()), LEAK_SECONDS
    )
    said = partial(lambda start: shared_target.said()[start:], said_before)
    assert eventually(lambda: re.search(attack.says, said()), LEAK_SECONDS + 5)
    assert PLANTED not in said()
    assert shared_target.children() == list(before)  # none of them has died of it


def _descriptors(pid: int) -> list[str]:
    """Return what a process holds open, but the ledger: its pool of connections may grow."""
    opened = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            opened.append(os.readlink(link))  # noqa: PTH115 - a socket is no path
    return [name for name in opened if "ledger.sqlite3" not in name]


def test_the_table_is_whole() -> None:
    names = [attack.name for attack in TABLE]
    assert len(names) == len(set(names)) > 150
    assert len(AT_THE_DOOR) == 5
    assert sum(len(found) for found in files().values()) == 233
