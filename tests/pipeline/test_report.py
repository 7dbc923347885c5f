from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from dicom_files import document, hand, image
from pydicom import uid
from pydicom.dataset import Dataset

from pipeline.document import Document
from pipeline.errors import ReportError
from pipeline.report import (
    MAX_CHARACTERS,
    is_document,
    is_report,
    report_of_document,
    report_text,
    told_report,
)


def concept(meaning: str, value: str = "1", scheme: str = "99TEST") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def item(kind: str, name: str, relation: str = "CONTAINS", **values: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = relation, kind
    if name:
        made.ConceptNameCodeSequence = [concept(name)]
    for key, value in values.items():
        setattr(made, key, value)
    return made


def text(name: str, words: str, relation: str = "CONTAINS") -> Dataset:
    return item("TEXT", name, relation, TextValue=words)


def section(name: str, *items: Dataset, relation: str = "CONTAINS") -> Dataset:
    return item("CONTAINER", name, relation, ContentSequence=list(items))


def sr(*items: Dataset, sop_class: str = uid.BasicTextSRStorage, **values: Any) -> Dataset:
    made = document(sop_class, "SR", ValueType="CONTAINER")
    made.ConceptNameCodeSequence = [concept("Radiology Report", "18748-4", "LN")]
    made.ContentSequence = list(items)
    for key, value in values.items():
        setattr(made, key, value)
    return made


def test_headings_are_kept_and_texts_follow_as_they_were_written() -> None:
    found = report_text(
        sr(
            section("Findings", text("Finding", "Buckle fracture.\r\nNo displacement.")),
            section("Impression", text("Impression", "Torus fracture.")),
        )
    )
    assert found.text == (
        "FINDINGS:\nBuckle fracture.\nNo displacement.\n\nIMPRESSION:\nTorus fracture."
    )


def test_texts_right_below_the_root_get_their_own_headings() -> None:
    assert report_text(sr(text("Findings", "Normal."))).text == "FINDINGS:\nNormal."


@pytest.mark.parametrize("relation", ["HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD"])
def test_context_is_skipped_with_everything_below_it(relation: str) -> None:
    found = report_text(
        sr(
            section("Observer", text("Name", "Secret Name"), relation=relation),
            text("Person", "Secret Name", relation),
            section("Findings", text("", "Normal."), text("Person", "Secret Name", relation)),
        )
    )
    assert found.text == "FINDINGS:\nNormal."


def test_names_dates_and_references_are_skipped_wherever_they_stand() -> None:
    found = report_text(
        sr(
            item("PNAME", "Physician", PersonName="Secret^Name"),
            item("DATE", "Date", Date="20200101"),
            item("UIDREF", "Image", UID="1.2.3"),
            text("Findings", "Normal."),
        )
    )
    assert found.text == "FINDINGS:\nNormal."


def test_codes_and_numbers_are_written_out() -> None:
    measured = Dataset()
    measured.NumericValue = "20"
    measured.MeasurementUnitsCodeSequence = [concept("degrees", "deg", "UCUM")]
    found = report_text(
        sr(
            section(
                "Findings",
                item("CODE", "Fracture", ConceptCodeSequence=[concept("Greenstick fracture")]),
                item("NUM", "Angulation", MeasuredValueSequence=[measured]),
            ),
            sop_class=uid.ComprehensiveSRStorage,
        )
    )
    assert found.text == "FINDINGS:\nFracture: Greenstick fracture\nAngulation: 20 deg"


def test_what_a_statement_was_inferred_from_is_kept() -> None:
    code = item("CODE", "Fracture", ConceptCodeSequence=[concept("Buckle")])
    code.ContentSequence = [text("", "Cortical kink.", "INFERRED FROM")]
    assert report_text(sr(section("Findings", code))).text.endswith("Buckle\nCortical kink.")


def test_continuous_content_is_one_sentence() -> None:
    code = item("CODE", "Fracture", ConceptCodeSequence=[concept("buckle fracture")])
    flowing = section(
        "Findings",
        text("", "There is a"),
        code,
        text("Physician", "Secret Name", "HAS OBS CONTEXT"),
        text("", "of the radius."),
    )
    flowing.ContinuityOfContent = "CONTINUOUS"
    assert report_text(sr(flowing)).text == ("FINDINGS:\nThere is a buckle fracture of the radius.")


def test_a_section_without_words_gets_no_heading() -> None:
    assert report_text(sr(section("Findings"), section("History", text("", " ")))).text == ""


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        (uid.BasicTextSRStorage, "basic_text"),
        (uid.EnhancedSRStorage, "enhanced"),
        (uid.ComprehensiveSRStorage, "comprehensive"),
        (uid.Comprehensive3DSRStorage, "comprehensive_3d"),
    ],
)
def test_the_kind_of_document_is_named(sop_class: str, kind: str) -> None:
    assert report_text(sr(text("Findings", "x"), sop_class=sop_class)).kind == kind


def test_flags_are_read() -> None:
    told = report_text(sr(VerificationFlag="VERIFIED", CompletionFlag="COMPLETE"))
    assert (told.verified, told.complete, told.final) == (True, True, True)
    told = report_text(sr(CompletionFlag="COMPLETE", PreliminaryFlag="PRELIMINARY"))
    assert (told.verified, told.complete, told.final) == (False, True, False)


