"""Candidates that an answer keeps behind its matches, so that other weights can bring them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

__all__ = ["MOST", "WEIGHTS", "reserve"]

MOST: Final = 50
"""How many candidates of a bone are kept, its matches among them."""

WEIGHTS: Final = tuple(percent / 100 for percent in range(0, 101, 5))
"""What a bone may count against the whole wrist: the steps that a reader chooses from."""


def reserve(indices: Sequence[tuple[float, float]], matches: int) -> tuple[int, ...]:
    """Return which candidates are kept behind the matches, in their own order.

    First those that are among the best by one of the weights, as many as there are matches, so that
    a reader who weighs otherwise sees what the whole pool would have given; then the next ones.

    Parameters
    ----------
    indices
        Similarity indices of whole wrist and bone, in the answer's order; 0 for a bone that was not
        compared.
    matches
        How many of them, from the first, are the matches.

    Returns
    -------
    tuple
        Positions in `indices`, ascending, none of them a match's; `MOST` less the matches at most.
    """
    room = min(MOST, len(indices)) - matches
    if room <= 0:
        return ()
    whole, bone = np.asarray(indices, float).T
    weights = np.asarray(WEIGHTS)[:, None]
    scores = weights * bone + (1 - weights) * whole
    best = np.argsort(-scores, axis=1, kind="stable")[:, :matches]
    by_place = best.T.ravel().tolist()  # the first of every weight, then the second
    kept: dict[int, None] = {}
    for position in (*by_place, *range(matches, len(indices))):
        if position >= matches and len(kept) < room:
            kept.setdefault(position)
    return tuple(sorted(kept))
