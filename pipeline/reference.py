"""How a result points at a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydicom import Dataset

from pipeline.exam import Exam

__all__ = ["PriorReference"]


@dataclass(frozen=True, eq=False)
class PriorReference:
    """A prior and the four UIDs under which its image can be fetched at the destination.

    By default these are those of the de-identified library copy; with ``references =
    "original"`` they are the prior's own.
    """

    exam: Exam
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str

    @classmethod
    def to_copy(cls, exam: Exam, copy: Dataset) -> Self:
        """Point at a library copy (`pipeline.deidentify.library_copy`)."""
        return cls(
            exam,
            str(copy.SOPClassUID),
            str(copy.SOPInstanceUID),
            str(copy.SeriesInstanceUID),
            str(copy.StudyInstanceUID),
        )

    @classmethod
    def to_original(cls, exam: Exam) -> Self:
        """Point at the prior itself: only where the site opted in."""
        return cls(
            exam,
            exam.sop_class_uid,
            exam.sop_instance_uid,
            exam.series_instance_uid,
            exam.study_instance_uid,
        )
