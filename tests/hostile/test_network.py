"""A PACS's network is not friendly: every attack must cost the attacker's connection only."""

from __future__ import annotations

import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station import Station, descriptors, eventually, listener_threads, radiograph, station
from wire import CR, VERIFICATION, Wire, command

from listener.command import Reply
from listener.inbox import Spool

pytestmark = pytest.mark.slow

AT_REST = 6  # acceptor, arrivals, event reports, steps, their events, housekeeper


def peers_are_served(link: Station, seconds: float = 2.0) -> bool:
    """Tell whether a good peer gets its C-ECHO and C-STORE through in time."""
    began = time.monotonic()
    association = link.associate()
    if not association.is_established:
        return False
    answers = association.send_c_echo(), association.send_c_store(radiograph())
    association.release()
    in_time = time.monotonic() - began < seconds
    return in_time and all(a.get("Status") == 0x0000 for a in answers)


def steps_until_cut(step: Callable[[], object], most: int, pause: float = 0.0) -> int:
    """Repeat a step until the connection breaks, which it must; return how often it went well."""
    for done in range(most):
        try:
            step()
        except OSError:
            return done
        time.sleep(pause)
    pytest.fail("the listener took it all")


class Memory:
    """Watches how much more memory this process holds than when the watch began."""

    def __init__(self) -> None:
        self._before = self._resident_mb()
        self.most_mb = 0.0

    def after(self, step: Callable[[], object]) -> Callable[[], None]:
        """Return the step with a look at the memory after it."""

        def watched() -> None:
            step()
            self.most_mb = max(self.most_mb, self._resident_mb() - self._before)

        return watched

    @staticmethod
    def _resident_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as it:
        yield it


@pytest.mark.slow
def test_silent_clients_are_cut_and_hold_nobody_up(link: Station) -> None:
    silent = [link.connect() for _ in range(30)]
    assert peers_are_served(link)
    assert eventually(lambda: len(listener_threads()) <= AT_REST, 5)
    for connection in silent:
        connection.close()


@pytest.mark.slow
def test_clients_that_send_one_byte_are_cut_and_hold_nobody_up(link: Station) -> None:
    slow = [link.connect() for _ in range(30)]
    for connection in slow:
        connection.sendall(b"\1")
    assert peers_are_served(link)
    assert eventually(lambda: len(listener_threads()) <= AT_REST, 5)
    for connection in slow:
        connection.close()


@pytest.mark.slow
def test_a_client_that_drips_a_pdu_is_cut_at_the_deadline(link: Station) -> None:
    with Wire(link) as wire:
        wire.socket.sendall(struct.pack(">BBI", 1, 0, 300))
        began = time.monotonic()
        steps_until_cut(lambda: wire.socket.sendall(b"\0"), 100, pause=0.05)
        assert time.monotonic() - began < 3
    assert peers_are_served(link)


