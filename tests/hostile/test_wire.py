"""Objects that mean harm, sent over the wire: each ends with a reason, and the service goes on."""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dicom_files import PLANTED, document, hand, image, store
from plugin import STUDIES, Plugin, plugin
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from listener.elements import is_uid
from listener.errors import DeliveryError
from listener.file_meta import FileMeta, read_file_meta, write_file_meta
from listener.job import INDEX, JobState
from listener.receipt import InstanceState
from listener.sender import echo
from pipeline.worker import ANSWER

pytestmark = pytest.mark.slow

SAMPLE = sorted((Path(__file__).parent.parent / "data" / "hostile").rglob("*.dcm"))
REFUSALS = {0xA700, 0xA900, 0xC000, 0x0122}
GOOD = STUDIES / "TEST-0001-1"


# -- objects ------------------------------------------------------------------------------


def wrist(number: int, **said: Any) -> Dataset:
    """A PA wrist of a patient whose name and words must not get out, in a study of its own."""
    given = {
        "StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.9.{number}",
        "SeriesInstanceUID": f"1.2.826.0.1.3680043.8.498.9.{number}.1",
        "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.9.{number}.1.1",
        "PatientName": PLANTED,
        "PatientID": PLANTED,
        "AccessionNumber": PLANTED,
        "StudyDescription": f"Wrist of {PLANTED}",
        "BodyPartExamined": "WRIST",
        "ViewPosition": "PA",
    }
    return image(hand(shape=(120, 80)), 12, **(given | said))


def whole(number: int, folder: Path, **said: Any) -> bytes:
    return store(wrist(number, **said), folder / "whole.dcm").read_bytes()


def pixels_at(data: bytes) -> int:
    return data.rindex(b"\xe0\x7f\x10\x00OW")


def cut_in_the_pixels(number: int, folder: Path) -> bytes:
    return whole(number, folder)[:-5000]


def cut_in_the_header(number: int, folder: Path) -> bytes:
    data = whole(number, folder)
    return data[: data.index(b"\x10\x00\x10\x00PN") + 5]


def a_wall_of_pixels(number: int, folder: Path) -> bytes:
    claim = wrist(number, Rows=65535, Columns=65535, BitsAllocated=8, BitsStored=8, HighBit=7)
    claim.file_meta.TransferSyntaxUID = uid.RLELossless
    claim.PixelData = encapsulate([struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00\x00\x00"])
    claim["PixelData"].VR = "OB"
    claim["PixelData"].is_undefined_length = True
    return store(claim, folder / "wall.dcm").read_bytes()


def a_deep_sequence(number: int, folder: Path) -> bytes:
    data = whole(number, folder)
    nested = b""
    for _ in range(200):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(nested)) + nested
        nested = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, len(item)) + item
    return data[: pixels_at(data)] + nested + data[pixels_at(data) :]


def a_deflate_bomb(number: int, folder: Path) -> bytes:
    plain = whole(number, folder)
    bomb = wrist(number)
    bomb.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    meta = store(bomb, folder / "bomb.dcm").read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(plain[end_of_meta(plain) :])
    body += b"".join(packer.compress(bytes(1 << 20)) for _ in range(700))
    return meta[: end_of_meta(meta)] + body + packer.flush()


def end_of_meta(data: bytes) -> int:
    return 144 + int(struct.unpack_from("<L", data, 140)[0])


def no_pixels(number: int, folder: Path) -> bytes:
    return whole(number, folder, PixelData=b"")


def gigabytes_declared(number: int, folder: Path) -> bytes:
    data = whole(number, folder)
    at = pixels_at(data) + 8
    return data[:at] + struct.pack("<L", 2**32 - 2) + data[at + 4 : at + 104]


def negative_sizes(number: int, folder: Path) -> bytes:
    data = whole(number, folder)
    at = data.rindex(b"\x28\x00\x10\x00US\x02\x00")
    return data[:at] + b"\x28\x00\x10\x00SS\x02\x00" + struct.pack("<h", -120) + data[at + 10 :]


def a_broken_date(number: int, folder: Path) -> bytes:
    return whole(number, folder, BodyPartExamined="CHEST").replace(b"20100101", b"Secret^N")


