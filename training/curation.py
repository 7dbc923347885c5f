"""Which exams are worth learning from, where there are more than can be learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.dataset import Pair

__all__ = ["most_informative"]


def most_informative(pairs: Sequence[Pair], share: float, seed: int) -> NDArray[np.int64]:
    """Return the numbers of the exams whose captions say most, in rising order.

    An exam is worth the mean information of its captions, -log2 of the share of exams that bear
    the same one: one more normal wrist teaches little, an unusual fracture much. Exams that are
    worth the same are drawn by chance, so that the many normal ones are not taken by their order.

    Parameters
    ----------
    pairs
        The exams; those without captions are never chosen.
    share
        How many of those with captions are wanted, 0 to 1; at least one is returned.
    seed
        Of the draw among equals.
    """
    captions = [pair.captions for pair in pairs]
    counts = Counter(item for said in captions for item in said.items())
    told = np.array([number for number, said in enumerate(captions) if said], np.int64)
    worth = np.array(
        [
            np.mean([-np.log2(counts[item] / len(told)) for item in captions[number].items()])
            for number in told
        ]
    )
    chance = np.random.default_rng(seed).random(len(told))
    best = np.lexsort((chance, -worth))[: max(1, round(share * len(told)))]
    return np.sort(told[best])
