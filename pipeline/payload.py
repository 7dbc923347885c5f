"""An exam as the payload of a point: codes only, never an identifier of a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.errors import IndexUnavailableError
from pipeline.exam import Exam, RegionFindings, Vector
from pipeline.index import Findings
from pipeline.region import GLOBAL, Laterality, Region, View

__all__ = ["Payload", "exam_of", "findings_payload", "payload"]

Payload = dict[str, Any]


def payload(exam: Exam) -> Payload:
    """Return the payload of an exam's point: everything but its vectors, as JSON values.

    Times are ISO 8601 in UTC. What an engine holds is pseudonymous: no name, PatientID, accession
    number, report text or evidence.

    Raises
    ------
    ValueError
        Where a time has no time zone.
    """
    return {
        "sop_instance_uid": exam.sop_instance_uid,
        "series_instance_uid": exam.series_instance_uid,
        "study_instance_uid": exam.study_instance_uid,
        "sop_class_uid": exam.sop_class_uid,
        "patient_key": exam.patient_key,
        "laterality": exam.laterality.value,
        "view": exam.view.value,
        "age_years": exam.age_years,
        "sex": exam.sex,
        "regions": sorted(name for name in exam.vectors if name != GLOBAL),
        "boxes": {name: list(box) for name, box in exam.boxes.items()},
        "spacing_mm": None if exam.spacing_mm is None else list(exam.spacing_mm),
        "bundle_id": exam.bundle_id,
        "runtime": exam.runtime,
        "received_at": _written(exam.received_at),
        "indexed_at": _written(exam.indexed_at),
        **findings_payload(
            Findings(exam.findings, exam.captions, exam.other, exam.flags, exam.findings_known)
        ),
    }


def findings_payload(findings: Findings) -> Payload:
    """Return the part of the payload that comes from the report."""
    return {
        "findings": {region.value: asdict(codes) for region, codes in findings.findings.items()},
        "captions": dict(findings.captions),
        "other": list(findings.other),
        "flags": list(findings.flags),
        "findings_known": findings.findings_known,
    }


def exam_of(payload: Mapping[str, Any], vectors: Mapping[str, Any]) -> Exam:
    """Return the exam of a point.

    Parameters
    ----------
    payload
        As written by `payload`.
    vectors
        Name → numbers, of unit length as the engine keeps them.

    Raises
    ------
    IndexUnavailableError
        Where the payload was not written by this version.
    """
    try:
        return _exam(payload, {name: _vector(numbers) for name, numbers in vectors.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # the cause is cut off: its text may quote a value of the payload
        message = (
            f"A point's payload is not of this version ({type(error).__name__}): "
            "index the studies again into a new index."
        )
        raise IndexUnavailableError(message) from None


def _exam(payload: Mapping[str, Any], vectors: Mapping[str, Vector]) -> Exam:
    age, spacing = payload["age_years"], payload["spacing_mm"]
    return Exam(
        sop_instance_uid=payload["sop_instance_uid"],
        series_instance_uid=payload["series_instance_uid"],
        study_instance_uid=payload["study_instance_uid"],
        sop_class_uid=payload["sop_class_uid"],
        patient_key=payload["patient_key"],
        laterality=Laterality(payload["laterality"]),
        view=View(payload["view"]),
        age_years=None if age is None else float(age),
        sex=payload["sex"],
        vectors=vectors,
        boxes={name: _box(box) for name, box in payload["boxes"].items()},
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        findings={
            Region(region): RegionFindings(**codes) for region, codes in payload["findings"].items()
        },
        findings_known=payload["findings_known"],
        captions=dict(payload["captions"]),
        other=tuple(payload["other"]),
        flags=tuple(payload["flags"]),
        bundle_id=payload["bundle_id"],
        runtime=payload["runtime"],
        received_at=datetime.fromisoformat(payload["received_at"]),
        indexed_at=datetime.fromisoformat(payload["indexed_at"]),
    )


def _box(numbers: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = numbers
    return float(x0), float(y0), float(x1), float(y1)


def _vector(numbers: Any) -> Vector:
    return np.asarray(numbers, dtype=np.float32)


def _written(moment: datetime) -> str:
    if moment.tzinfo is None:
        message = "an exam's times must be timezone-aware"
        raise ValueError(message)
    return moment.astimezone(UTC).isoformat()
