"""What is asked and answered about storage commitment: read within bounds, written as others do."""

from __future__ import annotations

import io
import struct

import pytest
from commitment_parts import CR, information, item
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from station import EXPLICIT, IMPLICIT

from listener.commitment import (
    MOST_REFERENCES,
    Reference,
    Request,
    Verdict,
    encode_request,
    encode_verdict,
    new_request,
    read_request,
    read_verdict,
)
from listener.elements import is_uid
from listener.errors import (
    InvalidArgumentError,
    NoSuchEventError,
    RefusalError,
    ResourceLimitationError,
)

SYNTAXES = [EXPLICIT, IMPLICIT]
UIDS = st.lists(st.sampled_from(["0", "00", "1", "2", "840", "10008", "9" * 20]), max_size=3).map(
    lambda parts: ".".join(["1", *parts])
)
REFERENCES = st.lists(st.builds(Reference, UIDS, UIDS), min_size=1, max_size=5, unique=True)


def request_of(data: bytes, syntax: str) -> Request:
    return read_request(io.BytesIO(data), syntax, len(data))


def verdict_of(data: bytes, syntax: str, event_type: int | None) -> Verdict:
    return read_verdict(io.BytesIO(data), syntax, len(data), event_type)


def written(ds: Dataset, syntax: str, *, undefined: bool = False) -> bytes:
    """Write a data set by another library."""
    for element in ds if undefined else ():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for one in element.value:
                one.is_undefined_length_sequence_item = True
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax == IMPLICIT
    stream.is_little_endian = True
    write_dataset(stream, ds)
    return stream.getvalue()


@given(uid=UIDS, references=REFERENCES, syntax=st.sampled_from(SYNTAXES))
def test_a_request_is_read_as_it_was_written(
    uid: str, references: list[Reference], syntax: str
) -> None:
    request = Request(uid, tuple(references))
    assert request_of(encode_request(request, syntax), syntax) == request


@pytest.mark.slow
@given(uid=UIDS, kept=REFERENCES, lost=REFERENCES, syntax=st.sampled_from(SYNTAXES))
def test_a_verdict_is_read_as_it_was_written(
    uid: str, kept: list[Reference], lost: list[Reference], syntax: str
) -> None:
    failed = dict.fromkeys(lost, 0x0112)
    verdict = Verdict(uid, tuple(one for one in kept if one not in failed), failed)
    assert verdict_of(encode_verdict(verdict, syntax), syntax, verdict.event_type) == verdict


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_a_request_is_read_from_whatever_lengths_another_library_writes(
    syntax: str, undefined: bool
) -> None:
    named = [Reference(CR, "1.2.3.4"), Reference(CR, "1.2.3.40")]
    ds = information("1.2.3", named)
    ds.StorageMediaFileSetID = "SET"
    step = item(Reference("1.2.840.10008.3.1.2.3.3", "1.2.3.9"))
    ds.ReferencedPerformedProcedureStepSequence = [step]  # another sequence of the same elements
    ds.ReferencedSOPSequence[0].ReferencedSOPSequence = [item(Reference("9.9", "9.9.9"))]
    data = written(ds, syntax, undefined=undefined)
    assert request_of(data, syntax) == Request("1.2.3", tuple(named))


def test_a_verdict_is_read_by_another_library_as_it_was_meant() -> None:
    verdict = Verdict("1.2.3", (Reference(CR, "1.2.4"),), {Reference(CR, "1.2.5"): 0x0119})
    data = encode_verdict(verdict, EXPLICIT)
    ds = read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    assert ds.TransactionUID == "1.2.3"
    assert ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.4"
    (failed,) = ds.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.5", 0x0119)


def test_the_event_type_says_whether_failures_exist() -> None:
    one = Reference(CR, "1.2.4")
    assert Verdict("1.2.3", (one,), {}).event_type == 1
    assert Verdict("1.2.3", (), {one: 0x0112}).event_type == 2


