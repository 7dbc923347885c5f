from __future__ import annotations

import numpy as np
import pytest
from made_up_exams import NAMES, random_unit, row, unit

pytestmark = pytest.mark.training

from pipeline.calibration import Calibration  # noqa: E402
from pipeline.region import Laterality  # noqa: E402
from training.consistency import CHANCE, Consistency, Likeness  # noqa: E402

LINE = Calibration(knots=((-1.0, 0.0), (1.0, 100.0)), nothing_similar_below=-1.0)


def exams(count, first, seed):
    generator = np.random.default_rng(seed)
    ages = generator.uniform(2, 16, count)
    sides = generator.integers(0, 2, count)
    rows = [
        row(
            first + n,
            age_years=float(ages[n]),
            laterality=list(Laterality)[sides[n]],
            other=("cast_or_splint",) if ages[n] > 9 else (),
            findings={},
        )
        for n in range(count)
    ]
    # age is an angle: near in age is near in cosine
    told = unit(np.stack([np.cos(ages / 6), np.sin(ages / 6)], axis=1))
    return rows, {"global": told, **dict.fromkeys(NAMES[1:], random_unit(count, seed))}


@pytest.fixture(scope="module")
def found():
    calibration = dict.fromkeys(NAMES, LINE)
    return Consistency.of(exams(40, 0, 1), exams(300, 1000, 2), calibration=calibration, draws=200)


def test_a_vector_that_tells_age_brings_exams_of_that_age_and_cast(found):
    age = found.figures[Likeness.AGE]
    assert age["global_only"].value < 0.5
    assert age[CHANCE].value == pytest.approx(14 / 3, rel=0.2)
    assert found.differences[Likeness.AGE]["global_only - chance"].certain
    assert found.differences[Likeness.AGE]["two_stage - region_only"].high < 0
    assert found.figures[Likeness.CAST]["global_only"].value > 0.95


def test_bones_that_tell_nothing_are_at_chance_alone_and_better_behind_the_whole(found):
    age = found.figures[Likeness.AGE]
    assert age["region_only"].value == pytest.approx(age[CHANCE].value, rel=0.1)
    assert age["two_stage"].value < age["region_only"].value
    assert age["fused"].value < age["region_only"].value


def test_nobody_has_metal_and_the_side_is_told_by_nothing(found):
    assert found.known[Likeness.METAL] == 0
    assert found.figures[Likeness.METAL]["two_stage"].value is None
    assert found.figures[Likeness.SIDE]["global_only"].value == pytest.approx(0.5, abs=0.1)


def test_an_age_or_a_side_that_is_not_known_is_left_out():
    rows, vectors = exams(30, 0, 3)
    rows[0] = row(0, age_years=None, laterality=Laterality.UNKNOWN)
    found = Consistency.of((rows, vectors), (rows, vectors), calibration=None, draws=20)
    assert found.known[Likeness.AGE] == found.known[Likeness.SIDE] == 29
    assert "fused" not in found.figures[Likeness.AGE]
