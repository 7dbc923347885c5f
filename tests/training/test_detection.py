from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

metrics = pytest.importorskip("ultralytics.utils.metrics", reason="needs the training extra")

from pipeline.anatomy import Anatomy, Box  # noqa: E402
from pipeline.region import Region, View  # noqa: E402
from training.dataset import BOX_NAMES, Picture  # noqa: E402
from training.detection import OVERALL, Detection, box_precision  # noqa: E402

BOX = (10.0, 10.0, 50.0, 90.0)
AWAY = (60.0, 10.0, 90.0, 90.0)


def pictures(count):
    drawn = dict.fromkeys(BOX_NAMES, BOX)
    return [
        Picture(str(n), np.full((2, 2), n, np.float32), View.PA, 1, drawn) for n in range(count)
    ]


def found(bones=BOX, bone_score=0.9, wrist_score=0.9):
    boxes = {region: Box(region, *bones, bone_score) for region in Region}
    return Anatomy(Box("wrist", *BOX, wrist_score), boxes)


def reported(anatomy):
    """What a detector with a threshold of 0.5 tells of what it scored."""
    if anatomy.wrist is None or anatomy.wrist.score < 0.5:
        return Anatomy(None)
    return Anatomy(anatomy.wrist, {r: b for r, b in anatomy.bones.items() if b.score >= 0.5})


def measured(*answers):
    return Detection.of(
        lambda picture: reported(answers[int(picture.name)]),
        lambda picture: answers[int(picture.name)],
        pictures(len(answers)),
        [str(n) for n in range(len(answers))],
        draws=50,
    )


def test_boxes_in_their_place_are_perfect():
    for row in measured(found(), found()).rows.values():
        figures = (row.precision, row.recall, row.f1, row.average_precision, row.mean_overlap)
        assert [figure.value for figure in figures] == [1, 1, 1, 1, 1]


def test_a_box_off_its_place_is_a_false_one_and_a_missed_one():
    row = measured(found(), found(AWAY)).rows["distal_radius"]
    assert (row.precision.value, row.recall.value, row.f1.value) == (0.5, 0.5, 0.5)


def test_a_box_under_its_threshold_is_a_miss_that_the_average_precision_still_sees():
    row = measured(found(), found(bone_score=0.2)).rows["distal_ulna"]
    assert (row.precision.value, row.recall.value) == (1, 0.5)
    assert row.f1.value == pytest.approx(2 / 3)
    assert row.average_precision.value == 1


def test_without_its_wrist_no_bone_is_reported():
    rows = measured(found(), found(wrist_score=0.1), Anatomy(None)).rows
    assert rows["wrist"].recall.value == pytest.approx(1 / 3)
    assert rows["ulnar_styloid"].recall.value == pytest.approx(1 / 3)
    assert rows[OVERALL].recall.value == pytest.approx(1 / 3)
    assert rows[OVERALL].drawn == 9


def test_the_average_precision_is_that_of_ultralytics():
    generator = np.random.default_rng(1)
    scores, hits = generator.random(40), generator.random(40) < 0.7
    order = np.argsort(-scores)
    recall = np.cumsum(hits[order]) / 40
    precision = np.cumsum(hits[order]) / np.arange(1, 41)
    theirs, _, _ = metrics.compute_ap(recall.tolist(), precision.tolist())
    ours = box_precision(scores, hits, np.ones(40, bool))(np.ones((1, 40)))[0]
    assert ours == pytest.approx(theirs, abs=0.012)  # they integrate, we take the mean of 101
