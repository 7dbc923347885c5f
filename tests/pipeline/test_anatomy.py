from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from simple_bundle import simple_bundle

from deploy.settings import SHIPPED_BUNDLE as SHIPPED
from pipeline.anatomy import WRIST, Anatomy, AnatomyDetector, Box, as_left, crops, wrist_crop
from pipeline.bundle import BONES_FILE, Bundle
from pipeline.decoder import Decoder
from pipeline.radiograph import radiograph
from pipeline.region import Laterality, Region

TESTS = Path(__file__).parents[1]

# drawn by eye on originals of held-out patients: x0, y0, x1, y1 as shares of the image
DRAWN = {
    "TEST-0014-1": {
        "wrist": (0.060, 0.080, 0.970, 0.980),
        "distal_radius": (0.380, 0.435, 0.765, 0.830),
    },
    "TEST-0018-1": {
        "wrist": (0.080, 0.030, 0.970, 0.850),
        "distal_radius": (0.455, 0.355, 0.840, 0.630),
    },
    "TEST-0020-1": {
        "wrist": (0.040, 0.040, 0.860, 0.780),
        "distal_radius": (0.255, 0.315, 0.610, 0.570),
    },
}


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load(SHIPPED)


@pytest.fixture(scope="module")
def wrists():
    with Decoder() as decoder:
        return {
            study: radiograph(decoder, TESTS / "data" / "studies" / study / "image-1.dcm").pixels
            for study in DRAWN
        }


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0, width) * max(0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return common / (areas - common)


def with_square(rows, columns, x0, y0, side):
    """An image that is grey but for one bright square."""
    pixels = np.full((rows, columns), 0.3, np.float32)
    pixels[y0 : y0 + side, x0 : x0 + side] = 1.0
    return pixels


@pytest.mark.slow
@pytest.mark.parametrize("study", DRAWN)
def test_the_wrist_and_the_radius_of_a_real_original_are_found(bundle, wrists, study):
    rows, columns = wrists[study].shape
    found = AnatomyDetector(bundle).locate(wrists[study]).boxes
    for name, shares in DRAWN[study].items():
        drawn = np.array(shares) * (columns, rows, columns, rows)
        assert overlap(found[name], drawn) > 0.5, name


@pytest.mark.parametrize("study", DRAWN)
def test_every_box_lies_inside_the_image_the_wrist_first_and_each_name_once(bundle, wrists, study):
    rows, columns = wrists[study].shape
    anatomy = AnatomyDetector(bundle).locate(wrists[study])
    assert next(iter(anatomy.boxes)) == WRIST
    assert set(anatomy.boxes) <= {WRIST, *(region.value for region in Region)}
    for x0, y0, x1, y1 in anatomy.boxes.values():
        assert 0 <= x0 < x1 <= columns
        assert 0 <= y0 < y1 <= rows


def test_an_image_of_twice_the_size_has_its_wrist_at_twice_the_place(bundle, wrists):
    pixels = wrists["TEST-0014-1"]
    double = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    detector = AnatomyDetector(bundle)
    once = np.array(detector.locate(pixels).boxes[WRIST])
    twice = np.array(detector.locate(double).boxes[WRIST])
    assert overlap(tuple(twice / 2), tuple(once)) > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (64, 64), (700, 500)])
def test_an_empty_image_of_any_shape_has_no_wrist_and_no_bones(bundle, shape):
    anatomy = AnatomyDetector(bundle).locate(np.zeros(shape, np.float32))
    assert anatomy == Anatomy(None)
    assert anatomy.boxes == {}


def test_crops_are_squares_for_the_whole_wrist_and_each_bone_found(bundle):
    pixels = with_square(600, 400, 150, 300, 90)
    anatomy = Anatomy(
        Box(WRIST, 40, 60, 360, 560),
        {Region.DISTAL_RADIUS: Box("distal_radius", 150, 300, 240, 390)},
    )
    cut = crops(pixels, anatomy, bundle.manifest.preprocessing)
    assert set(cut) == {"global", "distal_radius"}
    for crop in cut.values():
        assert crop.shape == (224, 224)
        assert crop.dtype == np.uint8


def test_a_bone_fills_its_crop_up_to_the_margin(bundle):
    pixels = with_square(600, 400, 150, 300, 90)
    box = Box("distal_radius", 150, 300, 240, 390)
    anatomy = Anatomy(Box(WRIST, 40, 60, 360, 560), {Region.DISTAL_RADIUS: box})
    crop = crops(pixels, anatomy, bundle.manifest.preprocessing)["distal_radius"]
    margin = bundle.manifest.preprocessing.bone_margin
    edge = 224 * margin / (1 + 2 * margin)
    bright = np.argwhere(crop > 200)
    assert bright.min(axis=0) == pytest.approx(edge, abs=4)
    assert bright.max(axis=0) == pytest.approx(224 - edge, abs=4)


