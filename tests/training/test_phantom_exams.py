from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.region import View  # noqa: E402
from training.exam_import import import_exams  # noqa: E402
from training.exam_picture import exam_picture  # noqa: E402
from training.exam_table import ExamTable  # noqa: E402
from training.phantom_exams import PhantomExams  # noqa: E402
from training.processes import each  # noqa: E402
from training.settings import TrainingSettings  # noqa: E402
from training.split import PatientSplit  # noqa: E402

PREPROCESSING = TrainingSettings().preprocessing
SEEDS = range(12)


def work(**changes):
    given = {"prevalence": "table3", "preprocessing": PREPROCESSING, "split": PatientSplit()}
    return PhantomExams(**{**given, **changes})


def table(folder, processes=1, **changes):
    made = each(work(**changes), SEEDS, processes)
    import_exams(folder, PREPROCESSING.size, made, len(SEEDS))
    return ExamTable.open(folder)


def test_a_table_of_phantoms_holds_whole_exams_and_later_looks(tmp_path):
    made = table(tmp_path / "t")
    assert len(made) == len(SEEDS)
    assert len({row.patient for row in made.rows}) < len(SEEDS)
    for row, pair in zip(made.rows, made, strict=True):
        assert row.source == "phantom"
        assert row.view is View.PA
        assert row.report
        assert set(row.captions) == set(pair.crops) == {"global", *row.boxes} - {"wrist"}
        picture = exam_picture(tmp_path / "t", row)
        x0, y0, x1, y1 = row.boxes["distal_radius"]
        assert 0 <= x0 < x1 <= picture.shape[1]
        assert 0 <= y0 < y1 <= picture.shape[0]


def test_several_processes_make_the_same_table_as_one(tmp_path):
    one, two = table(tmp_path / "one"), table(tmp_path / "two", processes=2)
    assert one.rows == two.rows
    for first, second in zip(one, two, strict=True):
        assert all(np.array_equal(first.crops[name], second.crops[name]) for name in first.crops)


def test_crops_along_the_true_boxes_differ_from_those_of_a_detector(tmp_path):
    jittered, exact = (work(jitter=jitter)(5).exams[0] for jitter in (True, False))
    assert jittered.row == exact.row
    assert not np.array_equal(jittered.crops["distal_radius"], exact.crops["distal_radius"])


def test_prevalences_never_share_a_patient_or_an_exam():
    one, other = (work(prevalence=name)(3).exams[0].row for name in ("table3", "grazpedwri"))
    assert one.exam != other.exam
    assert one.patient != other.patient
