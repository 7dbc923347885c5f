from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.close_up import CloseUp, grey_window


def width(box: tuple[float, float, float, float]) -> float:
    return box[2] - box[0]


def whole(picture: NDArray[np.float64], margin: float = 0.0) -> NDArray[np.uint8]:
    """Show a picture pixel by pixel, windowed by its middle rows."""
    rows, columns = picture.shape
    box = (0.0, 0.3 * rows, float(columns), 0.7 * rows)
    window = grey_window(picture, box, margin)
    return CloseUp(picture, window, (columns / 2, rows / 2), (1, 1), (columns, rows)).pixels()


def test_a_close_up_shows_equal_lengths_equally_long() -> None:
    picture = np.zeros((100, 100), np.uint8)
    fine = CloseUp(picture, (0, 1), (50, 50), (4.0, 4.0), (80, 60))
    coarse = CloseUp(picture, (0, 1), (50, 50), (8.0, 8.0), (80, 60))

    assert width(fine.shown((50, 50, 60, 60))) == width(coarse.shown((50, 50, 55, 55)))


@pytest.mark.parametrize("scale", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_close_up_puts_a_box_where_the_picture_shows_it(scale: float, mirrored: bool) -> None:
    picture = np.zeros((360, 480), np.float32)
    picture[120:200, 80:160] = 0.9
    size = (round(480 * scale), round(360 * scale))
    view = CloseUp(picture, (0, 1), (150, 170), (scale, scale), size, mirrored)
    x0, y0, x1, y1 = (round(value) for value in view.shown((80, 120, 160, 200)))
    seen = view.pixels()

    assert seen.shape == size[::-1]
    assert seen[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].min() > 150
    assert seen[:, : max(0, x0 - 3)].max(initial=0) < 50
    assert seen[:, x1 + 3 :].max(initial=0) < 50
    assert seen[y1 + 3 :].max(initial=0) < 50


def test_a_picture_at_its_own_scale_is_shown_pixel_by_pixel() -> None:
    picture = np.random.default_rng(3).random((40, 30))
    seen = CloseUp(picture, (0, 1), (15, 20), (1, 1), (30, 40)).pixels()

    assert np.array_equal(seen, (picture.astype(np.float32) * 232).astype(np.uint8))


def test_beyond_the_picture_s_edges_all_is_black() -> None:
    picture = np.full((40, 40), 0.8, np.float32)
    beside = CloseUp(picture, (0, 1), (0, 20), (2, 2), (60, 60)).pixels()
    outside = CloseUp(picture, (0, 1), (500, 500), (2, 2), (60, 60)).pixels()

    assert not beside[:, :28].any()
    assert beside[10:50, 33:].all()
    assert not outside.any()


def test_windowing_makes_two_exposures_alike() -> None:
    ramp = np.linspace(0, 1, 60 * 40).reshape(60, 40)

    assert np.abs(whole(ramp).astype(int) - whole(0.2 + ramp / 3)).max() <= 1
    assert np.abs(whole(ramp).astype(int) - whole(ramp * 4095)).max() <= 1


def test_a_margin_keeps_what_is_brighter_and_darker_than_the_box() -> None:
    ramp = np.linspace(0, 1, 100 * 40).reshape(100, 40)
    bare, wide = whole(ramp), whole(ramp, 0.5)

    assert (bare[:29] == 0).all()
    assert len(np.unique(wide[20:30, 0])) > 5
    assert wide[31:71].min() > 0


def test_the_window_of_a_large_picture_is_that_of_all_its_pixels() -> None:
    picture = np.random.default_rng(3).random((3000, 2000)).astype(np.float32)
    low, high = grey_window(picture, (0.0, 0.0, 2000.0, 3000.0))

    assert abs(low - 0.01) < 0.005
    assert abs(high - 0.98) < 0.005


def test_a_picture_without_contrast_is_shown_all_the_same() -> None:
    assert whole(np.full((30, 30), 0.4)).max() <= 232
