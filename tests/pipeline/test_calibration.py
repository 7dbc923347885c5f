from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.calibration import Calibration

CALIBRATION = Calibration(
    knots=((0.0, 0.0), (0.5, 20.0), (0.9, 80.0), (1.0, 100.0)), nothing_similar_below=0.5
)


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    cosines = draw(
        st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=2, max_size=8, unique=True)
    )
    indices = draw(
        st.lists(st.floats(0, 100), min_size=len(cosines), max_size=len(cosines)).map(sorted)
    )
    return Calibration(
        knots=tuple(zip(sorted(cosines), indices, strict=True)),
        nothing_similar_below=draw(st.floats(-1, 1)),
    )


@pytest.mark.parametrize(
    ("cosine", "index"),
    [(-1.0, 0.0), (0.0, 0.0), (0.25, 10.0), (0.5, 20.0), (0.7, 50.0), (0.9, 80.0), (1.0, 100.0)],
)
def test_the_index_is_read_off_between_the_knots(cosine: float, index: float) -> None:
    assert CALIBRATION.index(cosine) == pytest.approx(index)


def test_a_cosine_that_rounding_put_beyond_one_is_the_last_knot() -> None:
    assert CALIBRATION.index(1.0000001) == 100.0


@given(calibrations(), st.floats(-1.001, 1.001), st.floats(-1.001, 1.001))
def test_a_higher_cosine_never_gets_a_lower_index(
    calibration: Calibration, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= calibration.index(low) <= calibration.index(high) <= 100.0


def test_similar_begins_at_the_threshold() -> None:
    assert CALIBRATION.similar(0.5)
    assert not CALIBRATION.similar(0.4999)


@pytest.mark.parametrize(
    "knots",
    [
        ((0.0, 0.0),),
        ((0.5, 0.0), (0.5, 100.0)),
        ((0.9, 0.0), (0.1, 100.0)),
        ((0.1, 50.0), (0.9, 40.0)),
        ((-1.5, 0.0), (1.0, 100.0)),
        ((0.0, 0.0), (1.0, 101.0)),
        ((0.0, 0.0), (float("nan"), 100.0)),
    ],
)
def test_knots_that_are_too_few_or_not_monotone_or_out_of_range_are_refused(
    knots: tuple[tuple[float, float], ...],
) -> None:
    with pytest.raises(ValidationError):
        Calibration(knots=knots, nothing_similar_below=0.0)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing_similiar"):
        Calibration.model_validate(
            {"knots": [[0, 0], [1, 100]], "nothing_similar_below": 0, "nothing_similiar": 1}
        )


def test_it_reads_back_what_a_manifest_holds() -> None:
    assert Calibration.model_validate(CALIBRATION.model_dump(mode="json")) == CALIBRATION
