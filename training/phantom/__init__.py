"""Synthetic paediatric wrists with known truth: a faithful cartoon, never a patient."""

from __future__ import annotations

from training.phantom.exam import PhantomExam, phantom
from training.phantom.studies import dicom_study

__all__ = ["PhantomExam", "dicom_study", "phantom"]
