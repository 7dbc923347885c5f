from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oru import CR, FS, TEXT, VT, oru

from listener.errors import PeerConnectionError
from listener.mllp_block import BlockReader, framed

MESSAGES = [oru(TEXT), oru("Second.", control_id="2"), b"", b"no HL7 at all"]
STREAM = b"".join(framed(message) for message in MESSAGES)


def fed(*pieces: bytes, most: int = 100_000) -> list[bytes]:
    reader = BlockReader(most)
    return [block for piece in pieces for block in reader.feed(piece)]


def test_messages_are_the_same_however_the_stream_is_cut() -> None:
    for at in range(len(STREAM) + 1):
        assert fed(STREAM[:at], STREAM[at:]) == MESSAGES
    assert fed(*(STREAM[n : n + 1] for n in range(len(STREAM)))) == MESSAGES


@given(st.lists(st.binary(max_size=50).map(lambda b: b.translate(None, VT + FS))), st.data())
def test_so_are_any_messages_in_any_pieces(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(framed(message) for message in messages)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert fed(*pieces) == messages


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_are_messages_or_a_cut_and_within_bounds(pieces: list[bytes]) -> None:
    reader = BlockReader(64)
    try:
        blocks = [block for piece in pieces for block in reader.feed(piece)]
    except PeerConnectionError:
        return
    assert all(len(block) <= 64 for block in blocks)


def test_a_message_without_its_end_is_none_yet() -> None:
    reader = BlockReader(1000)
    assert reader.feed(VT + oru(TEXT)) == []
    assert reader.begun
    assert reader.feed(FS) == [oru(TEXT)]
    assert reader.feed(CR) == []
    assert not reader.begun


def test_a_message_that_was_given_up_makes_way_for_the_next() -> None:
    assert fed(VT + oru(TEXT)[:70] + framed(oru(TEXT))) == [oru(TEXT)]


def test_a_vertical_tab_inside_a_text_is_a_text() -> None:
    message = oru("a\x0bb")
    assert fed(framed(message)) == [message]


@pytest.mark.parametrize("noise", [b"G", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"MSH|^~\\&|"])
def test_what_is_no_mllp_ends_the_connection(noise: bytes) -> None:
    with pytest.raises(PeerConnectionError, match="start character"):
        fed(noise)


def test_line_ends_between_messages_are_no_noise() -> None:
    assert fed(b"\r\n" + framed(b"a") + b"\n" + framed(b"b")) == [b"a", b"b"]


def test_a_message_beyond_the_bound_ends_the_connection_before_it_is_whole() -> None:
    assert fed(framed(b"a" * 1000), most=1000) == [b"a" * 1000]
    with pytest.raises(PeerConnectionError, match="max_message_bytes"):
        fed(framed(b"a" * 1001), most=1000)
    with pytest.raises(PeerConnectionError, match="max_message_bytes"):
        fed(VT + b"a" * 600, b"a" * 600, most=1000)
