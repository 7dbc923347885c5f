from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cda_files import clinical_document, section
from dicom_files import document, hand, image, note, store, text_report
from pdf_files import pdf
from pydicom import uid
from pydicom.dataset import Dataset

from pipeline.decoder import Decoder
from pipeline.study import Study, read_study

STUDY = "1.2.826.0.1.3680043.8.498.1"
OWN = "2.25.1234"


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        yield running


@pytest.fixture
def read(decoder: Decoder, tmp_path: Path) -> Any:
    def sort(*stored: Dataset | bytes) -> Study:
        paths = []
        for number, one in enumerate(stored):
            path = tmp_path / f"{number}.dcm"
            if isinstance(one, bytes):
                path.write_bytes(one)
            else:
                store(one, path)
            paths.append(path)
        return read_study(STUDY, paths, decoder, lambda sop_uid: sop_uid == OWN)

    return sort


def wrist(**said: Any) -> Dataset:
    return image(hand(), 12, **{"BodyPartExamined": "WRIST", **said})


def report(words: str = "Buckle fracture.", **said: Any) -> Dataset:
    return text_report(words, **said)


def similar_cases() -> Dataset:
    """A report of another site's plugin: its findings are of other patients."""
    made = report("Buckle fracture of the left distal radius.")
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "WM001", "99WRISTMIR", "Title"
    made.ConceptNameCodeSequence = [code]
    return made


def test_images_and_reports_are_told_apart(read: Any) -> None:
    image_, report_ = wrist(), report()
    study = read(image_, report_)
    assert [one.sop_instance_uid for one in study.images] == [image_.SOPInstanceUID]
    assert [one.sop_instance_uid for one in study.reports] == [report_.SOPInstanceUID]
    assert [one.text for one in study.current] == ["Buckle fracture."]
    assert study.left_out == ()


def test_relevance_that_a_reader_returns_is_no_report_of_the_study(read: Any) -> None:
    returned = similar_cases()
    returned.ConceptNameCodeSequence[0].CodeValue = "WM070"
    study = read(wrist(), returned, report())
    assert len(study.images) == len(study.reports) == 1
    assert [one.sop_instance_uid for one in study.relevance] == [returned.SOPInstanceUID]
    assert study.left_out == ()


def test_images_come_in_the_order_of_their_numbers(read: Any) -> None:
    study = read(
        wrist(SeriesNumber=2, InstanceNumber=1),
        wrist(SeriesNumber=1, InstanceNumber=2),
        wrist(SeriesNumber=1, InstanceNumber=1),
    )
    numbers = [(one.header.SeriesNumber, one.header.InstanceNumber) for one in study.images]
    assert numbers == [(1, 1), (1, 2), (2, 1)]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"", "no DICOM Part 10 file"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 100, "cannot be read"),
        (wrist(SOPInstanceUID=OWN), "made by this plugin"),
        (wrist(StudyInstanceUID="1.2.3"), "another study"),
        (wrist(BodyPartExamined="CHEST"), "another part of the body"),
        (wrist(SOPClassUID=uid.SecondaryCaptureImageStorage), "neither a CR nor a DX"),
        (report(" "), "no text"),
        (document(uid.EncapsulatedPDFStorage, "DOC"), "encapsulated document"),
        (document(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=b"no"), "encapsulated"),
        (document(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=pdf([])), "no text"),
        (document(uid.EncapsulatedCDAStorage, "DOC", EncapsulatedDocument=b"<a/>"), "encapsulated"),
        (document(uid.XRayRadiationDoseSRStorage, "SR"), "no radiologist's report"),
        (note("113000", wrist()), "selection of other objects"),
        (similar_cases(), "made by a plugin of this kind"),
    ],
)
def test_what_is_left_out_is_said_and_spoils_nothing_else(
    read: Any, stored: Dataset | bytes, reason: str
) -> None:
    study = read(stored, wrist(), report())
    (left_out,) = study.left_out
    assert reason in left_out.reason
    assert len(study.images) == len(study.reports) == 1


