from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.canvas import UNITS, Canvas, Ruler
from pipeline.typeface import measured

WHITE = (255, 255, 255)


@pytest.mark.parametrize(
    "draw",
    [
        lambda canvas: canvas.text((20, 5000), "words", 12, WHITE),
        lambda canvas: canvas.box((20, 4980, 60, 5000), WHITE),
        lambda canvas: canvas.box((20, 4980, 60, 5000), WHITE, 1.0, (4.0, 4.0)),
        lambda canvas: canvas.bar((20, 4980, 60, 5000), WHITE),
        lambda canvas: canvas.shape([(20, 5000), (30, 4990), (40, 5000)], WHITE),
        lambda canvas: canvas.disc((20, 5000), 4, WHITE, 1.0),
        lambda canvas: canvas.picture((20, 4990), np.full((10, 10), 255, np.uint8)),
    ],
    ids=["text", "box", "dashes", "bar", "shape", "disc", "picture"],
)
def test_the_sheet_is_as_long_as_what_is_drawn_on_it(draw: Callable[[Canvas], None]) -> None:
    canvas = Canvas(1024)
    canvas.bar((0, 0, 5, 5), WHITE)
    draw(canvas)
    pixels = canvas.pixels(5010)

    assert pixels.shape == (5010, 1024, 3)
    assert pixels[:5, :5].all()
    assert pixels[4970:].any()
    assert not pixels[5:4970].any()


@pytest.mark.parametrize("width", [1024, 1500, 2048])
def test_lines_break_alike_at_every_width(width: int) -> None:
    words = "possible Salter-Harris fracture, healing, moderately displaced, angulated 25 degrees"

    assert Canvas(width).wrapped(words, 137, 12, 4) == Canvas(1024).wrapped(words, 137, 12, 4)
    assert Canvas(width).wrapped(words, 137, 12, 2)[-1].endswith("…")


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_line_is_longer_than_the_width_it_was_given(most: int) -> None:
    words = "Handgelenksverletzung Radiusfrakturverdachtsabklärung distal"
    lines = Canvas(1024).wrapped(words, 80, 12, most)

    assert len(lines) <= most
    assert all(measured(line, 12) <= 80 for line in lines)


def test_the_sheet_has_one_ground_however_long_it_gets() -> None:
    canvas = Canvas(1024, (18, 19, 21))
    canvas.bar((0, 4000, 5, 4001), WHITE)

    assert (canvas.pixels(5000)[4500:] == (18, 19, 21)).all()


def test_dashes_leave_gaps_where_a_line_has_none() -> None:
    def lit(*dash: float) -> int:
        canvas = Canvas(1024)
        canvas.box((100, 100, 200, 200), WHITE, 1.0, dash)
        return int(canvas.pixels(300).any(axis=2).sum())

    assert lit() == 400
    assert 150 < lit(4.0, 4.0) < 250


@pytest.mark.parametrize("anchor", ["ls", "ms", "rs"])
def test_a_text_is_as_long_as_it_is_measured_at_every_width(anchor: str) -> None:
    for width in (1024, 2560):
        canvas = Canvas(width)
        canvas.text((512, 100), "Hauptmuster", 24, WHITE, anchor)
        columns = np.flatnonzero(canvas.pixels(200).any(axis=(0, 2)))
        length = (columns[-1] - columns[0]) * UNITS / width
        start = {"ls": 0.0, "ms": 0.5, "rs": 1.0}[anchor] * measured("Hauptmuster", 24)

        assert length == pytest.approx(measured("Hauptmuster", 24), abs=6)
        assert columns[0] * UNITS / width == pytest.approx(512 - start, abs=5)


def test_a_ruler_draws_nothing() -> None:
    ruler = Ruler()
    ruler.text((20, 50), "words", 12, WHITE)
    ruler.box((20, 20, 60, 60), WHITE)
    ruler.bar((20, 20, 60, 60), WHITE)
    ruler.disc((40, 40), 4, WHITE, 1.0)
    ruler.shape([(20, 60), (30, 20), (40, 60)], WHITE)
    ruler.picture((20, 20), np.full((10, 10), 255, np.uint8))

    assert not ruler.pixels(100).any()


@pytest.mark.parametrize("x", [100.0, 100.25, 100.5, 100.8])
def test_a_shape_lies_where_it_was_put_to_a_part_of_a_pixel(x: float) -> None:
    canvas = Canvas(1024)
    canvas.shape([(x, 100), (x + 20, 100), (x + 20, 120), (x, 120)], WHITE)
    seen = canvas.pixels(200)[..., 0].astype(float)

    assert np.average(np.arange(1024), weights=seen.sum(0)) == pytest.approx(x + 9.5, abs=0.2)
