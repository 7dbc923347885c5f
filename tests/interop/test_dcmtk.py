"""DCMTK talks to the receiver: who is let in, and that what comes in is what was sent."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dcmtk import PROPOSALS, call, storescu
from peers import peer
from plugin import STUDIES
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from station import Station, station

from listener.receipt import InstanceRow, InstanceState
from pipeline.decoder import Decoder, DecoderLimits

pytestmark = [pytest.mark.slow, pytest.mark.peers]


def images() -> list[dict[str, str]]:
    with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["kind"] == "image"]


def syntax_of(row: dict[str, str]) -> str:
    meta = dcmread(STUDIES / row["file"], stop_before_pixels=True).file_meta
    return str(meta.TransferSyntaxUID)


def one_image_per_syntax() -> dict[str, dict[str, str]]:
    by_syntax = {syntax_of(row): row for row in reversed(images())}
    return {syntax: by_syntax[syntax] for syntax in PROPOSALS}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Station]:
    """A listener that knows the peer PACS."""
    with station(tmp_path, idle_seconds=10) as running:
        yield running


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """The child process that reads what came."""
    with Decoder(DecoderLimits()) as running:
        yield running


def received(receiver: Station, row: dict[str, str]) -> InstanceRow:
    """Return the receipt of an image; it must have been kept."""
    (receipt,) = receiver.ledger.receipt(row["sop_uid"])
    assert receipt.state is InstanceState.STORED
    assert receipt.path is not None
    return receipt


def came_unchanged(decoder: Decoder, receipt: InstanceRow, row: dict[str, str]) -> bool:
    """Whether the image that is kept has the pixels of the one that was sent."""
    assert receipt.path is not None
    kept, sent = decoder.pixels(receipt.path).array, decoder.pixels(STUDIES / row["file"]).array
    return kept.dtype == sent.dtype and bool(np.array_equal(kept, sent))


def send(receiver: Station, tool: str, *arguments: str | Path) -> None:
    """Send files by a tool, with its options, as the listed PACS; it must report success."""
    files = [str(one) for one in arguments if isinstance(one, Path)]
    options = [one for one in arguments if isinstance(one, str)]
    titles = ["-aet", "PACS", "-aec", "WRISTMIR"]
    done = call(tool, *options, *titles, "127.0.0.1", str(receiver.port), *files)
    assert done.returncode == 0, done.stderr


def echo(receiver: Station, calling: str, called: str = "WRISTMIR") -> tuple[int, str]:
    """Return echoscu's exit status and what it said."""
    port = str(receiver.port)
    done = call("echoscu", "-v", "-aet", calling, "-aec", called, "127.0.0.1", port)
    return done.returncode, done.stdout + done.stderr


def test_echoscu_of_a_listed_title_gets_success(receiver: Station) -> None:
    status, said = echo(receiver, "PACS")
    assert status == 0, said
    assert "Success" in said


def test_echoscu_of_an_unlisted_title_is_rejected_for_its_calling_title(receiver: Station) -> None:
    status, said = echo(receiver, "STRANGER")
    assert status != 0
    assert "Rejected Permanent" in said
    assert "Calling AE Title Not Recognized" in said


def test_echoscu_of_a_title_listed_at_another_address_is_rejected(receiver: Station) -> None:
    status, said = echo(receiver, "OTHERPACS")
    assert status != 0
    assert "Calling AE Title Not Recognized" in said


def test_echoscu_to_a_title_that_is_not_answered_is_rejected_for_it(receiver: Station) -> None:
    status, said = echo(receiver, "PACS", "NOBODY")
    assert status != 0
    assert "Called AE Title Not Recognized" in said


def test_storescu_of_an_unlisted_title_is_rejected_and_nothing_is_kept(receiver: Station) -> None:
    file = str(STUDIES / images()[0]["file"])
    done = call(
        "storescu", "-aet", "STRANGER", "-aec", "WRISTMIR", "127.0.0.1", str(receiver.port), file
    )
    assert done.returncode != 0
    assert "Calling AE Title Not Recognized" in done.stdout + done.stderr
    assert receiver.inbox_files() == []
    assert receiver.partial_files() == []


@pytest.mark.parametrize("syntax", PROPOSALS)
def test_storescu_delivers_the_pixels_in_every_transfer_syntax_it_has(
    receiver: Station, decoder: Decoder, syntax: str
) -> None:
    row = one_image_per_syntax()[syntax]
    storescu([STUDIES / row["file"]], receiver.port, calling="PACS", called="WRISTMIR")
    receipt = received(receiver, row)
    assert receipt.transfer_syntax == syntax
    assert came_unchanged(decoder, receipt, row)


@pytest.mark.parametrize(
    ("options", "sent", "arrives"),
    [
        (["-xi"], ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        (["-xe", "+C"], ImplicitVRLittleEndian, ExplicitVRLittleEndian),
        (["-xb", "+C"], ImplicitVRLittleEndian, ExplicitVRLittleEndian),
    ],
    ids=["only implicit", "explicit first", "big endian first"],
)
def test_storescu_changes_the_encoding_to_what_was_agreed_on(
    receiver: Station, decoder: Decoder, options: list[str], sent: str, arrives: str
) -> None:
    row = one_image_per_syntax()[str(sent)]
    send(receiver, "storescu", STUDIES / row["file"], *options)
    receipt = received(receiver, row)
    assert receipt.transfer_syntax == str(arrives)
    assert came_unchanged(decoder, receipt, row)


def test_storescu_may_deflate_what_it_sends(receiver: Station, decoder: Decoder) -> None:
    row = one_image_per_syntax()[str(ExplicitVRLittleEndian)]
    send(receiver, "storescu", STUDIES / row["file"], "-R", "-xd")
    receipt = received(receiver, row)
    assert receipt.transfer_syntax == "1.2.840.10008.1.2.1.99"
    assert came_unchanged(decoder, receipt, row)


def test_dcmsend_delivers_images_and_reports_of_many_studies_at_once(
    receiver: Station, decoder: Decoder
) -> None:
    chosen = list(one_image_per_syntax().values())
    files = [STUDIES / row["file"] for row in chosen]
    send(receiver, "dcmsend", *files, *(file.parent / "report.dcm" for file in files))
    assert len(receiver.inbox_files()) == 2 * len(files)
    for row in chosen:
        assert came_unchanged(decoder, received(receiver, row), row)


def test_dcmsend_again_is_a_success_and_keeps_nothing_twice(receiver: Station) -> None:
    file = STUDIES / images()[0]["file"]
    for _ in range(2):
        send(receiver, "dcmsend", file)
    assert len(receiver.inbox_files()) == 1


def test_a_missing_peer_is_a_reason_to_skip_on_a_users_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WRISTMIR_REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="echoscu is not installed"):
        peer("echoscu")


def test_a_missing_peer_is_a_failure_where_peers_are_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("WRISTMIR_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="echoscu is required"):
        peer("echoscu")
