from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pipeline.region import Region
from training.phantom.prevalence import GRAZPEDWRI, PREVALENCES, TABLE3
from training.phantom.visit import look, visit

SEEDS = range(3000)


def visits(prevalence=TABLE3, seeds=SEEDS):
    return [visit(seed, prevalence) for seed in seeds]


def broken(seen):
    return {region for region, found in seen.findings.items() if found.fracture == "present"}


def test_a_seed_is_the_same_look_wherever_the_range_begins():
    assert visits(seeds=range(40, 60)) == visits(seeds=range(60))[40:]


@pytest.mark.slow
def test_a_broken_wrist_comes_again_older_and_healing_with_the_same_fractures():
    patients = defaultdict(list)
    for seen in visits():
        patients[seen.patient].append(seen)
    several = [looks for looks in patients.values() if len(looks) > 1]
    assert len(several) > 300
    for looks in several:
        assert [seen.number for seen in looks] == list(range(len(looks)))
        assert looks[0].seed == looks[0].patient
        for before, after in pairwise(looks):
            assert 0 < after.age_years - before.age_years < 0.15
            assert broken(after) == broken(before) != set()
            for region in broken(after):
                early, late = before.findings[region], after.findings[region]
                assert late.healing in ("healing", "healed")
                assert replace(late, healing=None) == replace(early, healing=None)


@pytest.mark.slow
def test_a_first_look_is_acute_and_a_normal_wrist_is_looked_at_once():
    seen = visits()
    first = [found for one in seen if not one.number for found in one.findings.values()]
    assert {found.healing for found in first if found.fracture == "present"} == {"acute"}
    healthy = {one.patient for one in seen if not broken(one)}
    assert all(n == 1 for p, n in Counter(one.patient for one in seen).items() if p in healthy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "normal", "radius", "ulna", "styloid", "later"),
    [
        ("table3", 2209 / 7540, 5369 / 7540, 2030 / 7540, 1238 / 7540, 0.36),
        ("grazpedwri", 6545 / 20327, 13528 / 20327, 5690 / 20327, 3226 / 20327, 0.44),
    ],
)
def test_exams_are_as_frequent_as_in_the_data_they_are_drawn_after(
    name, normal, radius, ulna, styloid, later
):
    seen = visits(PREVALENCES[name], range(12_000))
    shares = [np.mean([not broken(one) for one in seen])]
    shares += [np.mean([region in broken(one) for one in seen]) for region in Region]
    shares.append(np.mean([one.number > 0 for one in seen]))
    assert shares == pytest.approx([normal, radius, ulna, styloid, later], abs=0.03)


@pytest.mark.slow
def test_types_follow_the_prevalence():
    kinds = Counter(
        found.type for one in visits(GRAZPEDWRI) for found in one.findings.values() if found.type
    )
    assert kinds["buckle"] > 5 * kinds["salter_harris_2"] > 0
    assert kinds["transverse"] == 0


@pytest.mark.slow
def test_the_fracture_lies_where_it_lay():
    seen = next(one for one in visits() if one.number == 1 and len(broken(one)) == 2)
    first, later = look(seen.patient, size=300), look(seen.seed, size=300)
    assert (first.patient, first.sex, first.laterality) == (
        seen.patient,
        later.sex,
        later.laterality,
    )
    assert later.age_years == seen.age_years
    assert broken(later) == broken(seen)
    assert first.pixels.shape != later.pixels.shape or (first.pixels != later.pixels).any()
