from __future__ import annotations

import itertools
import re

import pytest

from pipeline.captions import captions, global_caption, region_caption
from pipeline.exam import RegionFindings
from pipeline.findings import Displacement, FractureType, Healing, Other
from pipeline.region import Laterality, Region, View


def test_the_global_example_of_appendix_h_is_met_to_the_letter():
    findings = {
        Region.DISTAL_RADIUS: RegionFindings(
            "present", type="salter_harris_unspecified", healing="healing"
        )
    }
    assert global_caption(Laterality.LEFT, View.PA, findings) == (
        "Left wrist X-ray (PA view) showing Salter-Harris fracture in the distal radius, "
        "currently in healing stage."
    )


def test_the_region_example_of_appendix_h_is_met_to_the_letter():
    findings = RegionFindings("present", type="unspecified", displacement="mild")
    assert region_caption(Region.ULNAR_STYLOID, findings) == (
        "Ulnar styloid region showing fracture in the ulnar styloid, with displacement (mild)."
    )


def test_a_normal_wrist_is_said_to_show_no_fracture():
    findings = {region: RegionFindings("absent") for region in Region}
    assert captions(Laterality.RIGHT, View.PA, findings) == {
        "global": "Right wrist X-ray (PA view) showing no fracture.",
        "distal_radius": "Distal radius region showing no fracture.",
        "distal_ulna": "Distal ulna region showing no fracture.",
        "ulnar_styloid": "Ulnar styloid region showing no fracture.",
    }


def test_a_bone_that_is_not_mentioned_is_not_said_to_be_whole():
    assert region_caption(Region.DISTAL_ULNA, RegionFindings()) == (
        "Distal ulna region showing no described fracture."
    )
    assert "no described fracture" in global_caption(Laterality.LEFT, View.PA, {})


def test_everything_that_is_known_is_said_in_one_order():
    findings = {
        Region.ULNAR_STYLOID: RegionFindings("possible", type="avulsion"),
        Region.DISTAL_RADIUS: RegionFindings(
            "present",
            type="salter_harris_2",
            displacement="moderate",
            angulation_deg=15.0,
            healing="acute",
        ),
    }
    other = ("soft_tissue_swelling", "cast_or_splint")
    assert global_caption(Laterality.UNKNOWN, View.OTHER, findings, other) == (
        "Wrist X-ray showing Salter-Harris type II fracture in the distal radius, with "
        "displacement (moderate), with angulation (15 degrees), currently in acute stage; "
        "possible avulsion fracture in the ulnar styloid. Cast or splint, soft tissue swelling."
    )


def test_the_order_in_which_findings_come_changes_no_caption():
    findings = {region: RegionFindings("present", type="buckle") for region in Region}
    others = ("hardware", "osteopenia", "cast_or_splint")
    said = {
        global_caption(Laterality.LEFT, View.PA, dict(items), order)
        for items in itertools.permutations(findings.items())
        for order in itertools.permutations(others)
    }
    assert len(said) == 1


@pytest.mark.parametrize("kind", FractureType)
def test_every_type_has_words_of_its_own_without_codes(kind):
    sentence = region_caption(Region.DISTAL_RADIUS, RegionFindings("present", type=kind.value))
    assert re.fullmatch(
        r"Distal radius region showing [A-Za-z -]+ in the distal radius\.", sentence
    )


def test_different_findings_have_different_captions():
    made = [
        RegionFindings("present", type=kind, healing=stage, displacement=degree)
        for kind in FractureType
        for stage in (None, *Healing)
        for degree in (None, *Displacement)
    ]
    said = {region_caption(Region.DISTAL_ULNA, findings) for findings in made}
    assert len(said) == len(made)


def test_every_additional_finding_has_words():
    for name in Other:
        said = global_caption(Laterality.LEFT, View.PA, {}, (name.value,))
        assert said.count(".") == 2
        assert "_" not in said
