"""The board as a document: its text is text, in every language, and names no patient."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pypdf import PdfReader
from result_parts import answer, exam, match
from test_match_report import BUNDLE

from pipeline.board_document import board_document
from pipeline.dictionary import dictionary
from pipeline.region import Region
from pipeline.remark import Remark
from pipeline.request import Answer, RegionAnswer
from pipeline.result_language import Language


def board(rows: int = 300, columns: int = 400) -> NDArray[np.uint8]:
    ramp = np.linspace(0, 255, rows * columns * 3)
    return ramp.reshape(rows, columns, 3).astype(np.uint8)


def read(given: Answer, language: Language = Language.ENGLISH, rows: int = 300) -> PdfReader:
    document = board_document(given, board(rows), bundle=BUNDLE, words=dictionary(language))
    return PdfReader(BytesIO(document))


def text_of(given: Answer, language: Language = Language.ENGLISH) -> str:
    pages = read(given, language).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def test_the_board_is_on_the_first_page_and_its_reasons_are_on_the_next() -> None:
    first, second = read(answer()).pages
    assert len(first.images) == 1
    picture = np.asarray(first.images[0].image)
    assert np.array_equal(picture, board())
    assert "The matches in words" in second.extract_text()


def test_every_match_is_told_with_scores_findings_and_reason() -> None:
    text = text_of(answer())
    for words in (
        "#1 Case 1: distal radius similarity 88 of 100, whole wrist similarity 94 of 100.",
        "Findings of this other patient: distal radius: buckle fracture, acute, mildly displaced",
        "Why: among the 100 most similar wrists.",
        "too few left wrists: right wrists were added",
        "No sufficiently similar case.",
        "nothing below is a finding of this patient",
        "Demonstration only, not for clinical use.",
        "The patient may not be a child.",
        "132 prior radiographs were compared.",
        "Not found: ulnar styloid.",
        "2025-03-14 09:26:53 UTC",
        "Page 2",
    ):
        assert words in text, words


@pytest.mark.parametrize("language", list(Language))
def test_its_letters_are_found_by_a_search_in_every_language(language: Language) -> None:
    words = dictionary(language)
    part = RegionAnswer(
        Region.ULNAR_STYLOID,
        (match(1, exam(1, other=("cast_or_splint",)), reasons=(Remark("reason.other_side"),)),),
    )
    text = text_of(answer((part,)), language)
    for key in ("demonstration", "fracture.buckle", "other.cast_or_splint", "reason.other_side"):
        assert words.sentences[key] in text
    assert words.say("document.others") in text
    assert read(answer(), language).root_object["/Lang"] == language.value


def test_signs_of_its_own_markup_are_text() -> None:
    given = answer(warnings=("Younger than <b>19</b> & more",))
    assert "Younger than <b>19</b> & more" in text_of(given)


def test_a_tall_board_is_scaled_to_its_page() -> None:
    first, second = read(answer(), rows=4000).pages
    assert len(first.images) == 1
    assert len(second.images) == 0


def test_many_matches_take_several_pages() -> None:
    priors = [exam(number) for number in range(1, 41)]
    part = RegionAnswer(
        Region.DISTAL_RADIUS, tuple(match(n, prior) for n, prior in enumerate(priors, 1))
    )
    assert len(read(answer((part,))).pages) > 3
    assert "#40 Case 40" in text_of(answer((part,)))


def test_nothing_stands_in_it_that_names_a_patient_a_study_or_a_time_of_its_making() -> None:
    document = board_document(answer(), board(), bundle=BUNDLE)
    read_again = PdfReader(BytesIO(document))
    said = text_of(answer()) + str(read_again.metadata)
    for secret in ("Invented", "PID-", "ACC0", "1.2.3.", "key-", "2015"):
        assert secret not in said


def test_the_same_answer_is_the_same_file() -> None:
    first = board_document(answer(), board(), bundle=BUNDLE)
    again = board_document(answer(), board(), bundle=BUNDLE)
    assert first == again
    assert first.startswith(b"%PDF-1.4")
