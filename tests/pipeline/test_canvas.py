from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.canvas import Canvas

WHITE = (255, 255, 255)


@pytest.mark.parametrize(
    "draw",
    [
        lambda canvas: canvas.text((20, 5000), "words", 12, WHITE),
        lambda canvas: canvas.box((20, 4980, 60, 5000), WHITE),
        lambda canvas: canvas.bar((20, 4980, 60, 5000), WHITE),
        lambda canvas: canvas.disc((20, 5000), 4, WHITE, 1.0),
        lambda canvas: canvas.picture((20, 4990), np.full((10, 10), 255, np.uint8)),
    ],
    ids=["text", "box", "bar", "disc", "picture"],
)
def test_the_sheet_is_as_long_as_what_is_drawn_on_it(draw: Callable[[Canvas], None]) -> None:
    canvas = Canvas(1024)
    canvas.bar((0, 0, 5, 5), WHITE)
    draw(canvas)
    pixels = canvas.pixels(5010)

    assert pixels.shape == (5010, 1024, 3)
    assert pixels[:6, :6].all()
    assert pixels[4970:].any()
    assert not pixels[6:4970].any()


@pytest.mark.parametrize("width", [1024, 1500, 2048])
def test_lines_break_alike_at_every_width(width: int) -> None:
    words = "possible Salter-Harris fracture, healing, moderately displaced, angulated 25 degrees"

    assert Canvas(width).wrapped(words, 137, 12, 4) == Canvas(1024).wrapped(words, 137, 12, 4)
    assert Canvas(width).wrapped(words, 137, 12, 2)[-1].endswith("...")
