"""Nested data sets: read within bounds, given back as they came, understood by another library."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from station import EXPLICIT, IMPLICIT
from step_parts import RADIUS, bone, count, step

from listener.attributes import Attribute, read_attributes, sequence, tags, write_attributes
from listener.errors import CannotUnderstandError

SYNTAXES = [EXPLICIT, IMPLICIT]
ITEMS: Any = st.recursive(
    st.dictionaries(
        st.sampled_from([0x00080100, 0x00080104, 0x00741204]),
        st.binary(max_size=8).map(lambda value: Attribute(b"LO", value + b" " * (len(value) % 2))),
        max_size=3,
    ),
    lambda inner: st.dictionaries(
        st.sampled_from([0x0040A043, 0x00741210]),
        st.lists(inner, max_size=3).map(lambda items: sequence(*items)),
        max_size=2,
    ),
    max_leaves=8,
)


def by_pydicom(ds: Dataset, syntax: str, *, undefined: bool = False) -> bytes:
    for element in ds if undefined else ():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax == IMPLICIT, True
    write_dataset(stream, ds)
    return stream.getvalue()


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("out", SYNTAXES)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_step_goes_from_one_syntax_to_the_other_and_says_the_same(
    syntax: str, out: str, undefined: bool
) -> None:
    ds = step("1.2.3", bone(RADIUS), count("3"))
    attributes = read_attributes(by_pydicom(ds, syntax, undefined=undefined), syntax)
    encoded = write_attributes(attributes, out)
    assert read_dataset(io.BytesIO(encoded), out == IMPLICIT, is_little_endian=True) == step(
        "1.2.3", bone(RADIUS), count("3")
    )


@given(ITEMS)
def test_what_is_written_is_read_again(attributes: dict[int, Attribute]) -> None:
    encoded = write_attributes(attributes, EXPLICIT)
    assert write_attributes(read_attributes(encoded, EXPLICIT), EXPLICIT) == encoded


@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_nonsense_is_refused_or_read_and_nothing_else(data: bytes, syntax: str) -> None:
    with suppress(CannotUnderstandError):
        for one in read_attributes(data, syntax).values():
            assert len(one.value) <= len(data)


@given(st.integers(min_value=1, max_value=60), st.sampled_from(SYNTAXES))
def test_a_data_set_that_is_cut_is_refused(length: int, syntax: str) -> None:
    whole = by_pydicom(step("1.2.3", bone(RADIUS)), syntax)
    with pytest.raises(CannotUnderstandError):
        read_attributes(whole[: len(whole) - length], syntax)


def test_a_data_set_that_nests_without_end_is_refused() -> None:
    deep: dict[int, Attribute] = {}
    for _ in range(40):
        deep = {0x0040A043: sequence(deep)}
    with pytest.raises(CannotUnderstandError, match="nests too deeply"):
        read_attributes(write_attributes(deep, EXPLICIT), EXPLICIT)


def test_a_list_of_tags_is_read_without_its_last_half() -> None:
    assert list(tags(b"\x74\x00\x00\x10\x08\x00\x18\x00\x01")) == [0x00741000, 0x00080018]
