from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from dicom_files import PLANTED, compress, document, hand, image, store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pdf_files import pdf
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from pipeline.decoder import Decoder, DecoderLimits, FileLimits
from pipeline.errors import DecodeError, DecodeReason, DecoderUnavailableError

LOSSLESS = [
    uid.RLELossless,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        yield running


def refusal(decoder: Decoder, path: Path) -> DecodeReason:
    with pytest.raises(DecodeError) as refused:
        decoder.pixels(path)
    return refused.value.reason


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_syntaxes_give_back_every_value(
    decoder: Decoder, tmp_path: Path, syntax: uid.UID, bits: int
) -> None:
    stored = hand(bits)
    path = store(compress(image(stored, bits), stored, syntax), tmp_path / "a.dcm")
    decoded = decoder.pixels(path).array
    assert decoded.dtype == stored.dtype
    np.testing.assert_array_equal(decoded, stored)


@pytest.mark.parametrize(
    ("syntax", "bits", "most"),
    [
        (uid.JPEGBaseline8Bit, 8, 10),
        (uid.JPEGExtended12Bit, 12, 60),
        (uid.JPEGLSNearLossless, 12, 2),
        (uid.JPEG2000, 12, 0),
    ],
)
def test_lossy_syntaxes_stay_near_the_original(
    decoder: Decoder, tmp_path: Path, syntax: uid.UID, bits: int, most: int
) -> None:
    stored = hand(bits)
    path = store(compress(image(stored, bits), stored, syntax), tmp_path / "a.dcm")
    difference = decoder.pixels(path).array.astype(int) - stored
    assert np.abs(difference).max() <= most


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (10, False), (12, True), (16, True)])
def test_native_syntaxes_give_back_every_value(
    decoder: Decoder, tmp_path: Path, syntax: uid.UID, bits: int, signed: bool
) -> None:
    stored = hand(bits, signed=signed)
    dataset = image(stored, bits)
    if syntax == uid.ExplicitVRBigEndian:
        words = np.frombuffer(dataset.PixelData, "<u2").byteswap()
        dataset.PixelData = words.tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(
        tmp_path / "a.dcm",
        implicit_vr=syntax == uid.ImplicitVRLittleEndian,
        little_endian=syntax != uid.ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    np.testing.assert_array_equal(decoder.pixels(tmp_path / "a.dcm").array, stored)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.HTJ2KLossless])
def test_signed_values_survive_compression(
    decoder: Decoder, tmp_path: Path, syntax: uid.UID
) -> None:
    stored = hand(16, signed=True)
    path = store(compress(image(stored, 16), stored, syntax), tmp_path / "a.dcm")
    np.testing.assert_array_equal(decoder.pixels(path).array, stored)


def test_signed_values_in_fewer_bits_are_extended_from_an_unsigned_codestream(
    decoder: Decoder, tmp_path: Path
) -> None:
    stored = hand(12, signed=True)
    as_written = (stored.view(np.uint16) & 0xFFF).astype(np.uint16)
    dataset = compress(image(stored, 12), as_written, uid.JPEGLSLossless)
    np.testing.assert_array_equal(decoder.pixels(store(dataset, tmp_path / "a.dcm")).array, stored)


def test_bits_above_the_stored_ones_are_removed(decoder: Decoder, tmp_path: Path) -> None:
    stored = hand(12)
    overlaid = image(stored | 0xF000, 12)
    np.testing.assert_array_equal(decoder.pixels(store(overlaid, tmp_path / "a.dcm")).array, stored)


def test_colour_comes_back_as_rows_columns_and_three_samples(
    decoder: Decoder, tmp_path: Path
) -> None:
    stored = np.stack([hand(8), hand(8)[::-1], hand(8)[:, ::-1]], axis=-1)
    decoded = decoder.pixels(store(image(stored), tmp_path / "a.dcm"))
    assert decoded.photometric == "RGB"
    np.testing.assert_array_equal(decoded.array, stored)


def test_the_frame_may_lie_in_several_fragments(decoder: Decoder, tmp_path: Path) -> None:
    stored = hand(12)
    dataset = compress(image(stored, 12), stored, uid.JPEGLSLossless)
    start = dataset.PixelData.index(b"\xff\xd8")
    stream = dataset.PixelData[start:]
    dataset.PixelData = encapsulate([stream], fragments_per_frame=3)
    dataset["PixelData"].is_undefined_length = True
    np.testing.assert_array_equal(decoder.pixels(store(dataset, tmp_path / "a.dcm")).array, stored)


