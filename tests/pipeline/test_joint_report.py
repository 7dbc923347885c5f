from __future__ import annotations

from mined import RADIUS, ULNA, mine

from pipeline.findings import Alignment, SideFindings, WristReport, collapse, collapse_others
from pipeline.joint_report import joint_report
from pipeline.region import Laterality

LEFT = "EXAM: Left wrist\nFINDINGS: Buckle fracture of the distal radius. A cast is in place."
RIGHT = "EXAM: Right wrist\nFINDINGS: No fracture."


def joint(*texts: str) -> WristReport:
    report = joint_report([mine(text) for text in texts])
    assert report is not None
    return report


def test_one_report_is_itself_and_none_is_none() -> None:
    assert joint_report([]) is None
    assert joint(LEFT) == mine(LEFT)


def test_each_report_keeps_its_side() -> None:
    both = joint(LEFT, RIGHT)
    left, right = (collapse(both, side, one_sided=False) for side in ("left", "right"))
    assert (left[RADIUS].fracture, left[RADIUS].type) == ("present", "buckle")
    assert right[RADIUS].fracture == right[ULNA].fracture == "absent"
    assert collapse_others(both, Laterality.LEFT) == ("cast_or_splint",)
    assert collapse_others(both, Laterality.RIGHT) == ()
    assert both.laterality is Laterality.UNKNOWN


def test_what_two_reports_say_of_one_bone_is_ranked_as_in_one() -> None:
    hand = "Left hand and wrist. There is no fracture of the distal radius."
    for texts in ((LEFT, hand), (hand, LEFT)):
        assert collapse(joint(*texts), Laterality.LEFT)[RADIUS].fracture == "present"


def test_a_report_that_cannot_be_read_takes_nothing_from_the_other() -> None:
    german = "Röntgen der rechten Hand in zwei Ebenen. Kein Nachweis einer Fraktur oder Luxation."
    both = joint(german, LEFT)
    assert both.language == "en"
    assert collapse(both, Laterality.LEFT)[RADIUS].fracture == "present"


def test_the_rest_is_joined_without_doubles() -> None:
    one = mine(LEFT).model_copy(
        update={"sides": {Laterality.LEFT: SideFindings(alignment=Alignment.NORMAL)}, "dropped": 2}
    )
    other = one.model_copy(
        update={"sides": {Laterality.LEFT: SideFindings(alignment=Alignment.ABNORMAL)}}
    )
    both = joint_report([one, other])
    assert both is not None
    assert both.sides[Laterality.LEFT].alignment is Alignment.ABNORMAL
    assert (both.views, both.dropped) == (one.views, 4)
    assert joint(LEFT, LEFT).sides == mine(LEFT).sides
