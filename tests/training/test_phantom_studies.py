from __future__ import annotations

import io
import re
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest
from peers import peer

from pipeline.region import Laterality, View
from training.phantom import PhantomExam, dicom_study, phantom


def _views(seed: int, *views: View) -> list[PhantomExam]:
    return [phantom(seed, view=view, size=240) for view in views]


def _date(value: str) -> date:
    return date(int(value[:4]), int(value[4:6]), int(value[6:]))


def _read_back(dataset: pydicom.Dataset) -> pydicom.Dataset:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


@pytest.mark.parametrize("modality", ["DX", "CR"])
@pytest.mark.parametrize("inverted", [False, True])
def test_pixels_survive_the_round_trip(modality: str, inverted: bool) -> None:
    (exam,) = _views(4, View.PA)
    image = _read_back(
        dicom_study([exam], modality=modality, monochrome1=inverted)[0]  # type: ignore[arg-type]
    )
    stored = image.pixel_array
    top = (1 << exam.bits) - 1
    assert image.Modality == modality
    assert image.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    assert image.BitsStored == exam.bits
    np.testing.assert_array_equal(top - stored if inverted else stored, exam.pixels)


def test_the_image_says_which_wrist_which_view_and_how_large_a_pixel_is() -> None:
    (exam,) = _views(6, View.PA)
    dx = _read_back(dicom_study([exam], modality="DX")[0])
    cr = _read_back(dicom_study([exam], modality="CR")[0])
    side = "L" if exam.laterality is Laterality.LEFT else "R"
    assert dx.ImageLaterality == side
    assert cr.Laterality == side
    assert dx.ViewPosition == cr.ViewPosition == "PA"
    assert dx.ViewCodeSequence[0].CodeValue == "272479007"
    assert dx.BodyPartExamined == cr.BodyPartExamined == "WRIST"
    assert [float(v) for v in dx.ImagerPixelSpacing] == pytest.approx(exam.spacing_mm)


def test_all_objects_of_a_study_share_patient_and_study() -> None:
    objects = dicom_study(_views(8, View.PA, View.LATERAL), report="basic")
    assert len(objects) == 3
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "StudyDate"):
        assert len({str(o[keyword].value) for o in objects}) == 1
    assert len({o.SOPInstanceUID for o in objects}) == 3


@pytest.mark.parametrize("kind", ["basic", "enhanced"])
def test_the_report_holds_every_word_of_the_dictation_and_refers_to_the_images(kind: str) -> None:
    for seed in range(10):
        exams = _views(seed, View.PA, View.LATERAL)
        *images, report = dicom_study(exams, report=kind)  # type: ignore[arg-type]
        report = _read_back(report)
        texts = [s.ContentSequence[0].TextValue for s in report.ContentSequence[1:]]
        words = re.sub(r"^(INDICATION|FINDINGS|IMPRESSION): ", "", exams[0].report, flags=re.M)
        assert " ".join(texts).split() == words.split()
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        referenced = {r.ReferencedSOPInstanceUID for s in evidence for r in s.ReferencedSOPSequence}
        assert referenced == {i.SOPInstanceUID for i in images}


def test_uids_stand_under_2_25_and_depend_on_the_seed_alone() -> None:
    first = dicom_study(_views(3, View.PA), report="basic")
    again = dicom_study(_views(3, View.PA), report="basic")
    other = dicom_study(_views(4, View.PA), report="basic")
    uids = [o.SOPInstanceUID for o in first]
    assert uids == [o.SOPInstanceUID for o in again]
    assert not set(uids) & {o.SOPInstanceUID for o in other}
    for uid in [*uids, first[0].StudyInstanceUID, first[0].SeriesInstanceUID]:
        assert uid.startswith("2.25.")
        assert uid.is_valid


def test_visits_of_one_patient_share_the_patient_and_not_the_study() -> None:
    first = dicom_study([phantom(1, patient=50, view=View.PA, size=240)])[0]
    later = dicom_study([phantom(2, patient=50, view=View.PA, size=240)])[0]
    assert first.PatientID == later.PatientID
    assert first.PatientName == later.PatientName
    assert first.PatientBirthDate == later.PatientBirthDate
    assert first.StudyInstanceUID != later.StudyInstanceUID


def test_birth_date_and_age_agree() -> None:
    for seed in range(20):
        (exam,) = _views(seed, View.PA)
        image = dicom_study([exam])[0]
        lived = _date(image.StudyDate) - _date(image.PatientBirthDate)
        assert lived.days / 365.25 == pytest.approx(exam.age_years, abs=0.02)
        unit = image.PatientAge[-1]
        assert int(image.PatientAge[:3]) == int(exam.age_years * (1 if unit == "Y" else 12))


def test_exams_of_two_visits_are_refused() -> None:
    with pytest.raises(ValueError, match="one visit"):
        dicom_study([phantom(1, size=240), phantom(2, size=240)])
    with pytest.raises(ValueError, match="one visit"):
        dicom_study([])


def test_what_is_no_wrist_has_no_report() -> None:
    objects = dicom_study(_views(2, View.OTHER))
    assert len(objects) == 1
    assert objects[0].BodyPartExamined != "WRIST"


@pytest.mark.peers
@pytest.mark.parametrize("modality", ["DX", "CR"])
def test_dciodvfy_finds_no_error(modality: str, tmp_path: Path) -> None:
    exams = _views(5, View.PA, View.LATERAL, View.OBLIQUE)
    other = dicom_study(_views(6, View.OTHER), modality=modality)  # type: ignore[arg-type]
    objects = [
        *dicom_study(exams, modality=modality, report="basic"),  # type: ignore[arg-type]
        *dicom_study(exams, modality=modality, report="enhanced"),  # type: ignore[arg-type]
        *other,
    ]
    for number, dataset in enumerate(objects):
        path = tmp_path / f"{number}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        done = subprocess.run(
            [peer("dciodvfy"), str(path)], capture_output=True, text=True, check=False
        )
        assert "Error" not in done.stderr + done.stdout