def a_deep_report(number: int, folder: Path) -> bytes:
    report = document(uid.BasicTextSRStorage, "SR", ValueType="CONTAINER")
    identity = wrist(number)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"):
        setattr(report, keyword, identity.get(keyword))
    innermost = Dataset()
    innermost.ValueType, innermost.TextValue = "TEXT", PLANTED
    for _ in range(100):
        outer = Dataset()
        outer.RelationshipType, outer.ValueType = "CONTAINS", "CONTAINER"
        outer.ContentSequence = [innermost]
        innermost = outer
    report.ContentSequence = [innermost]
    return store(report, folder / "report.dcm").read_bytes()


def another_object_than_announced(number: int, folder: Path) -> bytes:
    data = whole(number, folder)
    meta, body = data[: end_of_meta(data)], data[end_of_meta(data) :]
    return meta + body.replace(f".9.{number}.1.1".encode(), f".9.{number}.1.2".encode())


Maker = Callable[[int, Path], bytes]


def said(**attributes: Any) -> Maker:
    return lambda number, folder: whole(number, folder, **attributes)


HOSTILE: dict[str, tuple[Maker, str]] = {
    "cut in the pixels": (cut_in_the_pixels, "it ends before its declared length"),
    "a wall of pixels": (a_wall_of_pixels, "it is larger than the configured limits"),
    "a deep sequence": (a_deep_sequence, "its sequences are nested too deeply"),
    "a deflate bomb": (a_deflate_bomb, "it is larger than the configured limits"),
    "no pixels": (no_pixels, "it holds no pixel data"),
    "gigabytes declared": (gigabytes_declared, "it ends before its declared length"),
    "negative sizes": (negative_sizes, "it holds no pixel data"),
    "several frames": (said(NumberOfFrames=3), "it holds several frames"),
    "a broken date of birth": (a_broken_date, "another part of the body"),
    "a chest": (said(BodyPartExamined="CHEST"), "another part of the body"),
    "a lateral": (said(ViewPosition="LL"), "labelled lateral"),
    "a deep report": (a_deep_report, "nested too deeply"),
}
REFUSED: dict[str, tuple[Maker, int]] = {
    "cut in the header": (cut_in_the_header, 0xC000),
    "another object than announced": (another_object_than_announced, 0xA900),
}


# -- one evening of a service -------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """What the peer was told about which instance; None: its syntax was not negotiated."""

    status: int | None
    instance: str


@dataclass(frozen=True)
class Evening:
    """A service after everything hostile was sent to it."""

    service: Plugin
    sent: dict[str, Sent]
    samples: dict[str, Sent]
    log: io.StringIO


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder = tmp_path_factory.mktemp("hostile")
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.getLogger("wristmir").setLevel(logging.DEBUG)
    try:
        with plugin(folder) as service:
            sent = {
                name: transmit(service, maker(number, folder), folder)
                for number, (name, (maker, _)) in enumerate((HOSTILE | REFUSED).items(), 1)
            }
            samples = {}
            for number, path in enumerate(SAMPLE, 10001):
                data = as_cr(path.read_bytes(), number)
                if data is not None:
                    samples[path.stem] = transmit(service, data, folder)
            service.settle(200)
            yield Evening(service, sent, samples, log)
    finally:
        root.removeHandler(handler)
        logging.getLogger("wristmir").setLevel(logging.NOTSET)


def transmit(service: Plugin, data: bytes, folder: Path) -> Sent:
    """Send the bytes as they are, as a request."""
    path = folder / "sent.dcm"
    path.write_bytes(data)
    instance = read_file_meta(io.BytesIO(data)).sop_instance_uid
    try:
        service.send([path], "WRISTMIR_Q")
    except DeliveryError as error:
        told = re.search(r"status 0x([0-9A-F]{4})", error.detail)
        return Sent(int(told[1], 16) if told else None, instance)
    return Sent(0x0000, instance)


