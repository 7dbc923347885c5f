"""Answers in the whole plugin, with simple models: twice the same, and none in another's way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from plugin import STUDIES, Plugin, plugin
from pydicom import dcmread
from simple_bundle import simple_bundle

from deploy.state import open_answers
from listener.job import Job, JobState, NewJob
from listener.ledger import Ledger
from pipeline.region import Region
from pipeline.worker import ANSWER, DELIVER, QUERY

pytestmark = pytest.mark.slow

PRIORS = ("TEST-0001-1", "TEST-0008-1", "TEST-0013-1")
ASKED = sorted((STUDIES / "TEST-0018-1").glob("*.dcm"))
ASKED_STUDY = str(dcmread(ASKED[0], stop_before_pixels=True).StudyInstanceUID)


class Dying(Ledger):
    """The ledger of a worker that dies once, right before its answer is noted."""

    died = False

    def finish(
        self, job: Job, outcome: Mapping[str, Any] | None = None, then: Sequence[NewJob] = ()
    ) -> None:
        if job.kind == ANSWER and not self.died:
            self.died = True
            raise KeyboardInterrupt
        super().finish(job, outcome, then)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    models = SimpleNamespace(load=lambda *_, **__: simple_bundle())
    monkeypatch.setattr("deploy.assembly.Bundle", models)
    with plugin(tmp_path, lease_seconds=1.1, board_width=1200) as running:
        for study in PRIORS:
            running.send(sorted((STUDIES / study).glob("*.dcm")))
        running.settle()
        yield running


def waiting(service: Plugin) -> dict[str, bytes]:
    folder = service.settings.state_dir / "outbox"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.dcm")}


def test_an_answer_that_is_worked_out_twice_makes_the_same_objects(service: Plugin) -> None:
    with Dying(service.settings.ledger_url) as ledger:
        mortal = replace(service, worker=replace(service.worker, ledger=ledger))
        mortal.send(ASKED, "WRISTMIR_Q_DR")
        with pytest.raises(KeyboardInterrupt):
            mortal.settle()
        before = waiting(service)
        assert len(before) == len(PRIORS) + 2  # copies, report and board
        answering = replace(service.worker, kinds=(ANSWER,))
        while not answering.work_once():
            time.sleep(0.1)  # until the dead worker's lease has run out
        assert waiting(service) == before
    service.settle()
    made = {str(dcmread(BytesIO(content)).SOPInstanceUID) for content in before.values()}
    (report,), (board,) = service.reports(), service.boards()
    assert {str(report.SOPInstanceUID), str(board.SOPInstanceUID)} < made
    assert waiting(service) == {}


def test_an_answer_is_kept_for_the_pages_after_its_files_have_gone(service: Plugin) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    with closing(open_answers(service.settings)) as answers:
        (record,) = answers.of_study(ASKED_STUDY)
    assert waiting(service) == {}
    assert [part.region for part in record.parts] == [Region.DISTAL_RADIUS]
    assert len(record.cases) == len(PRIORS) == len(record.parts[0].matches)
    sent = {str(dcmread(file).StudyInstanceUID) for file in service.pacs.files()}
    assert {case.viewer_study_uid for case in record.cases} <= sent
    assert all(case.pictured and case.version == 1 for case in record.cases)
    assert (record.bundle_id, record.pool) == (service.index.bundle_id, len(PRIORS))


def test_the_board_is_as_wide_as_the_settings_say(service: Plugin) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()

    (board,) = service.boards()
    assert board.Columns == 1200 > board.Rows


def test_requests_that_overtake_one_another_are_all_delivered(service: Plugin) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    (first,) = service.reports()
    for region in ("distal_ulna", "ulnar_styloid"):  # both are answered before one is delivered
        asked = {"regions": ["distal_radius", region]}
        service.ledger.enqueue(ANSWER, ASKED_STUDY, asked)
    answering = replace(service.worker, kinds=(ANSWER,))
    assert answering.work_once()
    assert answering.work_once()
    service.settle()
    assert {job.state for job in service.ledger.jobs(kind=DELIVER)} == {JobState.DONE}
    _, *later = service.reports()
    assert len(later) == 2
    for report in later:
        (study,) = report.PredecessorDocumentsSequence
        named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_request_repeated_after_its_answer_supersedes_it_and_sends_no_copy_twice(
    service: Plugin,
) -> None:
    for _ in range(2):
        service.send(ASKED, "WRISTMIR_Q_DR")
        service.settle()
    first, second = service.reports()
    (study,) = second.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID
    outcomes = [job.outcome or {} for job in service.ledger.jobs(kind=DELIVER)]
    assert [outcome["copies"] for outcome in outcomes] == [0, len(PRIORS)]


def test_a_picture_that_is_asked_about_is_answered(service: Plugin) -> None:
    uploads = service.worker.uploads
    uploads.mkdir()
    grey = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (400, 1))
    cv2.imwrite(str(uploads / "wrist.png"), grey)
    number = service.ledger.enqueue(QUERY, "wrist.png", {"upload": "wrist.png", "k": 2})
    service.settle()
    job = service.ledger.job(number)
    assert job.state is JobState.DONE, job.last_error
    (answer,) = (job.outcome or {})["answers"]
    assert [len(part["matches"]) for part in answer["regions"]] == [2, 2, 2]
    assert list(uploads.iterdir()) == []
