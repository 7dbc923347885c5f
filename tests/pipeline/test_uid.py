from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from pipeline.uid import KeyedUids

KEY = b"a site's secret, 32 bytes long.."
UIDS = KeyedUids(KEY)
PARTS = st.lists(st.text(max_size=70), min_size=1, max_size=4)


@given(PARTS)
def test_the_same_parts_always_give_the_same_valid_uid(parts: list[str]) -> None:
    uid = UIDS.make(*parts)

    assert uid == KeyedUids(KEY).make(*parts)
    assert UID(uid).is_valid
    assert len(uid) <= 64


@given(PARTS)
def test_the_number_is_a_uuid_of_version_8(parts: list[str]) -> None:
    made = uuid.UUID(int=int(UIDS.make(*parts).removeprefix("2.25.")))

    assert made.version == 8
    assert made.variant == uuid.RFC_4122


@given(PARTS)
def test_own_uids_are_recognised_and_those_of_another_site_are_not(parts: list[str]) -> None:
    uid = UIDS.make(*parts)

    assert UIDS.is_own(uid)
    assert not KeyedUids(b"the secret of another hospital..").is_own(uid)


@given(PARTS, st.integers(0, 127))
def test_a_uid_with_one_bit_changed_is_not_own(parts: list[str], bit: int) -> None:
    number = int(UIDS.make(*parts).removeprefix("2.25."))

    assert not UIDS.is_own(f"2.25.{number ^ 1 << bit}")


@given(st.text() | st.from_regex(r"2\.25\.[0-9]{1,60}", fullmatch=True))
def test_nothing_foreign_or_malformed_is_own(text: str) -> None:
    assert not UIDS.is_own(text)


def test_a_leading_zero_or_a_trailing_line_end_is_not_own() -> None:
    number = UIDS.make("x").removeprefix("2.25.")

    assert not UIDS.is_own(f"2.25.0{number}")
    assert not UIDS.is_own(f"2.25.{number}\n")
    assert not UIDS.is_own(f"2.25.{int(number) + 2**128}")


def test_the_border_between_parts_counts() -> None:
    assert UIDS.make("ab", "c") != UIDS.make("a", "bc")
    assert UIDS.make("ab") != UIDS.make("ab", "")


@given(PARTS)
def test_a_name_is_stable_short_and_depends_on_the_key(parts: list[str]) -> None:
    name = UIDS.name(*parts)

    assert name == KeyedUids(KEY).name(*parts)
    assert re.fullmatch("[A-Z2-7]{16}", name)
    assert name != KeyedUids(b"the secret of another hospital..").name(*parts)


def test_a_short_key_and_an_empty_list_of_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        KeyedUids(b"short")
    with pytest.raises(ValueError, match="at least one part"):
        UIDS.make()