@pytest.mark.slow
def test_a_silent_association_is_aborted(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate() == 2
        assert wire.is_cut(6)
    assert eventually(lambda: len(listener_threads()) <= AT_REST)


def test_a_client_that_waits_longest_gives_way_to_one_that_asks(tmp_path: Path) -> None:
    with station(tmp_path, pdu_seconds=30.0, max_associations_per_peer=3) as link:
        silent = [Wire(link) for _ in range(6)]
        assert silent[0].is_cut(2)
        assert peers_are_served(link)
        for wire in silent:
            wire.socket.close()


@pytest.mark.parametrize("kind", [1, 4])
def test_a_pdu_that_declares_a_gibibyte_is_cut_before_it_is_read(link: Station, kind: int) -> None:
    memory = Memory()
    with Wire(link) as wire:
        wire.socket.sendall(struct.pack(">BBI", kind, 0, 1 << 30))
        megabytes = steps_until_cut(memory.after(lambda: wire.socket.sendall(bytes(1 << 20))), 600)
    assert megabytes < 64  # what the sockets' buffers hold
    assert memory.most_mb < 40
    assert peers_are_served(link)


def test_a_pdu_over_the_negotiated_size_ends_its_association_only(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate() == 2
        wire.fragment(3, command(0x0001, CR, "1.2.3"))
        steps_until_cut(lambda: wire.fragment(0, bytes(200_000)), 64, pause=0.01)
    assert eventually(lambda: not link.partial_files())
    assert peers_are_served(link)


def test_an_endless_command_set_is_cut(link: Station) -> None:
    memory = Memory()
    with Wire(link) as wire:
        assert wire.associate() == 2
        steps_until_cut(memory.after(lambda: wire.fragment(1, bytes(16_000))), 20_000)
    assert memory.most_mb < 40
    assert peers_are_served(link)


@pytest.mark.slow
def test_a_client_that_never_reads_its_answers_is_cut(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate(abstract=VERIFICATION) == 2
        wire.socket.settimeout(5)
        ask = command(0x0030, VERIFICATION, data_set=0x0101)
        steps_until_cut(lambda: wire.fragment(3, ask), 500_000)
    assert eventually(lambda: len(listener_threads()) <= AT_REST)
    assert peers_are_served(link)


def test_a_client_that_does_not_wait_for_answers_cannot_pile_up_files(
    link: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()

    def stores_slowly(_self: object, _command: object, _class: str, spool: Spool) -> Reply:
        slow.wait(5)
        spool.discard()
        return Reply(0x0000)

    monkeypatch.setattr("listener.storage.Visit.store", stores_slowly)
    with Wire(link) as wire:
        assert wire.associate() == 2
        piled = []
        for _ in range(200):
            wire.fragment(3, command(0x0001, CR, "1.2.3"))
            wire.fragment(2, b"\0" * 100)
            piled.append(len(link.partial_files()))
            time.sleep(0.001)
        slow.set()
        assert [wire.status() for _ in range(200)] == [0x0000] * 200
    assert max(piled) == 1  # nothing is read while one is being kept
    assert eventually(lambda: not link.partial_files())


BAD_MESSAGES = {
    "an unknown command": [(3, command(0x7777, CR, "1.2.3"))],
    "a C-FIND": [(3, command(0x0020, CR, "1.2.3"))],
    "a response that nobody asked for": [(3, command(0x8001, CR, "1.2.3", 0x0101))],
    "a data set without a command": [(2, b"\0" * 100)],
    "a command within a data set": [(3, command(0x0001, CR, "1.2.3")), (1, b"\0")],
    "a command that is no elements": [(3, b"\xff" * 50)],
    "a command that ends early": [(3, command(0x0001, CR, "1.2.3")[:-3])],
    "a command without numbers": [(3, struct.pack("<HHI", 0, 2, 4) + b"1.2\0")],
}


@pytest.mark.parametrize("messages", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_a_broken_message_aborts_its_association_only(
    link: Station, messages: list[tuple[int, bytes]]
) -> None:
    with Wire(link) as wire:
        assert wire.associate() == 2
        for control, data in messages:
            wire.fragment(control, data)
        assert wire.read()[0] == 7  # A-ABORT
        assert wire.is_cut()
    assert eventually(lambda: not link.partial_files())
    assert link.inbox_files() == []
    assert peers_are_served(link)


def test_a_context_that_was_not_accepted_aborts(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate() == 2
        wire.fragment(3, command(0x0001, CR, "1.2.3"), context=99)
        assert wire.read()[0] == 7
    assert peers_are_served(link)


@pytest.mark.parametrize(
    "calling", [b"PA\x00CS", b"\xff" * 16, b"PACS\\", b"\n\r"], ids=["nul", "high", "slash", "line"]
)
def test_a_malformed_title_ends_its_connection_only(link: Station, calling: bytes) -> None:
    with Wire(link) as wire:
        assert wire.associate(calling=calling) in (0, 3, 7)
        assert wire.is_cut()
    assert peers_are_served(link)


def test_data_before_an_association_is_cut(link: Station) -> None:
    with Wire(link) as wire:
        wire.fragment(3, command(0x0001, CR, "1.2.3"))
        assert wire.is_cut()
    assert peers_are_served(link)


def test_a_flood_of_connections_is_bounded_and_over_when_it_is_over(tmp_path: Path) -> None:
    with station(tmp_path, pdu_seconds=30.0, max_associations=10) as link:
        flood = []
        for _ in range(300):
            try:
                flood.append(link.connect())
            except OSError:
                break
        assert len(listener_threads()) < 2 * (2 * 10 + 16) + 30
        for connection in flood:
            connection.close()
        assert eventually(lambda: len(listener_threads()) <= AT_REST)
        assert eventually(lambda: peers_are_served(link))


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(noise=st.binary(min_size=1, max_size=300), associated=st.booleans())
def test_noise_never_ends_the_service(link: Station, noise: bytes, associated: bool) -> None:
    with Wire(link) as wire:
        if associated:
            wire.associate()
        with _lenient():
            wire.socket.sendall(noise)
            wire.socket.shutdown(socket.SHUT_WR)
        assert wire.is_cut()
    link.listener.probe()


def test_no_file_descriptor_is_left_open_by_any_of_it(link: Station) -> None:
    assert peers_are_served(link)
    before = len(descriptors())
    for _ in range(20):
        with Wire(link) as wire:
            wire.associate()
            wire.begin_store(CR, "1.2.3", b"\0" * 100)
    assert eventually(lambda: len(descriptors()) <= before)


class _lenient:  # noqa: N801 - reads as a word
    """Lets a connection break while something is sent to it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, OSError)
