from __future__ import annotations

import base64

import pytest
from cda_files import clinical_document, section
from hypothesis import given
from hypothesis import strategies as st
from pdf_files import pdf

from pipeline.clinical_document import read_clinical_document
from pipeline.errors import DecodeError, DecodeReason

MOST = 50_000


def words(content: bytes) -> str:
    return read_clinical_document(content, MOST).text


def test_sections_are_read_under_their_titles_and_the_header_is_not() -> None:
    content = clinical_document(
        section("Findings", "<paragraph>Buckle fracture of the\n  distal radius.</paragraph>"),
        section("Impression:", "No other fracture."),
    )
    assert words(content) == (
        "FINDINGS:\nBuckle fracture of the distal radius.\n\nIMPRESSION:\nNo other fracture."
    )


def test_lists_tables_and_breaks_end_lines() -> None:
    narrative = (
        "<list><caption>Bones</caption><item>Radius: buckle.</item><item>Ulna: <content "
        'styleCode="Bold">intact</content>.</item></list>'
        "<table><tbody><tr><th>Healing</th><td>acute</td></tr>"
        "<tr><td>one</td><td>two</td><td/><td>three</td></tr></tbody></table>"
        "<paragraph>First.<br/>Second.</paragraph>"
    )
    assert words(clinical_document(section("", narrative))).splitlines() == [
        "Bones",
        "Radius: buckle.",
        "Ulna: intact.",
        "Healing: acute",
        "one, two, three",
        "First.",
        "Second.",
    ]


def test_what_a_revision_deleted_is_not_read() -> None:
    narrative = (
        'A <content revised="delete">displaced <sub>old</sub></content>'
        '<content revised="insert">buckle</content> fracture.'
    )
    assert words(clinical_document(section("", narrative))) == "A buckle fracture."


def test_a_section_within_a_section_keeps_both_titles() -> None:
    inner = f"<component>{section('Right wrist', 'Normal.')}</component>"
    content = clinical_document(section("Findings", "", inner), section("Advice", "None."))
    assert words(content) == "FINDINGS:\n\nRIGHT WRIST:\nNormal.\n\nADVICE:\nNone."


def test_a_title_over_nothing_is_no_section_without_findings() -> None:
    content = clinical_document(section("Findings", " "), section("Impression", "Normal."))
    assert words(content) == "IMPRESSION:\nNormal."


def test_a_section_without_title_is_named_by_its_code() -> None:
    content = clinical_document(section("", "Normal.", kind="Findings"))
    assert words(content) == "FINDINGS:\nNormal."


def test_entries_repeat_the_narrative_and_are_not_read() -> None:
    entry = (
        "<entry><observation><text>A fracture.</text><value>Fracture</value></observation></entry>"
    )
    assert words(clinical_document(section("", "Normal.", entry))) == "Normal."


@pytest.mark.parametrize(("related", "addendum"), [("APND", True), ("RPLC", False), ("", False)])
def test_a_document_that_adds_to_another_says_so(related: str, addendum: bool) -> None:
    content = clinical_document(section("", "Normal."), related=related)
    found = read_clinical_document(content, MOST)
    assert (found.addendum, found.text) == (addendum, "Normal.")


@pytest.mark.parametrize(("code", "signed"), [("S", True), ("X", False), ("", False)])
def test_only_a_signature_authenticates(code: str, signed: bool) -> None:
    content = clinical_document(section("", "Normal."), signed=code)
    assert read_clinical_document(content, MOST).authenticated is signed


def test_a_body_that_is_no_xml_is_read_where_it_is_text_or_pdf() -> None:
    plain = "<nonXMLBody><text mediaType='text/plain'>Buckle &lt; 5°.\nUlna.</text></nonXMLBody>"
    assert words(clinical_document(body=plain)) == "Buckle < 5°.\nUlna."
    packed = base64.b64encode(pdf(["Buckle fracture."])).decode()
    told = "mediaType='application/pdf' representation='B64'"
    body = f"<nonXMLBody><text {told}>{packed}</text></nonXMLBody>"
    assert words(clinical_document(body=body)) == "Buckle fracture."


def test_other_encodings_and_padding_do_no_harm() -> None:
    content = clinical_document(section("Befund", "Kein Gelenkerguß."))
    latin = content.decode().replace("UTF-8", "ISO-8859-1").encode("latin-1")
    assert words(latin + b"\0") == "BEFUND:\nKein Gelenkerguß."
    assert words(content.decode().replace("UTF-8", "UTF-16").encode("utf-16")).startswith("BEFUND")


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>"""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", DecodeReason.DOCUMENT),
        (b"<html><body>A fracture.</body></html>", DecodeReason.DOCUMENT),
        (clinical_document(section("", "Normal."))[:-20], DecodeReason.DOCUMENT),
        (BOMB + b"<ClinicalDocument>&c;</ClinicalDocument>", DecodeReason.DOCUMENT),
        (clinical_document(body="<nonXMLBody><text mediaType='image/png'/></nonXMLBody>"),
         DecodeReason.DOCUMENT),
        (clinical_document(section("", "<a>" * 200 + "</a>" * 200)), DecodeReason.TOO_DEEP),
    ],
    ids=["empty", "html", "torn", "entities", "picture", "deep"],
)  # fmt: skip
def test_what_is_no_such_document_is_refused(content: bytes, reason: DecodeReason) -> None:
    with pytest.raises(DecodeError) as refused:
        words(content)
    assert refused.value.reason is reason


def test_a_file_that_an_entity_names_is_not_opened() -> None:
    content = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>
    <ClinicalDocument><component><structuredBody><component><section><text>&b;</text></section>
    </component></structuredBody></component></ClinicalDocument>"""
    with pytest.raises(DecodeError):
        words(content)


def test_reading_stops_at_the_most() -> None:
    content = clinical_document(section("", "<paragraph>word</paragraph>" * 5_000))
    assert len(read_clinical_document(content, 100).text) == 100


_WHOLE = clinical_document(section("Findings", "<paragraph>Buckle.</paragraph>"), signed="S")


@given(at=st.integers(0, len(_WHOLE)), piece=st.binary(max_size=6), cut=st.integers(0, 10))
def test_a_damaged_document_is_read_or_refused(at: int, piece: bytes, cut: int) -> None:
    try:
        text = words(_WHOLE[:at] + piece + _WHOLE[at + cut :])
    except DecodeError:
        return
    assert "Zoe" not in text
