"""Looks at invented patients: a broken wrist comes again, healing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipeline.exam import RegionFindings
from pipeline.region import Region, View
from training.phantom.case import Case
from training.phantom.exam import PhantomExam, phantom
from training.phantom.prevalence import TABLE3, Prevalence

__all__ = ["Visit", "look", "visit"]

_WEEKS_A_YEAR = 365.25 / 7
_WEEKS_BETWEEN = (1.0, 5.0)
_HEALED_AFTER = 11.0


@dataclass(frozen=True)
class Visit:
    """One look at one wrist.

    Parameters
    ----------
    seed
        Of the exam.
    patient
        The seed of the first look.
    number
        0 at the first look.
    age_years
        At this look.
    findings
        What is true of the bones: at later looks the fractures of the first one, healing or
        healed.
    """

    seed: int
    patient: int
    number: int
    age_years: float
    findings: Mapping[Region, RegionFindings]


def visit(seed: int, prevalence: Prevalence = TABLE3) -> Visit:
    """Return the look that a seed stands for; it depends on these arguments alone.

    Neighbouring seeds may be looks at one patient, in order of time. The share of each kind of
    exam, later looks included, is the prevalence's.
    """
    first = seed
    while first > 0 and _may_return(first, prevalence):
        first -= 1
    case = _first_look(first, prevalence)
    # from a seed that starts anew for certain, walk to the one that was asked for
    for later in range(first + 1, seed + 1):
        if not _is_broken(case.findings):
            first, case = later, _first_look(later, prevalence)
    number = seed - first
    weeks = sum(_weeks_before(later) for later in range(first + 1, seed + 1))
    findings = case.findings
    if number:
        stage = "healing" if weeks < _HEALED_AFTER else "healed"
        findings = {region: _after(found, stage) for region, found in findings.items()}
    age = round(case.age_years + weeks / _WEEKS_A_YEAR, 2)
    return Visit(seed, first, number, age, findings)


def look(
    seed: int, prevalence: Prevalence = TABLE3, *, view: View = View.PA, size: int = 800
) -> PhantomExam:
    """Draw the radiograph of `visit`: fractures lie where they lay at the first look."""
    seen = visit(seed, prevalence)
    return phantom(
        seed,
        view=view,
        patient=seen.patient,
        age_years=seen.age_years,
        findings=seen.findings,
        size=size,
        injured_as=seen.patient,
    )


def _may_return(seed: int, prevalence: Prevalence) -> bool:
    """Whether this seed is a later look where the patient before it has a fracture."""
    return bool(np.random.default_rng([seed, 21]).random() < prevalence.later_looks)


def _first_look(seed: int, prevalence: Prevalence) -> Case:
    return Case.drawn(seed, seed, prevalence=prevalence.first_looks())


def _is_broken(findings: Mapping[Region, RegionFindings]) -> bool:
    return any(found.fracture == "present" for found in findings.values())


def _weeks_before(seed: int) -> float:
    return float(np.random.default_rng([seed, 22]).uniform(*_WEEKS_BETWEEN))


def _after(found: RegionFindings, stage: str) -> RegionFindings:
    return replace(found, healing=stage) if found.fracture == "present" else found
