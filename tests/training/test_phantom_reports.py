from __future__ import annotations

import re
from functools import cache, lru_cache

import numpy as np
import pytest

from pipeline.exam import RegionFindings
from pipeline.region import Region
from training.phantom.case import Case
from training.phantom.reports import STYLES, Dictation, dictate
from training.phantom.slips import SLIPS

SPELT = [style for style in STYLES if style != "misspelt"]
_TYPE_WORDS = {
    "salter_harris_1": r"(Salter-Harris type|SH) I\b",
    "salter_harris_2": r"(Salter-Harris type|SH) II\b",
    "salter_harris_3": r"(Salter-Harris type|SH) III\b",
    "salter_harris_4": r"(Salter-Harris type|SH) IV\b",
    "plastic_bowing": "plastic bowing",
}


@cache
def _case(seed: int) -> Case:
    return Case.drawn(seed, seed)


@lru_cache
def _cases(style: str) -> list[tuple[Case, Dictation]]:
    cases = [_case(seed) for seed in range(120)]
    return [(c, dictate(c, np.random.default_rng([n, 1]), style)) for n, c in enumerate(cases)]


def test_there_are_at_least_eight_styles() -> None:
    assert len(set(STYLES)) >= 8


def test_some_reports_have_an_addendum_or_a_slip_and_say_the_same() -> None:
    drawn = [dictate(_case(n), np.random.default_rng([n, 2])) for n in range(200)]
    assert {d.style for d in drawn} == set(STYLES)
    assert sum(d.style in SLIPS for d in drawn) < 80
    for number, dictation in enumerate(drawn):
        if dictation.style in SLIPS:
            continue
        slip = dictate(_case(number), np.random.default_rng([number, 2]), "misspelt")
        assert slip.findings == dictation.findings
        assert slip.text != dictation.text
        assert abs(len(slip.text) - len(dictation.text)) <= 3


@pytest.mark.parametrize("style", SPELT)
def test_every_fracture_is_reported_with_its_bone_and_type(style: str) -> None:
    for case, dictation in _cases(style):
        for region, finding in case.findings.items():
            if finding.fracture == "absent":
                continue
            said = dictation.findings[region]
            assert said.fracture == finding.fracture
            assert said.type == finding.type
            assert region.words in dictation.text.lower()
            kind = finding.type or ""
            if kind != "unspecified":
                assert re.search(_TYPE_WORDS.get(kind, kind), dictation.text, re.IGNORECASE)


@pytest.mark.parametrize("style", SPELT)
def test_no_report_speaks_of_a_fracture_type_that_is_not_there(style: str) -> None:
    kinds = ("buckle", "greenstick", "transverse", "comminuted", "avulsion", "Salter", "oblique")
    for case, dictation in _cases(style):
        present = " ".join(str(f.type) for f in case.findings.values()).replace("salter", "Salter")
        for kind in kinds:
            if kind not in present:
                assert kind not in dictation.text


@pytest.mark.parametrize("style", SPELT)
def test_an_unbroken_bone_is_denied_or_left_out(style: str) -> None:
    for case, dictation in _cases(style):
        for region, finding in case.findings.items():
            if finding.fracture == "absent":
                assert dictation.findings[region].fracture in ("absent", "not_mentioned")


@pytest.mark.parametrize("style", SPELT)
def test_a_normal_wrist_is_said_to_have_no_fracture(style: str) -> None:
    normal = [
        d for c, d in _cases(style) if all(f.fracture == "absent" for f in c.findings.values())
    ]
    assert normal
    for dictation in normal:
        assert re.search(r"\b(no|normal)\b", dictation.text, re.IGNORECASE)
        assert all(f == RegionFindings("absent") for f in dictation.findings.values())


@pytest.mark.parametrize("style", SPELT)
def test_healing_displacement_and_angulation_are_in_the_words(style: str) -> None:
    words = {
        "none": r"(nondisplaced|undisplaced)",
        "mild": r"(mildly|minimally) displaced",
        "moderate": "moderately displaced",
        "severe": r"(severely|markedly) displaced",
    }
    for _, dictation in _cases(style):
        for finding in dictation.findings.values():
            if finding.healing is not None:
                assert finding.healing in dictation.text.lower()
            if finding.displacement is not None:
                assert re.search(words[finding.displacement], dictation.text, re.IGNORECASE)
            if finding.angulation_deg is not None:
                assert re.search(rf"\b{finding.angulation_deg:.0f}(°| degrees)", dictation.text)


@pytest.mark.parametrize("style", SPELT)
def test_casts_and_metal_are_mentioned_where_they_are_drawn(style: str) -> None:
    for case, dictation in _cases(style):
        text = dictation.text.lower()
        cast = bool(re.search(r"\b(cast|splint)\b", text))
        assert cast == ("cast_or_splint" in case.other)
        metal = bool(re.search(r"\b(kirschner|plate and screw|nail)\b", text))
        assert metal == ("hardware" in case.other)


def test_doubt_is_worded_as_doubt() -> None:
    cases = [_case(seed) for seed in range(400)]
    doubtful = [c for c in cases if any(f.fracture == "possible" for f in c.findings.values())]
    doubted = [dictate(c, np.random.default_rng(1), style) for style in SPELT for c in doubtful]
    assert doubted
    for dictation in doubted:
        assert re.search(r"\b(possible|questionable)\b", dictation.text, re.IGNORECASE)


def test_prevalence_is_about_that_of_the_papers_table_3() -> None:
    findings = [_case(seed).findings for seed in range(1200)]
    broken = [{r for r in Region if f[r].fracture == "present"} for f in findings]
    share = {r: sum(r in b for b in broken) / len(broken) for r in Region}
    assert sum(not b for b in broken) / len(broken) == pytest.approx(0.29, abs=0.05)
    assert share[Region.DISTAL_RADIUS] == pytest.approx(0.71, abs=0.06)
    assert share[Region.DISTAL_ULNA] == pytest.approx(0.27, abs=0.05)
    assert share[Region.ULNAR_STYLOID] == pytest.approx(0.16, abs=0.04)
    stages = [f[r].healing for f, b in zip(findings, broken, strict=True) for r in b]
    assert stages.count("healing") / len(stages) == pytest.approx(0.46, abs=0.06)
