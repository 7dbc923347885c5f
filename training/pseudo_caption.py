"""Captions for exams without a report, lent by the exams that look most like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.region import GLOBAL, Region
from training.dataset import Pair
from training.vectors import Encoder, ImageVectors, exam_vectors

__all__ = ["PseudoCaption", "lend", "pseudo_captions", "with_lent"]


@dataclass(frozen=True)
class PseudoCaption:
    """A caption that was lent, and the share of the neighbours that bear it."""

    words: str
    agreement: float


def lend(silent: Sequence[Pair], told: Sequence[Pair], encoder: Encoder) -> list[Pair]:
    """Return exams without report, each with the captions that its likes lend it.

    An exam whose neighbours do not agree on any of its crops is left out. Findings are not lent:
    nobody has read these exams.

    Parameters
    ----------
    silent
        Exams without captions.
    told
        Exams with captions: the memory bank.
    encoder
        Already trained, on the bank for example; it stays as it is.
    """
    bank, asking = exam_vectors(told, encoder), exam_vectors(silent, encoder)
    lent = pseudo_captions(asking.images, bank.images, [pair.captions for pair in told])
    return [
        Pair(
            {name: crop for name, crop in pair.crops.items() if name in words},
            {name: caption.words for name, caption in words.items()},
            {},
        )
        for pair, words in zip(silent, lent, strict=True)
        if words
    ]


def with_lent(pairs: Sequence[Pair], encoder: Encoder) -> list[Pair]:
    """Return all exams with captions, and those without that could be lent some; see `lend`."""
    told = [pair for pair in pairs if pair.captions]
    return [*told, *lend([pair for pair in pairs if not pair.captions], told, encoder)]


def pseudo_captions(
    asking: ImageVectors,
    bank: ImageVectors,
    captions: Sequence[Mapping[str, str]],
    *,
    neighbours: int = 8,
    least_agreement: float = 0.5,
) -> tuple[Mapping[str, PseudoCaption], ...]:
    """Return captions by crop name for exams that have none.

    A crop gets the caption that most of its nearest neighbours in the memory bank bear, among
    crops of its own name; where they do not agree, it gets none. The encoder stays frozen, so the
    bank is made once.

    Parameters
    ----------
    asking
        Vectors of the exams without report.
    bank
        Vectors of exams with captions, by the same encoder.
    captions
        Of the bank's exams.
    neighbours
        How many are asked.
    least_agreement
        Share of the neighbours that must bear the same caption.
    """
    names = (GLOBAL, *(region.value for region in Region))
    lent: list[dict[str, PseudoCaption]] = [{} for _ in asking[GLOBAL]]
    for name in names:
        told = [n for n, said in enumerate(captions) if name in said]
        known = np.array([n for n in told if np.isfinite(bank[name][n, 0])], np.int64)
        shown = np.flatnonzero(np.isfinite(asking[name][:, 0]))
        if not len(known) or not len(shown):
            continue
        nearest = _nearest(asking[name][shown], bank[name][known], neighbours)
        for exam, row in zip(shown, nearest, strict=True):
            words, count = Counter(captions[int(known[n])][name] for n in row).most_common(1)[0]
            if count >= least_agreement * len(row):
                lent[int(exam)][name] = PseudoCaption(words, count / len(row))
    return tuple(lent)


def _nearest(
    asking: NDArray[np.float32], bank: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    cosines = asking @ bank.T
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]
