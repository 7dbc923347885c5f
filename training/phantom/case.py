"""What is the matter with one wrist, and how it is examined: drawn before anything is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region
from training.phantom.anatomy import Build
from training.phantom.fractures import Injury
from training.phantom.growth import Growth
from training.phantom.prevalence import TABLE3, Prevalence
from training.phantom.supports import Support

__all__ = ["Case"]

_ABSENT = RegionFindings(fracture="absent")

_UNDISPLACED = ("buckle", "plastic_bowing")


@dataclass(frozen=True, eq=False)
class Case:
    """One visit of one patient.

    Parameters
    ----------
    patient, age_years, sex, laterality
        Who, and which wrist.
    growth, build
        What follows for the skeleton.
    findings
        The truth, a value for each of the three bones.
    other
        Codes of `pipeline.findings` for what else is seen (``cast_or_splint``, ``hardware`` …).
    injuries
        How the fractures among the findings look.
    support
        Which cast and which metal, where ``other`` names them.
    """

    patient: int
    age_years: float
    sex: str
    laterality: Laterality
    growth: Growth
    build: Build
    findings: Mapping[Region, RegionFindings]
    other: tuple[str, ...]
    injuries: tuple[Injury, ...]
    support: Support

    @classmethod
    def drawn(
        cls,
        seed: int,
        patient: int,
        *,
        age_years: float | None = None,
        sex: str | None = None,
        laterality: Laterality | None = None,
        findings: Mapping[Region, RegionFindings] | None = None,
        other: tuple[str, ...] | None = None,
        prevalence: Prevalence = TABLE3,
        injured_as: int | None = None,
    ) -> Case:
        """Draw a case; what is given is kept, and what it leaves open is drawn as ever.

        Cases with the same ``injured_as`` and the same fractures are broken in the same places.
        """
        person = np.random.default_rng([patient, 11])
        first_seen = _age(person)
        drawn_sex = str(person.choice(["M", "F"], p=[0.57, 0.43]))
        tempo = float(person.normal(0, 0.5))
        build = Build.drawn(person)
        side = Laterality.LEFT if person.random() < 0.55 else Laterality.RIGHT
        rng = np.random.default_rng([seed, 12])
        if patient != seed:
            first_seen += float(
                np.random.default_rng([seed, 18]).uniform(0.02, 0.7)
            )  # another visit
        age = first_seen if age_years is None else age_years
        growth = Growth(age, sex or drawn_sex, tempo)
        drawn_findings = _findings(growth, prevalence, rng)
        chosen = drawn_findings if findings is None else _completed(findings)
        drawn_other = _other(chosen, rng)
        breaks = rng if injured_as is None else np.random.default_rng([injured_as, 20])
        displaced_to = 1.0 if breaks.random() < 0.7 else -1.0
        return cls(
            patient=patient,
            age_years=round(age, 2),
            sex=sex or drawn_sex,
            laterality=laterality or side,
            growth=growth,
            build=build,
            findings=chosen,
            other=drawn_other if other is None else other,
            injuries=tuple(
                Injury.drawn(region, finding, growth, displaced_to, breaks)
                for region, finding in chosen.items()
                if finding.fracture in ("present", "possible")
            ),
            support=Support.drawn(drawn_other if other is None else other, age, rng),
        )


def _age(rng: np.random.Generator) -> float:
    """Ages as in GRAZPEDWRI-DX: mean near 11, from infancy to 18."""
    return float(np.clip(rng.normal(10.6, 3.7), rng.uniform(0.6, 3.5), rng.uniform(16.0, 18.9)))


def _completed(findings: Mapping[Region, RegionFindings]) -> dict[Region, RegionFindings]:
    return {region: findings.get(region, _ABSENT) for region in Region}


def _findings(
    growth: Growth, prevalence: Prevalence, rng: np.random.Generator
) -> dict[Region, RegionFindings]:
    weights = np.array([weight for weight, _ in prevalence.sites])
    sites = prevalence.sites[int(rng.choice(len(weights), p=weights / weights.sum()))][1]
    age = growth.age_years
    stage = str(rng.choice(["acute", "healing", "healed"], p=prevalence.stages))
    possible = rng.random() < 0.1
    drawn = dict.fromkeys(Region, _ABSENT)
    for region in sites:
        if region is Region.ULNAR_STYLOID and growth.ossified("ulna_styloid") < 0.5:
            continue
        drawn[region] = _fracture(region, growth, prevalence, stage, rng)
    if not sites and possible and 2 < age < 13:
        kind = "buckle" if age < 9 else "salter_harris_1"
        drawn[Region.DISTAL_RADIUS] = RegionFindings("possible", kind, "acute", None, None)
    return drawn


def _fracture(
    region: Region,
    growth: Growth,
    prevalence: Prevalence,
    stage: str,
    rng: np.random.Generator,
) -> RegionFindings:
    age = growth.age_years
    occurring = prevalence.types[region]
    options = [(w, kind) for w, kind, low, high in occurring if low <= age < high]
    options = [(w, k) for w, k in options if _drawable(k, region, growth)]
    weights = np.array([w for w, _ in options])
    kind = options[int(rng.choice(len(options), p=weights / weights.sum()))][1]
    displacement = _displacement(kind, rng)
    angulation = None
    bends = region is not Region.ULNAR_STYLOID and kind != "buckle"
    if bends and displacement not in (None, "none") and rng.random() < 0.45:
        angulation = float(5 * rng.integers(1, {"mild": 4, "moderate": 6}.get(displacement, 8)))
    if kind == "plastic_bowing":
        angulation = float(5 * rng.integers(1, 4))
    return RegionFindings("present", kind, stage, displacement, angulation)


def _drawable(kind: str, region: Region, growth: Growth) -> bool:
    """Tell whether it can be seen: Salter–Harris needs an open physis, an ossified epiphysis."""
    if not kind.startswith("salter"):
        return True
    centre = "radius_epiphysis" if region is Region.DISTAL_RADIUS else "ulna_epiphysis"
    return growth.physis_open > 0.12 and growth.ossified(centre) > 0.4


def _displacement(kind: str, rng: np.random.Generator) -> str | None:
    if kind in _UNDISPLACED:
        return None if rng.random() < 0.6 else "none"
    if kind == "greenstick":
        return str(rng.choice(["none", "mild"])) if rng.random() < 0.5 else None
    degree = rng.choice(["", "none", "mild", "moderate", "severe"], p=[0.22, 0.28, 0.3, 0.14, 0.06])
    return str(degree) or None


def _other(findings: Mapping[Region, RegionFindings], rng: np.random.Generator) -> tuple[str, ...]:
    """Casts and metal where a fracture explains them; the odd further finding."""
    broken = [f for f in findings.values() if f.fracture == "present"]
    draw = rng.random(4)
    healing = any(f.healing == "healing" for f in broken)
    severe = any(f.displacement in ("moderate", "severe") for f in broken)
    other = []
    if broken and draw[0] < (0.55 if healing else 0.38):
        other.append("cast_or_splint")
    if findings[Region.DISTAL_RADIUS] in broken and draw[1] < (0.22 if severe else 0.02):
        other.append("hardware")
    if broken and not healing and draw[2] < 0.3:
        other.append("soft_tissue_swelling")
    if draw[3] < 0.01:
        other.append("osteopenia")
    return tuple(other)
