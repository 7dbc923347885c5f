"""Exams of patients that nobody ever met, for the tests of index and retrieval."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.exam import Exam, RegionFindings, Vector
from pipeline.region import GLOBAL, Laterality, Region, View

BUNDLE = "invented-1"
SIZE = 16
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def unit(*numbers: float, size: int = SIZE) -> Vector:
    vector = np.zeros(size, np.float32)
    vector[: len(numbers)] = numbers
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def random_units(count: int, seed: int, size: int = SIZE) -> Vector:
    drawn = np.random.default_rng(seed).standard_normal((count, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def invented_exam(number: int, **changes: Any) -> Exam:
    rng = np.random.default_rng(number)
    vectors = {
        name: unit(*rng.standard_normal(SIZE)) for name in (GLOBAL, *(r.value for r in Region))
    }
    given: dict[str, Any] = {
        "sop_instance_uid": f"1.2.3.{number}.1",
        "series_instance_uid": f"1.2.3.{number}.2",
        "study_instance_uid": f"1.2.3.{number}.3",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "patient_key": f"key-{number}",
        "laterality": Laterality.LEFT,
        "view": View.PA,
        "age_years": 8.5,
        "sex": "F",
        "vectors": vectors,
        "boxes": {"wrist": (10.0, 20.0, 310.5, 420.0), "distal_radius": (30.0, 40.0, 90.0, 95.25)},
        "bundle_id": BUNDLE,
        "runtime": "invented-runtime",
        "received_at": NOW,
        "indexed_at": NOW,
        "spacing_mm": (0.15, 0.15),
        "findings": {Region.DISTAL_RADIUS: RegionFindings("present", "buckle", "acute")},
        "findings_known": True,
        "captions": {GLOBAL: "Left wrist X-ray (PA view) showing a buckle fracture."},
        "other": ("cast_or_splint",),
        "flags": ("cast",),
    }
    return Exam(**(given | changes))


@contextmanager
def quick_folder() -> Iterator[Path]:
    """Yield a folder in memory where there is one: an index flushes often, and disks are slow."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)
