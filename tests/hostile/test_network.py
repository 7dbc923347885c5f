"""A PACS's network is not friendly: every attack must cost the attacker's connection only."""

from __future__ import annotations

import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station import Station, eventually, listener_threads, radiograph, station

CR = "1.2.840.10008.5.1.4.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


class Wire:
    """A DICOM peer that writes its PDUs by hand and so may write anything."""

    def __init__(self, link: Station) -> None:
        self.socket = link.connect()
        self.socket.settimeout(10)

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, kind: int, body: bytes, length: int | None = None) -> None:
        """Send one PDU; its declared length may lie."""
        declared = len(body) if length is None else length
        self.socket.sendall(struct.pack(">BBI", kind, 0, declared) + body)

    def read(self) -> tuple[int, bytes]:
        """Read one PDU; type 0 where the connection was closed."""
        try:
            start = self._exactly(6)
            if len(start) < 6:
                return 0, b""
            kind, _, length = struct.unpack(">BBI", start)
            return int(kind), self._exactly(length)
        except (ConnectionError, TimeoutError):
            return 0, b""

    def is_cut(self, seconds: float = 5) -> bool:
        """Tell whether the listener ends the connection in time."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def associate(
        self,
        *,
        calling: bytes = b"PACS",
        called: bytes = b"WRISTMIR",
        abstract: str = CR,
        syntax: str = EXPLICIT,
    ) -> int:
        """Ask for an association with one context, id 1; return the type of the answer."""
        self.send(1, association_request(calling, called, abstract, syntax))
        kind, _ = self.read()
        return kind

    def fragment(self, control: int, data: bytes, context: int = 1) -> None:
        """Send one P-DATA with one fragment."""
        item = struct.pack(">IBB", len(data) + 2, context, control) + data
        self.send(4, item)

    def begin_store(self, sop_class: str, uid: str, data: bytes) -> None:
        """Send a C-STORE-RQ and the first piece of its data set."""
        self.fragment(3, command(0x0001, sop_class, uid))
        self.fragment(0, data)

    def store(self, sop_class: str, uid: str, data: bytes) -> int | None:
        """Send an object; return its status, None where the connection ended instead."""
        self.fragment(3, command(0x0001, sop_class, uid))
        for start in range(0, max(1, len(data)), 16000):
            is_last = start + 16000 >= len(data)
            self.fragment(2 if is_last else 0, data[start : start + 16000])
        return self.status()

    def status(self) -> int | None:
        """Read a response and return its status."""
        kind, body = self.read()
        if kind != 4:
            return None
        at = body.index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
        return int.from_bytes(body[at : at + 2], "little")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self.socket.recv(size - len(data))):
            data += piece
        return data


def association_request(calling: bytes, called: bytes, abstract: str, syntax: str) -> bytes:
    """Encode an A-ASSOCIATE-RQ without its first six bytes (DICOM PS3.8 section 9.3.2)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(body)) + body

    context = b"\1\0\0\0" + item(0x30, abstract.encode()) + item(0x40, syntax.encode())
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4")
    return (
        struct.pack(">HH", 1, 0)
        + called.ljust(16)
        + calling.ljust(16)
        + bytes(32)
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + item(0x20, context)
        + item(0x50, user)
    )


def command(field: int, sop_class: str, uid: str = "", data_set: int = 0) -> bytes:
    """Encode a command set."""
    values = [(0x0002, _even(sop_class)), (0x0100, struct.pack("<H", field))]
    values += [(0x0110, b"\7\0"), (0x0700, b"\0\0"), (0x0800, struct.pack("<H", data_set))]
    if uid:
        values.append((0x1000, _even(uid)))
    body = b"".join(struct.pack("<HHI", 0, e, len(v)) + v for e, v in values)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _even(value: str) -> bytes:
    return value.encode() + b"\0" * (len(value) % 2)


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


def test_silent_clients_are_cut_and_hold_nobody_up(link: Station) -> None:
    silent = [link.connect() for _ in range(30)]
    assert peers_are_served(link)
    assert eventually(lambda: len(listener_threads()) <= 3, 5)
    for connection in silent:
        connection.close()


def test_clients_that_send_one_byte_are_cut_and_hold_nobody_up(link: Station) -> None:
    slow = [link.connect() for _ in range(30)]
    for connection in slow:
        connection.sendall(b"\1")
    assert peers_are_served(link)
    assert eventually(lambda: len(listener_threads()) <= 3, 5)
    for connection in slow:
        connection.close()


def test_a_client_that_drips_a_pdu_is_cut_at_the_deadline(link: Station) -> None:
    with Wire(link) as wire:
        wire.socket.sendall(struct.pack(">BBI", 1, 0, 300))
        began = time.monotonic()
        steps_until_cut(lambda: wire.socket.sendall(b"\0"), 100, pause=0.05)
        assert time.monotonic() - began < 3
    assert peers_are_served(link)


def test_a_silent_association_is_aborted(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate() == 2
        assert wire.is_cut(6)
    assert eventually(lambda: len(listener_threads()) <= 3)


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


def test_a_client_that_never_reads_its_answers_is_cut(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate(abstract=VERIFICATION) == 2
        wire.socket.settimeout(5)
        ask = command(0x0030, VERIFICATION, data_set=0x0101)
        steps_until_cut(lambda: wire.fragment(3, ask), 500_000)
    assert eventually(lambda: len(listener_threads()) <= 3)
    assert peers_are_served(link)


def test_a_client_that_does_not_wait_for_answers_cannot_pile_up_files(
    link: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    monkeypatch.setattr("listener.storage.Visit.store", lambda *_: slow.wait(5))
    with Wire(link) as wire:
        assert wire.associate() == 2
        piled: list[int] = []

        def store_without_waiting() -> None:
            wire.fragment(3, command(0x0001, CR, "1.2.3"))
            wire.fragment(2, b"\0" * 100)
            piled.append(len(link.partial_files()))

        steps_until_cut(store_without_waiting, 2000, pause=0.001)
        slow.set()
    assert 1 < max(piled) <= 12
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
        assert eventually(lambda: len(listener_threads()) <= 3)
        assert eventually(lambda: peers_are_served(link))


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
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with Wire(link) as wire:
            wire.associate()
            wire.begin_store(CR, "1.2.3", b"\0" * 100)
    assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


class _lenient:  # noqa: N801 - reads as a word
    """Lets a connection break while something is sent to it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, OSError)
