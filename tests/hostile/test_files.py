"""Files that mean harm: each ends as an image or a stated reason, and the next one is read."""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from pipeline.decoder import Decoder, DecoderLimits, FileLimits
from pipeline.errors import DecodeError, DecodeReason
from pipeline.radiograph import radiograph
from pipeline.study import read_study
from pipeline.view import decide_view

SAMPLE = sorted((Path(__file__).parent.parent / "data" / "hostile").rglob("*.dcm"))
SECONDS = 10.0


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecoderLimits(seconds=SECONDS)) as running:
        yield running


def good() -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.ComputedRadiographyImageStorage
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    dataset.StudyInstanceUID = "1.2.3.3"
    dataset.PatientName, dataset.PatientID = "Invented^Patient", "INVENTED-1"
    dataset.Rows = dataset.Columns = 32
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.arange(1024, dtype="<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def written(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def reason_of(decoder: Decoder, path: Path) -> DecodeReason:
    started = time.monotonic()
    with pytest.raises(DecodeError) as refused:
        radiograph(decoder, path)
    assert time.monotonic() - started < SECONDS / 2
    return refused.value.reason


def survives(decoder: Decoder, folder: Path) -> None:
    assert radiograph(decoder, written(good(), folder / "good.dcm")).rows == 32


def test_the_sample_is_there() -> None:
    assert len(SAMPLE) > 90


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
def test_every_file_of_the_sample_ends_as_an_image_or_a_reason(
    decoder: Decoder, tmp_path: Path, path: Path
) -> None:
    # the sample is CT; as CR, of the same length, its files get past the first look
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(
        path.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.1")
    )
    with suppress(DecodeError):
        found = radiograph(decoder, copy)
        assert np.isfinite(found.pixels).all()
        assert found.header is not None
        assert "FUZZ" not in decide_view(found.header, {}).reason
        str(found.header)  # every value converts, without a warning
    study = read_study("1.2.3.4.5.99999.1", [copy], decoder, lambda _: False)
    assert len(study.images) + len(study.left_out) == 1
    assert "FUZZ" not in "".join(one.reason for one in study.left_out)


def test_a_file_may_end_anywhere(decoder: Decoder, tmp_path: Path) -> None:
    whole = written(good(), tmp_path / "whole.dcm").read_bytes()
    for length in range(0, len(whole), 41):
        cut = tmp_path / "cut.dcm"
        cut.write_bytes(whole[:length])
        assert reason_of(decoder, cut) in {
            DecodeReason.NOT_DICOM,
            DecodeReason.TRUNCATED,
            DecodeReason.MALFORMED,
            DecodeReason.IDENTITY,
            DecodeReason.NO_PIXELS,
        }
    survives(decoder, tmp_path)


def test_an_empty_file_is_no_dicom(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").touch()
    assert reason_of(decoder, tmp_path / "empty.dcm") is DecodeReason.NOT_DICOM


def _compressed(syntax: str, stream: bytes, rows: int, columns: int, bits: int = 16) -> Dataset:
    dataset = good()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


RLE_CLAIM = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00\x00\x00"


@pytest.mark.parametrize(
    ("rows", "reason"), [(65535, DecodeReason.LIMITS), (9000, DecodeReason.TRUNCATED)]
)
def test_a_few_bytes_of_rle_that_claim_a_wall_of_pixels_cost_nothing(
    decoder: Decoder, tmp_path: Path, rows: int, reason: DecodeReason
) -> None:
    bomb = _compressed(uid.RLELossless, RLE_CLAIM, rows, rows, bits=8)
    assert reason_of(decoder, written(bomb, tmp_path / "bomb.dcm")) is reason
    survives(decoder, tmp_path)


def _jpeg_claim(marker: int) -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 11, 8, 65535, 65535, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + frame + b"\0" * 40 + b"\xff\xd9"


def _jpeg_2000_claim() -> bytes:
    size = struct.pack(">HHLLLLLLLLH", 41, 0, *[2**31, 2**31, 0, 0] * 2, 1) + b"\x0f\x01\x01"
    return b"\xff\x4f\xff\x51" + size + b"\0" * 40 + b"\xff\xd9"


@pytest.mark.parametrize(
    ("syntax", "stream"),
    [
        (uid.JPEGBaseline8Bit, _jpeg_claim(0xC0)),
        (uid.JPEGExtended12Bit, _jpeg_claim(0xC1)),
        (uid.JPEGLosslessSV1, _jpeg_claim(0xC3)),
        (uid.JPEGLSLossless, _jpeg_claim(0xF7)),
        (uid.JPEG2000Lossless, _jpeg_2000_claim()),
        (uid.HTJ2KLossless, _jpeg_2000_claim()),
    ],
)
def test_a_codestream_that_claims_more_than_its_header_is_not_decoded(
    decoder: Decoder, tmp_path: Path, syntax: str, stream: bytes
) -> None:
    bomb = _compressed(syntax, stream, 32, 32)
    assert reason_of(decoder, written(bomb, tmp_path / "bomb.dcm")) is DecodeReason.MALFORMED
    survives(decoder, tmp_path)


@pytest.mark.parametrize("depth", [17, 200, 5000])
@pytest.mark.parametrize("sized", [True, False], ids=["defined-length", "undefined-length"])
def test_sequences_nested_too_deeply_are_refused(
    decoder: Decoder, tmp_path: Path, depth: int, sized: bool
) -> None:
    nested = b""
    for _ in range(depth):
        if sized:
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(nested)) + nested
            nested = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, len(item)) + item
        else:
            start = struct.pack(
                "<HH2sHLHHL", 0x40, 0xA730, b"SQ", 0, 2**32 - 1, 0xFFFE, 0xE000, 2**32 - 1
            )
            ends = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
            nested = start + nested + ends
    plain = written(good(), tmp_path / "plain.dcm").read_bytes()
    pixels = plain.rindex(b"\xe0\x7f\x10\x00OW")
    deep = tmp_path / "deep.dcm"
    deep.write_bytes(plain[:pixels] + nested + plain[pixels:])
    assert reason_of(decoder, deep) is DecodeReason.TOO_DEEP
    survives(decoder, tmp_path)


