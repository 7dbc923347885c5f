"""How long an answer takes by the size of the pool (WristMIR, Table 7, last part)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from pipeline.anatomy import Anatomy, crops
from pipeline.bundle import VECTOR_NAMES, Preprocessing
from pipeline.calibration import Calibration
from pipeline.edge_index import EdgeIndex
from pipeline.exam import Exam
from pipeline.region import Region
from pipeline.request import Request
from pipeline.retrieval import Retriever
from training.exam_table import ExamRow
from training.vectors import ImageVectors

__all__ = ["POOL_SIZES", "Latency", "exam_seconds"]

POOL_SIZES = (100, 500, 1000)

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_BUNDLE = "evaluation"


@dataclass(frozen=True)
class Latency:
    """Mean seconds of a two-stage answer for one bone, by pool size.

    Parameters
    ----------
    queries, stored
        How many were asked, and how many exams were stored.
    cached
        From stored vectors, by the plugin's own engine and retriever: search, ranking and fetch.
    exam
        Mean seconds to locate, cut and encode one candidate, or None where no picture is at
        hand.
    uncached
        ``cached`` and ``exam`` for every candidate of the pool, as in the paper's archive without
        stored vectors: reckoned, not waited for.
    """

    queries: int
    stored: int
    cached: dict[int, float]
    exam: float | None
    uncached: dict[int, float]

    @classmethod
    def of(
        cls,
        asking: tuple[Sequence[ExamRow], ImageVectors],
        stored: tuple[Sequence[ExamRow], ImageVectors],
        calibration: Mapping[str, Calibration],
        exam: float | None = None,
    ) -> Latency:
        """Fill an index with the stored exams and ask it."""
        queries = [_exam(row, n, asking[1]) for n, row in enumerate(asking[0])]
        with tempfile.TemporaryDirectory() as folder, EdgeIndex(Path(folder), _BUNDLE) as index:
            for start in range(0, len(stored[0]), 100):
                part = range(start, min(start + 100, len(stored[0])))
                index.upsert(_exam(stored[0][n], n, stored[1]) for n in part)
            index.optimize()
            retriever = Retriever(index, calibration)
            cached = {size: _mean_seconds(retriever, queries, size) for size in POOL_SIZES}
        uncached = {} if exam is None else {s: t + s * exam for s, t in cached.items()}
        return cls(len(queries), len(stored[0]), cached, exam, uncached)


def exam_seconds(
    pictures: Sequence[NDArray[np.float32]],
    locate: Callable[[NDArray[np.float32]], Anatomy],
    encode: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.float32]],
    preprocessing: Preprocessing,
) -> float | None:
    """Return the mean seconds from a picture to its vectors; None without pictures."""
    seconds = []
    for pixels in pictures:
        started = perf_counter()
        cut = crops(pixels, locate(pixels), preprocessing)
        encode(list(cut.values()))
        seconds.append(perf_counter() - started)
    return float(np.mean(seconds)) if seconds else None


def _mean_seconds(retriever: Retriever, queries: Sequence[Exam], size: int) -> float:
    request = Request(regions=(Region.DISTAL_RADIUS,), candidates=size, same_side=False)
    retriever.answer(queries[0], request, _NOW)
    started = perf_counter()
    for query in queries:
        retriever.answer(query, request, _NOW)
    return (perf_counter() - started) / len(queries)


def _exam(row: ExamRow, number: int, vectors: ImageVectors) -> Exam:
    has = [name for name in VECTOR_NAMES if np.isfinite(vectors[name][number, 0])]
    split = list(type(row.split)).index(row.split)
    return Exam(
        sop_instance_uid=f"2.25.{split}.{number}.1",
        series_instance_uid=f"2.25.{split}.{number}.2",
        study_instance_uid=f"2.25.{split}.{number}.3",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        patient_key=f"{row.source}/{row.patient}",
        laterality=row.laterality,
        view=row.view,
        age_years=row.age_years,
        sex=row.sex,
        vectors={name: vectors[name][number] for name in has},
        boxes={},
        bundle_id=_BUNDLE,
        runtime=_BUNDLE,
        received_at=_NOW,
        indexed_at=_NOW,
        findings=row.findings,
        findings_known=bool(row.findings),
        captions=row.captions,
        other=row.other,
    )
