from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.anatomy import Anatomy, Box  # noqa: E402
from pipeline.calibration import Calibration  # noqa: E402
from pipeline.exam import RegionFindings  # noqa: E402
from pipeline.region import Region, View  # noqa: E402
from training.agreement import abstaining, agreement  # noqa: E402
from training.dataset import Pair, Picture  # noqa: E402
from training.quality import (  # noqa: E402
    box_quality,
    intersection_over_union,
    retrieval_quality,
    view_quality,
)

BOX = (10.0, 10.0, 50.0, 90.0)
corners = st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(51, 99)] * 2)


@given(corners, corners)
def test_the_overlap_of_two_boxes_is_symmetric_and_a_share(one, other):
    share = intersection_over_union(one, other)
    assert share == pytest.approx(intersection_over_union(other, one))
    assert 0 <= share <= 1
    assert intersection_over_union(one, one) == pytest.approx(1)


@pytest.mark.parametrize(
    ("other", "share"),
    [((10, 10, 50, 90), 1), ((10, 50, 50, 90), 0.5), ((50, 10, 90, 90), 0), ((60, 10, 70, 90), 0)],
)
def test_known_boxes_overlap_by_known_shares(other, share):
    assert intersection_over_union(BOX, other) == pytest.approx(share)


def test_a_missed_wrist_costs_recall_and_a_box_off_its_place_costs_both():
    pictures = [
        Picture(str(n), np.full((99, 99), n, np.float32), View.PA, 1, {"wrist": BOX})
        for n in range(4)
    ]
    answers = {
        0: Anatomy(Box("wrist", *BOX)),
        1: Anatomy(Box("wrist", 10, 10, 50, 60)),
        2: Anatomy(Box("wrist", 60, 10, 90, 90)),
        3: Anatomy(None),
    }
    detector = SimpleNamespace(locate=lambda pixels: answers[int(pixels[0, 0])])
    quality = box_quality(detector, pictures)["wrist"]
    assert (quality.n, quality.recall) == (4, 0.5)
    assert quality.precision == pytest.approx(2 / 3)


def test_balanced_accuracy_weighs_each_view_that_occurs_alike():
    quality = view_quality([(View.PA, View.PA)] * 8 + [(View.LATERAL, View.PA)] * 2)
    assert quality.n == {"pa": 8, "lateral": 2}
    assert quality.recall == {"pa": 1.0, "lateral": 0.0}
    assert quality.balanced_accuracy == 0.5


@pytest.fixture
def exams():
    """Sixty exams whose bone vectors tell the fracture, and whose global vectors tell nothing."""
    generator = np.random.default_rng(4)
    pairs, bones = [], []
    for n in range(60):
        broken = n % 3 == 0
        found = RegionFindings("present", "buckle") if broken else RegionFindings("absent")
        pairs.append(Pair({}, {}, dict.fromkeys(Region, found)))
        direction = np.zeros(512)
        direction[int(broken)] = 1
        bones.append(direction + generator.normal(0, 0.01, 512))
    vectors = {region.value: unit(np.array(bones)) for region in Region}
    vectors["global"] = unit(generator.normal(size=(60, 512)))
    return pairs, vectors


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_matching_by_a_telling_bone_beats_matching_by_a_mute_whole(exams):
    pairs, vectors = exams
    mute = {name: unit(np.random.default_rng(9).normal(size=(60, 512))) for name in vectors}
    quality = retrieval_quality(pairs, range(60), vectors, mute, candidates=40)
    assert (quality.queries, quality.pool) == (15, 45)
    assert quality.fused is None
    for region in Region:
        assert quality.region_only[region] == 1
        assert quality.two_stage[region] > quality.global_only[region]
        assert 0.2 < quality.untrained[region] < 0.8
        assert 0.2 < quality.chance[region] < 0.8


def test_a_bone_that_was_not_found_is_never_the_nearest(exams):
    pairs, vectors = exams
    vectors["distal_radius"][20:30] = np.nan
    quality = retrieval_quality(pairs, range(60), vectors, vectors, candidates=48)
    assert quality.two_stage["distal_radius"] == 1


def test_the_similarity_index_rises_with_agreement_from_0_to_100(exams):
    pairs, vectors = exams
    calibration = agreement(pairs, range(60), vectors["distal_radius"], "distal_radius")
    assert calibration.index(-1) == 0
    assert calibration.index(1) == 100
    assert calibration.index(0.97) > 80
    assert calibration.index(0.0) < 50
    nearest = vectors["distal_radius"] @ vectors["distal_radius"].T - 2 * np.eye(60)
    share = np.mean(nearest.max(axis=1) >= calibration.nothing_similar_below)
    assert share >= 0.95


def test_the_wrist_as_a_whole_agrees_where_the_same_bones_are_broken(exams):
    pairs, vectors = exams
    calibration = agreement(pairs, range(60), vectors["global"], "global")
    assert 0 < calibration.index(0.0) < 100


def test_an_exam_of_the_querys_patient_is_no_answer(exams):
    pairs, vectors = exams
    # of each query only exams in the other state belong to other patients
    patients = ["even" if n % 3 == 0 else "odd" for n in range(60)]
    quality = retrieval_quality(pairs, patients, vectors, vectors, candidates=60)
    assert set(quality.region_only.values()) == {0.0}


def test_the_abstention_error_is_measured_on_other_exams(exams):
    _, vectors = exams
    bone = vectors["distal_radius"]
    strict = Calibration(knots=((-1, 0), (1, 100)), nothing_similar_below=1.0)
    lax = strict.model_copy(update={"nothing_similar_below": 0.5})
    assert abstaining(strict, range(60), bone).abstention_error == 1
    assert abstaining(lax, range(60), bone).abstention_error == 0
    # their own patient's exams are nobody's answer
    assert abstaining(lax, ["one"] * 60, bone).abstention_error == 1