def as_cr(data: bytes, number: int) -> bytes | None:
    """Make a sample a CR image in a study of its own; None where no sender could announce it."""
    data = data.replace(b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.1")
    data = data.replace(b".99999.", f".{number}.".encode())
    values, at = {}, 132
    while data[at : at + 2] == b"\x02\x00":
        long = data[at + 4 : at + 6] == b"OB"
        start = at + (12 if long else 8)
        size = int(struct.unpack_from("<L" if long else "<H", data, at + (8 if long else 6))[0])
        values[data[at + 2]] = data[start : start + size].rstrip(b"\0 ").decode("latin-1")
        at = start + size
    announced = [values.get(element, "") for element in (0x02, 0x03, 0x10)]
    if not all(map(is_uid, announced)):
        return None
    return write_file_meta(FileMeta(*announced, calling_ae="X", called_ae="Y")) + data[at:]


# -- what has become of it ----------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_taken_in_ends_with_a_stated_reason(evening: Evening, name: str) -> None:
    sent = evening.sent[name]
    assert sent.status == 0x0000
    (receipt,) = evening.service.ledger.receipt(sent.instance)
    unused = "another part of the body" in HOSTILE[name][1]  # by its label: its bytes are not kept
    assert receipt.state is (InstanceState.FILTERED if unused else InstanceState.STORED)
    outcome = evening.service.outcome(receipt.study_uid, INDEX)
    assert outcome["exams"] == 0
    (reason,) = outcome["left_out"]
    assert re.search(HOSTILE[name][1], reason), reason


@pytest.mark.parametrize("name", HOSTILE)
def test_whoever_asked_about_it_is_told_the_reason(evening: Evening, name: str) -> None:
    (receipt,) = evening.service.ledger.receipt(evening.sent[name].instance)
    outcome = evening.service.outcome(receipt.study_uid, ANSWER)
    assert outcome["answered"] == 0
    assert re.search(HOSTILE[name][1], outcome["reason"]), outcome["reason"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_in_is_refused_with_its_status(evening: Evening, name: str) -> None:
    sent = evening.sent[name]
    assert sent.status == REFUSED[name][1]
    assert evening.service.ledger.receipt(sent.instance) == ()


def test_every_sample_is_refused_with_a_status_or_ends_with_a_reason(evening: Evening) -> None:
    assert len(evening.samples) > 80
    taken = 0
    for name, sent in evening.samples.items():
        if sent.status != 0x0000:
            assert sent.status is None or sent.status in REFUSALS, (name, sent.status)
            continue
        receipts = evening.service.ledger.receipt(sent.instance)
        assert receipts, name
        for receipt in receipts:
            assert receipt.state is InstanceState.STORED or receipt.reason, name
        if receipts[-1].state is InstanceState.STORED:
            taken += 1
            outcome = evening.service.outcome(receipts[-1].study_uid, INDEX)
            assert outcome["exams"] + sum(outcome["left_out"].values()) >= 1, name
    assert taken > 60


def test_nothing_acknowledged_is_lost(evening: Evening) -> None:
    ledger = evening.service.ledger
    for name, sent in (evening.sent | evening.samples).items():
        if sent.status != 0x0000:
            continue
        receipt = ledger.receipt(sent.instance)[-1]
        if receipt.state is InstanceState.FILTERED:
            assert receipt.reason, name
            continue
        assert receipt.state in (InstanceState.STORED, InstanceState.QUARANTINED), name
        assert receipt.path is not None
        assert receipt.path.is_file(), name


def test_nothing_is_dead_and_nothing_is_left_to_do(evening: Evening) -> None:
    assert {state for _, state in evening.service.ledger.counts()} == {JobState.DONE}


def test_no_word_of_a_patient_got_into_log_ledger_or_index(evening: Evening) -> None:
    state = evening.service.settings.state_dir
    log = evening.log.getvalue()
    assert "refused with 0xC000" in log  # it was listened to
    places = [*state.glob("ledger.sqlite3*"), *(state / "index").rglob("*")]
    contents = {path.name: path.read_bytes() for path in places if path.is_file()}
    assert len(contents) > 3
    contents["log"] = log.encode()
    for word in (PLANTED.encode(), b"Secret", b"FUZZ"):
        assert [name for name, content in contents.items() if word in content] == [], word


def test_the_service_still_answers_and_indexes(evening: Evening) -> None:
    echo("127.0.0.1", evening.service.port, "SMALLPACS", "WRISTMIR")
    files = sorted(GOOD.glob("*.dcm"))
    evening.service.send(files)
    evening.service.settle()
    study = str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    assert evening.service.outcome(study, INDEX)["exams"] == 1
