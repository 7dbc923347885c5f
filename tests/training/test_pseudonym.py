from __future__ import annotations

import stat

import pytest
from pydicom import Dataset

pytestmark = pytest.mark.training

from training.errors import DataError  # noqa: E402
from training.pseudonym import Pseudonyms, key_in  # noqa: E402

KEY = b"k" * 16


def header(patient="PID-1", study="1.2.3"):
    made = Dataset()
    made.PatientID, made.StudyInstanceUID = patient, study
    return made


def test_pseudonyms_are_stable_tell_things_apart_and_show_nothing():
    names = Pseudonyms(KEY)
    made = [names.patient(header()), names.study("1.2.3"), names.exam("1.2.3")]
    assert len(set(made)) == 3
    assert made == [Pseudonyms(KEY).patient(header()), names.study("1.2.3"), names.exam("1.2.3")]
    assert made[0] == names.patient_of_id("PID-1") == names.patient(header(study="9.9"))
    assert made[0] != Pseudonyms(b"l" * 16).patient(header())
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in made)


def test_a_study_without_patient_is_its_own():
    names = Pseudonyms(KEY)
    assert names.patient(header("", "1.2.3")) != names.patient(header("", "1.2.4"))


def test_a_short_key_is_refused():
    with pytest.raises(DataError, match="16 bytes"):
        Pseudonyms(b"short")


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    path, table = tmp_path / "key", tmp_path / "table"
    key = key_in(path, table)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_in(path, table) == key


def test_a_key_does_not_lie_beside_what_it_protects(tmp_path):
    with pytest.raises(DataError, match="must not lie"):
        key_in(tmp_path / "table" / "key", tmp_path / "table")


def test_a_key_that_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(DataError, match="neither read nor made"):
        key_in(tmp_path / "none" / "key", tmp_path / "table")
