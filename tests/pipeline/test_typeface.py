from __future__ import annotations

from importlib.resources import files

import pytest

from pipeline.dictionary import dictionary
from pipeline.result_language import Language
from pipeline.typeface import letters_missing, measured

ALPHABETS = {
    "German": "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜẞabcdefghijklmnopqrstuvwxyzäöüß„“‚‘–",
    "Spanish": "ÁÉÍÑÓÚÜáéíñóúü¿¡«»ªº",
    "Turkish": "ÇĞIİÖŞÜÂÎÛçğıiöşüâîû’",
    "figures and signs": "0123456789.,;:!?%()[]/+-–—±×°·…<>€'\"#&*=_@",
}


@pytest.mark.parametrize("name", ALPHABETS)
def test_every_letter_of_a_language_is_drawn(name: str) -> None:
    assert not letters_missing(ALPHABETS[name])


@pytest.mark.slow
@pytest.mark.parametrize("language", list(Language))
def test_every_letter_that_results_are_written_in_is_drawn(language: Language) -> None:
    assert not letters_missing("".join(dictionary(language).sentences.values()))


def test_a_letter_that_would_be_an_empty_box_is_named() -> None:
    assert letters_missing("wrist 手首") == {"手", "首"}


@pytest.mark.parametrize("bold", [False, True])
def test_figures_are_equally_wide_so_that_numbers_align(bold: bool) -> None:
    assert len({measured(figure, 12, bold=bold) for figure in "0123456789"}) == 1


def test_the_letters_i_l_and_1_look_different() -> None:
    assert len({measured(letter, 12) for letter in "Il1"}) == 3


def test_the_typeface_comes_with_its_licence() -> None:
    text = (files("pipeline") / "fonts" / "LICENCE.txt").read_text(encoding="utf-8")

    assert "SIL OPEN FONT LICENSE Version 1.1" in text
    assert "Copyright 2015 Google LLC" in text
