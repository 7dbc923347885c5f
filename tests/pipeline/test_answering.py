"""Answers in the whole plugin, with simple models: twice the same, and none in another's way."""

from __future__ import annotations

import time
from collections import Counter
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

from deploy.settings import site_key
from deploy.state import open_answers
from listener.job import Job, JobState, NewJob
from listener.ledger import Ledger
from pipeline.answer_record import IN_LIBRARY
from pipeline.deidentify import library_study_uid
from pipeline.region import Region
from pipeline.uid import KeyedUids
from pipeline.worker import ANSWER, DELIVER, QUERY

pytestmark = pytest.mark.slow

PRIORS = ("TEST-0001-1", "TEST-0008-1", "TEST-0013-1")
UNASKED = {"regions": ["distal_radius"], "unasked": True}
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
    monkeypatch.setattr("deploy.assembly.Bundle", MODELS)
    with plugin(tmp_path, lease_seconds=1.1, board_width=1200, keep_results_days=0) as running:
        fill(running)
        yield running


MODELS = SimpleNamespace(load=lambda *_, **__: simple_bundle())


def fill(running: Plugin) -> None:
    """Have the priors indexed."""
    for study in PRIORS:
        running.send(sorted((STUDIES / study).glob("*.dcm")))
    running.settle()


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
        assert len(before) == len(PRIORS) + 3  # copies, report, companion and board
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
    assert {case.viewer_study_uid for case in record.cases} == {IN_LIBRARY}
    uids = KeyedUids(site_key(service.settings.state_dir))
    assert {library_study_uid(uids, case.study_uid) for case in record.cases} <= sent
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


def test_every_kind_of_result_is_delivered_and_each_sr_supersedes_its_own_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.assembly.Bundle", MODELS)
    wanted = {"presentation_state": True, "key_objects": True, "document": True}
    with plugin(tmp_path, results={**wanted, "language": "tr"}) as running:
        fill(running)
        for _ in range(2):
            running.send(ASKED, "WRISTMIR_Q_DR")
            running.settle()
        got = [dcmread(file, stop_before_pixels=True) for file in running.pacs.files()]
        delivered = [job.outcome or {} for job in running.ledger.jobs(kind=DELIVER)]
        for replaced, new in (running.reports(), running.measurements()):
            (study,) = new.PredecessorDocumentsSequence
            named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
            assert named.ReferencedSOPInstanceUID == replaced.SOPInstanceUID
            assert named.ReferencedSOPClassUID == replaced.SOPClassUID
    results = [one for one in got if one.StudyInstanceUID == ASKED_STUDY]
    kinds = Counter(str(one.Modality) for one in results)
    assert kinds == {"SR": 4, "OT": 2, "PR": 2, "KO": 2 * len(PRIORS), "DOC": 2}
    assert [one["delivered"] for one in delivered] == [len(results) / 2] * 2
    assert "Benzer önceki el bileği grafileri" in {
        str(one.ConceptNameCodeSequence[0].CodeMeaning) for one in results if one.Modality == "SR"
    }


def test_every_new_study_is_answered_once_where_the_settings_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.assembly.Bundle", MODELS)
    with plugin(tmp_path, answer_every_study=["distal_radius"]) as service:
        service.send(sorted((STUDIES / PRIORS[0]).glob("*.dcm")))
        service.send(ASKED)
        service.settle()
        reports = service.reports()
        assert len(reports) == 2
        assert ASKED_STUDY in {report.StudyInstanceUID for report in reports}

        service.send(ASKED)  # nothing new
        service.ledger.enqueue(ANSWER, ASKED_STUDY, UNASKED)  # as after a late report
        service.settle()
        assert len(service.reports()) == 2
        (job, *_) = service.jobs(ASKED_STUDY, ANSWER)
        assert "answered for before" in (job.outcome or {})["reason"]

        service.send(ASKED, "WRISTMIR_Q_DR")  # who asks is answered
        service.settle()
        assert len(service.reports()) == 3


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
