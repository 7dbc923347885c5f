from __future__ import annotations

import struct
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filereader import dcmread
from station import EXPLICIT, Station, encoded, eventually, radiograph, station
from wire import CR, Wire, command

from listener.inbox import Spool
from listener.upper_layer import BUFFER_BYTES

CONTEXT, COMMAND, LAST = 1, 1, 2


def item(control: int, data: bytes) -> bytes:
    """Encode one presentation data value item (DICOM PS3.8 section 9.3.5.1)."""
    return struct.pack(">IBB", len(data) + 2, CONTEXT, control) + data


def pdu(*items: bytes) -> bytes:
    body = b"".join(items)
    return struct.pack(">BBI", 4, 0, len(body)) + body


def stored(link: Station, sent: list[bytes], side: int) -> bool:
    """Send the bytes of a message as they are cut; tell whether the object came whole."""
    with Wire(link) as wire:
        assert wire.associate() == 2
        for piece in sent:
            wire.socket.sendall(piece)
        assert wire.status() == 0x0000
    (kept,) = link.inbox_files()[-1:]
    return len(dcmread(kept).PixelData) == 2 * side * side


@pytest.mark.parametrize("size", [1, 7, 250, 4096, 65536, BUFFER_BYTES - 20, BUFFER_BYTES + 5])
def test_an_object_comes_whole_whatever_the_size_of_its_fragments(
    tmp_path: Path, size: int
) -> None:
    side = 16 if size < 100 else 600
    ds = radiograph(side=side)
    data = encoded(ds, EXPLICIT)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    items = [item(0, piece) for piece in pieces[:-1]] + [item(LAST, pieces[-1])]
    with station(tmp_path, max_pdu_bytes=2 * BUFFER_BYTES) as link:
        asked = pdu(item(COMMAND | LAST, command(0x0001, CR, ds.SOPInstanceUID)))
        assert stored(link, [asked, *map(pdu, items)], side)


def test_many_fragments_and_the_command_itself_may_share_a_pdu(tmp_path: Path) -> None:
    ds = radiograph(side=64)
    data = encoded(ds, EXPLICIT)
    asked = command(0x0001, CR, ds.SOPInstanceUID)
    items = [item(COMMAND, asked[:9]), item(COMMAND | LAST, asked[9:])]
    items += [item(0, data[at : at + 100]) for at in range(0, len(data), 100)]
    with station(tmp_path) as link:
        assert stored(link, [pdu(*items, item(LAST, b""))], 64)


_DS = radiograph(side=24)
_MESSAGE = pdu(item(COMMAND | LAST, command(0x0001, CR, _DS.SOPInstanceUID))) + b"".join(
    pdu(item(0, encoded(_DS, EXPLICIT)[at : at + 300]))
    for at in range(0, len(encoded(_DS, EXPLICIT)), 300)
)
_MESSAGE += pdu(item(LAST, b""))


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(1, len(_MESSAGE) - 1), max_size=12))
def test_it_does_not_matter_where_the_network_cuts(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    places = [0, *sorted(cuts), len(_MESSAGE)]
    pieces = [_MESSAGE[a:b] for a, b in pairwise(places) if a < b]
    with station(tmp_path_factory.mktemp("cut")) as link:
        assert stored(link, pieces, 24)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0\x01\x01",  # an item without a message control header
        b"\0\0\0\xff\x01\x03" + bytes(10),  # an item that is longer than its PDU
        b"\0\0",  # no item at all
        struct.pack(">IBB", 12, 9, 3) + command(0x0030, CR, data_set=0x0101)[:10],
    ],
)
def test_a_p_data_that_is_none_is_answered_by_an_abort(tmp_path: Path, body: bytes) -> None:
    with station(tmp_path) as link, Wire(link) as wire:
        assert wire.associate() == 2
        wire.send(4, body)
        assert wire.read()[0] in (7, 0)
        assert wire.is_cut()
        assert eventually(lambda: link.partial_files() == [])


@pytest.mark.slow
def test_a_slow_disk_is_not_the_peers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, begun = Spool.write, threading.Event()

    def slow(self: Spool, data: bytes | memoryview) -> int:
        if not begun.is_set():
            begun.set()
            time.sleep(1.5)  # longer than a PDU may take, and than an association may be silent
        return write(self, data)

    monkeypatch.setattr(Spool, "write", slow)
    ds = radiograph(side=64)
    asked = pdu(item(COMMAND | LAST, command(0x0001, CR, ds.SOPInstanceUID)))
    sent = pdu(item(LAST, encoded(ds, EXPLICIT)))
    with station(tmp_path, pdu_seconds=1.0, idle_seconds=1.0) as link, Wire(link) as wire:
        assert wire.associate() == 2
        wire.socket.sendall(asked + sent[:500])
        assert begun.wait(5)
        time.sleep(1.2)
        wire.socket.sendall(sent[500:])
        assert wire.status() == 0x0000


@pytest.mark.slow
def test_a_peer_that_we_cannot_follow_is_not_taken_for_a_silent_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Spool.write

    def slow(self: Spool, data: bytes | memoryview) -> int:
        time.sleep(0.03)
        return write(self, data)

    monkeypatch.setattr(Spool, "write", slow)
    ds = radiograph(side=300)
    data = encoded(ds, EXPLICIT)
    pieces = [pdu(item(0, data[at : at + 2000])) for at in range(0, len(data), 2000)]
    asked = pdu(item(COMMAND | LAST, command(0x0001, CR, ds.SOPInstanceUID)))
    with station(tmp_path, idle_seconds=1.0) as link:
        began = time.monotonic()
        assert stored(link, [asked, *pieces, pdu(item(LAST, b""))], 300)
        assert time.monotonic() - began > 2


@pytest.mark.slow
def test_an_idle_association_costs_no_processor_time(tmp_path: Path) -> None:
    with station(tmp_path, idle_seconds=30) as link:
        open_ = [Wire(link) for _ in range(5)]
        for wire in open_:
            assert wire.associate() == 2
        time.sleep(0.3)
        began = time.process_time()
        time.sleep(1.0)
        spent = time.process_time() - began
        for wire in open_:
            wire.socket.close()
    assert spent < 0.2  # looking every millisecond, pynetdicom spends more than half of it
