from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

from pipeline.region import View  # noqa: E402
from training.dataset import Picture  # noqa: E402
from training.label_precision import two_drawers  # noqa: E402


def picture(side):
    boxes = {
        "wrist": (10.0, 10.0, 190.0, 190.0),
        "ulnar_styloid": (90.0, 90.0, 90.0 + side, 90.0 + side),
    }
    return Picture("one", np.zeros((200, 200), np.float32), View.PA, 1, boxes)


def test_the_smaller_the_box_the_less_two_drawers_agree():
    found = two_drawers([picture(16)])
    assert found["wrist"].at_half == 1
    assert found["ulnar_styloid"].at_half < 0.9
    assert found["ulnar_styloid"].mean_overlap < found["wrist"].mean_overlap


def test_drawers_without_error_always_agree():
    found = two_drawers([picture(16)], precision=0.0)
    assert found["ulnar_styloid"].mean_overlap == pytest.approx(1)
