"""The vectors of a part of an exam table: everything that the evaluation measures starts here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import VECTOR_NAMES
from training.dataset import Pair

__all__ = [
    "VECTOR_LENGTH",
    "Advance",
    "Encoder",
    "ExamVectors",
    "ImageVectors",
    "chance_vectors",
    "exam_vectors",
]

_BATCH = 64

VECTOR_LENGTH = 512
"""Numbers in a vector."""

ImageVectors = Mapping[str, NDArray[np.float32]]
"""By crop name, float32 (n, 512), unit rows; a row of NaN where the exam lacks the crop."""

Advance = Callable[[int], None]
"""Told how many exams more are done."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """The two towers of equation 1.

    Parameters
    ----------
    images
        uint8 crops to unit vectors, float32 (n, 512).
    texts
        Captions to unit vectors, float32 (n, 512).
    """

    images: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.float32]]
    texts: Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class ExamVectors:
    """What an encoder makes of some exams.

    Parameters
    ----------
    images
        Vectors of the crops.
    captions
        The distinct captions of the exams, sorted.
    texts
        Their vectors, float32 (captions, 512).
    numbers
        By crop name, int64 (n,): which caption an exam's crop has; -1 where it has none.
    """

    images: ImageVectors
    captions: tuple[str, ...]
    texts: NDArray[np.float32]
    numbers: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(next(iter(self.images.values())))

    def save(self, path: Path, key: str) -> None:
        """Keep the vectors in a file under a key that says what they were made of."""
        path.parent.mkdir(parents=True, exist_ok=True)
        held: dict[str, NDArray[Any]] = {_IMAGE + name: v for name, v in self.images.items()}
        held |= {_NUMBER + name: numbers for name, numbers in self.numbers.items()}
        draft = path.with_suffix(".part.npz")
        np.savez(draft, key=key, captions=np.array(self.captions), texts=self.texts, **held)  # type: ignore[arg-type]  # a keyword of it is named allow_pickle
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, key: str) -> ExamVectors | None:
        """Return the vectors kept under the key, or None where there are none."""
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as held:
            if str(held["key"]) != key:
                return None
            return cls(
                {name: held[_IMAGE + name] for name in VECTOR_NAMES},
                tuple(str(caption) for caption in held["captions"]),
                held["texts"],
                {name: held[_NUMBER + name] for name in VECTOR_NAMES},
            )


_IMAGE, _NUMBER = "image_", "number_"


def exam_vectors(
    exams: Sequence[Pair], encoder: Encoder, advance: Advance = lambda _: None
) -> ExamVectors:
    """Encode every crop and every distinct caption of some exams.

    Parameters
    ----------
    exams
        For example a part of a `training.exam_table.ExamTable`; read once, a batch at a time.
    encoder
        The towers.
    advance
        Told of every batch that is done.
    """
    images = {
        name: np.full((len(exams), VECTOR_LENGTH), np.nan, np.float32) for name in VECTOR_NAMES
    }
    said: dict[str, list[str | None]] = {name: [] for name in VECTOR_NAMES}
    for start in range(0, len(exams), _BATCH):
        batch = [exams[n] for n in range(start, min(start + _BATCH, len(exams)))]
        for name in VECTOR_NAMES:
            has = [n for n, pair in enumerate(batch) if name in pair.crops]
            if has:
                found = encoder.images([batch[n].crops[name] for n in has])
                images[name][start + np.array(has)] = found
            said[name] += [pair.captions.get(name) for pair in batch]
        advance(len(batch))
    captions = sorted({c for column in said.values() for c in column if c is not None})
    place = {caption: n for n, caption in enumerate(captions)}
    numbers = {
        name: np.array([-1 if c is None else place[c] for c in column], np.int64)
        for name, column in said.items()
    }
    return ExamVectors(images, tuple(captions), encoder.texts(captions), numbers)


def chance_vectors(like: ExamVectors, seed: int = 0) -> ExamVectors:
    """Return vectors that know nothing, for the same exams: what any figure is worth by chance."""
    generator = np.random.default_rng(seed)
    images = {}
    for name, rows in like.images.items():
        drawn = _unit(generator.normal(size=rows.shape))
        drawn[np.isnan(rows[:, 0])] = np.nan
        images[name] = drawn
    texts = _unit(generator.normal(size=like.texts.shape))
    return ExamVectors(images, like.captions, texts, like.numbers)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths).astype(np.float32)
