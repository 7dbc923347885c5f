"""How well a line through the frozen vectors tells broken wrists (WristMIR, Tables 1 and 4)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.region import GLOBAL, Region
from training.bootstrap import Estimate, Resamples
from training.exam_table import ExamRow
from training.matching import NO_FRACTURE, fracture_class
from training.statistic import area_under_roc, average_precision, f1_of
from training.vectors import ImageVectors

__all__ = ["LinearProbe", "Part"]

Part = tuple[Sequence[ExamRow], ImageVectors]
"""Rows with their vectors."""

_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class LinearProbe:
    """A logistic regression fitted on training exams and measured on test exams.

    The vector of the whole wrist tells any fracture of the three bones (the paper's "binary
    fracture detection" over 876 images, with the normal cases of its Table 3); a bone's vector
    tells a fracture of that bone.

    Parameters
    ----------
    name
        Of the vector.
    fitted_on, queries, fractured
        Training exams; test exams, and how many of them are broken.
    strength
        Inverse weight of the penalty (scikit-learn's ``C``), chosen by the area under the ROC
        curve of the validation exams; 0.01 where there are none.
    scores, truth
        Of the test exams, for curves.
    """

    name: str
    fitted_on: int
    queries: int
    fractured: int
    strength: float
    area_under_roc: Estimate
    average_precision: Estimate
    f1: Estimate
    scores: tuple[float, ...]
    truth: tuple[bool, ...]

    @classmethod
    def of(
        cls, name: str, training: Part, validation: Part, test: Part, draws: int = 1000
    ) -> LinearProbe | None:
        """Fit and measure; None where training or test exams are all broken or all whole."""
        rows, features, labels = _examples(name, *training)
        _, check_features, check_labels = _examples(name, *validation)
        test_rows, test_features, truth = _examples(name, *test)
        if len(set(labels.tolist())) < 2 or len(set(truth.tolist())) < 2:
            return None
        # one scale for all directions: an encoder's strong directions stay strong
        middle, spread = features.mean(axis=0), features.std(axis=0).mean()
        features, check_features, test_features = (
            (part - middle) / max(float(spread), 1e-6)
            for part in (features, check_features, test_features)
        )
        strength = _strength(features, labels, check_features, check_labels)
        model = _fitted(features, labels, strength)
        scores: NDArray[np.float64] = model.decision_function(test_features)
        resamples = Resamples([(row.source, row.patient) for row in test_rows], draws)
        return cls(
            name,
            len(rows),
            len(test_rows),
            int(truth.sum()),
            strength,
            resamples.estimate(area_under_roc(scores, truth)),
            resamples.estimate(average_precision(scores, truth)),
            resamples.estimate(f1_of(scores > 0, truth)),
            tuple(round(float(score), 5) for score in scores),
            tuple(bool(state) for state in truth),
        )


def _examples(
    name: str, rows: Sequence[ExamRow], vectors: ImageVectors
) -> tuple[list[ExamRow], NDArray[np.float32], NDArray[np.bool_]]:
    """Return the exams that have the vector and findings, their vectors and their states."""
    has = [n for n, r in enumerate(rows) if r.findings and np.isfinite(vectors[name][n, 0])]
    regions = list(Region) if name == GLOBAL else [Region(name)]
    broken = [
        any(fracture_class(rows[n].findings.get(region)) != NO_FRACTURE for region in regions)
        for n in has
    ]
    return [rows[n] for n in has], vectors[name][has], np.array(broken, bool)


def _strength(
    features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    check_features: NDArray[np.float32],
    check_labels: NDArray[np.bool_],
) -> float:
    if len(set(check_labels.tolist())) < 2:
        return 1e-2

    def area(strength: float) -> float:
        model = _fitted(features, labels, strength)
        return float(roc_auc_score(check_labels, model.decision_function(check_features)))

    return max(_STRENGTHS, key=area)


def _fitted(features: NDArray[np.float32], labels: NDArray[np.bool_], strength: float) -> Any:
    model = LogisticRegression(C=strength, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)
