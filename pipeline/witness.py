"""The bones as a second witness of the view: a PA view shows all three, each in its place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pipeline.region import Region, View

__all__ = ["Witness", "joint_score", "log_odds"]

_LEAST = 0.005  # a bone that was not found counts as one of this score
_SURE = 1e-4  # no network is surer than this


class Witness(BaseModel):
    """A logistic regression on what two networks say: the view model, and the bone detector.

    The detector has learnt to be silent on other views than PA.

    Parameters
    ----------
    image
        Weight of the view model's log-odds of PA.
    bones
        Weight of `joint_score`.
    bias
        Log-odds of PA where both are zero.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image: float = Field(ge=0)
    bones: float = Field(ge=0)
    bias: float

    def weighed(
        self, scores: Mapping[View, float], bones: Mapping[Region, float]
    ) -> dict[View, float]:
        """Return the probabilities of the views after the bones were heard; they add up to one.

        Parameters
        ----------
        scores
            Of the view model, a probability each.
        bones
            The detector's score of each bone that was found, 0..1.
        """
        odds = self.image * log_odds(scores[View.PA])
        odds += self.bones * joint_score(bones) + self.bias
        after = float(1 / (1 + np.exp(-odds)))
        # a floor, so that there is something to take from where the view model knew of PA alone
        others = {view: max(score, _SURE) for view, score in scores.items() if view != View.PA}
        share = (1 - after) / sum(others.values())
        return {view: after if view == View.PA else others[view] * share for view in scores}


def joint_score(bones: Mapping[Region, float]) -> float:
    """Return the mean logarithm of the three bones' scores: 0 at best, -5.3 for none."""
    return float(np.mean([np.log(max(bones.get(region, 0.0), _LEAST)) for region in Region]))


def log_odds(probability: float) -> float:
    """Return the logarithm of the odds, of a probability that is never quite sure."""
    inside = float(np.clip(probability, _SURE, 1 - _SURE))
    return float(np.log(inside / (1 - inside)))
