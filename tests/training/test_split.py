from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from training.errors import DataError  # noqa: E402
from training.exam_table import Split  # noqa: E402
from training.split import PatientSplit, patients_in  # noqa: E402

names = st.text(min_size=1, max_size=12)
keys = st.binary(min_size=16, max_size=32)
shares = st.floats(0, 0.5)


@given(st.lists(names, unique=True), st.lists(names, unique=True), keys)
def test_more_patients_move_none_of_those_that_were_there(before, later, key):
    split = PatientSplit(0.2, 0.2, key)
    placed = {patient: split.of(patient) for patient in before}
    again = PatientSplit(0.2, 0.2, key)
    for patient in (*later, *before):
        again.of(patient)
    assert {patient: again.of(patient) for patient in before} == placed


@given(names, keys, shares, shares, st.floats(0, 0.2), st.floats(0, 0.2))
def test_growing_shares_take_patients_from_training_only(patient, key, test, other, more, most):
    first = PatientSplit(test * 0.5, other * 0.5, key).of(patient)
    grown = PatientSplit(test * 0.5 + more, other * 0.5 + most, key).of(patient)
    assert first is grown or first is Split.TRAIN


@given(names, keys, st.sampled_from(Split))
def test_a_decree_outranks_the_hash(patient, key, decreed):
    split = PatientSplit(0.3, 0.3, key, {patient: decreed})
    assert split.of(patient) is decreed


def test_each_split_gets_its_share_of_patients():
    split = PatientSplit(0.12, 0.08)
    found = Counter(split.of(str(patient)) for patient in range(20_000))
    assert found[Split.TEST] / 20_000 == pytest.approx(0.12, abs=0.01)
    assert found[Split.VALIDATION] / 20_000 == pytest.approx(0.08, abs=0.01)


def test_another_key_is_another_assignment():
    patients = [str(number) for number in range(200)]
    one, other = PatientSplit(0.5, 0.0, b"1" * 16), PatientSplit(0.5, 0.0, b"2" * 16)
    assert [one.of(p) for p in patients] != [other.of(p) for p in patients]


@pytest.mark.parametrize("given_", [(0.7, 0.4), (-0.1, 0.1), (float("nan"), 0.1)])
def test_shares_that_do_not_fit_are_refused(given_):
    with pytest.raises(DataError, match="shares"):
        PatientSplit(*given_)


def test_a_list_of_patients_is_read_without_its_comments(tmp_path):
    path = tmp_path / "held_out.txt"
    path.write_text("# why\n12\n\n 7 \n", encoding="utf-8")
    assert patients_in(path) == {"12", "7"}
    with pytest.raises(DataError, match=r"none\.txt"):
        patients_in(tmp_path / "none.txt")
