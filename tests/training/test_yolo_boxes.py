from __future__ import annotations

import pytest

pytestmark = pytest.mark.training

from training.errors import DataError  # noqa: E402
from training.yolo_boxes import yolo_boxes  # noqa: E402


def test_boxes_are_corners_in_pixels_cut_at_the_edges(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1 0.25 0.5 0.5 0.25\n\n0 0.9 0.5 0.4 2\n", encoding="utf-8")
    assert yolo_boxes(path, 80, 60, 4) == (
        (1, (0, 30, 30, 50)),
        (0, (pytest.approx(42), 0, 60, 80)),
    )


@pytest.mark.parametrize(
    "line", ["4 0.5 0.5 1 1", "-1 0.5 0.5 1 1", "0 0.5 0.5 1", "0 a b c d", "0 nan 0.5 1 1",
             "0 0.5 0.5 0 1", "0 0.5 0.5 -1 1", "0 2 0.5 0.1 1", "0.5 0.5 0.5 1 1"]
)  # fmt: skip
def test_what_is_no_box_is_refused_and_the_file_named(tmp_path, line):
    path = tmp_path / "a.txt"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.txt has a line"):
        yolo_boxes(path, 80, 60, 4)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        yolo_boxes(tmp_path / "a.txt", 80, 60, 4)
