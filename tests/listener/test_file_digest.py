from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from station import descriptors, eventually, listener_threads, radiograph, station

from listener.file_digest import FileDigest
from listener.file_meta import read_file_meta
from listener.inbox import Inbox, Spool
from listener.instance import data_set_digest

SYNTAX = "1.2.840.10008.1.2.1"
CONTENT = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "written", os.O_RDWR | os.O_CREAT)
    yield fd
    with suppress(OSError):
        os.close(fd)


@pytest.mark.slow
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6))
def test_it_is_the_digest_of_all_that_was_written_in_whatever_pieces(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("digest") / "written"
    ends = sorted({0, *cuts, len(CONTENT)})
    with path.open("w+b", buffering=0) as stream:
        stream.write(b"start")
        digest = FileDigest(hashlib.sha256(b"syntax"), stream.fileno(), 5)
        for begin, end in pairwise(ends):
            stream.write(CONTENT[begin:end])
            digest.advance(5 + begin)
        assert digest.finish(5 + len(CONTENT)) == hashlib.sha256(b"syntax" + CONTENT).hexdigest()


def test_nothing_written_is_the_digest_so_far(descriptor: int) -> None:
    assert FileDigest(hashlib.sha256(b"a"), descriptor, 0).finish(0) == (
        hashlib.sha256(b"a").hexdigest()
    )


def test_it_goes_on_while_more_is_written_and_leaves_nothing_behind(descriptor: int) -> None:
    threads, opened = listener_threads(), descriptors()
    digest = FileDigest(hashlib.sha256(), descriptor, 0)
    os.write(descriptor, CONTENT)
    digest.advance(len(CONTENT))
    assert eventually(lambda: digest._at > len(CONTENT) - (1 << 20))
    assert digest.finish(len(CONTENT)) == hashlib.sha256(CONTENT).hexdigest()
    assert (listener_threads(), descriptors()) == (threads, opened)


def test_one_that_is_abandoned_leaves_nothing_behind(descriptor: int) -> None:
    threads, opened = listener_threads(), descriptors()
    digest = FileDigest(hashlib.sha256(), descriptor, 0)
    digest.advance(10)  # which is not there
    digest.abandon()
    assert (listener_threads(), descriptors()) == (threads, opened)


def test_what_cannot_be_read_back_is_an_error(descriptor: int) -> None:
    digest = FileDigest(hashlib.sha256(), descriptor, 0)
    with pytest.raises(OSError, match="Input/output error"):
        digest.finish(10)


def test_without_a_thread_to_be_had_a_large_object_is_hashed_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    inbox = Inbox(tmp_path, watermark_bytes=0, most_bytes=1 << 30)
    beside, alone = (_received(inbox) for _ in range(2))
    for spool in (beside, alone):
        if spool is alone:
            monkeypatch.setattr(threading.Thread, "start", refuse)
        for start in range(0, len(CONTENT), 100_000):
            spool.write(CONTENT[start : start + 100_000])
    plain = data_set_digest(SYNTAX)
    plain.update(CONTENT)
    assert alone.digest == beside.digest == plain.hexdigest()
    for spool in (beside, alone):
        spool.discard()


def _received(inbox: Inbox) -> Spool:
    return inbox.receive(SYNTAX, b"start")


@pytest.mark.slow
def test_a_large_object_that_comes_again_is_known(tmp_path: Path) -> None:
    large = radiograph(side=1500)  # 4.5 MB
    with station(tmp_path) as link:
        assert link.send(large, large) == [0x0000, 0x0000]
        assert len(link.inbox_files()) == 1
        (row,) = link.ledger.receipts()
        assert row.path is not None
        with row.path.open("rb") as stream:
            digest = data_set_digest(read_file_meta(stream).transfer_syntax)
            digest.update(stream.read())
        assert row.digest == digest.hexdigest()


def test_a_large_object_that_is_cut_off_leaves_nothing_behind(tmp_path: Path) -> None:
    with station(tmp_path, max_object_bytes=3_000_000) as link:
        threads = listener_threads()
        assert link.send(radiograph(side=1500)) == [0xA700]
        assert link.partial_files() == []
        assert eventually(lambda: len(listener_threads()) <= len(threads))
