"""Synthetic paediatric wrists with known truth: a faithful cartoon, never a patient."""

from __future__ import annotations

from training.phantom.exam import PhantomExam, phantom

__all__ = ["PhantomExam", "phantom"]
