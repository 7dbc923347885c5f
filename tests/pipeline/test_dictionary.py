"""Every language says everything, with the same values, in letters that the PDF's fonts have."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from pydicom.sr.coding import Code
from reportlab.pdfbase.ttfonts import TTFont

import pipeline
from pipeline import terms
from pipeline.character_set import plain
from pipeline.dictionary import ENGLISH, Dictionary, dictionary
from pipeline.findings import Displacement, FractureType, Healing, Other
from pipeline.region import Laterality, Region, View
from pipeline.request import Mode
from pipeline.result_language import Language
from pipeline.settings import PipelineSettings

LANGUAGES = [dictionary(language) for language in Language]
OTHERS = [one for one in LANGUAGES if one is not ENGLISH]
FOLDER = Path(pipeline.__file__).parent / "languages"


def by_code(words: Dictionary) -> str:
    return words.language.value


def names(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_every_file_is_a_language_and_every_language_has_its_file() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {one.value for one in Language}


@pytest.mark.parametrize("words", OTHERS, ids=by_code)
def test_a_language_has_every_key_of_english_and_no_other(words: Dictionary) -> None:
    assert set(words.sentences) == set(ENGLISH.sentences)


@pytest.mark.parametrize("words", OTHERS, ids=by_code)
def test_a_sentence_names_the_same_values_in_every_language(words: Dictionary) -> None:
    for key, sentence in ENGLISH.sentences.items():
        assert names(words.sentences[key]) == names(sentence), key


@pytest.mark.parametrize("words", LANGUAGES, ids=by_code)
def test_no_sentence_is_empty_or_has_blanks_around_it(words: Dictionary) -> None:
    for key, sentence in words.sentences.items():
        assert sentence, key
        assert sentence == sentence.strip(), key
        assert sentence == plain(sentence), key  # signs that every character set has


@pytest.mark.parametrize("words", OTHERS, ids=by_code)
def test_what_is_translated_is_not_left_in_english(words: Dictionary) -> None:
    same = {
        key
        for key, sentence in words.sentences.items()
        if sentence == ENGLISH.sentences[key] and " " in sentence and not key.startswith("exam.")
    }
    # names that a language shares with English, or that hold nothing but values
    assert same <= {
        "answered_at",
        "bone.distal_radius",
        "bone.distal_ulna",
        "code.WM084",
        "finding.of_bone",
        "report.match",
    }


@pytest.mark.parametrize("words", LANGUAGES, ids=by_code)
def test_every_code_of_findings_and_requests_has_a_name(words: Dictionary) -> None:
    for table, codes in (
        ("bone", Region),
        ("side", Laterality),
        ("side_name", Laterality),
        ("view", View),
        ("fracture", FractureType),
        ("healing", Healing),
        ("displacement", Displacement),
        ("other", Other),
        ("mode", Mode),
    ):
        for code in codes:
            assert f"{table}.{code.value}" in words, code


def test_the_meanings_in_english_are_those_of_the_codes() -> None:
    codes = [one for one in vars(terms).values() if isinstance(one, Code)]
    codes += [*terms.SIMILAR_CASES.values(), *terms.POINTS.values()]
    own = {one.value: one.meaning for one in codes if one.scheme_designator == terms.SCHEME}
    known = {
        key.removeprefix("code."): sentence
        for key, sentence in ENGLISH.sentences.items()
        if key.startswith("code.")
    }
    assert own.items() <= known.items()
    assert {value: known[value] for value in known if not value.startswith("WM")} == {
        one.value: one.meaning for one in codes if one.value in known and one.value not in own
    }


@pytest.mark.parametrize("words", LANGUAGES, ids=by_code)
def test_what_stands_in_a_short_attribute_has_at_most_64_characters(words: Dictionary) -> None:
    for key, sentence in words.sentences.items():
        short = key.startswith("code.") or key.rsplit(".")[-1] in ("series", "title", "layer")
        if short or key == "presentation.description":
            assert len(sentence) <= 64, key


@pytest.mark.parametrize("words", LANGUAGES, ids=by_code)
def test_series_are_told_apart_where_a_viewer_shows_their_first_letters_alone(
    words: Dictionary,
) -> None:
    series = [said for key, said in words.sentences.items() if key.endswith(".series")]
    assert len(series) == 6
    assert len({said[:21] for said in series}) == 6  # as many as OHIF's list has room for


@pytest.mark.parametrize("font", ["NotoSans-Regular.ttf", "NotoSans-Bold.ttf"])
def test_the_fonts_of_the_document_have_every_letter(font: str) -> None:
    known = TTFont(font, str(FOLDER.parent / "fonts" / font)).face.charToGlyph
    for words in LANGUAGES:
        letters = set("".join(words.sentences.values()))
        assert {letter for letter in letters if ord(letter) not in known} == set()


def test_one_and_more_are_chosen_by_the_count() -> None:
    english, spanish = ENGLISH, dictionary(Language.SPANISH)
    assert english.say("report.compared", count=1) == "1 prior radiograph was compared."
    assert english.say("report.compared", count=0) == "0 prior radiographs were compared."
    assert spanish.say("report.compared", count=1) == "Se comparó 1 radiografía previa."


def test_bones_sides_and_numbers_are_said_in_the_language() -> None:
    turkish = dictionary(Language.TURKISH)
    assert "ulnar stiloid" in turkish.say("fallback.bone_missing", bone=Region.ULNAR_STYLOID)
    assert "(sağ)" in turkish.say("fallback.any_side", side=Laterality.RIGHT)
    assert "3 yıl" in turkish.say("wanted.age", count=3.0)
    assert "12,5 derece" in turkish.say("finding.angulation", degrees=12.5)
    assert "1.5 years" in ENGLISH.say("wanted.age", count=1.5)


def test_a_key_that_is_missing_is_an_error_and_an_unknown_code_is_spelt_out() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        ENGLISH.say("nowhere")
    with pytest.raises(KeyError, match="number"):
        ENGLISH.say("case")
    assert ENGLISH.coded("other", "bent_spoon") == "bent spoon"


def test_a_capital_is_the_languages_own() -> None:
    assert dictionary(Language.TURKISH).capital("iyileşmekte") == "İyileşmekte"
    assert dictionary(Language.GERMAN).capital("in Heilung") == "In Heilung"
    assert ENGLISH.capital("") == ""


def test_the_language_is_chosen_in_the_configuration() -> None:
    chosen = PipelineSettings.model_validate({"results": {"language": "tr"}})
    assert chosen.results.language is Language.TURKISH
    with pytest.raises(ValueError, match="language"):
        PipelineSettings.model_validate({"results": {"language": "fr"}})