@pytest.mark.slow
def test_a_deflate_bomb_is_not_inflated(tmp_path: Path) -> None:
    dataset = good()
    plain = written(dataset, tmp_path / "plain.dcm").read_bytes()
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    deflated = written(dataset, tmp_path / "deflated.dcm").read_bytes()
    meta = deflated[: _end_of_meta(deflated)]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(plain[_end_of_meta(plain) :])
    for _ in range(32):
        body += packer.compress(bytes(1 << 20))
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(meta + body + packer.flush())
    assert bomb.stat().st_size < 100_000
    limits = DecoderLimits(file=FileLimits(max_inflated_bytes=16 << 20), memory_bytes=1 << 30)
    with Decoder(limits) as careful:
        assert reason_of(careful, bomb) is DecodeReason.LIMITS
        survives(careful, tmp_path)


def _end_of_meta(data: bytes) -> int:
    return 144 + int(struct.unpack_from("<L", data, 140)[0])


@pytest.mark.parametrize("declared", [2**32 - 2, 2**31, 4096])
def test_pixel_data_that_declares_more_than_there_is_is_truncated(
    decoder: Decoder, tmp_path: Path, declared: int
) -> None:
    plain = written(good(), tmp_path / "plain.dcm").read_bytes()
    at = plain.rindex(b"\xe0\x7f\x10\x00OW") + 8
    liar = tmp_path / "liar.dcm"
    liar.write_bytes(plain[:at] + struct.pack("<L", declared) + plain[at + 4 : at + 104])
    assert reason_of(decoder, liar) is DecodeReason.TRUNCATED
    survives(decoder, tmp_path)


def test_an_element_that_declares_gigabytes_is_truncated(decoder: Decoder, tmp_path: Path) -> None:
    plain = written(good(), tmp_path / "plain.dcm").read_bytes()
    at = plain.rindex(b"\xe0\x7f\x10\x00OW")
    element = struct.pack("<HH2sHL", 0x0040, 0xA160, b"UT", 0, 2**32 - 2)
    liar = tmp_path / "liar.dcm"
    liar.write_bytes(plain[:at] + element + plain[at:])
    assert reason_of(decoder, liar) is DecodeReason.TRUNCATED
    survives(decoder, tmp_path)


@pytest.mark.slow
def test_a_crowd_of_elements_ends_within_the_deadline(tmp_path: Path) -> None:
    plain = written(good(), tmp_path / "plain.dcm").read_bytes()
    at = plain.rindex(b"\xe0\x7f\x10\x00OW")
    crowd = b"".join(struct.pack("<HH2sH", 0x0051, n, b"LO", 0) for n in range(0x1000, 0xFFFF)) * 40
    path = tmp_path / "crowd.dcm"
    path.write_bytes(plain[:at] + crowd + plain[at:])
    with Decoder(DecoderLimits(seconds=1.0)) as hurried:
        started = time.monotonic()
        with pytest.raises(DecodeError) as refused:
            hurried.header(path)
        assert time.monotonic() - started < 8
        assert refused.value.reason is DecodeReason.TIMEOUT
        survives(hurried, tmp_path)


def test_a_pipe_in_place_of_a_file_does_not_block(decoder: Decoder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    assert reason_of(decoder, tmp_path / "pipe.dcm") is DecodeReason.UNREADABLE


def test_the_parent_does_not_grow_with_what_the_child_refuses(
    decoder: Decoder, tmp_path: Path
) -> None:
    survives(decoder, tmp_path)
    before = _resident_bytes()
    for number, side in enumerate([9000, 9999, 65535] * 5):
        bomb = _compressed(uid.RLELossless, RLE_CLAIM, side, side, bits=8)
        reason_of(decoder, written(bomb, tmp_path / f"{number}.dcm"))
    assert _resident_bytes() - before < 20_000_000


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