def test_a_header_holds_what_was_said_and_no_pixels(decoder: Decoder, tmp_path: Path) -> None:
    said = image(hand(), 12, ViewPosition="PA", PixelSpacing=[0.144, 0.144])
    header = decoder.header(store(said, tmp_path / "a.dcm"))
    assert header.SOPInstanceUID == said.SOPInstanceUID
    assert header.ViewPosition == "PA"
    assert header.PixelSpacing == [0.144, 0.144]
    assert "PixelData" not in header


def test_names_in_other_scripts_arrive_as_unicode(decoder: Decoder, tmp_path: Path) -> None:
    said = image(hand(), 12, SpecificCharacterSet="ISO_IR 100", PatientName="Grün^Zoë")
    header = decoder.header(store(said, tmp_path / "a.dcm"))
    assert str(header.PatientName) == "Grün^Zoë"


def test_private_elements_overlays_and_icons_are_left_behind(
    decoder: Decoder, tmp_path: Path
) -> None:
    said = image(hand(), 12)
    said.private_block(0x0029, "INVENTED", create=True).add_new(1, "OB", b"x" * 100_000)
    said.add_new(0x60000010, "US", 8)
    said.IconImageSequence = [Dataset()]
    header = decoder.header(store(said, tmp_path / "a.dcm"))
    assert not any(element.tag.is_private for element in header)
    assert not any(element.tag.group == 0x6000 for element in header)
    assert "IconImageSequence" not in header


def encapsulated(content: bytes, path: Path) -> Path:
    said = document(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=content)
    return store(said, path)


def test_the_words_of_a_pdf_are_read_page_after_page(decoder: Decoder, tmp_path: Path) -> None:
    content = pdf(["Left wrist, PA.", "Buckle fracture (radius)."], ["Kein Gelenkerguß."])
    path = encapsulated(content + b"\0" * (len(content) % 2), tmp_path / "a.dcm")
    assert decoder.document(path).text == (
        "Left wrist, PA.\nBuckle fracture (radius).\n\nKein Gelenkerguß."
    )


@pytest.mark.parametrize(
    "content",
    [b"GIF89a..", b"%PDF-1.4 ", pdf(["x"])[:200], pdf(["x"]).replace(b"/Pages", b"/Nages")],
)
def test_a_broken_document_is_refused_and_leaves_the_decoder_at_work(
    decoder: Decoder, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(DecodeError) as refused:
        decoder.document(encapsulated(content, tmp_path / "a.dcm"))
    assert refused.value.reason is DecodeReason.DOCUMENT
    whole = encapsulated(pdf(["Still here."]), tmp_path / "b.dcm")
    assert decoder.document(whole).text == "Still here."


def test_an_image_holds_no_document(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(DecodeError) as refused:
        decoder.document(store(image(hand(), 12), tmp_path / "a.dcm"))
    assert refused.value.reason is DecodeReason.DOCUMENT


@pytest.mark.slow
def test_a_document_is_read_as_far_as_its_limit(tmp_path: Path) -> None:
    path = encapsulated(pdf(["word " * 20] * 20), tmp_path / "a.dcm")
    limits = DecoderLimits(FileLimits(max_document_characters=100))
    with Decoder(limits) as decoder:
        assert len(decoder.document(path).text) == 100


@pytest.mark.slow
def test_an_encapsulated_document_is_kept_up_to_its_limit(tmp_path: Path) -> None:
    said = document(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=b"%PDF" * 500)
    path = store(said, tmp_path / "a.dcm")
    with Decoder(DecoderLimits(file=FileLimits(max_document_bytes=4000))) as decoder:
        assert decoder.header(path).EncapsulatedDocument == b"%PDF" * 500
    with Decoder(DecoderLimits(file=FileLimits(max_document_bytes=1000))) as decoder:
        with pytest.raises(DecodeError) as refused:
            decoder.header(path)
        assert refused.value.reason is DecodeReason.LIMITS


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("BodyPartExamined", b"Wrist ", "WRIST"),
        ("PatientAge", b"9Y", "009Y"),
        ("StudyDate", b"2020.01.31", "20200131"),
        ("StudyTime", b"10:11:12", "101112"),
        ("KVP", b"1.23456789012345678 ", 1.23456789012346),
        ("SeriesNumber", b"3.0 ", 3),
        ("SeriesDescription", b"x" * 100, "x" * 64),
    ],
)
def test_values_whose_meaning_is_plain_are_repaired(
    decoder: Decoder, tmp_path: Path, name: str, written: bytes, read: object
) -> None:
    header = decoder.header(_with_raw(tmp_path, name, written))
    assert header[name].value == read


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("StudyDate", PLANTED.encode() + b" "),
        ("PatientBirthDate", b"19991399"),
        ("PatientAge", b"old "),
        ("PixelSpacing", PLANTED.encode() + b" "),
        ("AccessionNumber", b"A" * 40),
    ],
)
def test_values_that_mean_nothing_are_left_out(
    decoder: Decoder, tmp_path: Path, name: str, written: bytes
) -> None:
    assert name not in decoder.header(_with_raw(tmp_path, name, written))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("PatientID", b"P" * 66),
        ("PatientID", b"ONE\\TWO "),
        ("PatientID", b"ONE\x1bTWO "),
        ("PatientName", b"N" * 66),
        ("StudyInstanceUID", b"1..2"),
        ("SeriesInstanceUID", b""),
    ],
)
def test_an_identifier_that_is_not_valid_refuses_the_object(
    decoder: Decoder, tmp_path: Path, name: str, written: bytes
) -> None:
    with pytest.raises(DecodeError) as refused:
        decoder.header(_with_raw(tmp_path, name, written))
    assert refused.value.reason is DecodeReason.IDENTITY


