from __future__ import annotations

import numpy as np

from pipeline.close_up import CloseUp, windowed


def width(box: tuple[float, float, float, float]) -> float:
    return box[2] - box[0]


def test_a_close_up_shows_equal_lengths_equally_long() -> None:
    picture = np.zeros((100, 100), np.uint8)
    fine = CloseUp(picture, (50, 50), (4.0, 4.0), (80, 60))
    coarse = CloseUp(picture, (50, 50), (8.0, 8.0), (80, 60))

    assert width(fine.shown((50, 50, 60, 60))) == width(coarse.shown((50, 50, 55, 55)))


def test_a_close_up_puts_a_box_where_the_picture_shows_it() -> None:
    picture = np.zeros((90, 120), np.uint8)
    picture[30:50, 20:40] = 200
    for mirrored in (False, True):
        view = CloseUp(picture, (40, 45), (1.5, 1.5), (150, 120), mirrored)
        x0, y0, x1, y1 = (round(value) for value in view.shown((20, 30, 40, 50)))
        seen = view.pixels()

        assert seen[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].min() > 150
        assert seen[:, : max(0, x0 - 3)].max(initial=0) < 50
        assert seen[:, x1 + 3 :].max(initial=0) < 50


def test_windowing_makes_two_exposures_alike() -> None:
    ramp = np.linspace(0, 1, 60 * 40).reshape(60, 40)
    box = (0.0, 0.0, 40.0, 60.0)

    assert np.abs(windowed(ramp, box).astype(int) - windowed(0.2 + ramp / 3, box)).max() <= 1


def test_a_margin_keeps_what_is_brighter_and_darker_than_the_box() -> None:
    ramp = np.linspace(0, 1, 100 * 40).reshape(100, 40)
    box = (0.0, 30.0, 40.0, 70.0)
    bare, wide = windowed(ramp, box), windowed(ramp, box, 0.5)

    assert (bare[:29] == 0).all()
    assert len(np.unique(wide[20:30, 0])) > 5
    assert wide[29:71].min() > 0
