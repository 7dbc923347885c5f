"""Requests as procedure steps: created, watched and cancelled by a real SCU over real sockets."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from commitment_parts import receiver, soon
from pydicom import Dataset
from pydicom.uid import generate_uid
from station import Station, radiograph
from step_parts import (
    PULL,
    PUSH,
    QUERY,
    RADIUS,
    STYLOID,
    WATCH,
    Requester,
    Subscriber,
    bone,
    code,
    count,
    requesting,
    step,
    subscriber,
)

from listener.elements import is_uid
from listener.job import STEP_EVENT, Job, JobState
from listener.settings import PeerSettings
from listener.step_row import ResultInstance
from listener.step_settings import StepSettings
from listener.step_terms import FILTERED_GLOBAL, GLOBAL, NOT_SUPPORTED, UNSPECIFIED

RESULT = ResultInstance("1.2.3", "1.2.3.5", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3.5.1")


@pytest.fixture
def hears() -> Iterator[Subscriber]:
    with subscriber() as it:
        yield it


@pytest.fixture
def link(tmp_path: Path, ledger_url: str, hears: Subscriber) -> Iterator[Station]:
    """A receiver whose subscriber listens, on both kinds of ledger."""
    ledger = ledger_url if ledger_url.startswith("postgresql") else None
    with receiver(tmp_path, destinations=(hears.destination,), ledger=ledger) as it:
        yield it


@pytest.fixture
def peer(link: Station) -> Iterator[Requester]:
    with requesting(link.port) as it:
        yield it


def study_of(link: Station, **given: Any) -> Dataset:
    """Send a radiograph and wait until its study is complete."""
    ds = radiograph(**given)
    link.send(ds)
    assert soon(lambda: link.ledger.jobs(kind="index", subject=str(ds.StudyInstanceUID)))
    return ds


def job_of(link: Station, study: str) -> Job:
    """Wait for the job of a step."""
    assert soon(lambda: link.ledger.jobs(kind="answer", subject=study))
    (job,) = link.ledger.jobs(kind="answer", subject=study)
    return job


# -- created ------------------------------------------------------------------------------


def test_a_step_for_a_study_that_is_there_becomes_the_job_of_a_request(
    link: Station, peer: Requester
) -> None:
    study = str(study_of(link).StudyInstanceUID)
    uid, status = peer.create(step(study, bone(RADIUS), bone(STYLOID), count("7")))
    assert status == 0x0000
    job = job_of(link, study)
    assert job.argument == {"regions": ["distal_radius", "ulnar_styloid"], "k": 7, "step": uid}
    assert peer.state(uid) == "SCHEDULED"


def test_a_step_that_names_no_bone_asks_what_the_called_title_asks(link: Station) -> None:
    study = str(study_of(link).StudyInstanceUID)
    with requesting(link.port, called="WRISTMIR_Q_DR") as peer:
        uid, _ = peer.create(step(study))
    assert job_of(link, study).argument == {"regions": ["distal_radius"], "step": uid}


@pytest.mark.slow
def test_images_that_a_step_names_are_asked_about_alone(link: Station, peer: Requester) -> None:
    ds = study_of(link)
    image = str(ds.SOPInstanceUID)
    uid, _ = peer.create(step(str(ds.StudyInstanceUID), instances=[image]))
    argument = job_of(link, str(ds.StudyInstanceUID)).argument
    assert argument == {"instances": [image], "step": uid}


@pytest.mark.slow
def test_a_step_waits_for_its_study_and_begins_once_that_is_complete(
    link: Station, peer: Requester
) -> None:
    ds = radiograph()
    study = str(ds.StudyInstanceUID)
    uid, _ = peer.create(step(study, instances=[str(ds.SOPInstanceUID)]))
    assert not soon_not(lambda: link.ledger.jobs(kind="answer"))
    link.send(ds)
    assert job_of(link, study).argument["step"] == uid


def soon_not(condition: Any) -> bool:
    """Tell whether something that should not happen does, within a while."""
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_a_step_whose_study_does_not_come_is_cancelled_with_that_reason(
    tmp_path: Path, hears: Subscriber
) -> None:
    patience = StepSettings(wait_seconds=0.5)
    with (
        receiver(tmp_path, destinations=(hears.destination,), procedure_steps=patience) as link,
        requesting(link.port) as peer,
    ):
        peer.subscribe()
        uid, _ = peer.create(step("1.2.3"))
        assert soon(lambda: hears.states(uid)[-1:] == ["CANCELED"])
        assert hears.states(uid) == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
        assert hears.told[-1][2].ReasonForCancellation == "The study was not received in time."
        _, ds = peer.get(uid)
    assert ds is not None
    (progress,) = ds.ProcedureStepProgressInformationSequence
    (reason,) = progress.ProcedureStepDiscontinuationReasonCodeSequence
    assert (reason.CodeValue, reason.CodingSchemeDesignator) == ("110523", "DCM")


def test_a_step_without_a_uid_is_given_one(link: Station, peer: Requester) -> None:
    status, _ = peer.association.send_n_create(step("1.2.3"), PUSH)
    assert status.Status == 0x0000
    (row,) = link.ledger.steps.list([], [], 10)
    assert is_uid(row.sop_instance_uid)


def wrong(**given: Any) -> Dataset:
    return step("1.2.3", **given)


def other_study() -> Dataset:
    ds = step("1.2.3")
    ds.InputInformationSequence.append(step("1.2.4").InputInformationSequence[0])
    return ds


WRONG: list[tuple[Dataset, int]] = [
    (wrong(ProcedureStepState="IN PROGRESS"), 0xC309),
    (wrong(ProcedureStepState=None), 0x0120),
    (wrong(ProcedureStepLabel=""), 0x0121),
    (wrong(InputInformationSequence=[]), 0x0121),
    (wrong(InputInformationSequence=None), 0x0120),
    (wrong(ScheduledProcedureStepPriority="SOON"), 0x0106),
    (wrong(InputReadinessState="SOON"), 0x0106),
    (wrong(TransactionUID="1.2.3"), 0x0106),
    (wrong(ScheduledWorkitemCodeSequence=[code("110001", "DCM", "Image Processing")]), 0x0106),
    (step(""), 0x0106),
    (other_study(), 0x0106),
    (step("1.2.3", bone(("71341001", "SCT", "Femur"))), 0x0106),
    (step("1.2.3", count("0")), 0x0106),
    (step("1.2.3", count("2.5")), 0x0106),
    (step("1.2.3", count("51")), 0x0106),
    (step("1.2.3", count("3"), count("4")), 0x0106),
]


@pytest.mark.slow
def test_a_wrong_step_is_refused_with_the_status_of_what_is_wrong(
    link: Station, peer: Requester
) -> None:
    assert [peer.create(ds)[1] for ds, _ in WRONG] == [status for _, status in WRONG]
    assert link.ledger.steps.list([], [], 10) == []
    assert list(link.settings.steps_dir.iterdir()) == []


def test_a_uid_that_is_taken_or_none_is_refused(link: Station, peer: Requester) -> None:
    uid, _ = peer.create(step("1.2.3"))
    assert peer.create(step("1.2.4"), uid)[1] == 0x0111
    assert peer.create(step("1.2.4"), GLOBAL)[1] == 0x0117
    (row,) = link.ledger.steps.list([], [], 10)
    assert row.study_uid == "1.2.3"


def test_a_peer_that_may_not_retrieve_may_not_ask_for_work(tmp_path: Path) -> None:
    modality = PeerSettings.model_validate(
        {"ae_title": "PACS", "addresses": ["127.0.0.1"], "may_retrieve": False}
    )
    with receiver(tmp_path, peers=(modality,)) as link, requesting(link.port) as peer:
        assert peer.create(step("1.2.3"))[1] == 0x0124
        assert peer.find(ProcedureStepState="SCHEDULED")[0] == 0x0124


def test_no_peer_can_fill_the_ledger_with_steps(tmp_path: Path) -> None:
    few = StepSettings(max_open=2)
    with receiver(tmp_path, procedure_steps=few) as link, requesting(link.port) as peer:
        assert [peer.create(step("1.2.3"))[1] for _ in range(3)] == [0x0000, 0x0000, 0x0213]


def test_no_peer_can_fill_the_ledger_with_steps_that_it_cancels(tmp_path: Path) -> None:
    few = StepSettings(max_kept=2)
    with receiver(tmp_path, procedure_steps=few) as link, requesting(link.port) as peer:
        for _ in range(2):
            uid, status = peer.create(step("1.2.3"))
            assert status == 0x0000
            assert peer.cancel(uid) == 0x0000
        assert peer.create(step("1.2.3"))[1] == 0x0213
        link.ledger.steps.forget(timedelta(0))
        assert peer.create(step("1.2.3"))[1] == 0x0000


def test_what_a_peer_writes_of_a_patient_lies_in_no_row_and_is_readable_by_us_alone(
    link: Station, peer: Requester
) -> None:
    peer.create(step("1.2.3"))
    (file,) = link.settings.steps_dir.iterdir()
    assert b"Invented^Ines" in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for ledger in link.settings.state_dir.glob("ledger*"):
        assert b"Invented" not in ledger.read_bytes()
        assert b"INVENTED" not in ledger.read_bytes()


# -- watched ------------------------------------------------------------------------------


def test_a_step_is_given_back_as_it_was_written_but_for_its_key(
    link: Station, peer: Requester
) -> None:
    written = step("1.2.3", bone(RADIUS), count("3"))
    uid, _ = peer.create(written)
    status, ds = peer.get(uid)
    assert status == 0x0000
    assert ds is not None
    for element in written:
        assert ds[element.tag] == element, element.name
    assert ds.SOPInstanceUID == uid
    assert ds.SOPClassUID == PUSH
    assert ds.TransactionUID == ""
    assert ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 0


def test_attributes_can_be_asked_for_one_by_one(link: Station, peer: Requester) -> None:
    uid, _ = peer.create(step("1.2.3"))
    status, ds = peer.get(uid, 0x00741204)
    assert status == 0x0000
    assert ds is not None
    assert [element.keyword for element in ds] == ["SpecificCharacterSet", "ProcedureStepLabel"]
    assert peer.get(uid, 0x00741204, 0x00080090)[0] == 0x0001
    assert peer.get("1.2.3.99")[0] == 0xC307


@pytest.mark.slow
def test_steps_are_found_by_their_state_label_time_and_codes(
    link: Station, peer: Requester
) -> None:
    first, _ = peer.create(step("1.2.3", ProcedureStepLabel="Left wrist"))
    second, _ = peer.create(step("1.2.4", ProcedureStepLabel="Right wrist"))
    peer.cancel(second)

    def found(**keys: Any) -> set[str]:
        told = [peer.find(model, SOPInstanceUID=None, **keys) for model in (PULL, WATCH, QUERY)]
        assert [status for status, _ in told] == [0x0000] * 3
        (uids,) = {frozenset(str(one.SOPInstanceUID) for one in answers) for _, answers in told}
        return set(uids)

    assert found() == {first, second}
    assert found(ProcedureStepState="SCHEDULED") == {first}
    assert found(ProcedureStepState="CANCELED") == {second}
    assert found(ProcedureStepLabel="* wrist") == {first, second}
    assert found(ProcedureStepLabel="Left*") == {first}
    assert found(ScheduledProcedureStepStartDateTime="20240101-20240102") == {first, second}
    assert found(ScheduledProcedureStepStartDateTime="20250101-") == set()
    kind = Dataset()
    kind.CodeValue = "WM060"
    assert found(ScheduledWorkitemCodeSequence=[kind]) == {first, second}
    kind.CodeValue = "110001"
    assert found(ScheduledWorkitemCodeSequence=[kind]) == set()
    item = Dataset()
    item.StudyInstanceUID = "1.2.4"
    assert found(InputInformationSequence=[item]) == {second}


def test_an_answer_holds_what_was_asked_for_and_nothing_else(
    link: Station, peer: Requester
) -> None:
    peer.create(step("1.2.3"))
    item = Dataset()
    item.CodeMeaning = ""
    _, (answer,) = peer.find(PatientID="", ScheduledWorkitemCodeSequence=[item])
    assert answer.PatientID == "INVENTED-1"
    (kind,) = answer.ScheduledWorkitemCodeSequence
    assert [element.keyword for element in kind] == ["CodeMeaning"]
    assert [element.keyword for element in answer] == [
        "SpecificCharacterSet",
        "PatientID",
        "ScheduledWorkitemCodeSequence",
    ]


def test_a_question_about_no_state_is_refused(link: Station, peer: Requester) -> None:
    assert peer.find(ProcedureStepState="SLEEPING")[0] == 0xA900


# -- performed ----------------------------------------------------------------------------


def test_a_subscriber_hears_of_every_state_and_stage_in_their_order(
    link: Station, peer: Requester, hears: Subscriber
) -> None:
    assert peer.subscribe() == 0x0000
    uid, _ = peer.create(step("1.2.3"))
    steps = link.ledger.performance
    assert steps.begin(uid)
    assert steps.progress(uid, 30, "The study is indexed.")
    assert steps.answered(uid, {"one": [RESULT], "two": []})
    assert steps.progress(uid, 70, "Similar cases are found.")
    for name in ("one", "two"):
        assert steps.sending(name)
        steps.stored(name)
        steps.delivered(name, "PACS")
    assert soon(lambda: hears.states(uid)[-1:] == ["COMPLETED"])
    assert hears.states(uid) == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
    assert hears.progress(uid) == [30, 70, 90, 100]
    assert hears.callers == {"WRISTMIR"}
    _, ds = peer.get(uid)
    assert ds is not None
    (performed,) = ds.UnifiedProcedureStepPerformedProcedureSequence
    (output,) = performed.OutputInformationSequence
    (instance,) = output.ReferencedSOPSequence
    assert instance.ReferencedSOPInstanceUID == RESULT.sop_instance_uid
    assert output.DICOMRetrievalSequence[0].RetrieveAETitle == "PACS"
    assert performed.PerformedProcedureStepStartDateTime
    assert performed.PerformedProcedureStepEndDateTime


def test_a_stage_that_a_job_comes_to_again_is_told_once(
    link: Station, peer: Requester, hears: Subscriber
) -> None:
    peer.subscribe()
    uid, _ = peer.create(step("1.2.3"))
    for _ in range(2):
        link.ledger.performance.begin(uid)
        link.ledger.performance.progress(uid, 30, "The study is indexed.")
        link.ledger.performance.answered(uid, {"one": [RESULT]})
    link.ledger.performance.discontinue(uid, "no PA wrist", NOT_SUPPORTED)
    assert soon(lambda: hears.states(uid)[-1:] == ["CANCELED"])
    assert hears.progress(uid) == [30]
    assert hears.states(uid) == ["SCHEDULED", "IN PROGRESS", "CANCELED"]


@pytest.mark.slow
def test_a_step_whose_job_is_dead_is_cancelled_with_what_the_job_says(
    link: Station, peer: Requester
) -> None:
    study = str(study_of(link).StudyInstanceUID)
    uid, _ = peer.create(step(study))
    job_of(link, study)
    assert soon(lambda: link.ledger.lease(["index"], 60))
    (index,) = link.ledger.jobs(JobState.LEASED, "index")
    link.ledger.finish(index)
    job = link.ledger.lease(["answer"], 60)
    assert job is not None
    link.ledger.fail(job, "a bundle cannot be used", retry=False)
    assert soon(lambda: peer.state(uid) == "CANCELED")
    _, ds = peer.get(uid)
    assert ds is not None
    reason = ds.ProcedureStepProgressInformationSequence[0].ReasonForCancellation
    assert reason == "It could not be done: a bundle cannot be used"


# -- cancelled ----------------------------------------------------------------------------


def test_a_scheduled_step_is_cancelled_through_in_progress(
    link: Station, peer: Requester, hears: Subscriber
) -> None:
    peer.subscribe()
    uid, _ = peer.create(step("1.2.3"))
    assert peer.cancel(uid, "not needed any more") == 0x0000
    assert soon(lambda: hears.states(uid) == ["SCHEDULED", "IN PROGRESS", "CANCELED"])
    assert hears.told[-1][2].ReasonForCancellation == "not needed any more"
    assert peer.cancel(uid) == 0xB304
    assert not link.ledger.performance.begin(uid)


@pytest.mark.slow
def test_a_step_in_progress_is_cancelled_until_its_results_are_on_their_way(
    link: Station, peer: Requester, hears: Subscriber
) -> None:
    peer.subscribe()
    early, late = peer.create(step("1.2.3"))[0], peer.create(step("1.2.4"))[0]
    steps = link.ledger.performance
    for uid, name in ((early, "early"), (late, "late")):
        steps.begin(uid)
        steps.answered(uid, {name: [RESULT]})
    assert steps.sending("late")
    assert peer.cancel(late) == 0xC313
    assert peer.cancel(early) == 0x0000
    assert not steps.sending("early")
    assert soon(lambda: (early, 2) in [(uid, kind) for uid, kind, _ in hears.told])
    asked = next(ds for uid, kind, ds in hears.told if (uid, kind) == (early, 2))
    assert asked.RequestingAE == "PACS"
    steps.delivered("late", "PACS")
    assert peer.state(late) == "COMPLETED"
    assert peer.cancel(late) == 0xC311


def test_nobody_else_may_perform_a_step(link: Station, peer: Requester) -> None:
    uid, _ = peer.create(step("1.2.3"))
    assert peer.change(uid, "IN PROGRESS") == 0x0124
    assert peer.change(uid, "IN PROGRESS", None) == 0xC301
    assert peer.change(uid, "SCHEDULED") == 0xC303
    assert peer.change(uid, "COMPLETED") == 0xC310
    assert peer.change("1.2.3.99", "IN PROGRESS") == 0xC307
    assert peer.change(uid, "SLEEPING") == 0x0115
    link.ledger.performance.begin(uid)
    assert peer.change(uid, "COMPLETED") == 0xC301
    ds = Dataset()
    ds.ProcedureStepLabel = "mine"
    status, _ = peer.association.send_n_set(ds, PUSH, uid, meta_uid=PULL)
    assert status.Status == 0xC301
    link.ledger.performance.discontinue(uid, "no PA wrist", NOT_SUPPORTED)
    status, _ = peer.association.send_n_set(ds, PUSH, uid, meta_uid=PULL)
    assert status.Status == 0xC300
    assert peer.change(uid, "CANCELED") == 0xC301
    assert peer.get(uid, 0x00741204)[1] is not None


# -- told ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_subscriptions_are_to_one_step_or_all_and_end_as_they_began(
    link: Station, peer: Requester, hears: Subscriber
) -> None:
    first, _ = peer.create(step("1.2.3"))
    assert peer.subscribe(first) == 0x0000
    assert soon(lambda: hears.states(first) == ["SCHEDULED"])  # how it stands is told at once
    second, _ = peer.create(step("1.2.4"))
    assert peer.subscribe(lock="TRUE") == 0x0000
    assert soon(lambda: hears.states(second) == ["SCHEDULED"])
    assert peer.suspend() == 0x0000
    third, _ = peer.create(step("1.2.5"))
    assert peer.unsubscribe(second) == 0x0000
    for uid in (first, second, third):
        peer.cancel(uid)
    assert soon(lambda: hears.states(first)[-1:] == ["CANCELED"])
    assert peer.unsubscribe() == 0x0000
    assert hears.states(second) == ["SCHEDULED"]
    assert hears.states(third) == []


def test_a_subscription_to_all_tells_how_all_stand_where_it_locks_them(
    link: Station, peer: Requester, hears: Subscriber
) -> None:
    ended, _ = peer.create(step("1.2.3"))
    peer.cancel(ended, "not needed any more")
    still, _ = peer.create(step("1.2.4"))
    for _ in range(2):
        assert peer.subscribe(lock="TRUE") == 0x0000
    later, _ = peer.create(step("1.2.5"))
    assert soon(lambda: hears.states(later) == ["SCHEDULED"])
    told = {uid: hears.states(uid) for uid in (ended, still)}
    assert told == {ended: ["CANCELED"], still: ["SCHEDULED"]}
    (report,) = [ds for uid, _, ds in hears.told if uid == ended]
    assert report.ReasonForCancellation == "not needed any more"
    (reason,) = report.ProcedureStepDiscontinuationReasonCodeSequence
    assert reason.CodeValue == UNSPECIFIED[0]
    assert link.ledger.steps.forget(timedelta(0)) == ()


def test_a_subscription_that_cannot_be_is_refused(link: Station, peer: Requester) -> None:
    uid, _ = peer.create(step("1.2.3"))
    assert peer.subscribe(uid, receiver="NOBODY") == 0xC308
    assert peer.subscribe("1.2.3.99") == 0xC307
    assert peer.subscribe(FILTERED_GLOBAL) == 0xC307
    assert peer.suspend(uid) == 0xC314
    assert peer.subscribe(uid, receiver="") == 0x0115
    assert peer.subscribe(uid, lock="PERHAPS") == 0x0115
    assert peer.act(uid, 9, ReceivingAE="PACS") == 0x0123
    assert peer.cancel(GLOBAL) == 0xC314


@pytest.mark.slow
@pytest.mark.parametrize("status", [0x0110, 0x0213])
def test_an_event_that_is_not_taken_comes_again_and_none_overtakes_it(
    link: Station, peer: Requester, hears: Subscriber, status: int
) -> None:
    hears.statuses = [status]
    peer.subscribe()
    uid, _ = peer.create(step("1.2.3"))
    assert soon(lambda: link.ledger.jobs(kind=STEP_EVENT)[0].last_error)
    assert hears.told == []
    peer.cancel(uid)  # what comes next does not wait for the pause to end
    assert soon(lambda: hears.states(uid) == ["SCHEDULED", "IN PROGRESS", "CANCELED"])


@pytest.mark.slow
def test_an_event_that_is_refused_for_good_holds_up_none_behind_it(
    tmp_path: Path, hears: Subscriber
) -> None:
    hears.statuses = [0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0122, 0x0211]
    count = len(hears.statuses)
    with (
        receiver(tmp_path, destinations=(hears.destination,)) as link,
        requesting(link.port) as peer,
    ):
        peer.subscribe()
        steps = [peer.create(step("1.2.3"))[0] for _ in range(count + 1)]
        assert soon(lambda: hears.states(steps[-1]) == ["SCHEDULED"])
        assert [one for one, _, _ in hears.told] == steps[-1:]
        assert soon(lambda: link.ledger.steps.owed("PACS") == ())
        assert not any(job.last_error for job in link.ledger.jobs(kind=STEP_EVENT))


@pytest.mark.slow
def test_a_receiver_that_knows_no_restarts_hears_of_steps_after_one(
    tmp_path: Path, hears: Subscriber
) -> None:
    def there() -> AbstractContextManager[Station]:
        return receiver(tmp_path, destinations=(hears.destination,))

    with there() as link, requesting(link.port) as peer:
        peer.subscribe()
    hears.statuses = [0x0113]
    with there() as link, requesting(link.port) as peer:
        uid, _ = peer.create(step("1.2.3"))
        assert soon(lambda: hears.states(uid) == ["SCHEDULED"])
        assert hears.told[0][:2] == (uid, 1)


@pytest.mark.slow
def test_a_subscriber_that_is_away_is_told_after_a_restart_and_that_there_was_one(
    tmp_path: Path,
) -> None:
    with subscriber() as hears:
        there = hears.destination
    with receiver(tmp_path, destinations=(there,)) as link, requesting(link.port) as peer:
        peer.subscribe()
        uid, _ = peer.create(step("1.2.3"))
        assert soon(lambda: link.ledger.jobs(kind=STEP_EVENT)[0].last_error)
    with subscriber(there.port) as hears, receiver(tmp_path, destinations=(there,)):
        assert soon(lambda: hears.states(uid) == ["SCHEDULED"])
        assert soon(lambda: [kind for one, kind, _ in hears.told if one == GLOBAL] == [4])
        assert hears.told[-1][2].SCPStatus == "RESTARTED"


# -- kept ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_step_that_ended_is_forgotten_unless_a_subscriber_locks_it(
    link: Station, peer: Requester
) -> None:
    locked, _ = peer.create(step("1.2.3"))
    left, _ = peer.create(step("1.2.4"))
    still, _ = peer.create(step("1.2.5"))
    assert peer.subscribe(locked, lock="TRUE") == 0x0000
    for uid in (locked, left):
        peer.cancel(uid)
    paths = link.ledger.steps.forget(timedelta(0))
    assert len(paths) == 1
    assert {row.sop_instance_uid for row in link.ledger.steps.list([], [], 9)} == {locked, still}
    assert peer.unsubscribe(locked) == 0x0000
    assert len(link.ledger.steps.forget(timedelta(0))) == 1


@pytest.mark.slow
def test_a_file_that_a_crash_left_without_a_step_is_swept_at_the_start(tmp_path: Path) -> None:
    with receiver(tmp_path) as link, requesting(link.port) as peer:
        uid, _ = peer.create(step("1.2.3"))
        left = link.settings.steps_dir / f"{'0' * 32}.step"
        left.write_bytes(b"half")
    with receiver(tmp_path) as link, requesting(link.port) as peer:
        assert not left.exists()
        assert peer.get(uid, 0x00100010)[1] is not None


def test_a_reason_of_another_alphabet_does_not_break_the_answer(
    link: Station, peer: Requester
) -> None:
    uid, _ = peer.create(step("1.2.3"))
    link.ledger.steps.ask_to_cancel(uid, "gerek yok: bağ", UNSPECIFIED, "PACS")
    status, ds = peer.get(uid)
    assert status == 0x0000
    assert ds is not None
    assert "gerek yok" in ds.ProcedureStepProgressInformationSequence[0].ReasonForCancellation


@pytest.mark.slow
def test_several_receiver_processes_take_steps_alike(tmp_path: Path, hears: Subscriber) -> None:
    with receiver(tmp_path, destinations=(hears.destination,), processes=2) as link:
        uids = set()
        for _ in range(3):
            with requesting(link.port) as peer:
                uids.add(peer.create(step("1.2.3"), str(generate_uid()))[0])
        assert {row.sop_instance_uid for row in link.ledger.steps.list([], [], 9)} == uids


def begun(link: Station, peer: Requester, name: str) -> tuple[str, Job]:
    """Return a step whose job is done and whose one result waits, and that job."""
    study = str(study_of(link).StudyInstanceUID)
    uid, _ = peer.create(step(study))
    job_of(link, study)
    for kind in ("index", "answer"):
        job = link.ledger.lease([kind], 60)
        assert job is not None
        if kind == "answer":
            link.ledger.performance.begin(uid)
            link.ledger.performance.answered(uid, {name: [RESULT]})
        link.ledger.finish(job)
    return uid, job


@pytest.mark.slow
def test_a_step_whose_results_cannot_be_delivered_is_cancelled(
    link: Station, peer: Requester
) -> None:
    uid, _ = begun(link, peer, "answer-1-1-A")
    link.ledger.enqueue("deliver", "answer-1-1-A")
    sending = link.ledger.lease(["deliver"], 60)
    assert sending is not None
    link.ledger.performance.sending("answer-1-1-A")
    link.ledger.fail(sending, "Destination pacs refused", retry=False)
    assert soon(lambda: peer.state(uid) == "CANCELED")
    row = link.ledger.steps.find(uid)
    assert row is not None
    assert row.reason == "Its results could not be delivered: Destination pacs refused"


@pytest.mark.slow
def test_a_step_outlives_its_job_that_retention_has_forgotten(
    link: Station, peer: Requester
) -> None:
    uid, _ = begun(link, peer, "answer-1-1-A")
    assert link.ledger.forget_jobs(timedelta(0)) == 2
    assert not soon_not(lambda: peer.state(uid) != "IN PROGRESS")
    link.ledger.performance.delivered("answer-1-1-A", "PACS")
    assert peer.state(uid) == "COMPLETED"