def _with_raw(folder: Path, name: str, value: bytes) -> Path:
    """Write bytes that a writer who keeps to the standard would refuse."""
    dataset = image(hand(), 12)
    setattr(dataset, name, None)
    element = dataset[name]
    plain = store(dataset, folder / "plain.dcm").read_bytes()
    tag = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
    empty = tag + str(element.VR).encode() + b"\0\0"
    at = plain.index(empty)
    filled = tag + str(element.VR).encode() + len(value).to_bytes(2, "little") + value
    path = folder / "raw.dcm"
    path.write_bytes(plain[:at] + filled + plain[at + len(empty) :])
    return path


def test_a_name_in_a_script_that_was_not_declared_warns_nobody(
    decoder: Decoder, tmp_path: Path
) -> None:
    header = decoder.header(_with_raw(tmp_path, "PatientName", b"Ya^\x1b$B;3ED\x1b(B "))
    assert str(header.PatientName) == "Ya^ $B;3ED"


def test_no_value_of_a_file_reaches_exceptions_logs_or_warnings(
    decoder: Decoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for name in ("StudyDate", "PatientBirthDate", "StudyInstanceUID", "PatientAge", "KVP"):
            path = _with_raw(tmp_path, name, PLANTED.encode() + b"\\" + PLANTED.encode() + b" ")
            for read in (decoder.header, decoder.pixels):
                try:
                    said.append(str(read(path)))
                except DecodeError as error:
                    said.append(repr(error) + str(error.__cause__) + str(error.__context__))
    printed = capfd.readouterr()
    told = "".join(
        [*said, caplog.text, printed.out, printed.err, *(str(w.message) for w in warned)]
    )
    assert "Secret" not in told


def test_a_frame_of_another_length_than_declared_is_refused(
    decoder: Decoder, tmp_path: Path
) -> None:
    short = image(hand(), 12)
    short.PixelData = short.PixelData[:-2]
    assert refusal(decoder, store(short, tmp_path / "a.dcm")) is DecodeReason.TRUNCATED
    long = image(hand(), 12)
    long.PixelData += b"\0\0"
    assert refusal(decoder, store(long, tmp_path / "b.dcm")) is DecodeReason.MALFORMED


def test_several_frames_are_refused(decoder: Decoder, tmp_path: Path) -> None:
    path = store(image(hand(), 12, NumberOfFrames=2), tmp_path / "a.dcm")
    assert refusal(decoder, path) is DecodeReason.MULTI_FRAME


def test_an_object_without_pixels_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    path = store(document(uid.BasicTextSRStorage, "SR"), tmp_path / "a.dcm")
    assert refusal(decoder, path) is DecodeReason.NO_PIXELS


def test_a_missing_file_and_a_folder_are_unreadable(decoder: Decoder, tmp_path: Path) -> None:
    assert refusal(decoder, tmp_path / "nowhere.dcm") is DecodeReason.UNREADABLE
    assert refusal(decoder, tmp_path) is DecodeReason.UNREADABLE


def test_a_codestream_of_another_size_than_the_header_is_refused(
    decoder: Decoder, tmp_path: Path
) -> None:
    for number, syntax in enumerate(LOSSLESS[1:]):
        dataset = compress(image(hand(), 12), hand(shape=(500, 400)), syntax)
        path = store(dataset, tmp_path / f"{number}.dcm")
        assert refusal(decoder, path) is DecodeReason.MALFORMED


def test_a_codestream_without_its_tail_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    for number, syntax in enumerate([uid.JPEGBaseline8Bit, *LOSSLESS[1:]]):
        dataset = compress(image(hand(8)), hand(8), syntax)
        dataset.PixelData = encapsulate([dataset.PixelData[16:-200]])
        dataset["PixelData"].is_undefined_length = True
        path = store(dataset, tmp_path / f"{number}.dcm")
        assert refusal(decoder, path) is DecodeReason.TRUNCATED


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_codestream_ends_as_an_image_or_a_reason(
    decoder: Decoder, tmp_path: Path, data: st.DataObject
) -> None:
    syntax = data.draw(st.sampled_from([uid.JPEGBaseline8Bit, *LOSSLESS]))
    dataset = compress(image(hand(8)), hand(8), syntax)
    broken = bytearray(dataset.PixelData)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(16, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    dataset.PixelData = bytes(broken)
    dataset["PixelData"].is_undefined_length = True
    path = store(dataset, tmp_path / "broken.dcm")
    with suppress(DecodeError):
        assert decoder.pixels(path).array.shape == hand(8).shape
    assert decoder.header(path).Modality == "DX"


def _children() -> set[int]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in listed.split()}


@pytest.mark.slow
def test_a_crashed_child_is_replaced(tmp_path: Path) -> None:
    path = store(image(hand(), 12), tmp_path / "a.dcm")
    before = _children()
    with Decoder() as decoder:
        decoder.header(path)
        (child,) = _children() - before
        os.kill(child, signal.SIGKILL)
        np.testing.assert_array_equal(decoder.pixels(path).array, hand())
        assert _children() - before != {child}
    assert _children() == before


@pytest.mark.slow
def test_a_child_that_does_not_answer_in_time_is_replaced(tmp_path: Path) -> None:
    path = store(image(hand(), 12), tmp_path / "a.dcm")
    before = _children()
    with Decoder(DecoderLimits(seconds=1.0)) as decoder:
        decoder.header(path)
        (child,) = _children() - before
        os.kill(child, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(DecodeError) as refused:
            decoder.header(path)
        assert refused.value.reason is DecodeReason.TIMEOUT
        assert time.monotonic() - started < 3
        assert decoder.header(path).Modality == "DX"


@pytest.mark.slow
def test_memory_that_runs_out_is_a_limit_and_the_next_file_is_read(tmp_path: Path) -> None:
    large = np.zeros((9000, 9000), np.uint16)
    path = store(image(large), tmp_path / "large.dcm")
    small = store(image(hand(), 12), tmp_path / "small.dcm")
    with Decoder(DecoderLimits(memory_bytes=300 << 20)) as decoder:
        assert refusal(decoder, path) is DecodeReason.LIMITS
        np.testing.assert_array_equal(decoder.pixels(small).array, hand())


def test_a_child_that_cannot_start_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = store(image(hand(), 12), tmp_path / "a.dcm")
    before = _children()
    starved = Decoder(DecoderLimits(memory_bytes=1 << 20))
    with starved, pytest.raises(DecoderUnavailableError):
        starved.header(path)
    assert _children() == before


@pytest.mark.slow
def test_a_child_is_replaced_after_its_share_of_calls(tmp_path: Path) -> None:
    path = store(image(hand(), 12), tmp_path / "a.dcm")
    before = _children()
    with Decoder(DecoderLimits(calls_per_child=2)) as decoder:
        seen = set()
        for _ in range(4):
            decoder.header(path)
            seen |= _children() - before
    assert len(seen) == 2


def test_calls_of_several_threads_take_turns(decoder: Decoder, tmp_path: Path) -> None:
    paths = [store(image(hand(), 12, InstanceNumber=n), tmp_path / f"{n}.dcm") for n in range(8)]
    read: dict[int, int] = {}
    threads = [
        threading.Thread(
            target=lambda n=n: read.update({n: decoder.header(paths[n]).InstanceNumber})
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == {n: n for n in range(8)}


@pytest.mark.slow
def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    path = store(image(hand(), 12), tmp_path / "a.dcm")
    program = (
        "import os, sys; from pathlib import Path; from pipeline.decoder import Decoder\n"
        "decoder = Decoder(); decoder.header(Path(sys.argv[1]))\n"
        "print(open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read(), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    child = Path(f"/proc/{int(ended.stdout)}")
    deadline = time.monotonic() + 5
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists()


def test_the_child_gets_nothing_of_the_environment_and_leaves_no_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVENTED_PASSWORD", "secret")
    path = store(image(hand(), 12), tmp_path / "a.dcm")
    before = _children()
    with Decoder(DecoderLimits(memory_bytes=3 << 30)) as decoder:
        decoder.header(path)
        (child,) = _children() - before
        limits = Path(f"/proc/{child}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        assert f"Max address space         {3 << 30}" in limits
        try:
            environment = Path(f"/proc/{child}/environ").read_bytes()
        except PermissionError:  # the child is not dumpable: nobody but root may look
            environment = b""
        assert b"INVENTED_PASSWORD" not in environment
