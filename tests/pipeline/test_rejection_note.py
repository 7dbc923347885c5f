"""The note that withdraws library copies: valid, and about nothing but the copies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset
from result_parts import (
    NOW,
    UIDS,
    as_bytes,
    dciodvfy_errors,
    exam,
    header,
    pixelmed_complaints,
    stored_pixels,
)

from pipeline.deidentify import library_copy
from pipeline.rejection_note import REJECTIONS, rejection_note
from pipeline.result_set import referenced_instances


def copies() -> list[Dataset]:
    """Two copies of one study."""
    pixels = stored_pixels()
    others = {"sop_instance_uid": "1.2.3.0.1.2", "series_instance_uid": "1.2.3.0.2"}
    return [library_copy(header(), pixels, one, UIDS) for one in (exam(0), exam(0, **others))]


def note(reason: str = "113001", listed: list[Dataset] | None = None) -> Dataset:
    study = exam(0).study_instance_uid
    return rejection_note(listed or copies(), study, reason, uids=UIDS, at=NOW)


@pytest.mark.peers
@pytest.mark.parametrize("reason", REJECTIONS)
def test_validators_find_no_error(reason: str, tmp_path: Path) -> None:
    assert dciodvfy_errors(note(reason), tmp_path) == []
    assert pixelmed_complaints(note(reason), tmp_path) == []


def test_it_stands_in_the_copies_study_under_their_synthetic_patient() -> None:
    first, second = copies()
    made = note()
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "IssuerOfPatientID"):
        assert made[keyword].value == first[keyword].value == second[keyword].value
    assert referenced_instances(made) == {first.SOPInstanceUID, second.SOPInstanceUID}
    (study,) = made.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    listed = {one.SeriesInstanceUID for one in study.ReferencedSeriesSequence}
    assert listed == {first.SeriesInstanceUID, second.SeriesInstanceUID}


def test_nothing_of_the_source_stands_in_it() -> None:
    content = as_bytes(note())
    source = exam(0)
    for word in (source.study_instance_uid, source.series_instance_uid, header().PatientID):
        assert str(word).encode() not in content


@pytest.mark.parametrize("reason", REJECTIONS)
def test_its_title_is_that_of_the_source_s_rejection(reason: str) -> None:
    (title,) = note(reason).ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == (reason, "DCM")
    assert title.CodeMeaning == REJECTIONS[reason].meaning


def test_made_twice_it_is_the_same_object_and_another_reason_another_one() -> None:
    assert as_bytes(note()) == as_bytes(note())
    assert note("113037").SOPInstanceUID != note().SOPInstanceUID
    assert note(listed=copies()[:1]).SOPInstanceUID != note().SOPInstanceUID


def test_one_that_repeats_another_is_an_object_of_its_own() -> None:
    study, later = exam(0).study_instance_uid, NOW + timedelta(minutes=15)
    repeated = rejection_note(copies(), study, "113001", uids=UIDS, at=later)
    assert repeated.SOPInstanceUID != note().SOPInstanceUID
    assert repeated.SeriesInstanceUID == note().SeriesInstanceUID
