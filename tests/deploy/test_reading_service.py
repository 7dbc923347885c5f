"""The service with a language model: images are indexed while it thinks, then get its findings."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from pathlib import Path

import pytest
from plugin import STUDIES, Plugin, plugin
from pydicom import dcmread
from scripted_model import Said, Says, scripted_model

from deploy.assembly import open_records
from pipeline.exam import Exam
from pipeline.region import Region
from pipeline.worker import MINE

STUDY = STUDIES / "TEST-0001-1"
UID = str(dcmread(STUDY / "report.dcm", stop_before_pixels=True).StudyInstanceUID)
FRACTURE = {
    "side": "left",
    "bone": "distal_radius",
    "fracture": "present",
    "type": "buckle",
    **dict.fromkeys(("healing", "displacement", "angulation_deg", "physeal", "intra_articular")),
    "evidence": "torus fracture of the distal radius",
}
ANSWER = {"reasoning": "", "sides": ["left"], "views": [], "alignment": None, "others": []}


@pytest.mark.slow
def test_an_image_is_indexed_while_its_report_is_read(tmp_path: Path) -> None:
    indexed = threading.Event()

    def script(_: Said) -> Says:
        indexed.wait(60)
        return Says(json.dumps({**ANSWER, "fractures": [FRACTURE]}))

    with scripted_model(script) as served:
        mining = {"engine": "vllm", "url": served.url, "concurrency": 8}
        with plugin(tmp_path, mining=mining) as running:
            assert running.worker.readers == 8
            running.send(sorted(STUDY.iterdir()))
            before = _work(running, indexed)
            (exam,) = running.index.exams(UID)
            with closing(open_records(running.settings)) as records:
                record = records.of(UID)
    assert not before.findings_known
    assert exam.findings[Region.DISTAL_RADIUS].type == "buckle"
    assert record is not None
    assert record.miner.startswith("medgemma prompt ")


def _work(running: Plugin, indexed: threading.Event) -> Exam:
    """Work until the report is read; return the exam as it was before."""
    stop, seen = threading.Event(), []

    def between_jobs() -> None:
        running.ledger.close_due_arrivals()
        exams = running.index.exams(UID)
        if exams and not indexed.is_set():
            seen.append(exams[0])
            indexed.set()
        if any(job.outcome for job in running.jobs(UID, MINE)):
            stop.set()

    given_up = threading.Timer(90, stop.set)
    given_up.start()
    running.worker.run(stop, 0.02, between_jobs)
    given_up.cancel()
    return seen[0]
