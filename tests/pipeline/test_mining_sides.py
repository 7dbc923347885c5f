from __future__ import annotations

import pytest
from mined import ALL_ABSENT, BOTH, RADIUS, STYLOID, ULNA, mine, read

from pipeline.findings import collapse, collapse_others
from pipeline.region import Laterality


def test_a_report_on_both_wrists_lends_no_sides_fracture_to_the_other():
    report = mine(BOTH)
    assert report.laterality is Laterality.UNKNOWN
    assert read(BOTH, Laterality.LEFT) == ALL_ABSENT
    assert read(BOTH, Laterality.RIGHT) == {RADIUS: "present"}
    assert collapse_others(report, Laterality.LEFT) == ()
    assert collapse_others(report, Laterality.RIGHT) == ("cast_or_splint",)


def test_a_finding_without_a_side_in_a_report_on_both_belongs_to_neither():
    report = mine("EXAM: Both wrists\nFINDINGS: Buckle fracture of the distal radius.")
    assert collapse(report, Laterality.LEFT)[RADIUS].fracture == "not_mentioned"
    assert list(report.sides[Laterality.UNKNOWN].regions) == [RADIUS]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("XR LEFT WRIST\nNo fracture.", "left"),
        ("Lt wrist. No fracture.", "left"),
        ("R wrist. No fracture.", "right"),
        ("XR wrist (R). No fracture.", "right"),
        ("Wrist. No fracture.", "unknown"),
        ("EXAM: Right wrist\nHISTORY: Fell on the left side.\nFINDINGS: No fracture.", "right"),
        ("Both wrists. No fracture.", "unknown"),
    ],
)
def test_the_side_is_taken_from_title_before_text_and_never_guessed(text, side):
    assert mine(text).laterality.value == side


def test_a_title_of_one_side_and_a_fracture_of_the_other_are_not_mixed():
    report = mine("EXAM: Left wrist\nFINDINGS: Fracture of the right distal radius.")
    assert report.laterality is Laterality.UNKNOWN
    assert collapse(report, Laterality.LEFT)[RADIUS].fracture == "not_mentioned"


@pytest.mark.parametrize(
    ("text", "side"),
    [
        (
            "EXAM: Right wrist, with scanogram of both forearms deferred.\nFINDINGS: Normal.",
            "right",
        ),
        ("Right wrist. Sclerosis on either side of the physis. No fracture.", "right"),
        ("R elbow + wrist. Wrist: no fracture.", "right"),
    ],
)
def test_a_word_on_both_makes_no_report_on_both(text, side):
    assert mine(text).laterality.value == side


def test_what_is_said_of_one_side_is_not_lent_to_the_other():
    text = (
        "Both wrists.\nLeft: torus fractures of the distal radius and ulna. Neither is displaced.\n"
        "Right: buckle fracture of the distal radius. Styloid avulsion. Both are healing."
    )
    left, right = (collapse(mine(text), side) for side in (Laterality.LEFT, Laterality.RIGHT))
    assert [left[bone].displacement for bone in (RADIUS, ULNA)] == ["none", "none"]
    assert [left[bone].healing for bone in (RADIUS, ULNA)] == [None, None]
    assert [right[bone].healing for bone in (RADIUS, STYLOID)] == ["healing", "healing"]
    assert right[RADIUS].displacement is None


def test_the_other_side_that_is_compared_with_is_not_reported():
    text = "Left wrist, no fracture. Compared with the right wrist, the physis is symmetrical."
    assert mine(text).laterality is Laterality.LEFT


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("XR RIGHT WRIST\nNo fracture.\nADDENDUM: Wrong side. It is the left wrist.", "left"),
        ("Left wrist: normal.\nADDENDUM: Wrong heading. Films are of the RIGHT wrist.", "right"),
        ("XR RIGHT WRIST\nNormal.\nADDENDUM: Each right above should read left.", "left"),
        ("XR RIGHT WRIST\nNormal.\nADDENDUM: The left was imaged, not the right.", "left"),
        ("right wrist sorry left wrist two views no fracture is seen the ulna is normal", "left"),
        ("Leave the left out of it: the right wrist was X-rayed. No fracture.", "right"),
        ("Right wrist (left for comparison not obtained). No fracture.", "right"),
        ("Left wrist. The right knee was X-rayed too. No fracture.", "left"),
        ("Left wrist. Callus on both sides of the radius fracture.", "left"),
        ("Right wrist. The cast was left in place. No fracture.", "right"),
        ("Lft wrist. No fracture.", "left"),
    ],
)  # fmt: skip
def test_a_side_is_corrected_and_never_made_of_a_word_by_the_way(text, side):
    assert mine(text).laterality.value == side


