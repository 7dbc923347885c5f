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
    return {passage.section for passage in Quotations(tidy, passages(tidy)).within(quote)}


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
    (passage,) = Quotations(text, passages(text)).within("FRAKTUR DES RADIUS")
    assert passage.words.startswith("fraktur")


@given(st.text(max_size=80), st.integers(0, 80), st.integers(1, 20))
def test_whatever_is_cut_out_of_a_text_stands_in_it(text: str, start: int, length: int) -> None:
    cut = text[start : start + length]
    if cut.strip() and not {"…", "."} & set(cut):
        assert Quotations(text).stand(cut)
