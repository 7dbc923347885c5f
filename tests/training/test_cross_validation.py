from __future__ import annotations

import pytest
from data_folder import write_data_folder
from pydantic import TypeAdapter

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.filterwarnings("default")]

pytest.importorskip("ultralytics", reason="needs the training extra")

from deploy.settings import SHIPPED_BUNDLE  # noqa: E402
from pipeline.bundle import Bundle  # noqa: E402
from training.cross_validation import (  # noqa: E402
    CrossValidation,
    Fold,
    cross_validate,
    fold_of,
)
from training.dataset import real_pictures  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.settings import (  # noqa: E402
    DetectorSettings,
    TrainingSettings,
    ViewModelSettings,
)
from training.witness import witness_in  # noqa: E402

PATIENTS = range(90001, 90025)
LATERALS = PATIENTS[:6]
TINY = DetectorSettings(phantoms=2, phantom_epochs=1, copies=1, mixed_phantoms=1, epochs=1, batch=8)
SETTINGS = TrainingSettings(
    threads=1, roi=TINY, bones=TINY, view=ViewModelSettings(phantoms=1, others=4, steps=2, batch=4)
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data_folder(folder, PATIENTS[:-1], PATIENTS[-1:], LATERALS)
    return folder


def test_every_patient_is_measured_once_by_models_that_never_saw_it(data, tmp_path):
    folds = [Fold(data, tmp_path, SETTINGS, number, 2) for number in range(2)]
    measured = [{p.patient for p in fold.held_out} for fold in folds]
    assert measured[0] | measured[1] == set(PATIENTS)
    for fold, patients in zip(folds, measured, strict=True):
        assert patients.isdisjoint(p.patient for p in fold.real)
        assert {fold_of(p, 2) for p in fold.held_out} == {fold.number}


def test_more_folds_than_patients_are_refused(data, tmp_path):
    taken = {fold_of(picture, 500) for picture in real_pictures(data)}
    empty = min(set(range(500)) - taken)
    with pytest.raises(DataError, match="fewer folds"):
        Fold(data, tmp_path, SETTINGS, empty, 500)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def found(data, work):
    return cross_validate(data, work, Bundle.load(SHIPPED_BUNDLE), SETTINGS, folds=2, draws=30)


def test_all_folds_together_make_one_table(found):
    pictures = len(PATIENTS) + len(LATERALS)
    assert (found.folds, found.pictures, found.patients) == (2, pictures, len(PATIENTS))
    assert found.detection.pictures == len(PATIENTS)
    assert found.detection.rows["wrist"].drawn == len(PATIENTS)
    counts = {"pa": len(PATIENTS), "lateral": len(LATERALS)}
    assert (dict(found.view.n), dict(found.witnessed.n)) == (counts, counts)


def test_a_fold_that_is_left_out_is_not_measured(data, work, found):
    left = cross_validate(
        data, work, Bundle.load(SHIPPED_BUNDLE), SETTINGS, folds=2, draws=30, leave_out=[1]
    )
    first = [p for p in real_pictures(data) if fold_of(p, 2) == 0]
    assert (left.folds, left.pictures) == (1, len(first))
    assert 0 < left.pictures < found.pictures


def test_a_bundle_takes_the_witness_from_the_file_that_is_left(found, tmp_path):
    file = tmp_path / "folds.json"
    file.write_bytes(TypeAdapter(CrossValidation).dump_json(found))
    assert witness_in(file).witness == found.witness
    assert witness_in(file).view is None


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    file = tmp_path / "folds.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"folds\.json holds no witness"):
        witness_in(file)
