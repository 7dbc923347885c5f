"""Phantoms as exams of a table: each seed is a look at an invented patient."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bundle import Preprocessing
from training.dataset import BOX_NAMES, phantom_pair
from training.exam_import import CutExam, Imported
from training.exam_table import ExamRow
from training.phantom.prevalence import PREVALENCES
from training.phantom.visit import look
from training.split import PatientSplit

__all__ = ["PhantomExams"]


@dataclass(frozen=True)
class PhantomExams:
    """Draws the exam of a seed; the same seed always gives the same one.

    Parameters
    ----------
    prevalence
        A name of `training.phantom.prevalence.PREVALENCES`.
    preprocessing
        How crops are cut.
    split
        Of the invented patients; ``prevalence`` and the seed of the first look name them.
    jitter
        Cut along boxes as imprecise as a detector's; the row holds the true ones all the same.
    """

    prevalence: str
    preprocessing: Preprocessing
    split: PatientSplit
    jitter: bool = True

    def __call__(self, seed: int) -> Imported:
        """Return the exam of a seed."""
        exam = look(seed, PREVALENCES[self.prevalence])
        pair = phantom_pair(exam, self.preprocessing, jitter=self.jitter)
        patient = f"{self.prevalence}-{exam.patient}"
        row = ExamRow(
            exam=f"phantom-{self.prevalence}-{seed}",
            source="phantom",
            patient=patient,
            study=f"{self.prevalence}-{seed}",
            split=self.split.of(patient),
            view=exam.view,
            laterality=exam.laterality,
            image=f"phantom:{self.prevalence}:{seed}",
            age_years=exam.age_years,
            sex=exam.sex,
            report=exam.report,
            other=exam.other,
            findings=exam.findings,
            captions=pair.captions,
            boxes={name: exam.boxes[name] for name in BOX_NAMES if name in exam.boxes},
        )
        return Imported((CutExam(row, pair.crops),))
