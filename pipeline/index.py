"""The index of exams: what every engine behind it must do."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

import numpy as np

from pipeline.errors import BundleError
from pipeline.exam import Exam, RegionFindings, Vector, exam_id
from pipeline.region import GLOBAL, Laterality, Region, View

__all__ = [
    "EVERY",
    "KEYWORDS",
    "NAMES",
    "NUMBERS",
    "ExamFilter",
    "ExamIndex",
    "Findings",
    "Search",
    "checked_bundle",
    "checked_vectors",
]

NAMES: Final = (GLOBAL, *(region.value for region in Region))
"""The named vectors of a point. Only ``global`` may get a graph: the bones rerank a pool."""

KEYWORDS: Final = (
    "laterality",
    "patient_key",
    "study_instance_uid",
    "view",
    "flags",
    "bundle_id",
    "regions",
)
"""Payload fields indexed as exact words."""

NUMBERS: Final = ("age_years",)
"""Payload fields indexed as numbers."""


@dataclass(frozen=True)
class ExamFilter:
    """Which exams may be candidates; what is None (or empty) does not restrict.

    Parameters
    ----------
    view, side
        Only exams of this projection, of this side.
    ages
        Only exams whose age in years is known and within these two, both included.
    not_patient, not_study, not_exam
        Patient key, Study Instance UID and SOP Instance UID to leave out.
    """

    view: View | None = None
    side: Laterality | None = None
    ages: tuple[float, float] | None = None
    not_patient: str | None = None
    not_study: str | None = None
    not_exam: str | None = None

    @property
    def must(self) -> tuple[tuple[str, str], ...]:
        """``(payload field, word)`` pairs that must hold."""
        wanted = (("view", self.view), ("laterality", self.side))
        return tuple((key, value.value) for key, value in wanted if value is not None)

    @property
    def must_not(self) -> tuple[tuple[str, str], ...]:
        """``(payload field, word)`` pairs that must not hold."""
        unwanted = (("patient_key", self.not_patient), ("study_instance_uid", self.not_study))
        return tuple((key, value) for key, value in unwanted if value)


EVERY: Final = ExamFilter()
"""The filter that every exam passes."""


@dataclass(frozen=True, eq=False)
class Search:
    """A pool of candidates and the vectors by which each of its members is scored.

    Parameters
    ----------
    vectors
        The query's vectors by name, unit length: every member of the pool is scored by each of
        them that it has. ``global`` must be among them.
    draws
        Named vector → how many of its nearest exams enter the pool. ``{"global": 100}`` is the
        paper's first stage (equation 3); a bone beside it makes the union of both.
    where
        Which exams may enter.
    """

    vectors: Mapping[str, Vector]
    draws: Mapping[str, int]
    where: ExamFilter = EVERY

    @property
    def limit(self) -> int:
        """The most members that the pool can have."""
        return sum(self.draws.values())


@dataclass(frozen=True)
class Findings:
    """What a report adds to an exam that is indexed already: its payload, not its vectors.

    The fields are those of `pipeline.exam.Exam`.
    """

    findings: Mapping[Region, RegionFindings] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    other: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    findings_known: bool = True


class ExamIndex(ABC):
    """Every exam of one bundle, with its vectors, findable by likeness.

    Vectors of two bundles do not compare, so an index belongs to one bundle. Every method raises
    IndexUnavailableError where the engine cannot be reached or refuses.
    """

    @property
    @abstractmethod
    def bundle_id(self) -> str:
        """The bundle whose models made the vectors."""

    @abstractmethod
    def upsert(self, exams: Iterable[Exam]) -> None:
        """Put exams in, replacing those of the same SOP Instance UID as a whole.

        When it returns, the exams survive the death of the process.

        Raises
        ------
        BundleError
            Where an exam was made by another bundle, or its vectors are not the index's.
        """

    @abstractmethod
    def remove(self, sop_instance_uids: Iterable[str]) -> None:
        """Take exams out; one that is not there is no error."""

    @abstractmethod
    def set_findings(self, sop_instance_uid: str, findings: Findings) -> bool:
        """Replace what is known from the report, leaving the vectors; False: no such exam."""

    def exam(self, sop_instance_uid: str) -> Exam | None:
        """Return one exam with its vectors, or None."""
        point = exam_id(sop_instance_uid)
        return self.fetch([point]).get(point)

    @abstractmethod
    def exams(self, study_instance_uid: str) -> tuple[Exam, ...]:
        """Return a study's exams with their vectors, ordered by SOP Instance UID."""

    @abstractmethod
    def fetch(self, ids: Sequence[UUID], *, vectors: bool = True) -> Mapping[UUID, Exam]:
        """Return exams by point id, with their vectors if wanted; one not there is left out."""

    @abstractmethod
    def search(self, search: Search) -> Mapping[UUID, Mapping[str, float]]:
        """Draw a pool and score its members: one request to the engine's Query API.

        Returns
        -------
        Mapping
            Point id → name of the vector → cosine. Every member has ``global``; a bone that it
            lacks is missing from its scores, the member itself is not dropped.
        """

    @abstractmethod
    def count(self, where: ExamFilter = EVERY) -> int:
        """Count the exams that pass a filter."""

    @abstractmethod
    def activate(self) -> None:
        """Make this bundle's index the live one, in one atomic step."""

    def optimize(self) -> bool:
        """Build what makes searching a very large index fast; True where something was built."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go of the engine; closing twice is no error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked_bundle(bundle_id: str) -> str:
    """Return a bundle id that is fit to name a folder and a collection.

    Raises
    ------
    BundleError
        Where it is not 1 to 100 of ``A-Z a-z 0-9 . _ -``, beginning with a letter or digit.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", bundle_id):
        message = (
            "Its id cannot name an index: use 1 to 100 letters, digits, dots, dashes and "
            "underscores, a letter or digit first."
        )
        raise BundleError(message)
    return bundle_id


def checked_vectors(exam: Exam, bundle_id: str, size: int) -> dict[str, list[float]]:
    """Return an exam's vectors as the engines take them, or refuse what does not belong.

    Raises
    ------
    BundleError
        Where the exam was made by another bundle, has no global vector, or has a vector of an
        unknown name, of another size, or with a number that is not finite.
    """
    if exam.bundle_id != bundle_id:
        message = f"An exam of bundle {exam.bundle_id!r} was offered to the index of {bundle_id!r}."
        raise BundleError(message)
    if GLOBAL not in exam.vectors:
        message = "An exam without a global vector cannot be indexed."
        raise BundleError(message)
    for name, vector in exam.vectors.items():
        if name not in NAMES:
            message = f"The index knows no vector {name!r}, only {', '.join(NAMES)}."
            raise BundleError(message)
        if vector.shape != (size,) or not np.isfinite(vector).all():
            message = (
                f"The {name} vector must be {size} finite numbers; its shape is {vector.shape}."
            )
            raise BundleError(message)
    return {name: vector.tolist() for name, vector in exam.vectors.items()}
