from __future__ import annotations

import numpy as np
import pytest
from made_up_exams import NAMES, random_unit, row, unit

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from training.probing import LinearProbe  # noqa: E402


def part(count, seed, telling=True):
    generator = np.random.default_rng(seed)
    broken = generator.random(count) < 0.5
    rows = [row(seed * 1000 + n, "buckle" if b else None) for n, b in enumerate(broken)]
    noise = generator.normal(size=(count, 512))
    noise[:, 0] += 20 * (broken - 0.5) * telling
    return rows, dict.fromkeys(NAMES, unit(noise))


def test_a_direction_that_tells_fractures_is_found():
    probe = LinearProbe.of("global", part(300, 1), part(60, 2), part(100, 3), 200)
    assert probe.area_under_roc.value > 0.95
    assert probe.average_precision.value > 0.95
    assert probe.f1.value > 0.9
    assert (probe.fitted_on, probe.queries) == (300, 100)


def test_vectors_that_tell_nothing_give_chance():
    parts = (part(300, n, telling=False) for n in (4, 5, 6))
    probe = LinearProbe.of("ulnar_styloid", *parts, 200)
    assert probe.area_under_roc.low < 0.5 < probe.area_under_roc.high


def test_an_exam_without_the_bone_or_without_findings_takes_no_part():
    rows, vectors = part(50, 7)
    rows[0] = row(0, findings={})
    bones = {**vectors, "distal_ulna": vectors["distal_ulna"].copy()}
    bones["distal_ulna"][1] = np.nan
    probe = LinearProbe.of("distal_ulna", part(100, 8), part(30, 9), (rows, bones), 20)
    assert probe.queries == 48


def test_one_state_alone_teaches_nothing():
    whole = [row(n) for n in range(20)], dict.fromkeys(NAMES, random_unit(20, 1))
    assert LinearProbe.of("global", whole, part(30, 2), part(30, 3)) is None
