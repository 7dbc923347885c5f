from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented_reports import BUCKLE, DISPUTED, tuning_texts

from deploy.marked_text import Evidence, evidence_of, marked
from pipeline.mining import RulesMiner


def pieces_of(text: str):
    return marked(text, evidence_of(RulesMiner().mine(text)))


@pytest.mark.parametrize("text", [BUCKLE, DISPUTED, *tuning_texts(176)])
def test_the_pieces_are_the_text_and_every_evidence_is_marked(text: str) -> None:
    evidence = evidence_of(RulesMiner().mine(text))
    pieces = marked(text, evidence)
    assert "".join(piece.text for piece in pieces) == text
    assert {place for piece in pieces for place in piece.places} == {one.place for one in evidence}


@given(text=st.text(max_size=80), cuts=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80))))
def test_no_character_is_lost_whatever_is_quoted(text: str, cuts: list[tuple[int, int]]) -> None:
    evidence = [
        Evidence("left-distal_radius", "distal_radius", (text[first:last],)) for first, last in cuts
    ]
    assert "".join(piece.text for piece in marked(text, evidence)) == text


def test_what_is_broken_is_told_from_what_is_denied_and_from_what_nobody_used() -> None:
    text = "LEFT WRIST. Buckle fracture of the distal radius. The ulna is intact. Old plate."
    found = {piece.text: piece for piece in pieces_of(text)}
    broken = found["Buckle fracture of the distal radius."]
    assert (broken.subjects, broken.denied) == (("distal_radius",), False)
    assert found["The ulna is intact."].denied
    assert not found["LEFT WRIST. "].places


def test_a_telling_word_without_a_finding_is_shown_but_not_what_was_asked() -> None:
    text = "INDICATION: rule out fracture\nThe growth plate is normal. Fracture"
    assert [piece.text for piece in marked(text, ()) if piece.unused] == ["Fracture"]


def test_quotes_are_found_over_ends_of_lines_and_in_other_capitals() -> None:
    quoted = Evidence("one-distal_radius", "distal_radius", ("buckle FRACTURE of the radius",))
    (_, piece, _) = marked("A buckle  fracture\nof the radius.", [quoted])
    assert piece.text == "buckle  fracture\nof the radius"
