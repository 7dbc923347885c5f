"""The answer as people read it on the command line."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from result_parts import answer, exam, match
from rich.console import Console

from deploy.query import QueryOutcome
from pipeline.exam import RegionFindings
from pipeline.region import Region
from pipeline.request import RegionAnswer


def shown(*parts: RegionAnswer) -> str:
    out = StringIO()
    outcome = QueryOutcome((answer(parts, warnings=()).as_json(),), "")
    Console(file=out, width=200).print(outcome.as_table())
    return out.getvalue()


def test_the_asked_bone_comes_first_and_only_broken_ones_after_it() -> None:
    findings = {
        Region.DISTAL_RADIUS: RegionFindings("present"),
        Region.DISTAL_ULNA: RegionFindings("absent"),
        Region.ULNAR_STYLOID: RegionFindings("possible", "avulsion"),
    }
    given = match(1, exam(1, findings=findings))

    assert (
        "no fracture; distal radius: fracture; ulnar styloid: possible avulsion fracture"
        in shown(RegionAnswer(Region.DISTAL_ULNA, (given,)))
    )


def test_a_prior_without_report_is_not_said_to_be_unbroken() -> None:
    bare = match(1, exam(1, findings={}, findings_known=False))

    assert "no report yet" in shown(RegionAnswer(None, (bare,)))


def test_that_nothing_is_similar_is_said() -> None:
    near = RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)),))

    assert "similar case" not in shown(near)
    assert "similar case: these are" in shown(replace(near, nothing_similar=True))
    assert "similar case." in shown(replace(near, matches=(), nothing_similar=True))
