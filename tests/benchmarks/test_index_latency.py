from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.calibration import Calibration
from pipeline.edge_index import EdgeIndex
from pipeline.exam import Exam
from pipeline.index import NAMES, ExamIndex
from pipeline.region import GLOBAL, Laterality, Region, View
from pipeline.request import Mode, Request
from pipeline.retrieval import Retriever

BUNDLE = "benchmark-1"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LINE = Calibration(knots=((-1.0, 0.0), (1.0, 100.0)), nothing_similar_below=0.0)


@dataclass(frozen=True)
class Latency:
    """One line of the table: milliseconds for a whole answer, at the median and at 95 %."""

    what: str
    p50_ms: float
    p95_ms: float


@pytest.mark.benchmark
@pytest.mark.parametrize("exams", [7_500, 50_000])
def test_an_exact_answer_takes_milliseconds(
    exams: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EdgeIndex(tmp_path, BUNDLE) as index:
        filled = fill(index, exams)
        latencies = answer_latencies(index)
    with capsys.disabled():
        show(latencies, f"{exams} exams, every vector compared; put in {filled:.1f} s")
    assert max(latency.p95_ms for latency in latencies) < 500


def fill(index: ExamIndex, count: int, seed: int = 1) -> float:
    """Put random exams in, a study of 50 at a time, and return the seconds that it took."""
    started = perf_counter()
    for first in range(0, count, 50):
        index.upsert(exam(n, units(4, seed * count + n)) for n in range(first, first + 50))
    return perf_counter() - started


def answer_latencies(index: ExamIndex, queries: int = 100) -> list[Latency]:
    """Time whole answers (search, ranking and fetch of the matches) of random queries."""
    retriever = Retriever(index, dict.fromkeys(NAMES, LINE))
    asked = [exam(n, units(4, n)) for n in range(10**9, 10**9 + queries)]
    radius = (Region.DISTAL_RADIUS,)
    requests = {
        "one bone, two-stage": Request(regions=radius),
        "three bones, two-stage": Request(),
        "one bone, fused": Request(regions=radius, mode=Mode.FUSED),
    }
    return [Latency(name, *timed(retriever, asked, request)) for name, request in requests.items()]


def timed(retriever: Retriever, queries: list[Exam], request: Request) -> tuple[float, float]:
    retriever.answer(queries[0], request, NOW)
    seconds = []
    for query in queries:
        started = perf_counter()
        answer = retriever.answer(query, request, NOW)
        seconds.append(perf_counter() - started)
        assert all(len(answered.matches) == request.k for answered in answer.regions)
    p50, p95 = np.percentile(np.array(seconds) * 1e3, [50, 95])
    return float(p50), float(p95)


def show(latencies: list[Latency], title: str) -> None:
    table = Table("answer", "p50 ms", "p95 ms", title=title)
    for latency in latencies:
        table.add_row(latency.what, f"{latency.p50_ms:.2f}", f"{latency.p95_ms:.2f}")
    Console().print(table)


def exam(number: int, vectors: NDArray[np.float32]) -> Exam:
    return Exam(
        sop_instance_uid=f"1.2.3.{number}.1",
        series_instance_uid=f"1.2.3.{number}.2",
        study_instance_uid=f"1.2.3.{number}.3",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        patient_key=f"key-{number % 6000}",
        laterality=Laterality.LEFT if number % 2 else Laterality.RIGHT,
        view=View.PA,
        age_years=float(number % 17) + 1,
        sex="F" if number % 3 else "M",
        vectors=dict(zip(NAMES, vectors, strict=True)),
        boxes={"wrist": (0.0, 0.0, 500.0, 500.0)},
        bundle_id=BUNDLE,
        runtime="benchmark",
        received_at=NOW,
        indexed_at=NOW,
        captions={GLOBAL: "Left wrist X-ray (PA view) showing no fracture."},
        findings_known=True,
    )


def units(count: int, seed: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((count, 512))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
