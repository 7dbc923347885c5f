from __future__ import annotations

import hashlib
import time

import cv2
import numpy as np
import pytest

from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region, View
from training.phantom import PhantomExam, phantom

_BONES = tuple(region.value for region in Region)


def _digest(exam: PhantomExam) -> str:
    return hashlib.sha256(exam.pixels.tobytes()).hexdigest()


def _crop(exam: PhantomExam, box: tuple[float, float, float, float]) -> np.ndarray:
    x0, y0, x1, y1 = (round(v) for v in box)
    return exam.pixels[y0:y1, x0:x1] / float((1 << exam.bits) - 1)


def _change(
    first: PhantomExam, second: PhantomExam, box: tuple[float, float, float, float]
) -> float:
    """Largest difference within a box, once the grain is blurred away."""
    blurred = [cv2.GaussianBlur(_crop(exam, box), (0, 0), 2.0) for exam in (first, second)]
    return float(np.percentile(np.abs(blurred[0] - blurred[1]), 99))


def _healthy(seed: int, **given: object) -> PhantomExam:
    return phantom(seed, view=View.PA, findings={}, other=(), size=500, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("view", list(View))
def test_the_same_seed_draws_the_same_exam(view: View) -> None:
    first, second = phantom(11, view=view, size=400), phantom(11, view=view, size=400)
    assert _digest(first) == _digest(second)
    assert (first.report, first.boxes, first.findings) == (
        second.report,
        second.boxes,
        second.findings,
    )


def test_different_seeds_draw_different_exams() -> None:
    assert len({_digest(phantom(seed, size=300)) for seed in range(12)}) == 12


def test_two_views_of_one_seed_are_one_visit() -> None:
    pa, lateral = phantom(5, view=View.PA, size=300), phantom(5, view=View.LATERAL, size=300)
    assert pa.report == lateral.report
    assert pa.findings == lateral.findings
    assert (pa.age_years, pa.sex, pa.laterality) == (
        lateral.age_years,
        lateral.sex,
        lateral.laterality,
    )
    assert _digest(pa) != _digest(lateral)


def test_two_visits_of_one_patient_share_the_person_and_differ_in_the_image() -> None:
    first, later = phantom(1, patient=77, size=300), phantom(2, patient=77, size=300)
    assert (first.patient, first.sex, first.laterality) == (77, later.sex, later.laterality)
    assert _digest(first) != _digest(later)


@pytest.mark.parametrize("seed", range(8))
def test_pixels_fill_the_bits_they_claim_and_no_more(seed: int) -> None:
    exam = phantom(seed, size=300)
    assert exam.pixels.dtype == np.uint16
    assert 10 <= exam.bits <= 15
    assert exam.pixels.max() < 1 << exam.bits
    assert max(exam.pixels.shape) == 300


@pytest.mark.parametrize("seed", range(15))
def test_boxes_of_a_pa_view_lie_inside_the_image(seed: int) -> None:
    exam = phantom(seed, view=View.PA, size=300)
    rows, columns = exam.pixels.shape
    assert "wrist" in exam.boxes
    for x0, y0, x1, y1 in exam.boxes.values():
        assert 0 <= x0 < x1 <= columns
        assert 0 <= y0 < y1 <= rows


@pytest.mark.parametrize("seed", range(10))
def test_bone_boxes_lie_within_the_wrist_and_the_radius_is_the_wider_bone(seed: int) -> None:
    exam = _healthy(seed)
    assert set(exam.boxes) == {"wrist", *_BONES}
    wrist = exam.boxes["wrist"]
    for bone in _BONES:
        x0, y0, x1, y1 = exam.boxes[bone]
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        assert wrist[0] < centre[0] < wrist[2]
        assert wrist[1] < centre[1] < wrist[3]
    radius, ulna = exam.boxes["distal_radius"], exam.boxes["distal_ulna"]
    assert (radius[2] - radius[0]) * (radius[3] - radius[1]) > (ulna[2] - ulna[0]) * (
        ulna[3] - ulna[1]
    )


@pytest.mark.parametrize("seed", range(6))
def test_bones_stand_in_their_boxes_brighter_than_the_wrist_around(seed: int) -> None:
    exam = _healthy(seed)
    wrist = float(np.mean(_crop(exam, exam.boxes["wrist"])))
    for bone in ("distal_radius", "distal_ulna"):
        x0, y0, x1, y1 = exam.boxes[bone]
        x, y, wide, high = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 4, (y1 - y0) / 4
        core = _crop(exam, (x - wide, y - high, x + wide, y + high))
        assert float(np.mean(core)) > 1.1 * wrist


@pytest.mark.parametrize("side", [Laterality.LEFT, Laterality.RIGHT])
def test_the_ulna_lies_on_its_side_of_the_radius(side: Laterality) -> None:
    for seed in range(10):
        exam = _healthy(seed, laterality=side)
        radius, ulna = exam.boxes["distal_radius"], exam.boxes["distal_ulna"]
        # PA: the left wrist's radius is on the right of the image (thumb side), as real ones lie
        assert (radius[0] + radius[2] > ulna[0] + ulna[2]) == (side is Laterality.LEFT)


def test_another_body_part_has_no_boxes_no_findings_and_no_report() -> None:
    for seed in range(8):
        exam = phantom(seed, view=View.OTHER, size=300)
        assert not exam.boxes
        assert not exam.findings
        assert exam.report == ""
        assert exam.body_part != "WRIST"


@pytest.mark.parametrize(
    ("region", "kind"),
    [
        (Region.DISTAL_RADIUS, "transverse"),
        (Region.DISTAL_RADIUS, "buckle"),
        (Region.DISTAL_RADIUS, "salter_harris_2"),
        (Region.DISTAL_RADIUS, "greenstick"),
        (Region.DISTAL_RADIUS, "comminuted"),
        (Region.DISTAL_ULNA, "transverse"),
        (Region.DISTAL_ULNA, "buckle"),
        (Region.ULNAR_STYLOID, "avulsion"),
    ],
)
@pytest.mark.parametrize("healing", ["acute", "healing"])
def test_a_fracture_changes_its_own_bone_in_the_image(
    region: Region, kind: str, healing: str
) -> None:
    given = {"age_years": 12.0, "sex": "M", "other": (), "view": View.PA, "size": 500}
    finding = RegionFindings("present", kind, healing, "none")
    hurt = phantom(3, findings={region: finding}, **given)  # type: ignore[arg-type]
    whole = phantom(3, findings={}, **given)  # type: ignore[arg-type]
    other = Region.DISTAL_ULNA if region is Region.DISTAL_RADIUS else Region.DISTAL_RADIUS
    own_change, other_change = (
        _change(hurt, whole, whole.boxes[bone.value]) for bone in (region, other)
    )
    assert own_change > 2 * other_change


def test_findings_that_are_given_are_drawn_and_reported() -> None:
    finding = RegionFindings("present", "buckle", "healing", "none")
    exam = phantom(9, view=View.PA, findings={Region.DISTAL_ULNA: finding}, size=300)
    assert exam.findings[Region.DISTAL_ULNA] == finding
    assert exam.findings[Region.DISTAL_RADIUS].fracture in ("absent", "not_mentioned")
    assert "buckle" in exam.report


def test_ten_images_of_700_pixels_take_less_than_a_few_seconds_of_one_core() -> None:
    phantom(0, size=700)
    start = time.process_time()
    for seed in range(10):
        phantom(seed, size=700)
    assert time.process_time() - start < 4.0
