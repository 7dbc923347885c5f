"""What a radiology report says of a wrist, in codes: schema, canonical values, terminology."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region, View

__all__ = [
    "FRACTURE_CODES",
    "OTHER_CODES",
    "REGION_CODES",
    "TYPE_CODES",
    "Alignment",
    "Code",
    "Disagreement",
    "Displacement",
    "Finding",
    "Fracture",
    "FractureType",
    "Healing",
    "Other",
    "OtherFinding",
    "SideFindings",
    "WristReport",
    "collapse",
    "collapse_others",
]


class Fracture(StrEnum):
    """Whether a fracture is described; ``NOT_MENTIONED`` exists only in the collapsed view."""

    PRESENT = "present"
    POSSIBLE = "possible"
    ABSENT = "absent"
    NOT_MENTIONED = "not_mentioned"


class FractureType(StrEnum):
    """Morphology of a fracture."""

    SALTER_HARRIS_1 = "salter_harris_1"
    SALTER_HARRIS_2 = "salter_harris_2"
    SALTER_HARRIS_3 = "salter_harris_3"
    SALTER_HARRIS_4 = "salter_harris_4"
    SALTER_HARRIS_5 = "salter_harris_5"
    SALTER_HARRIS_UNSPECIFIED = "salter_harris_unspecified"
    BUCKLE = "buckle"
    TRANSVERSE = "transverse"
    GREENSTICK = "greenstick"
    OBLIQUE = "oblique"
    COMMINUTED = "comminuted"
    AVULSION = "avulsion"
    PLASTIC_BOWING = "plastic_bowing"
    UNSPECIFIED = "unspecified"


class Healing(StrEnum):
    """Stage of healing, where the report states one."""

    ACUTE = "acute"
    HEALING = "healing"
    HEALED = "healed"


class Displacement(StrEnum):
    """Degree of displacement, where the report states one."""

    NONE = "none"
    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"


class Alignment(StrEnum):
    """Alignment of the wrist as a whole."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"


class Other(StrEnum):
    """What else is described, beside the three bones; in the order in which it is reported."""

    CAST_OR_SPLINT = "cast_or_splint"
    HARDWARE = "hardware"
    SOFT_TISSUE_SWELLING = "soft_tissue_swelling"
    SCAPHOID_FRACTURE = "scaphoid_fracture"
    OTHER_FRACTURE = "other_fracture"
    OSTEOPENIA = "osteopenia"
    DISLOCATION = "dislocation"
    FOREIGN_BODY = "foreign_body"
    BONE_LESION = "bone_lesion"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Record):
    """One statement about a fracture of one bone.

    ``evidence`` holds the words of the report that support it; several quotes are joined by
    ``" … "``. Angulation is in degrees, without a direction. ``physeal`` and ``intra_articular``
    are None where the report does not say.
    """

    fracture: Fracture
    type: FractureType | None = None
    healing: Healing | None = None
    displacement: Displacement | None = None
    angulation_deg: float | None = Field(default=None, ge=0, le=180)
    physeal: bool | None = None
    intra_articular: bool | None = None
    evidence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Finding:
        if self.fracture is Fracture.NOT_MENTIONED:
            message = "a bone without a statement has no finding: leave it out"
            raise ValueError(message)
        described = (self.type, self.healing, self.displacement, self.angulation_deg)
        if self.fracture is Fracture.ABSENT and any(value is not None for value in described):
            message = "an absent fracture has no type, healing, displacement or angulation"
            raise ValueError(message)
        return self


class OtherFinding(_Record):
    """Something beside the three bones; ``possible`` where the report doubts it."""

    name: Other
    possible: bool = False
    evidence: str = Field(min_length=1)


class SideFindings(_Record):
    """What is said of one side."""

    regions: Mapping[Region, tuple[Finding, ...]] = Field(default_factory=dict)
    alignment: Alignment | None = None
    other: tuple[OtherFinding, ...] = ()


class Disagreement(_Record):
    """Two readings of one value: both are kept, with the words behind each."""

    side: Laterality
    region: Region | None
    field: str
    readings: tuple[str, ...] = Field(min_length=2)
    evidence: tuple[str, ...]