def test_a_pdf_is_a_report_and_a_verified_one_outranks_it(read: Any) -> None:
    words = pdf(["FINDINGS: Buckle fracture", "of the distal radius."])
    document_ = document(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=words)
    study = read(wrist(), document_)
    assert [(one.kind, one.text) for one in study.current] == [
        ("pdf", "FINDINGS: Buckle fracture\nof the distal radius.")
    ]
    both = read(wrist(), document_, report("Normal.", VerificationFlag="VERIFIED"))
    assert [one.text for one in both.current] == ["Normal."]


def test_a_cda_document_is_a_report_and_its_addendum_is_read_with_it(read: Any) -> None:
    first = clinical_document(section("Findings", "Buckle fracture of the distal radius."))
    more = clinical_document(section("", "The ulna is intact."), related="APND")
    study = read(
        wrist(),
        document(uid.EncapsulatedCDAStorage, "DOC", EncapsulatedDocument=more),
        document(uid.EncapsulatedCDAStorage, "DOC", EncapsulatedDocument=first),
    )
    (found,) = study.current
    assert found.kind == "cda"
    assert found.text == (
        "FINDINGS:\nBuckle fracture of the distal radius.\n\nADDENDUM:\nThe ulna is intact."
    )


def test_an_empty_study_is_a_study(read: Any) -> None:
    study = read()
    assert (study.images, study.reports, study.left_out, study.current) == ((), (), (), ())


def test_of_two_versions_of_an_instance_the_later_counts(read: Any) -> None:
    study = read(wrist(SOPInstanceUID="1.2.5", ViewPosition="AP"), wrist(SOPInstanceUID="1.2.5"))
    assert len(study.images) == 1
    assert "ViewPosition" not in study.images[0].header
    assert "later version" in study.left_out[0].reason


def test_a_rejection_note_withdraws_what_it_lists(read: Any) -> None:
    bad, good = wrist(), wrist()
    study = read(bad, good, note("113001", bad))
    assert [one.sop_instance_uid for one in study.images] == [good.SOPInstanceUID]
    reasons = {one.sop_instance_uid: one.reason for one in study.left_out}
    assert "rejection note" in reasons[bad.SOPInstanceUID]


RAW = {
    "SOPClassUID": uid.DigitalXRayImageStorageForProcessing,
    "PresentationIntentType": "FOR PROCESSING",
}


def source(of: Dataset) -> list[Dataset]:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = of.SOPClassUID, of.SOPInstanceUID
    return [item]


def test_the_twin_for_presentation_is_preferred_by_its_source(read: Any) -> None:
    raw = wrist(**RAW)
    shown = wrist(SourceImageSequence=source(raw))
    study = read(raw, shown)
    assert [one.sop_instance_uid for one in study.images] == [shown.SOPInstanceUID]
    assert "twin" in study.left_out[0].reason


@pytest.mark.parametrize(
    "shared",
    [
        {"AcquisitionDate": "20200101", "AcquisitionTime": "101112"},
        {"AcquisitionDateTime": "20200101101112"},
        {"IrradiationEventUID": "1.2.9"},
    ],
)
def test_the_twin_for_presentation_is_preferred_by_its_exposure(
    read: Any, shared: dict[str, str]
) -> None:
    shown = wrist(**shared)
    study = read(wrist(**RAW, **shared), shown)
    assert [one.sop_instance_uid for one in study.images] == [shown.SOPInstanceUID]


def test_an_image_for_processing_without_twin_is_kept(read: Any) -> None:
    exposures = ({"AcquisitionDate": "20200101", "AcquisitionTime": time} for time in ("10", "11"))
    study = read(*(wrist(**RAW, **exposure) for exposure in exposures), wrist())
    assert len(study.images) == 3
    assert study.left_out == ()


def test_no_reason_holds_a_value_of_a_file(read: Any) -> None:
    named = {"PatientName": "Secret^Name", "StudyDescription": "Secret^Name thorax"}
    study = read(
        wrist(**named, BodyPartExamined="CHEST"),
        wrist(**named, StudyInstanceUID="1.2.3"),
        report(" ", **named),
    )
    assert len(study.left_out) == 3
    assert "secret" not in " ".join(one.reason for one in study.left_out).lower()
