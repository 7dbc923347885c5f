"""How long a radiologist waits: from the query's last acknowledgement to the result in the PACS.

The query is new to the plugin: it is decoded, looked at, encoded and indexed before it is answered.
The quiet time that is waited for is the administrator's choice, and is taken off.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin import Plugin, plugin, saved
from pydicom import dcmread
from rich.console import Console
from rich.table import Table

from listener.job import INDEX, JobState
from pipeline.worker import ANSWER, DELIVER
from training.phantom import dicom_study, phantom

pytestmark = pytest.mark.benchmark

HERE = Path(__file__).parent
TRAINING = HERE.parents[1] / ".venv-training" / "bin" / "python"
PRIORS = 100
QUERIES = 12
QUIET_SECONDS = 0.3  # of the test rig's titles


def test_with_the_shipped_bundle(tmp_path: Path) -> None:
    seconds = measured(tmp_path, "the shipped bundle")
    assert np.median(seconds) < 2


def test_with_an_encoder_of_the_papers_size(tmp_path: Path) -> None:
    if not TRAINING.exists():
        pytest.skip("the encoder is made in the training environment: `make bench` makes that")
    made = tmp_path / "vit"
    subprocess.run([TRAINING, HERE / "vit_bundle.py", made], check=True, cwd=HERE.parents[1])
    seconds = measured(tmp_path, "ViT-B/16, 8 bit", bundle=str(made))
    shutil.rmtree(made)
    assert np.median(seconds) < 4


def measured(folder: Path, title: str, **pipeline: Any) -> list[float]:
    """Answer new studies one after the other, print the stages, return the seconds."""
    with plugin(folder, **pipeline) as running:
        for seed in range(PRIORS):
            running.send(written(folder, seed))
        running.settle(600)
        with working(running):
            found = (waited(running, written(folder, 10_000 + n)) for n in range(2 * QUERIES))
            waits = [seconds for seconds in found if seconds is not None]
        waits = waits[1:]  # the first one finds models that have not run yet
        Console(width=100).print(stage_table(running, waits, title))
        return waits


def written(folder: Path, seed: int) -> list[Path]:
    return [
        saved(dataset, folder / f"{seed}-{number}.dcm")
        for number, dataset in enumerate(dicom_study([phantom(seed)]))
    ]


@contextmanager
def working(running: Plugin) -> Iterator[None]:
    """Let the worker run as in the service."""
    stop = threading.Event()
    worker = threading.Thread(target=running.worker.run, args=(stop,))
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def waited(running: Plugin, files: list[Path]) -> float | None:
    """Return the seconds from the last acknowledgement to the last object in the PACS.

    None where the study shows no wrist that is accepted, so that there is nothing to wait for.
    """
    study_uid = str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    running.send(files, "WRISTMIR_Q")
    acknowledged = time.perf_counter()
    # what is asked here takes time from the worker, which runs in the same process
    while not delivered(running, study_uid):
        answered = running.jobs(study_uid, ANSWER)
        if answered and (answered[0].outcome or {}).get("answered") == 0:
            return None
        assert time.perf_counter() < acknowledged + 60, (study_uid, answered)
        time.sleep(0.02)
    seconds = time.perf_counter() - acknowledged - QUIET_SECONDS
    time.sleep(0.5)  # what follows is not timed: the ledger's last word, the reader of reports
    return seconds


def delivered(running: Plugin, study_uid: str) -> bool:
    """Tell whether the PACS has acknowledged every result about a study."""
    answered = running.jobs(study_uid, ANSWER)
    names = (answered[0].outcome or {}).get("results", ()) if answered else ()
    sent = [running.ledger.jobs(JobState.DONE, DELIVER, name, limit=1) for name in names]
    return bool(sent) and all(sent)


def stage_table(running: Plugin, waits: list[float], title: str) -> Table:
    table = Table(title=f"{title}: {len(waits)} new studies, {PRIORS} priors, three bones each")
    table.add_column("stage")
    table.add_column("median, s", justify="right")
    table.add_column("largest, s", justify="right")
    stages: dict[str, list[float]] = defaultdict(list)
    for kind in (INDEX, ANSWER, DELIVER):
        for job in running.ledger.jobs(kind=kind, limit=len(waits)):
            for stage, seconds in (job.outcome or {}).get("seconds", {}).items():
                stages[f"{kind}: {stage}"].append(seconds)
    told = sum(float(np.median(seconds)) for seconds in stages.values())
    for stage, values in stages.items():
        table.add_row(stage, f"{np.median(values):.3f}", f"{max(values):.3f}")
    table.add_row("ledger, index, waiting between jobs", f"{np.median(waits) - told:.3f}", "")
    table.add_section()
    table.add_row("acknowledged → in the PACS", f"{np.median(waits):.2f}", f"{max(waits):.2f}")
    return table
