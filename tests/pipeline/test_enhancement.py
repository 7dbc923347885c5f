from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simple_bundle import simple_bundle

from pipeline.enhancement import enhance, grey, resize, square

PREPROCESSING = simple_bundle().manifest.preprocessing


def ramp(rows=200, columns=300, low=0.0, high=1.0):
    return np.linspace(low, high, rows * columns, dtype=np.float32).reshape(rows, columns)


def test_a_badly_chosen_window_changes_no_grey_value_by_more_than_one_step():
    full, narrow = grey(ramp(), PREPROCESSING), grey(ramp(low=0.4, high=0.5), PREPROCESSING)
    assert np.abs(full.astype(int) - narrow.astype(int)).max() <= 1


def test_a_burned_in_letter_does_not_set_the_scale():
    pixels = ramp(low=0.1, high=0.3)
    marked = pixels.copy()
    marked[:5, :20] = 1.0
    difference = grey(marked, PREPROCESSING)[50:] - grey(pixels, PREPROCESSING)[50:].astype(int)
    assert np.abs(difference).max() <= 3


def test_a_constant_image_becomes_black():
    assert not grey(np.full((40, 40), 0.7, np.float32), PREPROCESSING).any()


def test_enhancement_raises_the_contrast_of_a_faint_edge():
    image = np.full((256, 256), 100, np.uint8)
    image[:, 128:] = 110
    enhanced = enhance(image, PREPROCESSING)
    before = int(image[128, 130]) - int(image[128, 125])
    after = int(enhanced[128, 130]) - int(enhanced[128, 125])
    assert enhanced.dtype == np.uint8
    assert after > before


def test_shrinking_averages_and_growing_keeps_the_range():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    shrunk = resize(board.astype(np.uint8), 32, 32)
    assert shrunk.min() >= 127
    assert shrunk.max() <= 128
    assert resize(np.full((8, 8), 200, np.uint8), 50, 40).shape == (50, 40)


@given(
    rows=st.integers(1, 400),
    columns=st.integers(1, 400),
    size=st.sampled_from([32, 128, 224]),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_a_point_of_the_padded_square_is_found_again_in_the_image(rows, columns, size, x, y):
    padded, place = square(np.full((rows, columns), 9, np.uint8), size)
    assert padded.shape == (size, size)
    there = (x * columns * place.scale_x + place.left, y * rows * place.scale_y + place.top)
    assert place.back(*there) == pytest.approx((x * columns, y * rows), abs=1e-6)
    assert -1e-6 <= there[0] <= size + 1e-6
    assert -1e-6 <= there[1] <= size + 1e-6


def test_padding_is_black_and_the_aspect_ratio_is_kept():
    padded, place = square(np.full((100, 50), 255, np.uint8), 200)
    assert place.scale_x == place.scale_y == 2
    assert not padded[:, :50].any()
    assert not padded[:, 150:].any()
    assert (padded[:, 50:150] == 255).all()
