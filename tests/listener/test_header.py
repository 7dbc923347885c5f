from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from station import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, encoded, radiograph

from listener.elements import is_uid
from listener.errors import CannotUnderstandError, MismatchError
from listener.header import Header, read_header

SYNTAXES = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)


def header_of(data: bytes, syntax: str = EXPLICIT) -> Header:
    return read_header(io.BytesIO(data), syntax)


def nested(depth: int) -> Dataset:
    """Return a data set whose sequences of undefined length nest so deeply."""
    inner = Dataset()
    inner.CodeValue = "x"
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedStudySequence = Sequence([inner])
        outer["ReferencedStudySequence"].is_undefined_length = True
        inner.is_undefined_length_sequence_item = True
        inner = outer
    return inner


def open_sequences(depth: int) -> bytes:
    """Return nested sequences of undefined length in Explicit VR, properly closed."""
    start = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return start * depth + end * depth


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_identities_are_read_in_every_encoding(syntax: str) -> None:
    ds = radiograph(patient="ID 1", issuer="HOSPITAL")
    ds.add(nested(5)["ReferencedStudySequence"])
    header = header_of(encoded(ds, syntax), syntax)
    assert header == Header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        study_uid=ds.StudyInstanceUID,
        series_uid=ds.SeriesInstanceUID,
        patient_id=b"ID 1",
        issuer=b"HOSPITAL",
    )


def test_private_sequences_and_encapsulated_icons_before_the_identities_are_stepped_over() -> None:
    ds = radiograph()
    block = ds.private_block(0x0009, "INVENTED", create=True)
    inner = Dataset()
    inner.PatientID = "SOMEBODY ELSE"
    block.add_new(1, "SQ", Sequence([inner, inner]))
    fragments = (
        b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x02\0\0\0\xff\xd8\xfe\xff\xdd\xe0\0\0\0\0"
    )
    data = encoded(ds, EXPLICIT)
    icon = b"\x08\x00\x12\x00OB\0\0\xff\xff\xff\xff" + fragments
    at = data.index(b"\x08\x00\x16\x00UI")
    header = header_of(data[:at] + icon + data[at:])
    assert header.patient_id == b"INVENTED-1"


def test_a_deep_sequence_after_the_identities_is_never_walked() -> None:
    ds = radiograph()
    tail = open_sequences(100_000).replace(b"\x08\x00\x10\x11SQ", b"\x40\x00\x75\x02SQ")
    assert header_of(encoded(ds, EXPLICIT) + tail).study_uid == ds.StudyInstanceUID


def test_a_deep_sequence_before_the_identities_is_refused_without_recursion() -> None:
    data = encoded(radiograph(), EXPLICIT)
    at = data.index(b"\x20\x00\x0d\x00UI")
    assert header_of(data[:at] + open_sequences(200) + data[at:])
    with pytest.raises(CannotUnderstandError):
        header_of(data[:at] + open_sequences(5_000) + data[at:])


def test_a_deflated_bomb_is_not_inflated() -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = b"\x08\x00\x05\x00UT\0\0" + (2**31).to_bytes(4, "little")
    bomb = packer.compress(start)
    for _ in range(80):
        bomb += packer.compress(bytes(1 << 20))
    bomb += packer.flush()
    with pytest.raises(CannotUnderstandError):
        header_of(bomb, DEFLATED)


def test_a_truncated_pixel_element_does_not_matter_and_a_truncated_header_does() -> None:
    data = encoded(radiograph(side=64), EXPLICIT)
    assert header_of(data[:-5000])
    with pytest.raises(CannotUnderstandError):
        header_of(data[: data.index(b"\x20\x00\x0e\x00UI") + 20])


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_accession_number_is_read_with_its_issuer(syntax: str, *, undefined: bool) -> None:
    issuer, other = Dataset(), Dataset()
    issuer.LocalNamespaceEntityID = "RIS"
    other.UniversalEntityID, other.UniversalEntityIDType = "1.2.3", "ISO"
    ds = radiograph()
    ds.AccessionNumber = "A1"
    ds.IssuerOfAccessionNumberSequence = Sequence([other, issuer])
    ds["IssuerOfAccessionNumberSequence"].is_undefined_length = undefined
    for item in (issuer, other):
        item.is_undefined_length_sequence_item = undefined
    header = header_of(encoded(ds, syntax), syntax)
    assert (header.accession, header.accession_issuer) == (b"A1", b"RIS")
    assert header.study_uid == ds.StudyInstanceUID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        b"\xfe\xff\x00\xe0\xff\xff\xff\x7f",
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
        b"\xfe\xff\x00\xe0\x02\0\0\0\0\0",
        bytes(70_000),
    ],
)
def test_an_issuer_that_cannot_be_read_refuses_nothing(content: bytes) -> None:
    data = encoded(radiograph(), EXPLICIT)
    at = data.index(b"\x08\x00\x60\x00CS")  # Modality
    sequence = b"\x08\x00\x51\x00SQ\0\0" + len(content).to_bytes(4, "little") + content
    header = header_of(data[:at] + sequence + data[at:])
    assert header.accession_issuer == b""


@pytest.mark.parametrize("element", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_identity_that_is_missing_is_not_understood(element: str) -> None:
    ds = radiograph()
    delattr(ds, element)
    with pytest.raises(CannotUnderstandError):
        header_of(encoded(ds, EXPLICIT))


def test_a_header_must_agree_with_its_command() -> None:
    header = header_of(encoded(radiograph(instance="1.2.3"), EXPLICIT))
    header.agrees_with(header.sop_class_uid, "1.2.3")
    with pytest.raises(MismatchError):
        header.agrees_with(header.sop_class_uid, "1.2.4")
    with pytest.raises(MismatchError):
        header.agrees_with("1.2.840.10008.5.1.4.1.1.2", "1.2.3")


@given(data=st.binary(max_size=400), syntax=st.sampled_from(SYNTAXES))
def test_any_bytes_are_a_header_or_a_refusal(data: bytes, syntax: str) -> None:
    try:
        header = header_of(data, syntax)
    except CannotUnderstandError:
        return
    assert is_uid(header.study_uid)


_WHOLE = {s: encoded(radiograph(issuer="HOSPITAL", side=2), s) for s in SYNTAXES}


@pytest.mark.slow
@settings(max_examples=300)
@given(
    syntax=st.sampled_from(SYNTAXES),
    at=st.integers(0, 600),
    piece=st.binary(min_size=1, max_size=8),
    cut=st.integers(1, 900),
)
def test_a_damaged_header_is_read_or_refused(syntax: str, at: int, piece: bytes, cut: int) -> None:
    whole = _WHOLE[syntax]
    data = (whole[:at] + piece + whole[at + len(piece) :])[:cut]
    try:
        header = header_of(data, syntax)
    except CannotUnderstandError:
        return
    assert is_uid(header.sop_instance_uid)
    assert is_uid(header.study_uid)
