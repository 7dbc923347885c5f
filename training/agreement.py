"""How often exams at a given cosine share their finding: the similarity index of a vector name."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from pipeline.calibration import Calibration
from pipeline.region import GLOBAL, Region
from training.dataset import Pair

__all__ = ["ABSTENTION_ERROR", "abstaining", "agreement"]

ABSTENTION_ERROR = 0.02
"""Share of exams that are to be told wrongly that nothing is similar."""

# finer towards the top, where matches come from
_EDGES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1)


def agreement(
    pairs: Sequence[Pair],
    patients: Sequence[Hashable],
    vectors: NDArray[np.float32],
    name: str,
) -> Calibration:
    """Return the calibration of one vector name, measured on exams unseen in training.

    The index at a cosine is the percentage of pairs of exams around that cosine with the same
    finding: for a bone the same fracture type or none, for the wrist as a whole the same set of
    broken bones. It is made to rise by isotonic regression, from 0 at the lowest cosine to 100
    for an image and itself. ``nothing_similar_below`` is the cosine under which the nearest
    neighbour of `ABSTENTION_ERROR` of these exams lies. As in an answer, no exam is compared with
    one of its own patient.

    Parameters
    ----------
    pairs, patients
        The exams, and whose each is.
    vectors
        float32, shape (n, 512), their unit vectors; NaN where the bone is missing.
    name
        ``global`` or a region.
    """
    present = np.flatnonzero(np.isfinite(vectors[:, 0]))
    findings = np.array([_finding(pairs[int(n)], name) for n in present])
    cosines, others = _compared(vectors[present], [patients[int(n)] for n in present])
    upper = np.triu(others, 1)
    same = (findings[:, None] == findings[None, :])[upper].astype(np.float64)
    centres, shares, weights = _binned(cosines[upper].astype(np.float64), same)
    rising = IsotonicRegression(y_min=0, y_max=1).fit_transform(
        centres, shares, sample_weight=weights
    )
    knots = [(-1.0, 0.0)]
    for cosine, share in zip(centres, rising, strict=True):
        if -1 < cosine < 0.9999 and cosine > knots[-1][0] + 1e-4:
            knots.append((round(float(cosine), 4), round(100 * float(share), 1)))
    nearest = np.where(others, cosines, -1).max(axis=1)
    return Calibration(
        knots=(*knots, (1.0, 100.0)),
        nothing_similar_below=round(float(np.quantile(nearest, ABSTENTION_ERROR)), 4),
    )


def abstaining(
    calibration: Calibration, patients: Sequence[Hashable], vectors: NDArray[np.float32]
) -> Calibration:
    """Return a calibration with the abstention error measured on other exams than it was made of.

    Parameters
    ----------
    calibration
        Of `agreement`.
    patients
        Whose each exam is.
    vectors
        float32, shape (n, 512), their unit vectors; NaN where the bone is missing.
    """
    present = np.flatnonzero(np.isfinite(vectors[:, 0]))
    cosines, others = _compared(vectors[present], [patients[int(n)] for n in present])
    nearest = np.where(others, cosines, -1).max(axis=1)
    error = float(np.mean(nearest < calibration.nothing_similar_below))
    return calibration.model_copy(update={"abstention_error": round(error, 4)})


def _compared(
    vectors: NDArray[np.float32], patients: Sequence[Hashable]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the cosine of every two exams, and which two are of different patients."""
    numbers = {patient: n for n, patient in enumerate(dict.fromkeys(patients))}
    whose = np.array([numbers[patient] for patient in patients])
    return vectors @ vectors.T, whose[:, None] != whose[None, :]


def _finding(pair: Pair, name: str) -> str:
    def of(region: Region) -> str:
        found = pair.findings.get(region)
        broken = found is not None and found.fracture in ("present", "possible")
        return str(found.type or "unspecified") if found is not None and broken else "none"

    if name != GLOBAL:
        return of(Region(name))
    return ",".join(region.value for region in Region if of(region) != "none")


def _binned(
    cosines: NDArray[np.float64], same: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean cosine, share of agreement and number of pairs, per quantile bin."""
    order = np.argsort(cosines)
    cuts = (np.array(_EDGES) * len(order)).astype(int)
    bins = [order[a:b] for a, b in pairwise(cuts) if b > a]
    return (
        np.array([cosines[part].mean() for part in bins]),
        np.array([same[part].mean() for part in bins]),
        np.array([float(len(part)) for part in bins]),
    )
