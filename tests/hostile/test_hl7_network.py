"""What a network does to an open HL7 port must cost the attacker's connection only."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from oru import CR, FS, TEXT, VT, Sender, code, deliver, oru
from station import Station, descriptors, eventually, listener_threads, station

from listener.report_settings import Hl7Settings

HL7 = Hl7Settings(
    enabled=True,
    port=0,
    addresses=("127.0.0.0/8",),
    message_seconds=1.0,
    max_connections=60,
    max_connections_per_address=50,
)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path, hl7=HL7) as it:
        yield it


def port(link: Station) -> int:
    address = link.listener.hl7_address
    assert address is not None
    return address[1]


def is_served(link: Station, number: int = 0) -> bool:
    """Tell whether a good sender at another address gets its report through within a second."""
    began = time.monotonic()
    with Sender(port(link), "127.0.0.2") as sender:
        taken = code(sender.send(oru(TEXT, control_id=f"good-{number}"))) == "AA"
    return taken and time.monotonic() - began < 1


class Peak:
    """How much more memory than before this process has held at any moment since."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
        self._before = self._mb("VmRSS")

    @property
    def grown_mb(self) -> float:
        return self._mb("VmHWM") - self._before

    @staticmethod
    def _mb(name: str) -> float:
        (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if name in one)
        return int(line.split()[1]) / 1000


def connected(link: Station, number: int) -> list[socket.socket]:
    where = ("127.0.0.1", port(link))
    return [socket.create_connection(where, timeout=10) for _ in range(number)]


def closed(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


@pytest.mark.slow
def test_silent_and_half_open_senders_hold_nobody_up(link: Station) -> None:
    before = set(listener_threads())
    silent = connected(link, 80)
    for connection in silent[60:]:
        connection.sendall(VT)  # begins a message and says no more
    assert is_served(link)
    closed(silent)
    assert eventually(lambda: len(set(listener_threads()) - before) <= 1)


@pytest.mark.slow
def test_a_thousand_probes_leave_nothing_behind(link: Station) -> None:
    assert is_served(link)
    before = len(descriptors())
    for _ in range(1000):
        closed(connected(link, 1))
    assert is_served(link, 1)
    assert eventually(lambda: len(descriptors()) <= before)
    assert len(link.ledger.reports.latest()) == 2


def test_a_message_without_end_is_cut_at_its_bound_and_costs_no_more(link: Station) -> None:
    peak, sent = Peak(), 0
    (endless,) = connected(link, 1)
    endless.sendall(VT + b"MSH|^~\\&|")
    with suppress(ConnectionError):
        while sent < 1 << 30:
            sent += endless.send(b"A" * (1 << 20))
    assert sent < HL7.max_message_bytes + (8 << 20)  # and what the sockets' buffers hold
    assert peak.grown_mb < 100
    assert is_served(link)
    closed([endless])


@pytest.mark.parametrize(
    "body",
    [
        b"^" * 8_000_000,
        b"\rOBX|1" * 1_000_000,
        b"\rOBX|1|TX|1||" + b"\\X41\\" * 1_500_000,
        b"\rOBX|1|TX|1||" + b"A" * 8_000_000,
        b"\rOBX|1|TX|1||" + "\U0001f9b4".encode() * 2_000_000,
        bytes(8_000_000),
    ],
)
def test_messages_made_to_be_dear_are_refused_cheaply(link: Station, body: bytes) -> None:
    assert is_served(link)
    peak = Peak()
    with Sender(port(link)) as sender:
        sender.socket.settimeout(20)
        sender.socket.sendall(VT + oru(TEXT)[:-1] + body + FS + CR)
        answer = sender.answer()
    assert code(answer) in ("AA", "AE")
    assert peak.grown_mb < 100
    assert is_served(link, 1)


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00", bytes(range(255, -1, -1)), b"\x1c\r"],
)
def test_other_protocols_are_cut(link: Station, said: bytes) -> None:
    (other,) = connected(link, 1)
    other.sendall(said)
    other.settimeout(3)
    with suppress(ConnectionError):
        assert other.recv(100) == b""
    assert is_served(link)
    closed([other])


@pytest.mark.slow
def test_a_sender_that_reads_no_answer_is_given_up(link: Station) -> None:
    (deaf,) = connected(link, 1)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    flood = (VT + b"x" + FS + CR) * 1000
    deadline = time.monotonic() + 20
    ended = False
    while time.monotonic() < deadline and not ended:
        try:
            deaf.send(flood)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            ended = True
    assert ended
    assert is_served(link)
    assert deliver(port(link), oru(TEXT)) == ["AA"]
    closed([deaf])