class WristReport(_Record):
    """A report in structured form (WristMIR, section 2.3), per side.

    Parameters
    ----------
    language
        ISO 639-1 code of the report's language; where the miner does not read it, there are no
        sides.
    views
        Projections that the report names, in order.
    sides
        Every side that the report speaks of, also where nothing but its name is said.
    dropped
        How many findings were left out because their evidence does not stand in the text.
    disputed
        Values read in two ways.
    """

    language: str = "en"
    views: tuple[View, ...] = ()
    sides: Mapping[Laterality, SideFindings] = Field(default_factory=dict)
    dropped: int = Field(default=0, ge=0)
    disputed: tuple[Disagreement, ...] = ()

    @property
    def laterality(self) -> Laterality:
        """The side of the report; ``UNKNOWN`` also where it speaks of both."""
        known = [side for side in self.sides if side is not Laterality.UNKNOWN]
        return known[0] if len(known) == 1 else Laterality.UNKNOWN


def collapse(
    report: WristReport, laterality: Laterality | None = None, *, one_sided: bool = True
) -> Mapping[Region, RegionFindings]:
    """Return one value per region: of the whole report, or what joins an exam of one side.

    Present outranks possible outranks absent; acute outranks healing outranks healed; the larger
    displacement and angulation and the first specific type win; a bone without a statement is
    ``not_mentioned``.

    Parameters
    ----------
    laterality
        The exam's side; None collapses all sides into one (the `wristmir mine` view, never to be
        given to an exam of a study on both wrists).
    one_sided
        True where the study shows one side only. Findings of unknown side join an exam only
        then, and only where the report does not speak of both sides.
    """
    joined = _joining(report, laterality, one_sided=one_sided)
    return {
        region: _collapse_region([f for side in joined for f in side.regions.get(region, ())])
        for region in Region
    }


def collapse_others(
    report: WristReport, laterality: Laterality | None = None, *, one_sided: bool = True
) -> tuple[str, ...]:
    """Return the other findings of the same sides as `collapse`, without the doubted ones."""
    joined = _joining(report, laterality, one_sided=one_sided)
    named = {other.name for side in joined for other in side.other if not other.possible}
    return tuple(name.value for name in Other if name in named)


def _joining(
    report: WristReport, laterality: Laterality | None, *, one_sided: bool
) -> list[SideFindings]:
    if laterality is None:
        return list(report.sides.values())
    known = [side for side in report.sides if side is not Laterality.UNKNOWN]
    wanted = {laterality} - {Laterality.UNKNOWN}
    if one_sided and len(known) <= 1:
        wanted.add(Laterality.UNKNOWN)
        if laterality is Laterality.UNKNOWN:
            # the image does not tell its side, but the report knows of one only
            wanted.update(known)
    return [findings for side, findings in report.sides.items() if side in wanted]


_STATUS = (Fracture.PRESENT, Fracture.POSSIBLE, Fracture.ABSENT)
_STAGE = (Healing.ACUTE, Healing.HEALING, Healing.HEALED)
_DEGREE = (Displacement.SEVERE, Displacement.MODERATE, Displacement.MILD, Displacement.NONE)


def _collapse_region(findings: Iterable[Finding]) -> RegionFindings:
    stated = list(findings)
    for status in _STATUS:
        ranked = [finding for finding in stated if finding.fracture is status]
        if ranked:
            break
    else:
        return RegionFindings()
    if status is Fracture.ABSENT:
        return RegionFindings(fracture=status.value)
    specific = [f.type for f in ranked if f.type not in (None, FractureType.UNSPECIFIED)]
    stages = {f.healing for f in ranked}
    degrees = {f.displacement for f in ranked}
    return RegionFindings(
        fracture=status.value,
        type=(specific[0] if specific and specific[0] else FractureType.UNSPECIFIED).value,
        healing=next((stage.value for stage in _STAGE if stage in stages), None),
        displacement=next((degree.value for degree in _DEGREE if degree in degrees), None),
        angulation_deg=max(
            (f.angulation_deg for f in ranked if f.angulation_deg is not None), default=None
        ),
    )


@dataclass(frozen=True)
class Code:
    """A coded term: value, coding scheme designator (PS3.16 section 8), meaning."""

    value: str
    scheme: str
    meaning: str


