"""How results say in words what an answer holds in codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.exam import SIDE_FROM_IMAGE, Exam, RegionFindings
from pipeline.region import Laterality, Region
from pipeline.request import Answer, Request

__all__ = [
    "DEMONSTRATION",
    "SCORE_WORDS",
    "BundleWords",
    "case_labels",
    "exam_words",
    "finding_words",
    "findings_words",
    "index_words",
    "other_words",
    "side_words",
    "wanted_words",
]

DEMONSTRATION: Final = "Demonstration only, not for clinical use"
SCORE_WORDS: Final = (
    "The similarity index ranks how alike two pictures look, from 0 to 100. "
    "It is no probability and says nothing about a diagnosis."
)

_ROMAN: Final = ("I", "II", "III", "IV", "V")
_TYPES: Final[Mapping[str | None, str]] = {
    **{
        f"salter_harris_{n}": f"Salter-Harris {roman} fracture" for n, roman in enumerate(_ROMAN, 1)
    },
    "salter_harris_unspecified": "Salter-Harris fracture",
    "buckle": "buckle fracture",
    "plastic_bowing": "plastic bowing",
    "unspecified": "fracture",
    None: "fracture",
}
_DISPLACEMENTS: Final = {
    "none": "not displaced",
    "mild": "mildly displaced",
    "moderate": "moderately displaced",
    "severe": "severely displaced",
}


@dataclass(frozen=True)
class BundleWords:
    """What a result says of the models behind it (`pipeline.bundle.Manifest`)."""

    id: str
    intended_use: str
    demonstration: bool


def case_labels(answer: Answer) -> Mapping[str, str]:
    """Return ``Case 1``, ``Case 2`` … by SOP Instance UID, in order of first mention."""
    return {
        prior.sop_instance_uid: f"Case {number}" for number, prior in enumerate(answer.priors, 1)
    }


def exam_words(exam: Exam) -> str:
    """Return side, view and age band, e.g. ``left wrist, PA view, 6-8 years``."""
    return f"{side_words(exam)}, {exam.view.value.upper()} view, {exam.age_band}"


def side_words(exam: Exam) -> str:
    """Return ``left wrist``, by which evidence where it is weak, or ``wrist of unknown side``."""
    if exam.laterality is Laterality.UNKNOWN:
        return "wrist of unknown side"
    doubt = " (side by its bones)" if SIDE_FROM_IMAGE in exam.flags else ""
    return f"{exam.laterality.value} wrist{doubt}"


def index_words(index: float | None) -> str:
    """Return a similarity index as text, e.g. ``88 of 100``; viewers print unit 1 badly."""
    return "not comparable" if index is None else f"{index:.0f} of 100"


def finding_words(findings: RegionFindings) -> str:
    """Return what a report says of one bone, e.g. ``buckle fracture, acute, mildly displaced``."""
    if findings.fracture == "absent":
        return "no fracture"
    if findings.fracture not in ("present", "possible"):
        return "not described"
    kind = _TYPES.get(findings.type) or f"{str(findings.type).replace('_', ' ')} fracture"
    words = [f"possible {kind}" if findings.fracture == "possible" else kind]
    if findings.healing:
        words.append(findings.healing)
    if findings.displacement:
        words.append(_DISPLACEMENTS.get(findings.displacement, findings.displacement))
    if findings.angulation_deg is not None:
        words.append(f"angulated {findings.angulation_deg:g} degrees")
    return ", ".join(words)


def findings_words(exam: Exam, first: Region | None) -> str:
    """Return what a report says of a wrist, the asked bone first.

    Other bones follow where the report says something of them; ``no report yet`` where none was
    read.
    """
    if not exam.findings_known:
        return "no report yet"
    asked = [first] if first else []
    rest = [
        region
        for region in Region
        if region is not first
        and exam.findings.get(region, RegionFindings()).fracture != "not_mentioned"
    ]
    parts = [
        f"{region.words}: {finding_words(exam.findings.get(region, RegionFindings()))}"
        for region in (*asked, *rest)
    ]
    parts.extend(other_words(exam))
    return "; ".join(parts) or "its report describes none of the three bones"


def wanted_words(request: Request) -> str:
    """Return which priors were wanted, e.g. ``same side, age within 3 years``; or nothing."""
    wanted = ["same side"] if request.same_side else []
    if request.age_band_years is not None:
        plural = "" if request.age_band_years == 1 else "s"
        wanted.append(f"age within {request.age_band_years:g} year{plural}")
    return ", ".join(wanted)


def other_words(exam: Exam) -> tuple[str, ...]:
    """Return what else a report describes, e.g. ``cast or splint``."""
    return tuple(name.replace("_", " ") for name in exam.other)
