from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from pydicom.filewriter import dcmwrite
from station import EXPLICIT, radiograph

from listener.errors import CannotUnderstandError
from listener.file_meta import FileMeta, read_file_meta, write_file_meta
from listener.header import read_header


@given(
    uid=st.from_regex(r"\A(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){1,8}\Z"),
    title=st.from_regex(r"\A[A-Z][A-Z0-9_]{0,15}\Z"),
)
def test_file_meta_comes_back_as_it_was_written(uid: str, title: str) -> None:
    meta = FileMeta(uid, uid, EXPLICIT, title, title[::-1])
    written = write_file_meta(meta)
    assert written[:128] == bytes(128)
    stream = io.BytesIO(written + b"data set")
    assert read_file_meta(stream) == meta
    assert stream.read() == b"data set"


def test_file_meta_written_by_another_library_is_read() -> None:
    ds = radiograph()
    stream = io.BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    stream.seek(0)
    meta = read_file_meta(stream)
    assert (meta.sop_instance_uid, meta.transfer_syntax) == (ds.SOPInstanceUID, EXPLICIT)
    assert read_header(stream, meta.transfer_syntax).study_uid == ds.StudyInstanceUID


@given(data=st.binary(max_size=300), whole=st.booleans())
def test_any_bytes_are_file_meta_or_a_refusal(data: bytes, whole: bool) -> None:
    start = bytes(128) + b"DICM\x02\0\0\0UL\x04\0" if whole else b""
    try:
        read_file_meta(io.BytesIO(start + data))
    except CannotUnderstandError:
        return
    assert whole
