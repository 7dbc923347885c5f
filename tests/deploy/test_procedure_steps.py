"""A request as a procedure step, from N-CREATE to results in the PACS and the COMPLETED event."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin import Plugin, plugin
from pydicom import dcmread
from step_parts import RADIUS, Requester, Subscriber, bone, count, requesting, step, subscriber
from test_main_job import QUERY_FILES, QUERY_IMAGE, QUERY_STUDY, prior_studies, rows, study_files

from listener.destination_settings import DestinationSettings
from pipeline.worker import ANSWER

pytestmark = pytest.mark.slow


def watcher(hears: Subscriber) -> DestinationSettings:
    return DestinationSettings(
        name="watcher", ae_title="WATCHER", host="127.0.0.1", port=hears.port, timeout_seconds=5
    )


def worked_until(running: Plugin, condition: Callable[[], object]) -> bool:
    """Do the plugin's work until a condition holds."""
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        running.ledger.close_due_arrivals()
        if not running.worker.work_once():
            time.sleep(0.02)
    return bool(condition())


def created(peer: Requester, study: str, instances: list[str] | None = None) -> str:
    asked = step(study, bone(RADIUS), count("2"), instances=instances or [])
    uid, status = peer.create(asked)
    assert status == 0x0000
    return uid


def test_a_step_that_is_asked_for_before_its_study_comes_ends_with_results_in_the_pacs(
    tmp_path: Path,
) -> None:
    with (
        subscriber() as hears,
        plugin(tmp_path, destinations=(watcher(hears),)) as running,
        requesting(running.port, calling="SMALLPACS") as peer,
    ):
        for study in prior_studies()[:4]:
            running.send(study_files(study))
        assert peer.subscribe(receiver="WATCHER") == 0x0000
        image = str(dcmread(QUERY_IMAGE, stop_before_pixels=True).SOPInstanceUID)
        uid = created(peer, QUERY_STUDY, [image])
        running.settle(240)
        assert peer.state(uid) == "SCHEDULED"  # its study has not come
        running.send(QUERY_FILES)
        assert worked_until(running, lambda: hears.states(uid)[-1:] == ["COMPLETED"])
        assert hears.states(uid) == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
        assert hears.progress(uid) == [30, 70, 90, 100]
        _, ds = peer.get(uid)
        outcome = running.outcome(QUERY_STUDY, ANSWER)
    assert outcome["answered"] == 1
    assert outcome["matches"] == 2  # two of one bone, as was asked
    assert ds is not None
    (performed,) = ds.UnifiedProcedureStepPerformedProcedureSequence
    told = {
        str(one.ReferencedSOPInstanceUID)
        for item in performed.OutputInformationSequence
        for one in item.ReferencedSOPSequence
    }
    there = [dcmread(file, stop_before_pixels=True) for file in running.pacs.files()]
    made = {str(one.SOPInstanceUID) for one in there if one.StudyInstanceUID == QUERY_STUDY}
    assert told == made
    assert len(made) == 3  # report, boxes and scores, board
    held_by = {
        str(item.DICOMRetrievalSequence[0].RetrieveAETitle)
        for item in performed.OutputInformationSequence
    }
    assert held_by == {"SMALLPACS"}


def test_a_step_about_a_study_without_a_pa_wrist_is_cancelled_with_the_reason(
    tmp_path: Path,
) -> None:
    (row, *_) = rows("lateral")
    study = row["study_uid"]
    with plugin(tmp_path) as running, requesting(running.port, calling="SMALLPACS") as peer:
        running.send(study_files(study))
        running.settle()
        uid = created(peer, study)
        assert worked_until(running, lambda: peer.state(uid) == "CANCELED")
        _, ds = peer.get(uid)
        assert running.reports() == ()
    assert ds is not None
    (said,) = ds.ProcedureStepProgressInformationSequence
    assert "lateral" in said.ReasonForCancellation
    assert said.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110522"


def test_a_step_that_is_cancelled_while_it_waits_for_the_worker_makes_no_results(
    tmp_path: Path,
) -> None:
    with plugin(tmp_path) as running, requesting(running.port, calling="SMALLPACS") as peer:
        for study in prior_studies()[:2]:
            running.send(study_files(study))
        running.send(QUERY_FILES)
        running.settle(240)
        uid = created(peer, QUERY_STUDY)
        deadline = time.monotonic() + 20
        while not running.jobs(QUERY_STUDY, ANSWER) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert peer.cancel(uid, "the patient has left") == 0x0000
        running.settle()
        outcome = running.outcome(QUERY_STUDY, ANSWER)
        assert outcome == {"answered": 0, "reason": "its procedure step was cancelled"}
        assert running.reports() == ()


def test_a_step_that_is_cancelled_before_its_results_go_is_not_delivered(tmp_path: Path) -> None:
    with plugin(tmp_path) as running, requesting(running.port, calling="SMALLPACS") as peer:
        for study in prior_studies()[:2]:
            running.send(study_files(study))
        running.send(QUERY_FILES)
        running.settle(240)
        uid = created(peer, QUERY_STUDY)
        deadline = time.monotonic() + 20
        while not running.jobs(QUERY_STUDY, ANSWER) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.worker.work_once()  # it is answered, and waits for its delivery
        assert peer.state(uid) == "IN PROGRESS"
        assert peer.cancel(uid) == 0x0000
        running.settle()
        assert running.reports() == ()
        assert peer.state(uid) == "CANCELED"
