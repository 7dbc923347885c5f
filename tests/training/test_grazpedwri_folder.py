from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from deploy.settings import SHIPPED_BUNDLE  # noqa: E402
from pipeline.region import Region, View  # noqa: E402
from training.exam_import import import_exams  # noqa: E402
from training.exam_picture import exam_picture  # noqa: E402
from training.exam_table import ExamTable, Split  # noqa: E402
from training.grazpedwri_folder import GrazpedwriExams, pa_rows  # noqa: E402
from training.settings import TrainingSettings  # noqa: E402
from training.split import PatientSplit  # noqa: E402

PREPROCESSING = TrainingSettings().preprocessing
HEADER = (
    "filestem,patient_id,study_number,timehash,gender,age,laterality,projection,initial_exam,"
    "ao_classification,cast,diagnosis_uncertain,osteopenia,fracture_visible,metal,pixel_spacing,"
    "device_manufacturer\n"
)
BOXES = "0 0.5 0.5 0.8 0.9\n1 0.4 0.6 0.3 0.3\n2 0.7 0.6 0.2 0.3\n3 0.75 0.45 0.1 0.1\n"


def line(stem="9001_a", patient=9001, projection=1, ao="23r-M/2.1; 23u-E/7", cast=1):
    return f"{stem},{patient},1,5,F,9.5,R,{projection},1,{ao},{cast},,,1,,0.144,Siemens\n"


@pytest.fixture
def published(tmp_path):
    """A made-up copy of the published layout: one PA wrist with the annotators' boxes."""
    folder = tmp_path / "GRAZPEDWRI-DX"
    for part in ("images_part1", "labels", "boxes"):
        (folder / part).mkdir(parents=True)
    (folder / "dataset.csv").write_text(f"\ufeff{HEADER}{line()}", encoding="utf-8")
    wrist = np.linspace(0, 60_000, 300 * 200).reshape(300, 200).astype(np.uint16)
    cv2.imwrite(str(folder / "images_part1" / "9001_a.png"), wrist)
    (folder / "labels" / "9001_a.txt").write_text("3 0.4 0.6 0.1 0.1\n7 0.5 0.5 0.5 0.5\n")
    (folder / "boxes" / "9001_a.txt").write_text(BOXES)
    return folder


def taken_in(folder, **changes):
    table = folder.parent / "table"
    given = {"boxes": folder / "boxes", **changes}
    work = GrazpedwriExams(folder, table, PREPROCESSING, PatientSplit(0, 0), **given)
    rows, skipped = pa_rows(folder)
    made = import_exams(table, PREPROCESSING.size, map(work, rows), len(rows), skipped=skipped)
    return ExamTable.open(table), made.skipped


def test_a_row_becomes_an_exam_with_its_codes_as_findings_and_captions(published):
    table, skipped = taken_in(published)
    (row,), (pair,) = table.rows, table
    assert skipped == ()
    assert (row.exam, row.patient, row.study) == ("9001_a", "9001", "9001-1")
    assert (row.view, row.laterality, row.age_years, row.sex) == (View.PA, "right", 9.5, "F")
    assert row.report is None
    assert row.findings[Region.DISTAL_RADIUS].type == "buckle"
    assert row.findings[Region.DISTAL_ULNA].fracture == "absent"
    assert row.other == ("cast_or_splint", "soft_tissue_swelling")
    assert row.captions["ulnar_styloid"] == (
        "Ulnar styloid region showing avulsion fracture in the ulnar styloid."
    )
    assert row.boxes["wrist"] == pytest.approx((20, 15, 180, 285))
    assert row.fractures == (pytest.approx((70, 165, 90, 195)),)
    assert set(pair.crops) == {"global", "distal_radius", "distal_ulna", "ulnar_styloid"}


def test_the_image_stays_where_it_is_and_is_found_from_the_table(published):
    table, _ = taken_in(published)
    picture = exam_picture(published.parent / "table", table.rows[0])
    assert picture.shape == (300, 200)
    assert picture.max() == pytest.approx(60_000 / 65_535, abs=1e-4)


def broken_image(folder):
    whole = (folder / "images_part1" / "9001_a.png").read_bytes()
    (folder / "images_part1" / "9001_b.png").write_bytes(whole[:200])


def broken_boxes(folder):
    shutil.copy(folder / "images_part1/9001_a.png", folder / "images_part1/9001_b.png")
    (folder / "boxes" / "9001_b.txt").write_text("0 0.5\n")


def no_boxes(folder):
    shutil.copy(folder / "images_part1/9001_a.png", folder / "images_part1/9001_b.png")


def unknown_mark(folder):
    no_boxes(folder)
    (folder / "labels" / "9001_b.txt").write_text("9 0.5 0.5 0.1 0.1\n")
    shutil.copy(folder / "boxes/9001_a.txt", folder / "boxes/9001_b.txt")


def unnamed_fracture(folder):
    no_boxes(folder)
    (folder / "labels" / "9001_b.txt").write_text("3 0.5 0.5 0.1 0.1\n")
    shutil.copy(folder / "boxes/9001_a.txt", folder / "boxes/9001_b.txt")


@pytest.mark.parametrize(
    ("added", "spoil", "name", "reason"),
    [
        (line("9001_b"), None, "9001_b", "missing"),
        (line("9001_b"), broken_image, "9001_b", "cannot be read"),
        (line("9001_b"), broken_boxes, "9001_b", "no YOLO box"),
        (line("9001_b"), no_boxes, "9001_b", "nobody has drawn"),
        (line("9001_b"), unknown_mark, "9001_b", "annotations"),
        (line("9001_b", ao=""), unnamed_fracture, "9001_b", "does not name"),
        (line("9001_b", ao="31-M/3.1"), no_boxes, "9001_b", "neither of forearm nor hand"),
        (line("9001_b", projection=2), None, "line 3", "lateral"),
        (line("9001_b", projection=7), None, "line 3", "projection"),
        ("9001_b,9001\n", None, "line 3", "study_number"),
    ],
)
def test_what_is_malformed_is_named_with_its_reason_and_the_rest_goes_on(
    published, added, spoil, name, reason
):
    with (published / "dataset.csv").open("a", encoding="utf-8") as stream:
        stream.write(added)
    if spoil:
        spoil(published)
    table, (skipped,) = taken_in(published)
    assert [row.exam for row in table.rows] == ["9001_a"]
    assert skipped.name == name
    assert reason in skipped.reason


def test_patients_on_the_list_are_for_testing(published):
    work = GrazpedwriExams(
        published,
        published.parent / "table",
        PREPROCESSING,
        PatientSplit(0, 0, fixed={"9001": Split.TEST}),
        boxes=published / "boxes",
    )
    (row,), _ = pa_rows(published)
    assert work(row).exams[0].row.split is Split.TEST


def test_a_bundle_finds_the_bones_where_nobody_has_drawn_them(published):
    shutil.rmtree(published / "boxes")
    table, skipped = taken_in(published, bundle=SHIPPED_BUNDLE)
    # a gradient is no wrist, but the detector was asked
    assert [s.reason for s in skipped] == ["no wrist was found in the image"] or table.rows[0].boxes
