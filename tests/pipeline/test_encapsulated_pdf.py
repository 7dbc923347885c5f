"""A PDF as a DICOM object of the query's study."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from result_parts import CR, NOW, UIDS, as_bytes, header, without

from pipeline.dictionary import dictionary
from pipeline.encapsulated_pdf import encapsulated_pdf
from pipeline.identity import assert_identity
from pipeline.report import is_document
from pipeline.result_language import Language

PDF = b"%PDF-1.4 an odd length."


def wrapped(query: Dataset | None = None, **changes: Any) -> Dataset:
    said: dict[str, Any] = {"uids": UIDS, "result_id": "result-1", "created_at": NOW, **changes}
    return encapsulated_pdf(PDF, query or header(0), **said)


def test_the_document_comes_out_as_it_went_in() -> None:
    read = dcmread(BytesIO(as_bytes(wrapped())))
    assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength] == PDF
    assert len(read.EncapsulatedDocument) % 2 == 0
    assert read.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert_identity(read, header(0))


def test_it_names_the_image_that_it_is_about() -> None:
    (source,) = wrapped().SourceInstanceSequence
    assert source.ReferencedSOPInstanceUID == "1.2.3.0.1.1"


def test_its_title_is_in_the_language_and_its_code_is_the_plugin_s() -> None:
    made = wrapped(words=dictionary(Language.TURKISH))
    assert made.DocumentTitle == "WristMIR benzer önceki el bilekleri"
    (title,) = made.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("WM001", "99WRISTMIR")


def test_what_the_query_s_picture_carries_the_document_carries_too() -> None:
    assert wrapped().BurnedInAnnotation == "NO"
    assert wrapped(header(0, BurnedInAnnotation="YES")).BurnedInAnnotation == "YES"
    assert wrapped(without(header(0, CR), "BurnedInAnnotation")).BurnedInAnnotation == "NO"


def test_it_is_never_read_as_a_report() -> None:
    made = wrapped()
    assert not is_document(made)
    made.ConceptNameCodeSequence[0].CodingSchemeDesignator = "LN"
    assert is_document(made)


def test_the_same_result_built_again_is_the_same_object() -> None:
    assert as_bytes(wrapped()) == as_bytes(wrapped())
