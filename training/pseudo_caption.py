"""Captions for exams without a report, lent by the exams that look most like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.region import GLOBAL, Region
from training.dataset import Pair
from training.vectors import Encoder, ImageVectors, exam_vectors

__all__ = ["PseudoCaption", "WithLent", "pseudo_captions"]


@dataclass(frozen=True)
class PseudoCaption:
    """A caption that was lent, and the share of the neighbours that bear it."""

    words: str
    agreement: float


class WithLent(Sequence[Pair]):
    """Exams with captions, and those without that could be lent some by their likes.

    An exam whose neighbours do not agree on any of its crops is left out, as are the crops on
    which they do not agree. Findings are not lent: nobody has read these exams.

    Parameters
    ----------
    pairs
        Exams with and without captions; read one at a time.
    encoder
        Already trained, on those with captions for example; it stays as it is.
    """

    def __init__(self, pairs: Sequence[Pair], encoder: Encoder) -> None:
        self._pairs = pairs
        told: list[int] = []
        silent: list[int] = []
        for number, pair in enumerate(pairs):
            (told if pair.captions else silent).append(number)
        bank, asking = (exam_vectors(_Some(pairs, part), encoder) for part in (told, silent))
        lent = pseudo_captions(asking.images, bank.images, [pairs[n].captions for n in told])
        self._lent = {
            number: {name: caption.words for name, caption in words.items()}
            for number, words in zip(silent, lent, strict=True)
            if words
        }
        self._numbers = (*told, *self._lent)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> Pair:  # type: ignore[override]  # no slices
        place = self._numbers[number]
        pair = self._pairs[place]
        if place not in self._lent:
            return pair
        words = self._lent[place]
        return Pair({n: crop for n, crop in pair.crops.items() if n in words}, words, {})

    def __iter__(self) -> Iterator[Pair]:
        return (self[number] for number in range(len(self)))

    @property
    def lent(self) -> int:
        """How many exams were lent captions."""
        return len(self._lent)


@dataclass(frozen=True, eq=False)
class _Some(Sequence[Pair]):
    pairs: Sequence[Pair]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Pair:  # type: ignore[override]  # no slices
        pair: Pair = self.pairs[self.numbers[number]]
        return pair


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
