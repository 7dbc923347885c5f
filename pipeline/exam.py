"""What is indexed of one PA radiograph: codes and vectors, never an identifier."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipeline.region import Laterality, Region, View

__all__ = ["SIDE_FROM_IMAGE", "Exam", "RegionFindings", "Vector", "exam_id"]

Vector = NDArray[np.float32]

SIDE_FROM_IMAGE = "side_from_image"
"""Flag of an exam whose side only the picture tells: good enough to search by, not to join a
report's findings by."""

_NAMESPACE = uuid.UUID("6f0b6d8e-2f0c-5c53-9d55-7a0f4d6a9a11")


def exam_id(sop_instance_uid: str) -> uuid.UUID:
    """Return the point id of a radiograph: the UUIDv5 of its SOP Instance UID."""
    return uuid.uuid5(_NAMESPACE, sop_instance_uid)


@dataclass(frozen=True)
class RegionFindings:
    """What a prior's report says of one bone, as codes only (no words of the report).

    ``fracture`` is ``present``, ``possible``, ``absent`` or ``not_mentioned``; the others are
    the values of `pipeline.findings` or None.
    """

    fracture: str = "not_mentioned"
    type: str | None = None
    healing: str | None = None
    displacement: str | None = None
    angulation_deg: float | None = None


@dataclass(frozen=True, eq=False)
class Exam:
    """One indexed PA radiograph: one point in the index.

    Parameters
    ----------
    sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid
        The radiograph's own identity.
    patient_key
        Keyed hash of PatientID and issuer; joins one patient's exams without naming them.
    laterality, view
        Side and projection.
    age_years
        Age at the study, or None where the object does not say.
    sex
        ``F``, ``M``, ``O`` or None.
    vectors
        ``global`` and one entry per bone found: float32, shape (512,), unit length.
    boxes
        ``wrist`` and bones found: ``(x0, y0, x1, y1)`` in pixels of the stored image
        (column, row; PS3.3 C.10.5 convention, origin at the top left corner).
    spacing_mm
        Row and column spacing, or None where it is not known.
    findings
        Per bone, from the report; empty where there is no report yet.
    findings_known
        False while no report has been read ("no findings" flag).
    captions
        ``global`` and per bone, by the templates of the paper's Appendix H.
    flags
        For example ``cast``, ``hardware``, ``ap_label``, ``adult``, ``age_unknown``.
    bundle_id, runtime
        Which models made the vectors, and in which runtime and precision.
    received_at, indexed_at
        Timezone-aware, UTC.
    """

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    patient_key: str
    laterality: Laterality
    view: View
    age_years: float | None
    sex: str | None
    vectors: Mapping[str, Vector]
    boxes: Mapping[str, tuple[float, float, float, float]]
    bundle_id: str
    runtime: str
    received_at: datetime
    indexed_at: datetime
    spacing_mm: tuple[float, float] | None = None
    findings: Mapping[Region, RegionFindings] = field(default_factory=dict)
    findings_known: bool = False
    captions: Mapping[str, str] = field(default_factory=dict)
    other: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def id(self) -> uuid.UUID:
        """The point id."""
        return exam_id(self.sop_instance_uid)

    @property
    def stated_side(self) -> Laterality:
        """The side, unless only the picture tells it."""
        return Laterality.UNKNOWN if SIDE_FROM_IMAGE in self.flags else self.laterality

    @property
    def age_band(self) -> str:
        """The age as a band of three years (``6-8 years``), or ``age unknown``."""
        if self.age_years is None:
            return "age unknown"
        if self.ages is None:
            return "adult"
        return f"{self.ages[0]}-{self.ages[1]} years"

    @property
    def ages(self) -> tuple[int, int] | None:
        """First and last year of the age band; None where unknown, or adult."""
        if self.age_years is None or self.age_years >= 19:
            return None
        low = int(self.age_years // 3) * 3
        return low, low + 2