def test_a_bone_at_the_rim_is_cut_at_the_rim(bundle):
    wrist = wrist_crop(with_square(300, 300, 0, 0, 60), None, bundle.manifest.preprocessing)
    part = wrist.bone(Box("distal_ulna", -50, -50, 60, 60), 0.2)
    scale = wrist.image.shape[0] / 300
    assert part.shape == pytest.approx((82 * scale, 82 * scale), abs=2)


def test_without_a_wrist_the_whole_image_is_the_global_crop(bundle):
    pixels = with_square(300, 300, 100, 100, 90)
    preprocessing = bundle.manifest.preprocessing
    whole = Anatomy(Box(WRIST, 0, 0, 300, 300))
    cut = crops(pixels, Anatomy(None), preprocessing)["global"]
    assert (cut == crops(pixels, whole, preprocessing)["global"]).all()


RIGHT = {
    Region.DISTAL_RADIUS: (30, 100, 70, 160),
    Region.DISTAL_ULNA: (80, 110, 100, 150),
    Region.ULNAR_STYLOID: (82, 100, 98, 116),
}


def with_bones(boxes):
    return Anatomy(None, {region: Box(region.value, *box) for region, box in boxes.items()})


def turned(box, quarters):
    x0, y0, x1, y1 = box
    for _ in range(quarters):
        x0, y0, x1, y1 = -y1, x0, -y0, x1
    return x0, y0, x1, y1


@pytest.mark.parametrize("quarters", range(4))
def test_the_bones_tell_the_side_whichever_way_the_hand_points(quarters):
    right = {region: turned(box, quarters) for region, box in RIGHT.items()}
    left = {
        region: turned((-x1, y0, -x0, y1), quarters) for region, (x0, y0, x1, y1) in RIGHT.items()
    }
    assert with_bones(right).side is Laterality.RIGHT
    assert with_bones(left).side is Laterality.LEFT


def test_without_all_three_bones_or_with_all_in_a_line_the_side_is_unknown():
    assert with_bones({r: RIGHT[r] for r in list(RIGHT)[:2]}).side is Laterality.UNKNOWN
    in_line = {region: (0, y, 20, y + 20) for region, y in zip(Region, (80, 40, 0), strict=True)}
    assert with_bones(in_line).side is Laterality.UNKNOWN


def test_exposure_hardly_changes_the_crops(bundle, wrists):
    pixels = wrists["TEST-0018-1"]
    anatomy = AnatomyDetector(bundle).locate(pixels)
    plain = crops(pixels, anatomy, bundle.manifest.preprocessing)
    darker = crops(pixels * 0.5 + 0.1, anatomy, bundle.manifest.preprocessing)
    for name, crop in plain.items():
        assert np.abs(crop.astype(int) - darker[name]).mean() < 2, name


def test_crops_of_a_right_wrist_are_mirrored_into_a_left_one():
    cut = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert as_left({"global": cut}, Laterality.RIGHT)["global"].tolist() == [[2, 1, 0], [5, 4, 3]]
    for side in (Laterality.LEFT, Laterality.UNKNOWN):
        assert as_left({"global": cut}, side)["global"] is cut


@pytest.mark.parametrize(("average", "shift"), [(False, 0.0), (True, 4.0)])
def test_a_box_is_the_mean_of_all_that_the_detector_draws_of_one_bone(average, shift):
    plain = simple_bundle()
    drawn = np.zeros((1, 7, 3), np.float32)
    drawn[0, :4] = np.array([(130, 190, 60, 150), (142, 190, 60, 150), (300, 190, 30, 90)]).T
    drawn[0, 4] = (0.8, 0.4, 0.1)  # the third is another thing
    said = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="image")], run=lambda *_: [drawn]
    )
    how = plain.manifest.preprocessing.model_copy(update={"average_boxes": average})
    manifest = plain.manifest.model_copy(update={"preprocessing": how})
    bundle = replace(plain, manifest=manifest, sessions={**plain.sessions, BONES_FILE: said})
    pixels = np.full((320, 320), 0.5, np.float32)
    pixels[::7] = 0.1
    found = AnatomyDetector(bundle).locate(pixels)
    wrist, radius = found.wrist, found.bones[Region.DISTAL_RADIUS]
    scale = max(wrist.x1 - wrist.x0, wrist.y1 - wrist.y0) * (1 + 2 * how.wrist_margin) / 320
    alone = AnatomyDetector(plain).locate(pixels).bones[Region.DISTAL_RADIUS]
    assert radius.x0 - alone.x0 == pytest.approx(shift * scale, abs=0.5)
    assert radius.score == pytest.approx(0.8)
