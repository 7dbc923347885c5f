"""Results are written in the query's character set where that has the letters, else in UTF-8."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from result_parts import as_bytes, header, without

from pipeline.character_set import fit_character_set, plain
from pipeline.dictionary import dictionary
from pipeline.identity import adopt_identity, assert_identity
from pipeline.result_language import Language

GERMAN, TURKISH = "Größe – Ähnlichkeit", "Şüpheli kırık, ığdır"


def received(name: str = "Invented^Zoë", **changes: str | list[str]) -> Dataset:
    """Return a query as it comes out of a file."""
    return dcmread(BytesIO(as_bytes(header(0, PatientName=name, **changes))))


def result(query: Dataset, words: str, language: Language) -> Dataset:
    """Return a result's patient, and its words, written and read again."""
    item = Dataset()
    item.TextValue = plain(words)
    made = Dataset()
    made.ContentSequence = Sequence([item])
    made.SeriesDescription = plain(words)
    made.file_meta = query.file_meta
    made.SOPClassUID, made.SOPInstanceUID = query.SOPClassUID, query.SOPInstanceUID
    adopt_identity(made, query)
    fit_character_set(made, dictionary(language))
    read = dcmread(BytesIO(as_bytes(made)))
    assert_identity(read, query)
    return read


def words_of(made: Dataset) -> str:
    assert made.SeriesDescription == made.ContentSequence[0].TextValue
    return str(made.SeriesDescription)


def test_german_stays_in_the_queries_latin_set_and_its_name_byte_for_byte() -> None:
    query = received()
    made = result(query, GERMAN, Language.GERMAN)
    assert made.SpecificCharacterSet == "ISO_IR 100"
    assert words_of(made) == "Größe - Ähnlichkeit"
    assert made.PatientName.original_string == query.PatientName.original_string


def test_turkish_letters_need_utf_8_and_the_name_stays_the_same() -> None:
    query = received()
    made = result(query, TURKISH, Language.TURKISH)
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert words_of(made) == TURKISH
    assert made.PatientName == query.PatientName
    assert made.PatientName.original_string == "Invented^Zoë".encode()


def test_turkish_letters_stay_in_the_turkish_set() -> None:
    made = result(
        received("Işık^Ağa", SpecificCharacterSet="ISO_IR 148"), TURKISH, Language.TURKISH
    )
    assert (made.SpecificCharacterSet, words_of(made)) == ("ISO_IR 148", TURKISH)


def test_a_set_with_extensions_is_exchanged_for_utf_8() -> None:
    query = received(
        "Yamada^Tarou=山田^太郎=やまだ^たろう", SpecificCharacterSet=["", "ISO 2022 IR 87"]
    )
    made = result(query, GERMAN, Language.GERMAN)
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert made.PatientName == query.PatientName


def test_an_issuer_deep_in_a_sequence_is_written_anew_too() -> None:
    qualifier = Dataset()
    qualifier.LocalNamespaceEntityID = "Kinderspital Zürich"
    query = received(IssuerOfPatientIDQualifiersSequence=Sequence([qualifier]))  # type: ignore[arg-type]
    made = result(query, TURKISH, Language.TURKISH)
    (issuer,) = made.IssuerOfPatientIDQualifiersSequence
    assert issuer.LocalNamespaceEntityID == "Kinderspital Zürich"


@pytest.mark.parametrize("name", ["ISO_IR 100", "ISO_IR 192"])
def test_english_is_ascii_in_every_set(name: str) -> None:
    made = result(received(SpecificCharacterSet=name), "Möglich ≥ 3 – ja", Language.ENGLISH)
    assert (made.SpecificCharacterSet, words_of(made)) == (name, "Moglich >= 3 - ja")


@pytest.mark.parametrize(
    ("language", "words", "bare"),
    [
        (Language.GERMAN, GERMAN, "Groesse - Aehnlichkeit"),
        (Language.TURKISH, TURKISH, "Supheli kirik, igdir"),
        (Language.SPANISH, "cúbito, niño", "cubito, nino"),
    ],
)
def test_where_a_name_is_not_of_the_set_that_it_claims_the_words_lose_their_accents(
    language: Language, words: str, bare: str
) -> None:
    # bytes of Latin 1 in a file that names no character set: common, and not to be guessed at
    latin = as_bytes(header(0, PatientName="Invented^Zoë"))
    query = without(dcmread(BytesIO(latin)), "SpecificCharacterSet")
    query = dcmread(BytesIO(as_bytes(query)))
    assert b"Zo\xeb" in query.PatientName.original_string
    made = result(query, words, language)
    assert "SpecificCharacterSet" not in made
    assert made.PatientName.original_string == query.PatientName.original_string
    assert words_of(made) == bare


def test_a_query_without_a_set_and_without_accents_may_become_utf_8() -> None:
    query = without(received("Invented^Zoe"), "SpecificCharacterSet")
    made = result(query, TURKISH, Language.TURKISH)
    assert (made.SpecificCharacterSet, words_of(made)) == ("ISO_IR 192", TURKISH)