def _own(value: str, meaning: str) -> Code:
    return Code(value, "99WRISTMIR", meaning)


REGION_CODES: Mapping[Region, tuple[Code, ...]] = {
    # RadLex has neither "distal radius" nor "distal ulna": the whole bones stand alongside
    Region.DISTAL_RADIUS: (
        Code("75129005", "SCT", "Distal Radius"),
        Code("RID2109", "RADLEX", "radius"),
    ),
    Region.DISTAL_ULNA: (
        Code("91238003", "SCT", "Distal Ulna"),
        Code("RID2119", "RADLEX", "ulna"),
    ),
    Region.ULNAR_STYLOID: (
        Code("91361004", "SCT", "Ulnar styloid"),
        Code("RID2132", "RADLEX", "ulnar styloid"),
    ),
}
"""First the code to write, then the same or the next wider term of other schemes."""

FRACTURE_CODES: tuple[Code, ...] = (
    Code("72704001", "SCT", "Fracture"),
    Code("RID4650", "RADLEX", "fracture"),
)

TYPE_CODES: Mapping[FractureType, tuple[Code, ...]] = {
    # no trustworthy SNOMED CT code for most of them: own codes first, RadLex alongside
    **{
        FractureType(f"salter_harris_{number}"): (
            _own(f"SALTER_HARRIS_{number}", f"Salter-Harris type {roman} fracture"),
            Code(f"RID{4684 + number}", "RADLEX", f"Salter-Harris type {roman} fracture"),
        )
        for number, roman in enumerate(("I", "II", "III", "IV", "V"), start=1)
    },
    FractureType.SALTER_HARRIS_UNSPECIFIED: (
        _own("SALTER_HARRIS", "Salter-Harris fracture"),
        Code("RID4684", "RADLEX", "Salter-Harris fracture"),
    ),
    FractureType.BUCKLE: (
        _own("BUCKLE", "Buckle fracture"),
        Code("RID4697", "RADLEX", "torus fracture"),
    ),
    FractureType.TRANSVERSE: (_own("TRANSVERSE", "Transverse fracture"),),
    FractureType.GREENSTICK: (
        Code("442085002", "SCT", "Greenstick fracture"),
        Code("RID4666", "RADLEX", "greenstick fracture"),
    ),
    FractureType.OBLIQUE: (_own("OBLIQUE", "Oblique fracture"),),
    FractureType.COMMINUTED: (
        _own("COMMINUTED", "Comminuted fracture"),
        Code("RID6341", "RADLEX", "comminuted fracture"),
    ),
    FractureType.AVULSION: (
        _own("AVULSION", "Avulsion fracture"),
        Code("RID4653", "RADLEX", "avulsion fracture"),
    ),
    FractureType.PLASTIC_BOWING: (
        _own("PLASTIC_BOWING", "Plastic bowing"),
        Code("RID4654", "RADLEX", "bowing fracture"),
    ),
    FractureType.UNSPECIFIED: FRACTURE_CODES,
}

OTHER_CODES: Mapping[Other, tuple[Code, ...]] = {
    Other.CAST_OR_SPLINT: (
        _own("CAST_OR_SPLINT", "Cast or splint"),
        Code("RID5533", "RADLEX", "orthopedic cast"),
    ),
    Other.HARDWARE: (_own("HARDWARE", "Orthopaedic hardware"),),
    Other.SOFT_TISSUE_SWELLING: (_own("SWELLING", "Soft tissue swelling"),),
    Other.SCAPHOID_FRACTURE: (_own("SCAPHOID_FX", "Fracture of scaphoid"),),
    Other.OTHER_FRACTURE: (_own("OTHER_FRACTURE", "Fracture of another bone"),),
    Other.OSTEOPENIA: (
        _own("OSTEOPENIA", "Osteopenia"),
        Code("RID5388", "RADLEX", "osteopenia"),
    ),
    Other.DISLOCATION: (_own("DISLOCATION", "Dislocation or subluxation"),),
    Other.FOREIGN_BODY: (_own("FOREIGN_BODY", "Foreign body"),),
    Other.BONE_LESION: (_own("BONE_LESION", "Bone lesion"),),
}
