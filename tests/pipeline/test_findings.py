from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.exam import RegionFindings
from pipeline.findings import (
    OTHER_CODES,
    REGION_CODES,
    TYPE_CODES,
    Finding,
    Fracture,
    FractureType,
    Healing,
    Other,
    OtherFinding,
    SideFindings,
    WristReport,
    collapse,
    collapse_others,
)
from pipeline.region import Laterality, Region

NOT_MENTIONED = RegionFindings()


def finding(fracture="present", **values):
    return Finding(fracture=fracture, evidence="as said", **values)


def report(**sides):
    return WristReport(
        sides={
            Laterality(side): SideFindings(regions={Region.DISTAL_RADIUS: tuple(findings)})
            for side, findings in sides.items()
        }
    )


def radius(mined, laterality=None, **options):
    return collapse(mined, laterality, **options)[Region.DISTAL_RADIUS]


def test_a_report_without_findings_mentions_no_bone():
    assert collapse(WristReport()) == dict.fromkeys(Region, NOT_MENTIONED)


@given(st.permutations(["present", "possible", "absent"]))
def test_present_outranks_possible_outranks_absent(order):
    while order:
        best = next(s for s in ("present", "possible", "absent") if s in order)
        assert radius(report(left=[finding(s) for s in order])).fracture == best
        order.remove(best)


@given(st.permutations(["acute", "healing", "healed"]))
def test_acute_outranks_healing_outranks_healed(order):
    while order:
        best = next(s for s in ("acute", "healing", "healed") if s in order)
        assert radius(report(left=[finding(healing=s) for s in order])).healing == best
        order.remove(best)


def test_values_of_a_denied_or_doubted_fracture_do_not_colour_a_present_one():
    mined = report(
        left=[
            finding("possible", type="salter_harris_2", angulation_deg=20),
            finding("absent"),
            finding("present"),
        ]
    )
    assert radius(mined) == RegionFindings("present", type="unspecified")


def test_a_specific_type_wins_over_an_unspecified_one():
    mined = report(left=[finding(type="unspecified"), finding(type="buckle")])
    assert radius(mined).type == "buckle"


def test_one_sides_fracture_is_never_lent_to_the_other():
    mined = report(left=[finding(type="buckle")], right=[finding("absent")])
    assert radius(mined, Laterality.LEFT).fracture == "present"
    assert radius(mined, Laterality.RIGHT).fracture == "absent"
    assert radius(report(left=[finding()]), Laterality.RIGHT) == NOT_MENTIONED


@pytest.mark.parametrize("side", [Laterality.LEFT, Laterality.RIGHT, Laterality.UNKNOWN])
def test_a_finding_of_unknown_side_joins_only_where_the_study_shows_one_side(side):
    mined = report(unknown=[finding()])
    assert radius(mined, side, one_sided=True).fracture == "present"
    assert radius(mined, side, one_sided=False) == NOT_MENTIONED


def test_a_finding_of_unknown_side_joins_none_where_the_report_speaks_of_both():
    mined = report(unknown=[finding()], left=[], right=[])
    assert radius(mined, Laterality.LEFT) == NOT_MENTIONED


def test_an_image_without_a_side_takes_the_findings_of_the_only_side_reported():
    assert radius(report(left=[finding()]), Laterality.UNKNOWN).fracture == "present"
    both = report(left=[finding()], right=[])
    assert radius(both, Laterality.UNKNOWN) == NOT_MENTIONED


def test_the_view_over_all_sides_takes_every_finding():
    assert radius(report(left=[finding("absent")], right=[finding()])).fracture == "present"


def test_other_findings_keep_their_side_and_leave_out_doubts():
    mined = WristReport(
        sides={
            Laterality.LEFT: SideFindings(
                other=(
                    OtherFinding(name=Other.HARDWARE, evidence="K-wires"),
                    OtherFinding(name=Other.CAST_OR_SPLINT, evidence="cast"),
                    OtherFinding(name=Other.BONE_LESION, possible=True, evidence="cyst?"),
                )
            ),
            Laterality.RIGHT: SideFindings(),
        }
    )
    assert collapse_others(mined, Laterality.LEFT) == ("cast_or_splint", "hardware")
    assert collapse_others(mined, Laterality.RIGHT) == ()


def test_the_side_of_a_report_on_both_wrists_is_unknown():
    assert report(left=[]).laterality is Laterality.LEFT
    assert report(left=[], right=[]).laterality is Laterality.UNKNOWN
    assert report(left=[], unknown=[]).laterality is Laterality.LEFT


@pytest.mark.parametrize(
    "values",
    [
        {"fracture": "not_mentioned", "evidence": "x"},
        {"fracture": "present", "evidence": ""},
        {"fracture": "present"},
        {"fracture": "broken", "evidence": "x"},
        {"fracture": "absent", "type": "buckle", "evidence": "x"},
        {"fracture": "present", "angulation_deg": -3, "evidence": "x"},
        {"fracture": "present", "evidence": "x", "certainty": 1},
    ],
)
def test_what_is_no_finding_is_refused(values):
    with pytest.raises(ValidationError):
        Finding.model_validate(values)


def test_a_report_survives_json():
    mined = report(left=[finding(type=FractureType.BUCKLE, healing=Healing.ACUTE)], unknown=[])
    assert WristReport.model_validate_json(mined.model_dump_json()) == mined


def test_every_region_type_and_other_finding_has_a_code():
    assert set(REGION_CODES) == set(Region)
    assert set(TYPE_CODES) == set(FractureType)
    assert set(OTHER_CODES) == set(Other)
    for codes in (*REGION_CODES.values(), *TYPE_CODES.values(), *OTHER_CODES.values()):
        for code in codes:
            assert len(code.value) <= 16
            assert len(code.scheme) <= 16
            assert len(code.meaning) <= 64


def test_codes_are_the_checked_ones():
    assert [REGION_CODES[region][0].value for region in Region] == [
        "75129005",
        "91238003",
        "91361004",
    ]
    assert [TYPE_CODES[FractureType(f"salter_harris_{n}")][1].value for n in range(1, 6)] == [
        "RID4685",
        "RID4686",
        "RID4687",
        "RID4688",
        "RID4689",
    ]
    assert Fracture.NOT_MENTIONED not in {f.fracture for f in (finding(), finding("absent"))}
