"""How much the bones count for the view, fitted on what models say of patients they never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from pipeline.region import View
from pipeline.witness import Witness, log_odds
from training.errors import DataError

__all__ = ["Hearing", "fit_witness"]


@dataclass(frozen=True)
class Hearing:
    """What two networks say of one wrist, and what it shows.

    ``pa`` is the view model's probability of PA, ``joint`` the bones' `joint_score`.
    """

    view: View
    pa: float
    joint: float


def fit_witness(heard: Sequence[Hearing]) -> Witness:
    """Fit by logistic regression, PA and everything else weighing the same.

    Raises
    ------
    DataError
        Where only PA views are there, or none.
    """
    shows_pa = np.array([one.view is View.PA for one in heard])
    if shows_pa.all() or not shows_pa.any():
        detail = "To weigh the bones as a witness, both PA and other views are needed."
        raise DataError(detail)
    features = np.array([(log_odds(one.pa), one.joint) for one in heard])
    fitted = LogisticRegression(class_weight="balanced").fit(features, shows_pa)
    image, bones = (max(0.0, round(float(weight), 4)) for weight in fitted.coef_[0])
    return Witness(image=image, bones=bones, bias=round(float(fitted.intercept_[0]), 4))
