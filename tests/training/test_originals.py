from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from made_up_exams import row
from pydicom.data import get_testdata_file

pytestmark = pytest.mark.training

pytest.importorskip("pyarrow", reason="needs the training extra")

from pipeline.region import View  # noqa: E402
from training.dataset import phantom_picture  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.originals import original  # noqa: E402
from training.phantom import phantom  # noqa: E402


def test_a_phantom_is_drawn_again_as_it_was(tmp_path):
    exam = phantom(5, view=View.PA)
    found = original(row(1, image="phantom:5", boxes=exam.boxes), tmp_path)
    assert np.array_equal(found.pixels, phantom_picture(exam, "").pixels)
    assert found.boxes == exam.boxes


def test_a_picture_beside_the_table_is_read_with_its_grey_values(tmp_path):
    cv2.imwrite(str(tmp_path / "wrist.png"), np.full((30, 20), 51, np.uint8))
    found = original(row(1, image="wrist.png"), tmp_path)
    assert found.pixels.shape == (30, 20)
    assert found.pixels == pytest.approx(0.2)


def test_a_dicom_file_is_read_by_the_plugins_own_decoder(tmp_path):
    shutil.copyfile(get_testdata_file("CT_small.dcm"), tmp_path / "wrist.dcm")
    assert original(row(1, image="wrist.dcm"), tmp_path).pixels.shape == (128, 128)


@pytest.mark.parametrize("name", ["missing.png", "missing.dcm"])
def test_a_picture_that_cannot_be_read_is_refused_without_naming_it(tmp_path, name):
    with pytest.raises(DataError, match="source invented") as refused:
        original(row(1, image=name), tmp_path)
    assert name not in str(refused.value)
