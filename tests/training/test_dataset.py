from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from pipeline.region import Region, View
from training.dataset import (
    BOX_NAMES,
    held_out_patients,
    jittered,
    other_pictures,
    phantom_pairs,
    phantom_picture,
    real_pictures,
)
from training.errors import DataError
from training.phantom import phantom
from training.settings import TrainingSettings

PREPROCESSING = TrainingSettings().preprocessing
HEADER = "filestem,patient_id,projection\n"


@pytest.fixture
def data(tmp_path):
    """A data folder of two invented wrists, one of them with boxes."""
    for folder, rows in (("graz_tiles", "9001_a,9001,1\n"), ("graz_full", "9002_b,9002,2\n")):
        (tmp_path / folder / "images").mkdir(parents=True)
        (tmp_path / folder / "metadata.csv").write_text(HEADER + rows, encoding="utf-8")
    tile = np.full((80, 60), 51, np.uint8)
    original = np.full((90, 50), 32768, np.uint16)
    cv2.imwrite(str(tmp_path / "graz_tiles" / "images" / "9001_a.png"), tile)
    cv2.imwrite(str(tmp_path / "graz_full" / "images" / "9002_b.png"), original)
    (tmp_path / "boxes").mkdir()
    lines = "0 0.5 0.5 1.0 1.0\n1 0.25 0.5 0.5 0.25\n"
    (tmp_path / "boxes" / "9001_a.txt").write_text(lines, encoding="utf-8")
    return tmp_path


def test_real_wrists_come_with_patient_view_boxes_and_grey_values_of_any_depth(data):
    tile, original = real_pictures(data)
    assert (tile.patient, tile.view, original.patient, original.view) == (
        9001,
        View.PA,
        9002,
        View.LATERAL,
    )
    assert tile.boxes == {"wrist": (0, 0, 60, 80), "distal_radius": (0, 30, 30, 50)}
    assert original.boxes == {}
    assert tile.pixels == pytest.approx(0.2)
    assert original.pixels == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("line", ["7 0.5 0.5 1 1", "0 0.5 0.5 1", "0 a b c d"])
def test_a_malformed_box_file_is_refused_and_named(data, line):
    (data / "boxes" / "9001_a.txt").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=r"9001_a\.txt has a line"):
        real_pictures(data)


def test_a_missing_image_is_refused_and_named(data):
    (data / "graz_full" / "images" / "9002_b.png").unlink()
    with pytest.raises(DataError, match=r"9002_b\.png is missing"):
        real_pictures(data)


def test_an_unknown_projection_is_refused(data):
    (data / "graz_tiles" / "metadata.csv").write_text(HEADER + "9001_a,9001,4\n", encoding="utf-8")
    with pytest.raises(DataError, match="projection is not 1, 2 or 3"):
        real_pictures(data)


def test_a_folder_without_its_table_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"metadata\.csv is missing"):
        real_pictures(tmp_path)


def test_the_patients_left_out_are_numbers_each_once():
    listed = held_out_patients()
    assert len(listed) == 35
    assert {1, 158, 2830, 4010} <= listed


def test_images_of_other_things_are_parted_by_size_into_trained_on_and_held_out(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for name in ("CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm", "rtplan.dcm"):
        shutil.copy(get_testdata_file(name, download=False), folder)
    parts = [other_pictures(tmp_path, held_out=part) for part in (False, True)]
    assert sorted(p.name for part in parts for p in part) == [
        "CT_small",
        "MR_small",
        "examples_rgb_color",
    ]
    sizes = [{p.pixels.shape for p in part} for part in parts]
    assert not sizes[0] & sizes[1]
    assert all(0 <= p.pixels.min() < p.pixels.max() <= 1 for part in parts for p in part)


def test_a_data_folder_without_other_things_has_none(tmp_path):
    assert other_pictures(tmp_path, held_out=True) == ()


def test_a_phantom_is_a_picture_with_the_four_boxes_inside_it():
    picture = phantom_picture(phantom(5, view=View.PA, size=300), "phantom-5")
    rows, columns = picture.pixels.shape
    assert tuple(picture.boxes) == BOX_NAMES
    assert 0 <= picture.pixels.min() < picture.pixels.max() <= 1
    for x0, y0, x1, y1 in picture.boxes.values():
        assert 0 <= x0 < x1 <= columns
        assert 0 <= y0 < y1 <= rows


def test_phantom_pairs_hold_a_crop_and_a_caption_per_bone_and_are_the_same_each_time():
    (pair,) = phantom_pairs([5], PREPROCESSING, jitter=True)
    (again,) = phantom_pairs([5], PREPROCESSING, jitter=True)
    assert set(pair.crops) == {"global", *(region.value for region in Region)}
    assert set(pair.crops) <= set(pair.captions)
    assert all((pair.crops[name] == again.crops[name]).all() for name in pair.crops)
    assert pair.captions["distal_radius"].startswith("Distal radius region showing")


def test_jitter_moves_each_side_by_a_small_share():
    generator = np.random.default_rng(1)
    moved = np.array([jittered((100, 100, 200, 300), generator) for _ in range(400)])
    assert moved.mean(axis=0) == pytest.approx([100, 100, 200, 300], abs=2)
    assert moved.std(axis=0) == pytest.approx([6, 12, 6, 12], rel=0.2)
