from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID
from station import EXPLICIT, SITE_KEY, encoded, radiograph

from listener.header import read_header
from listener.instance import (
    accession_keys,
    file_name,
    keyed_hash,
    patient_keys,
    same_issued,
    same_patient,
    unused_reason,
)


@given(uid=st.text(max_size=80), digest=st.text(max_size=80))
def test_a_file_name_is_a_hash_whatever_the_uid(uid: str, digest: str) -> None:
    name = file_name(
        uid.encode("utf-8", "replace").decode(), digest.encode("utf-8", "replace").decode()
    )
    assert len(name) == 68
    assert set(name[:-4]) <= set("0123456789abcdef")


def test_no_two_receptions_share_a_file_name() -> None:
    assert file_name("1.2", "a") != file_name("1.2", "a")


def test_keyed_hashes_depend_on_the_key_and_on_where_parts_end() -> None:
    assert keyed_hash(b"a", "x") != keyed_hash(b"b", "x")
    assert keyed_hash(b"a", "xy", "z") != keyed_hash(b"a", "x", "yz")


def test_patients_are_the_same_by_id_and_by_issuer_where_both_name_one() -> None:
    def keys(patient: str, issuer: str = "") -> tuple[str, str]:
        ds = radiograph(patient=patient, issuer=issuer)
        return patient_keys(SITE_KEY, read_header(io.BytesIO(encoded(ds, EXPLICIT)), EXPLICIT))

    assert same_patient(keys("1", "A"), keys("1", "A"))
    assert same_patient(keys("1", "A"), keys("1"))
    assert not same_patient(keys("1", "A"), keys("1", "B"))
    assert not same_patient(keys("1", "A"), keys("2", "A"))
    assert not same_patient(keys("1"), keys("2"))


def test_accession_numbers_are_the_same_likewise() -> None:
    def keys(accession: str) -> tuple[str, str] | None:
        ds = radiograph()
        ds.AccessionNumber = accession
        return accession_keys(SITE_KEY, read_header(io.BytesIO(encoded(ds, EXPLICIT)), EXPLICIT))

    one, same, other = keys("A1"), keys("A1"), keys("A2")
    assert one is not None
    assert same is not None
    assert other is not None
    assert same_issued(one, same)
    assert not same_issued(one, other)
    assert keys("") is None


def test_radiographs_and_reports_are_used_and_other_classes_are_not() -> None:
    names = {
        "Computed Radiography Image Storage": True,
        "Digital X-Ray Image Storage - For Presentation": True,
        "Basic Text SR Storage": True,
        "Comprehensive SR Storage": True,
        "Encapsulated PDF Storage": True,
        "Key Object Selection Document Storage": True,
        "Secondary Capture Image Storage": False,
        "CT Image Storage": False,
    }
    from pydicom._uid_dict import UID_dictionary

    for uid, (name, *_) in UID_dictionary.items():
        if name in names:
            assert (unused_reason(UID(uid)) is None) is names.pop(name)
    assert not names