def test_what_is_called_both_kept_and_lost_is_lost() -> None:
    ds = information("1.2.3", [Reference(CR, "1.2.4")])
    ds.FailedSOPSequence = [item(Reference(CR, "1.2.4"), 0x0110)]
    verdict = verdict_of(written(ds, IMPLICIT), IMPLICIT, 2)
    assert verdict.committed == ()
    assert verdict.failed == {Reference(CR, "1.2.4"): 0x0110}


@pytest.mark.parametrize("event_type", [None, 0, 3])
def test_there_are_two_types_of_event(event_type: int | None) -> None:
    data = encode_request(new_request([Reference(CR, "1.2.4")]), IMPLICIT)
    with pytest.raises(NoSuchEventError):
        verdict_of(data, IMPLICIT, event_type)


def test_an_instance_that_is_named_twice_is_one() -> None:
    one = Reference(CR, "1.2.4")
    assert request_of(written(information("1.2.3", [one, one]), IMPLICIT), IMPLICIT) == Request(
        "1.2.3", (one,)
    )


def test_requests_about_the_same_instances_are_recognised() -> None:
    one, other = Reference(CR, "1.2.4"), Reference(CR, "1.2.5")
    assert Request("1.2.3", (one, other)).digest == Request("1.2.9", (other, one)).digest
    assert Request("1.2.3", (one,)).digest != Request("1.2.3", (other,)).digest


def test_no_two_requests_have_the_same_transaction_uid() -> None:
    uids = {new_request([]).transaction_uid for _ in range(100)}
    assert len(uids) == 100
    assert all(map(is_uid, uids))


def status_of(data: bytes, syntax: str, event_type: int | None = None) -> int:
    """Return what a peer is told of such information; each UID of what is taken is one."""
    said: Request | Verdict
    try:
        if event_type is None:
            said = request_of(data, syntax)
            named = said.references
        else:
            said = verdict_of(data, syntax, event_type)
            named = (*said.committed, *said.failed)
    except RefusalError as error:
        return error.status
    assert is_uid(said.transaction_uid)
    assert all(is_uid(one.sop_instance_uid) for one in named)
    return 0x0000


STATUSES = (0x0000, 0x0115, 0x0213)


@settings(max_examples=300)
@given(data=st.binary(max_size=300), syntax=st.sampled_from(SYNTAXES))
def test_any_bytes_are_information_or_refused(data: bytes, syntax: str) -> None:
    assert status_of(data, syntax) in STATUSES
    assert status_of(data, syntax, 2) in STATUSES


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data(), syntax=st.sampled_from(SYNTAXES), undefined=st.booleans())
def test_a_request_with_some_bytes_changed_is_information_or_refused(
    data: st.DataObject, syntax: str, undefined: bool
) -> None:
    ds = information("1.2.3", [Reference(CR, "1.2.4"), Reference(CR, "1.2.5")])
    whole = bytearray(written(ds, syntax, undefined=undefined))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert status_of(bytes(whole), syntax) in STATUSES


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_a_request_that_is_cut_anywhere_is_refused(syntax: str, undefined: bool) -> None:
    data = written(information("1.2.3", [Reference(CR, "1.2.4")]), syntax, undefined=undefined)
    for size in range(len(data)):
        with pytest.raises(InvalidArgumentError):
            request_of(data[:size], syntax)


def test_more_instances_than_the_bound_are_refused() -> None:
    one = written(item(Reference(CR, "1.2.4")), IMPLICIT)
    items = (struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one) * (MOST_REFERENCES + 1)
    head = b"\x08\x00\x95\x11\x06\x00\x00\x001.2.3\x00"
    data = head + struct.pack("<HHI", 0x0008, 0x1199, len(items)) + items
    with pytest.raises(ResourceLimitationError):
        request_of(data, IMPLICIT)


def test_sequences_within_sequences_cost_no_recursion() -> None:
    opened = b"\x08\x00\x11\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(InvalidArgumentError, match="nests too deeply"):
        request_of(opened * 20_000, IMPLICIT)