@pytest.mark.parametrize(
    "left",
    [
        "Comparison view of the left wrist was taken and is normal.",
        "The left wrist, filmed for comparison, is normal.",
        "LEFT WRIST: fracture of the second metacarpal, otherwise no fracture.",
    ],
)
def test_the_other_wrist_is_reported_where_it_is_called_normal(left):
    text = f"Right wrist: buckle fracture of the distal radius. {left}"
    assert read(text, Laterality.LEFT) == ALL_ABSENT
    assert read(text, Laterality.RIGHT) == {RADIUS: "present"}


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Right wrist. She left her splint at home. No fracture.", "right"),
        ("Boy left for school and fell. Left wrist: no fracture.", "left"),
        ("Left-handed child. Right wrist: no fracture.", "right"),
        ("Right wrist. Left side taken for comparison only. No fracture on the right.", "right"),
        (
            (
                "left wrist correction right wrist no fracture is seen the bones are normal "
                "and the alignment is normal too"
            ),
            "right",
        ),
        (
            "XR RIGHT WRIST. No fracture.\nAddendum: marker error, the left wrist was filmed.",
            "left",
        ),
        ("XR RIGHT WRIST. No fracture.\nAddendum: for right please read left.", "left"),
        (
            (
                "XR RIGHT WRIST. No fracture.\nADDENDUM: the side in the heading is wrong. "
                "The examination was of the left wrist."
            ),
            "left",
        ),
        (
            (
                "RIGHT WRIST: torus fracture of the distal radius.\nAddendum: the laterality "
                "is wrong, it is the left wrist."
            ),
            "left",
        ),
        ("Right wrist. All that is left of the swelling is a trace. No fracture.", "right"),
        ("Right wrist. Nothing left to see of the old periosteal reaction. No fracture.", "right"),
        ("L hand and wrist. No fracture.", "left"),
        (
            (
                "Left wrist. The right wrist, in plaster for a radius fracture, has not been "
                "x-rayed. No fracture on the left."
            ),
            "left",
        ),
        (
            (
                "X-ray left wrist. Known fracture right radius 2 weeks old. Left for "
                "comparison. Left: normal."
            ),
            "left",
        ),
        ("Right wrist. He broke the left radius in March. No fracture today.", "right"),
        (
            (
                "XR RIGHT WRIST. The left, which has a healing radius fracture, is being "
                "followed separately. No fracture."
            ),
            "right",
        ),
        (
            (
                "Wrist. Mum says the left, request says left, marker is R. So: right wrist. "
                "No fracture."
            ),
            "right",
        ),
        ("L thumb and wrist. No fracture.", "left"),
    ],
)
def test_a_side_by_the_way_is_not_the_side_of_the_report(text, side):
    assert mine(text).laterality.value == side


def test_either_bone_is_of_both_wrists():
    text = (
        "Both wrists. R: buckle fracture of the distal radius. L: normal radius. No # of "
        "either ulna."
    )
    for side in (Laterality.LEFT, Laterality.RIGHT):
        assert read(text, side)[ULNA] == "absent"


def test_the_other_wrist_with_a_known_fracture_is_not_reported():
    text = (
        "X RAY LT WRIST AP LAT - Known c/o fracture of RIGHT radius. No bony abnormality on left."
    )
    assert mine(text).laterality is Laterality.LEFT
    assert read(text) == ALL_ABSENT
