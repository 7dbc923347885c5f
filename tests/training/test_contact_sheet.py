from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from training.contact_sheet import contact_sheet, spread  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.exam_import import import_exams  # noqa: E402
from training.exam_table import ExamTable  # noqa: E402
from training.phantom_exams import PhantomExams  # noqa: E402
from training.settings import TrainingSettings  # noqa: E402
from training.split import PatientSplit  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    preprocessing = TrainingSettings().preprocessing
    work = PhantomExams("table3", preprocessing, PatientSplit())
    made = tmp_path_factory.mktemp("phantoms") / "table"
    import_exams(made, preprocessing.size, map(work, range(6)), 6)
    return made


def test_exams_are_taken_from_all_over_the_table(folder):
    table = ExamTable.open(folder)
    names = [row.exam.rsplit("-", 1)[1] for row in spread(table, 3).rows]
    assert names == ["0", "2", "5"]
    assert len(spread(table, 100)) == 6


def test_each_exam_is_drawn_with_boxes_crops_and_captions(folder):
    table = ExamTable.open(folder)
    sheet = contact_sheet(folder, spread(table, 5), width=1024)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (1024, 3)
    # the colours of the four boxes: frames, crops and words
    for colour in ((120, 170, 255), (255, 190, 70), (110, 220, 140), (255, 120, 190)):
        assert (sheet == np.array(colour)).all(axis=-1).sum() > 500
    one = contact_sheet(folder, spread(table, 1), width=1024)
    assert one.shape[0] < sheet.shape[0]


def test_an_empty_table_is_an_empty_sheet(folder):
    assert contact_sheet(folder, ExamTable.open(folder).where(lambda _: False)).max() == 0


def test_a_missing_picture_is_named(folder):
    table = ExamTable.open(folder)
    object.__setattr__(table.rows[0], "image", "pictures/none.png")
    with pytest.raises(DataError, match=r"pictures/none\.png"):
        contact_sheet(folder, table)
