"""Where a quote stands in a report."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from pipeline.passage import Section, passages, tidied
from pipeline.quotation import Quotations

TEXT = (
    "INDICATION: ?fracture of the radius\n"
    "FINDINGS: Buckle  fracture of the\nradius. The ulna is intact.\n"
    "IMPRESSION: Buckle fracture."
)


def sections(quote: str) -> set[Section]:
    tidy = tidied(TEXT)
    (found,) = Quotations(tidy, passages(tidy)).each(quote)
    return {passage.section for passage in found}


def test_case_and_white_space_do_not_matter() -> None:
    assert Quotations(TEXT).stand("buckle FRACTURE of the radius")


def test_every_quote_of_the_evidence_has_to_stand() -> None:
    assert Quotations(TEXT).stand("Buckle fracture … the ulna is intact")
    assert not Quotations(TEXT).stand("Buckle fracture … the ulna is broken")


def test_no_quote_stands_nowhere() -> None:
    assert not Quotations(TEXT).stand(" … ")


def test_a_quote_is_found_wherever_it_stands() -> None:
    assert sections("fracture of the radius") == {Section.INDICATION, Section.FINDINGS}
    assert sections("buckle fracture") == {Section.FINDINGS, Section.IMPRESSION}


def test_letters_that_fold_to_two_do_not_shift_the_place() -> None:
    text = "Größe unauffällig. Straße. Fraktur des Radius."
    ((passage,),) = Quotations(text, passages(text)).each("FRAKTUR DES RADIUS")
    assert passage.words.startswith("fraktur")


def test_parts_of_words_stand_nowhere() -> None:
    assert not Quotations(TEXT).stand("uckle fracture")
    assert not Quotations(TEXT).stand("buckle fractur")


WORDS = st.lists(st.text("abcßÄ,;-", min_size=1, max_size=6), min_size=1, max_size=12)


@given(WORDS, st.integers(0, 11), st.integers(1, 5))
def test_whatever_words_are_cut_out_of_a_text_stand_in_it(
    words: list[str], start: int, count: int
) -> None:
    cut = " ".join(words[start : start + count])
    assert Quotations("  ".join(words)).stand(cut) == bool(cut)
