"""How the bones of real wrists lie to each other, measured on drawn boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.constellation import FEATURES, Constellation, features
from pipeline.region import Region
from training.dataset import Picture
from training.errors import DataError

__all__ = ["CONSTELLATION_WEIGHT", "fit_constellation"]

CONSTELLATION_WEIGHT = 0.15
"""Single boxes' scores are overconfident, and count more than how boxes lie to each other."""

_LEAST = 8
_SPREAD = 1e-3  # added to each variance: a narrow feature must not decide alone


def fit_constellation(pictures: Sequence[Picture], weight: float) -> Constellation:
    """Return the distribution of `pipeline.constellation.FEATURES` over pictures with boxes.

    Parameters
    ----------
    pictures
        Those that show all three bones are used.
    weight
        How much it is to count against a detector's scores.

    Raises
    ------
    DataError
        Where too few pictures show all three bones.
    """
    whole = [p.boxes for p in pictures if all(r.value in p.boxes for r in Region)]
    if len(whole) < _LEAST:
        detail = f"{len(whole)} pictures show all three bones; at least {_LEAST} are needed."
        raise DataError(detail)
    boxes = {r: np.array([shown[r.value] for shown in whole], float) for r in Region}
    found = features(boxes)
    spread = np.cov(found.T) + _SPREAD * np.eye(len(FEATURES))
    return Constellation(
        mean=tuple(round(float(value), 4) for value in found.mean(axis=0)),
        covariance=tuple(tuple(round(float(value), 6) for value in row) for row in spread),
        weight=weight,
    )
