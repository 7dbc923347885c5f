from __future__ import annotations

import shutil
import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from dicom_files import document  # noqa: E402
from pdf_files import pdf  # noqa: E402
from pydicom import uid  # noqa: E402

from deploy.settings import SHIPPED_BUNDLE  # noqa: E402
from pipeline.anatomy import crops  # noqa: E402
from pipeline.bundle import Bundle  # noqa: E402
from pipeline.decoder import Decoder  # noqa: E402
from pipeline.examination import Examiner  # noqa: E402
from training.exam_import import import_exams  # noqa: E402
from training.exam_picture import exam_picture  # noqa: E402
from training.exam_table import ExamTable, Split  # noqa: E402
from training.hospital_export import HospitalStudies, studies, study_of  # noqa: E402
from training.split import PatientSplit  # noqa: E402

REAL = Path(__file__).parents[1] / "data" / "studies"
KEY = b"a secret of the tests"
BUNDLE = Bundle.load(SHIPPED_BUNDLE)
SIZE = BUNDLE.manifest.preprocessing.size


@pytest.fixture
def export(tmp_path):
    """A folder as a hospital would export it: real studies, names in their paths."""
    folder = tmp_path / "export"
    for number in ("TEST-0006-1", "TEST-0021-1"):
        shutil.copytree(REAL / number, folder / f"Secret^Name {number}")
    return folder


def taken_in(folder, **changes):
    table = folder.parent / "table"
    given = {"split": PatientSplit(key=KEY), **changes}
    work = HospitalStudies(folder, table, SHIPPED_BUNDLE, KEY, **given)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found, skipped = studies(folder, map(study_of, files))
    made = import_exams(table, SIZE, map(work, found), len(found), skipped=skipped)
    return ExamTable.open(table), made.skipped


def first(folder, name):
    return next(folder.glob(f"*/{name}"))


def with_pdf(folder, *lines):
    """Replace the first study's report by a PDF of these lines."""
    report = first(folder, "report.dcm")
    old = pydicom.dcmread(report)
    made = document(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=pdf(lines))
    for name in ("StudyInstanceUID", "PatientID", "PatientName"):
        setattr(made, name, old[name].value)
    made.save_as(report, enforce_file_format=True)
    return old


def test_an_exam_has_picture_report_findings_captions_and_crops(export):
    table, skipped = taken_in(export)
    assert skipped == ()
    assert len(table) == 2
    for row, pair in zip(table.rows, table, strict=True):
        assert row.source == "hospital"
        assert "wrist" in row.boxes
        assert row.report
        assert row.findings
        assert set(pair.crops) <= set(row.captions)
        picture = exam_picture(export.parent / "table", row)
        assert picture.shape[0] >= row.boxes["wrist"][3]


def test_crops_are_those_that_serving_would_cut(export):
    table, _ = taken_in(export)
    with Decoder() as decoder:
        examiner = Examiner(BUNDLE, decoder)
        for image in export.rglob("image-1.dcm"):
            seen = examiner.examine(image)
            wanted = crops(seen.radiograph.pixels, seen.anatomy, BUNDLE.manifest.preprocessing)
            assert any(
                set(pair.crops) == set(wanted)
                and all(np.array_equal(pair.crops[name], wanted[name]) for name in wanted)
                for pair in table
            )


def test_nothing_that_names_a_patient_is_in_the_table(export):
    headers = [pydicom.dcmread(path) for path in export.rglob("*.dcm")]
    taken_in(export)
    secret = {"Secret"}
    for header in headers:
        secret |= {header.PatientID, header.StudyInstanceUID, header.SOPInstanceUID}
        secret |= {header.AccessionNumber, *str(header.PatientName).split("^")}
    folder = export.parent / "table"
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "skipped.csv":
            content = path.read_bytes()
            assert [word for word in secret if word and word.encode() in content] == []
            assert [word for word in secret if word in path.name and word] == []
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        elif path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_report_that_comes_as_pdf_is_read_without_the_patients_name(export):
    name = "Patient: Secret Ahorn"
    old = with_pdf(export, name, "Buckle fracture of the distal radius.")
    header = pydicom.dcmread(first(export, "report.dcm"))
    header.PatientName = "Secret^Ahorn"
    header.save_as(first(export, "report.dcm"))
    table, skipped = taken_in(export)
    assert skipped == ()
    (row,) = [row for row in table.rows if row.report.startswith("Patient:")]
    assert row.report == "Patient: [removed] [removed]\nBuckle fracture of the distal radius."
    assert row.findings["distal_radius"].type == "buckle"
    assert str(old.PatientID) not in row.report


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["Kein Nachweis einer Fraktur am distalen Radius links."], "language"),
        (["The chest is normal."], "says nothing of this wrist"),
    ],
)
def test_a_report_that_tells_nothing_teaches_nothing(export, lines, reason):
    with_pdf(export, *lines)
    table, (skipped,) = taken_in(export)
    assert len(table) == 2
    assert reason in skipped.reason
    silent = [row for row in table.rows if not row.captions]
    assert [row.findings for row in silent] == [{}]
    assert silent[0].report == lines[0]


def test_an_image_without_report_is_kept_without_findings(export):
    first(export, "report.dcm").unlink()
    table, (skipped,) = taken_in(export)
    assert len(table) == 2
    assert "holds no report" in skipped.reason
    assert sum(row.report is None and not row.captions for row in table.rows) == 1


def test_what_cannot_be_used_is_named_with_its_reason_and_the_rest_goes_on(export):
    (export / "notes.txt").write_text("x" * 200)
    image = first(export, "image-1.dcm")
    image.with_name("cut.dcm").write_bytes(image.read_bytes()[:2000])
    shutil.copytree(REAL / "TEST-0007-1", export / "lateral")
    broken = pydicom.dcmread(image)
    broken.SOPInstanceUID = broken.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    broken.Rows = 60_000
    broken.save_as(image.with_name("large.dcm"))
    table, skipped = taken_in(export)
    reasons = {Path(one.name).name: one.reason for one in skipped}
    assert len(table) == 2
    assert set(reasons) >= {"notes.txt", "cut.dcm", "large.dcm", "image-1.dcm"}
    assert "lateral" in reasons["image-1.dcm"]
    assert not any("Secret" in reason for reason in reasons.values())


def test_two_studies_of_one_patient_stand_in_one_split(tmp_path):
    folder = tmp_path / "export"
    for number in ("TEST-0002-1", "TEST-0002-2"):
        shutil.copytree(REAL / number, folder / number)
    table, _ = taken_in(folder, split=PatientSplit(0.5, 0.5, KEY))
    assert len(table) == 2
    assert len({row.patient for row in table.rows}) == 1
    assert len({row.study for row in table.rows}) == 2
    assert len({row.split for row in table.rows} - {Split.TRAIN}) == 1
