"""Text in pictures: found where it stands, and what is no text is let pass."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from written_pictures import FONTS, Half, Picture, half, line, with_words, written

from pipeline.burned_in_text import has_text, text_lines

GROUND = np.random.default_rng(3).normal(0.1, 0.01, (700, 560)).astype(np.float32)


@cache
def unseen() -> Half:
    """The half on which nothing was chosen."""
    return half("b")


def put(mask: Picture, y: int, x: int, grey: float = 1.0, ground: Picture = GROUND) -> Picture:
    picture = ground.copy()
    part = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    part += (grey - part) * mask
    return picture


def found(picture: Picture) -> bool:
    return bool(text_lines(picture))


# -- the figures of the module's docstring -------------------------------------------------


@pytest.mark.slow
def test_nothing_is_withheld_of_the_unseen_half() -> None:
    pictures = [*unseen().clean, *unseen().drawn]
    assert (len(unseen().clean), len(unseen().drawn)) == (16, 24)
    assert [number for number, picture in enumerate(pictures) if found(picture)] == []


@pytest.mark.slow
def test_nine_in_ten_lines_are_found_in_the_unseen_half() -> None:
    pictures = list(written("b", unseen(), seed=2))
    assert len(pictures) == 112
    assert sum(map(found, pictures)) >= 103


@pytest.mark.slow
def test_words_that_were_left_in_real_pictures_are_found() -> None:
    assert sum(map(found, half("a").labelled)) == 4
    assert sum(map(found, unseen().labelled)) == 1  # the other one's letters are half gone


# -- what it is told by ---------------------------------------------------------------------


@pytest.mark.parametrize("font", [*FONTS["a"], *FONTS["b"]], ids=str)
@pytest.mark.parametrize("corner", [(8, 8), (8, -8), (-8, 8), (-8, -8)])
def test_a_name_in_a_corner_is_found_and_where_it_stands(
    font: int | str, corner: tuple[int, int]
) -> None:
    mask = line("MUSTERMANN ERIKA", 20, font)
    y, x = (at if at > 0 else size + at for at, size in zip(corner, GROUND.shape, strict=True))
    y, x = (at - size if at > 100 else at for at, size in zip((y, x), mask.shape, strict=True))
    (first, *_) = text_lines(put(mask, y, x))
    x0, y0, x1, y1 = first.box
    assert x - 3 <= x0 < x1 <= x + mask.shape[1] + 3
    assert y - 3 <= y0 < y1 <= y + mask.shape[0] + 3
    assert first.glyphs >= 4


@pytest.mark.parametrize("size", [9, 12, 16, 22, 30, 48, 70])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_letters_of_every_size_and_direction_are_found(size: int, turns: int) -> None:
    mask = np.rot90(line("ID 483921", size, FONTS["a"][3]), turns)
    assert found(put(mask, 40, 40))


@pytest.mark.parametrize(("ground", "grey"), [(0.1, 1.0), (0.9, 0.0), (0.5, 0.8), (0.6, 0.3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_light_and_dark_text_is_found_whatever_the_values_are(
    ground: float, grey: float, dtype: type[np.generic]
) -> None:
    picture = put(line("12.08.2011", 20, FONTS["a"][0]), 30, 50, grey, GROUND + (ground - 0.1))
    top = 1.0 if dtype is np.float32 else 250.0 if dtype is np.uint8 else 4095.0
    assert found((picture * top).astype(dtype))


@pytest.mark.parametrize("word", ["L", "R", "PA", "AP", "R PA", "L AP"])
@pytest.mark.parametrize("font", [*FONTS["a"], *FONTS["b"]], ids=str)
def test_a_side_marker_is_none(word: str, font: int | str) -> None:
    assert not found(put(line(word, 34, font), 30, 50))


def test_text_that_a_window_hides_is_found_in_the_stored_values() -> None:
    ramp = np.broadcast_to(np.linspace(0.2, 0.9, 700, dtype=np.float32), (900, 700))
    stored = put(line("DOE JANE 4711", 20, FONTS["a"][0]), 30, 400, ground=ramp)
    shown = np.clip(stored, 0, 0.5)  # whatever is light is white
    assert not has_text(shown)
    assert not has_text(shown, shown * 4095, 0.5 - shown)
    assert has_text(shown, stored)


def test_a_picture_of_one_grey_and_a_tiny_one_carry_none() -> None:
    assert text_lines(np.full((400, 300), 7, np.uint16)) == ()
    assert text_lines(np.zeros((3, 5), np.uint8)) == ()


def test_a_row_of_wires_and_a_mesh_are_no_text() -> None:
    wires = GROUND.copy()
    for number in range(12):
        cv2.line(wires, (100 + 40 * number, 300), (100 + 40 * number, 550), 1.0, 5)
    mesh = GROUND + 0.05 * np.sin(np.arange(560) / 1.5, dtype=np.float32)
    assert not found(wires)
    assert not found(mesh)


def test_what_is_written_in_the_tests_is_written() -> None:
    rng = np.random.default_rng(1)
    picture = with_words(GROUND, rng, FONTS["b"])
    assert picture is not None
    assert float(np.abs(picture - GROUND).max()) > 0.2
