"""Exams whose vectors and findings are made up, so that every answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region, View
from training.exam_table import ExamRow, Split
from training.vectors import ExamVectors

NAMES = ("global", "distal_radius", "distal_ulna", "ulnar_styloid")


def unit(rows):
    """Rows of unit length, padded to 512 numbers."""
    rows = np.atleast_2d(np.asarray(rows, float))
    full = np.zeros((len(rows), 512))
    full[:, : rows.shape[1]] = rows
    return (full / np.linalg.norm(full, axis=1, keepdims=True)).astype(np.float32)


def random_unit(count, seed, length=512):
    return unit(np.random.default_rng(seed).normal(size=(count, length)))


def row(number, kind=None, **changes):
    """An exam of a patient of its own; ``kind`` is the fracture of every bone, None for none."""
    found = RegionFindings("present", kind) if kind else RegionFindings("absent")
    given = {
        "exam": f"e{number}",
        "source": "invented",
        "patient": f"p{number}",
        "study": f"s{number}",
        "split": Split.TEST,
        "view": View.PA,
        "laterality": Laterality.LEFT,
        "image": f"phantom:table3:{number}",
        "findings": dict.fromkeys(Region, found),
    }
    return ExamRow(**{**given, **changes})


def exams_with(images, texts, numbers):
    """Vectors with given captions, the same for all four crops where only one is given."""

    def spread(value):
        return value if isinstance(value, dict) else dict.fromkeys(NAMES, value)

    return ExamVectors(
        spread(images),
        tuple(f"caption {n}" for n in range(len(texts))),
        texts,
        {name: np.asarray(rows, np.int64) for name, rows in spread(numbers).items()},
    )
