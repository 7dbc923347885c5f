from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station import eventually

from listener.errors import ListenerError, OutOfResourcesError
from listener.inbox import Inbox, Spool

SYNTAX = "1.2.840.10008.1.2.1"
NAME = "ab" * 32 + ".dcm"


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "state" / "inbox", watermark_bytes=0, most_bytes=1_000_000)


def incoming(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state" / "inbox" / "incoming").iterdir())


def content(spool: Spool) -> bytes:
    with spool.stream() as stream:
        return stream.read()


def test_what_is_written_in_pieces_lies_whole_under_its_name(inbox: Inbox, tmp_path: Path) -> None:
    spool = inbox.receive(SYNTAX, b"start")
    for piece in (b"one", b"", b"two"):
        assert spool.write(piece) == len(piece)
    assert content(spool) == b"onetwo"
    path = inbox.place(spool, NAME)
    assert path.read_bytes() == b"startonetwo"
    assert list(inbox.files()) == [path]
    assert incoming(tmp_path) == []
    assert (spool.size, spool.error, spool.closed) == (6, None, True)


def test_every_folder_is_private(inbox: Inbox, tmp_path: Path) -> None:
    root = tmp_path / "state" / "inbox"
    assert {stat.S_IMODE(p.stat().st_mode) for p in (root, *root.iterdir())} == {0o700}
    spool = inbox.receive(SYNTAX, b"")
    assert [stat.S_IMODE(p.stat().st_mode) for p in incoming(tmp_path)] == [0o600]
    spool.discard()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=10))
def test_the_digest_is_of_the_bytes_however_they_were_cut(
    inbox: Inbox, pieces: list[bytes]
) -> None:
    whole = b"".join(pieces)
    spools = [inbox.receive(SYNTAX, b"start"), inbox.skim(SYNTAX)]
    for spool in spools:
        for piece in pieces:
            spool.write(piece)
        assert spool.digest == hashlib.sha256(f"{SYNTAX}\0".encode() + whole).hexdigest()
        assert content(spool) == whole
        spool.discard()


def test_the_digest_tells_transfer_syntaxes_apart(inbox: Inbox) -> None:
    one, other = inbox.skim(SYNTAX), inbox.skim("1.2.840.10008.1.2")
    assert one.digest != other.digest


def test_a_skimmed_object_keeps_its_beginning_only_and_no_file(
    inbox: Inbox, tmp_path: Path
) -> None:
    spool = inbox.skim(SYNTAX)
    for _ in range(9):
        spool.write(bytes(100_000))
    assert spool.size == 900_000
    assert len(content(spool)) == 256 * 1024
    assert incoming(tmp_path) == []
    with pytest.raises(OutOfResourcesError):
        inbox.place(spool, NAME)


def test_too_large_an_object_gives_its_space_back_at_once(inbox: Inbox, tmp_path: Path) -> None:
    spool = inbox.receive(SYNTAX, b"")
    spool.write(bytes(900_000))
    assert incoming(tmp_path) != []
    spool.write(bytes(200_000))
    assert isinstance(spool.error, OutOfResourcesError)
    assert incoming(tmp_path) == []
    spool.write(b"more, which is drained")
    spool.discard()


def test_nothing_is_taken_under_the_watermark(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", watermark_bytes=2**62, most_bytes=100)
    assert inbox.is_short_of_space()
    spool = inbox.receive(SYNTAX, b"")
    assert isinstance(spool.error, OutOfResourcesError)
    assert list((tmp_path / "inbox" / "incoming").iterdir()) == []


def test_space_that_runs_out_while_a_large_object_comes_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.inbox._WATCH_EVERY", 2**62)
    inbox = Inbox(tmp_path / "inbox", watermark_bytes=0, most_bytes=2**40)
    spool = inbox.receive(SYNTAX, b"")
    monkeypatch.setattr(Spool, "size", 2**62, raising=False)
    spool.size = 2**62
    spool.write(b"x")
    assert isinstance(spool.error, OutOfResourcesError)


def test_a_disk_that_writes_only_part_of_a_piece_is_asked_again(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr("listener.inbox.os.write", lambda fd, data: write(fd, data[:7]))
    spool = inbox.receive(SYNTAX, b"0123456789")
    spool.write(b"abcdefghijklmnop")
    assert content(spool) == b"abcdefghijklmnop"
    spool.discard()


@pytest.mark.slow
def test_a_real_limit_of_the_system_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
import pathlib, resource, signal, sys
from listener.inbox import Inbox
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
inbox = Inbox(pathlib.Path(sys.argv[1]), watermark_bytes=0, most_bytes=10**9)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
spool = inbox.receive("1.2", b"start")
for _ in range(20):
    spool.write(bytes(10_000))
print(type(spool.error).__name__, list(pathlib.Path(sys.argv[1], "incoming").iterdir()))
"""
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "inbox")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "OutOfResourcesError []"


def test_a_spool_can_be_discarded_while_it_is_written(inbox: Inbox, tmp_path: Path) -> None:
    spool = inbox.receive(SYNTAX, b"")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            spool.write(bytes(1000))

    writer = threading.Thread(target=write)
    writer.start()
    assert eventually(lambda: spool.size > 0)
    spool.discard()
    stop.set()
    writer.join()
    assert incoming(tmp_path) == []
    assert spool.error is None or isinstance(spool.error, OutOfResourcesError)


def test_orphans_are_swept_and_what_is_being_written_is_not(inbox: Inbox, tmp_path: Path) -> None:
    living = inbox.receive(SYNTAX, b"")
    orphan = tmp_path / "state" / "inbox" / "incoming" / "0.part"
    orphan.write_bytes(b"half")
    assert inbox.sweep() == 1
    assert incoming(tmp_path) == [living.path]
    living.discard()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenerError, match="NotADirectoryError"):
        Inbox(tmp_path / "file" / "inbox", watermark_bytes=0, most_bytes=1)
