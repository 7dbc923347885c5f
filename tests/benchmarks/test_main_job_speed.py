"""How fast the main job is on this machine: printed as tables by `make bench`."""

from __future__ import annotations

import csv
import os
import platform
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from plugin import STUDIES, Plugin, plugin, saved
from pydicom.uid import SecondaryCaptureImageStorage
from rich.console import Console
from rich.table import Table

from listener.job import INDEX
from pipeline.worker import ANSWER, QUERY
from training.phantom import dicom_study, phantom
from training.phantom.exam import PhantomExam

pytestmark = pytest.mark.benchmark

PHANTOMS = 60
ASKED = 8


def studies(folder: Path) -> list[list[Path]]:
    """The real studies of the test data, and phantoms."""
    found: dict[str, list[Path]] = {}
    with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["study_uid"], []).append(STUDIES / row["file"])
    return [*found.values(), *(written(folder, seed) for seed in range(1, PHANTOMS + 1))]


def written(folder: Path, seed: int) -> list[Path]:
    exam: PhantomExam = phantom(seed)
    return [
        saved(dataset, folder / f"{seed}-{number}.dcm")
        for number, dataset in enumerate(dicom_study([exam]))
    ]


def test_the_main_job(tmp_path: Path) -> None:
    console = Console(width=100)
    with plugin(tmp_path) as running:
        console.print(machine())
        files = studies(tmp_path)
        exams, seconds, stages = index_all(running, files)
        console.print(indexing_table(exams, seconds, stages))
        console.print(answer_table(running, files))


def machine() -> str:
    return f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def index_all(running: Plugin, files: list[list[Path]]) -> tuple[int, float, Counter[str]]:
    """Send everything first, so that indexing alone is timed."""
    for study in files:
        running.send(study)
    time.sleep(0.5)
    running.ledger.close_due_arrivals()
    started = time.perf_counter()
    while running.worker.work_once():
        pass
    seconds = time.perf_counter() - started
    stages: Counter[str] = Counter()
    exams = 0
    for job in running.ledger.jobs(kind=INDEX, limit=1000):
        outcome = job.outcome or {}
        exams += outcome.get("exams", 0)
        stages.update(outcome.get("seconds", {}))
    assert exams > len(files) / 3
    return exams, seconds, stages


def indexing_table(exams: int, seconds: float, stages: Counter[str]) -> Table:
    stages["mining, index, ledger"] = max(0.0, seconds - sum(stages.values()))
    table = Table(
        title=f"Indexing: {exams} exams in {seconds:.1f} s, {exams / seconds:.2f} a second"
    )
    for heading in ("stage", "seconds", "share"):
        table.add_column(heading, justify="right" if heading != "stage" else "left")
    for stage, spent in stages.most_common():
        table.add_row(stage, f"{spent:.2f}", f"{spent / seconds:.0%}")
    return table


def answer_table(running: Plugin, files: list[list[Path]]) -> Table:
    """Ask again about studies that are indexed: no quiet time is waited for."""
    real = [study for study in files if study[0].is_relative_to(STUDIES)]
    answers = [found for study in real[: 2 * ASKED] if (found := answered(running, study))]
    searches = [searched(running, job.subject) for job in running.ledger.jobs(kind=ANSWER)]
    to_result = [seconds for seconds, _ in answers]
    copies = [float(number) for _, number in answers]
    table = Table(title=f"{len(answers)} answers, three bones each")
    for heading in ("what", "median", "largest"):
        table.add_column(heading, justify="right" if heading != "what" else "left")
    for name, values, form in (
        ("query acknowledged → result in the PACS, s", to_result, ".2f"),
        ("library copies sent with it", copies, ".0f"),
        ("`wristmir query` by the ledger, s", searches, ".3f"),
    ):
        table.add_row(name, f"{np.median(values):{form}}", f"{max(values):{form}}")
    return table


def answered(running: Plugin, study: list[Path]) -> tuple[float, int] | None:
    """Return the seconds to the stored board and the copies sent; None where there is no PA."""
    boards = len(running.pacs.files(SecondaryCaptureImageStorage))
    before = objects(running)
    running.send(study, "WRISTMIR_Q")
    started = time.perf_counter()
    for _ in range(2000):
        running.ledger.close_due_arrivals()
        running.worker.work_once()
        if len(running.pacs.files(SecondaryCaptureImageStorage)) > boards:
            return time.perf_counter() - started, objects(running) - before - 2
        answers = running.ledger.jobs(kind=ANSWER, limit=1)
        if answers and (answers[0].outcome or {}).get("answered") == 0:
            return None
    return None


def objects(running: Plugin) -> int:
    return len(list((running.settings.state_dir.parent / "pacs").iterdir()))


def searched(running: Plugin, study_uid: str) -> float:
    started = time.perf_counter()
    number = running.ledger.enqueue(QUERY, study_uid, {})
    while running.worker.work_once():
        pass
    seconds = time.perf_counter() - started
    assert running.ledger.job(number).outcome is not None
    return seconds