def test_the_time_is_that_of_verification_else_of_writing_in_utc() -> None:
    written = {"ContentDate": "20240131", "ContentTime": "101500.25"}
    assert report_text(sr(**written)).at == datetime(2024, 1, 31, 10, 15, tzinfo=UTC)
    local = sr(**written, TimezoneOffsetFromUTC="+0200")
    assert report_text(local).at == datetime(2024, 1, 31, 8, 15, tzinfo=UTC)
    observer = Dataset()
    observer.VerificationDateTime = "20240201120000-0500"
    verified = sr(**written, VerifyingObserverSequence=[observer])
    assert report_text(verified).at == datetime(2024, 2, 1, 17, 0, tzinfo=UTC)
    assert report_text(sr()).at is None


def test_endless_text_is_cut() -> None:
    assert len(report_text(sr(text("Findings", "word " * 100_000))).text) == MAX_CHARACTERS


def test_control_characters_do_not_get_through() -> None:
    assert report_text(sr(text("", "a\x00b\x1b[31mc\td"))).text == "a b [31mc d"


def test_measurements_of_a_machine_are_no_report() -> None:
    assert is_report(sr())
    measured = sr(sop_class=uid.ComprehensiveSRStorage)
    measured.ConceptNameCodeSequence = [concept("Imaging Measurement Report", "126000", "DCM")]
    assert not is_report(measured)
    assert not is_report(image(hand(), 12))


def test_a_document_is_a_report_by_the_words_of_its_pdf() -> None:
    header = document(uid.EncapsulatedPDFStorage, "DOC", VerificationFlag="VERIFIED")
    header.ContentDate, header.ContentTime = "20240131", "101500"
    assert is_document(header)
    assert not is_report(header)
    found = report_of_document(
        header, Document("Findings: \x00normal. \r\n\n\n\n Impression: none.")
    )
    assert found.text == "Findings: normal.\n\nImpression: none."
    assert (found.kind, found.verified, found.final, found.addendum) == ("pdf", True, True, False)
    assert found.at == datetime(2024, 1, 31, 10, 15, tzinfo=UTC)
    header.DocumentTitle = "Addendum to report"
    assert report_of_document(header, Document("More.")).addendum


def test_a_cda_document_tells_itself_that_it_was_signed_and_that_it_adds() -> None:
    header = document(uid.EncapsulatedCDAStorage, "DOC")
    assert is_document(header)
    plain = report_of_document(header, Document("Normal."))
    assert (plain.kind, plain.verified, plain.addendum) == ("cda", False, False)
    signed = report_of_document(header, Document("More.", addendum=True, authenticated=True))
    assert (signed.verified, signed.addendum) == (True, True)


def test_an_image_has_no_report_text() -> None:
    with pytest.raises(ReportError):
        report_text(image(hand(), 12))


def test_an_addendum_is_known_by_its_title() -> None:
    added = sr(text("Findings", "More."))
    added.ConceptNameCodeSequence = [concept("Addendum Document", "55107-7", "LN")]
    assert report_text(added).addendum


def test_a_report_tells_the_orders_that_it_answers_the_fillers_number_first() -> None:
    one, two, three = Dataset(), Dataset(), Dataset()
    one.FillerOrderNumberImagingServiceRequest = "F1"
    one.PlacerOrderNumberImagingServiceRequest = "P1"
    one.AccessionNumber = two.AccessionNumber = "A1"
    answers = sr(text("Findings", "Normal."))
    answers.AccessionNumber = "A9"  # the study's, whichever order it was made for
    assert report_text(answers).orders == ()
    answers.ReferencedRequestSequence = [one, two, three]
    assert report_text(answers).orders == ("F1", "A1")


def test_words_from_another_road_are_a_report_as_reliable_as_its_status() -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    final = told_report(
        "Left\x07 wrist.\r\n\n\n\nNormal.", "hl7", final=True, addendum=False, at=at
    )
    assert final.text == "Left wrist.\n\nNormal."
    assert (final.kind, final.verified, final.final, final.at) == ("hl7", True, True, at)
    early = told_report("Buckle.", "hl7", final=False, addendum=False, at=at, order="F1")
    assert (early.verified, early.final, early.orders, final.orders) == (False, False, ("F1",), ())
    long = told_report("A" * 60_000, "txt", final=True, addendum=False, at=None)
    assert len(long.text) == MAX_CHARACTERS


def test_what_another_wristmir_made_is_no_report() -> None:
    made = sr(sop_class=uid.ComprehensiveSRStorage)
    made.ConceptNameCodeSequence = [concept("Similar prior wrists", "WM001", "99WRISTMIR")]
    assert not is_report(made)
    header = document(uid.EncapsulatedPDFStorage, "DOC")
    header.ConceptNameCodeSequence = made.ConceptNameCodeSequence
    assert not is_document(header)


def test_what_is_said_of_another_subject_is_left_out() -> None:
    subject = item("CODE", "Subject Class", ConceptCodeSequence=[concept("Fetus")])
    subject.ConceptNameCodeSequence = [concept("Subject Class", "121024", "DCM")]
    subject.RelationshipType = "HAS OBS CONTEXT"
    other = section("Findings", subject, text("", "Fracture of another."))
    found = report_text(sr(other, section("Findings", text("", "Normal."))))
    assert found.text == "FINDINGS:\nNormal."
