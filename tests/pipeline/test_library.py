"""The library in the whole plugin, with simple models: made, withheld, withdrawn."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
from commitment_parts import Archive
from dicom_files import note
from plugin import STUDIES, Plugin, free_port, plugin, saved, tables
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    generate_uid,
)
from simple_bundle import simple_bundle

import pipeline.worker
from deploy.assembly import _resume_withdrawals
from deploy.kept_results import KeptResults
from deploy.small_pacs import SmallPacs
from listener.destination_settings import DestinationSettings
from listener.holdings import Wanted
from listener.job import INDEX, JobState
from pipeline.dictionary import dictionary
from pipeline.match_report import readable
from pipeline.result_language import Language
from pipeline.result_set import referenced_instances
from pipeline.worker import ANSWER, COPY, DELIVER, KINDS, WITHDRAW, Delivery

pytestmark = pytest.mark.slow

PRIORS = ("TEST-0001-1", "TEST-0008-1", "TEST-0013-1")
ASKED = sorted((STUDIES / "TEST-0018-1").glob("*.dcm"))
ASKED_STUDY = str(dcmread(ASKED[0], stop_before_pixels=True).StudyInstanceUID)
MODELS = SimpleNamespace(load=lambda *_, **__: simple_bundle())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("deploy.assembly.Bundle", MODELS)
    return tmp_path


@pytest.fixture
def service(folder: Path) -> Iterator[Plugin]:
    with plugin(folder, board_width=1200, **_OFTEN) as running:
        fill(running)
        yield running


_OFTEN: dict[str, Any] = {"lease_seconds": 30}


def fill(running: Plugin) -> None:
    for study in PRIORS:
        running.send(files_of(study))
    running.settle()


def files_of(study: str) -> list[Path]:
    return sorted((STUDIES / study).glob("*.dcm"))


def image_of(study: str) -> Dataset:
    images = (dcmread(file) for file in files_of(study))
    return next(one for one in images if one.Modality in ("DX", "CR"))


def reject(running: Plugin, study: str, folder: Path, reason: str = "113001") -> None:
    """Send the note by which the PACS rejects a study's image."""
    image = image_of(study)
    rejection = note(reason, image)
    joined(rejection, image)
    running.send([saved(rejection, folder / "rejection.dcm")])


def joined(rejection: Dataset, image: Dataset) -> None:
    """Make a note one of an image's study."""
    rejection.StudyInstanceUID, rejection.SeriesInstanceUID = image.StudyInstanceUID, generate_uid()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "IssuerOfPatientID"):
        if keyword in image:
            setattr(rejection, keyword, image[keyword].value)


def hands(running: Plugin, *kinds: str) -> Plugin:
    """Return the same with a worker that does these kinds of job alone."""
    return replace(running, worker=replace(running.worker, kinds=kinds))


def answered(running: Plugin, *left: str) -> Plugin:
    """Ask, and return the same with a worker that leaves these kinds of job to others."""
    it = hands(running, *(kind for kind in KINDS if kind not in left))
    it.send(ASKED, "WRISTMIR_Q_DR")
    it.settle()
    return it


def without_pacs(running: Plugin) -> Plugin:
    """Return the same with a PACS that cannot be reached."""
    away = DestinationSettings(name="pacs", ae_title="AWAY", host="127.0.0.1", port=free_port())
    return replace(
        running, worker=replace(running.worker, delivery=Delivery(away, away, "WRISTMIR"))
    )


def copies(running: Plugin) -> dict[str, Dataset]:
    """Return the library copies that the PACS got, by their UIDs."""
    got = [dcmread(file) for file in running.pacs.files()]
    return {str(one.SOPInstanceUID): one for one in got if one.Modality in ("DX", "CR")}


def notes(running: Plugin) -> list[Dataset]:
    return [dcmread(file) for file in running.pacs.files(KeyObjectSelectionDocumentStorage)]


def copy_of(running: Plugin, study: str) -> str:
    crosswalk = running.worker.answerer.library.crosswalk
    found = crosswalk.of_source(str(image_of(study).SOPInstanceUID))
    assert found is not None
    return found.copy_uid


def kept(running: Plugin) -> set[str]:
    """Return what the plugin answers with when it is asked for results and copies."""
    found = KeptResults(running.settings.state_dir, 7).find(Wanted(), 1000)
    return {one.sop_instance_uid for one in found}


# -- when it is made ------------------------------------------------------------------------


def test_by_default_a_copy_is_made_when_a_result_first_refers_to_it(service: Plugin) -> None:
    assert copies(service) == {}
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    assert len(copies(service)) == len(PRIORS)


def test_at_index_time_every_exam_has_its_copy_before_anybody_asks(folder: Path) -> None:
    with plugin(folder, library_copies="at_index_time", **_OFTEN) as running:
        fill(running)
        made = copies(running)
        assert len(made) == len(PRIORS)
        crosswalk = running.worker.answerer.library.crosswalk
        assert crosswalk.missing(made, "pacs") == ()
        running.send(ASKED, "WRISTMIR_Q_DR")
        running.settle()
        (delivery, *_) = running.ledger.jobs(kind=DELIVER)
        assert (delivery.outcome or {})["copies"] == 0  # they were there
        (report,) = running.reports()
        assert set(made) <= referenced_instances(report)


def test_a_copy_counts_as_delivered_when_it_was_acknowledged(folder: Path) -> None:
    with plugin(folder, library_copies="at_index_time", **_OFTEN) as there:
        running = without_pacs(there)
        running.send(files_of(PRIORS[0]))
        running.settle()
        (job,) = running.jobs(str(image_of(PRIORS[0]).StudyInstanceUID), COPY)
        assert job.state is JobState.READY  # it waits for the PACS
        crosswalk = running.worker.answerer.library.crosswalk
        uid = copy_of(running, PRIORS[0])
        assert crosswalk.missing([uid], "pacs") == (uid,)
        assert list((running.settings.state_dir / "outbox").iterdir()) == []


# -- what is shown to nobody ----------------------------------------------------------------


def written(study: str, folder: Path, word: str) -> list[Path]:
    """Return a study's files with a word burned into a corner of its image."""
    files = []
    for file in files_of(study):
        one = dcmread(file)
        if one.Modality in ("DX", "CR"):
            pixels = one.pixel_array.copy()
            light = int(pixels.max()) if one.PhotometricInterpretation == "MONOCHROME2" else 0
            dark = int(pixels.max()) - light
            pixels[:36, :240] = dark
            cv2.putText(pixels, word, (8, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.6, light, 1, cv2.LINE_AA)
            if one.file_meta.TransferSyntaxUID.is_compressed:
                one.decompress(generate_instance_uid=False)
            one.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
            one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            one["PixelData"].VR = "OW"
        files.append(saved(one, folder / f"{study}-{file.name}"))
    return files


@pytest.mark.parametrize("language", list(Language))
def test_a_prior_with_a_word_in_its_picture_is_counted_and_not_shown_and_the_report_says_why(
    folder: Path, language: Language
) -> None:
    results = {"language": language.value}
    with plugin(folder, library_copies="at_index_time", results=results, **_OFTEN) as running:
        running.send(written(PRIORS[0], folder, "DOE JANE 4711"))
        for study in PRIORS[1:]:
            running.send(files_of(study))
        running.settle()
        assert len(copies(running)) == len(PRIORS) - 1
        running.send(ASKED, "WRISTMIR_Q_DR")
        running.settle()
        outcome = running.outcome(ASKED_STUDY, ANSWER)
        assert outcome["matches"] == len(PRIORS)
        (report,) = running.reports()
        said = readable(report)
        assert said.count(dictionary(language).say("report.not_shared_text")) == 1
        crosswalk = running.worker.answerer.library.crosswalk
        assert crosswalk.of_source(str(image_of(PRIORS[0]).SOPInstanceUID)) is None


def test_a_prior_that_says_that_it_bears_text_is_withheld_with_that_reason(
    folder: Path,
) -> None:
    with plugin(folder, **_OFTEN) as running:
        for file in files_of(PRIORS[0]):
            one = dcmread(file)
            if one.Modality in ("DX", "CR"):
                one.BurnedInAnnotation = "YES"
            running.send([saved(one, folder / file.name)])
        running.settle()
        running.send(ASKED, "WRISTMIR_Q_DR")
        running.settle()
        assert copies(running) == {}
        (report,) = running.reports()
        words = dictionary(Language.ENGLISH).say("report.not_shared_annotated")
        assert words in readable(report)


# -- what was rejected ----------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["113001", "113037"])
def test_the_copy_of_a_rejected_prior_is_withdrawn_and_forgotten(
    service: Plugin, folder: Path, reason: str
) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    uid, before = copy_of(service, PRIORS[0]), copies(service)
    assert uid in kept(service)
    reject(service, PRIORS[0], folder, reason)
    service.settle()
    (made,) = notes(service)
    assert referenced_instances(made) == {uid}
    assert (made.StudyInstanceUID, made.PatientID) == (
        before[uid].StudyInstanceUID,
        before[uid].PatientID,
    )
    assert made.ConceptNameCodeSequence[0].CodeValue == reason
    study = str(image_of(PRIORS[0]).StudyInstanceUID)
    assert service.outcome(study, WITHDRAW) == {"withdrawn": 1, "never_sent": 0}
    crosswalk = service.worker.answerer.library.crosswalk
    assert crosswalk.of_copy(uid) is None
    assert crosswalk.rejected(study) == ()


def test_results_that_show_it_are_found_here_no_more_and_new_ones_do_without_it(
    service: Plugin, folder: Path
) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    service.send(ASKED, "WRISTMIR_Q_DR")  # this one refers to copies that are there already
    service.settle()
    assert len(service.reports()) == 2
    assert {str(one.SOPInstanceUID) for one in (*service.reports(), *service.boards())} <= kept(
        service
    )
    uid = copy_of(service, PRIORS[0])
    reject(service, PRIORS[0], folder)
    service.settle()
    assert kept(service) == set()
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    report = service.reports()[-1]
    assert uid not in referenced_instances(report)
    assert str(report.SOPInstanceUID) in kept(service)


def test_a_library_that_is_away_is_told_when_it_is_back(service: Plugin, folder: Path) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    uid = copy_of(service, PRIORS[0])
    study = str(image_of(PRIORS[0]).StudyInstanceUID)
    away = without_pacs(service)
    reject(away, PRIORS[0], folder)
    away.settle()
    (job,) = service.jobs(study, WITHDRAW)
    assert job.state is JobState.READY
    assert kept(service) == set()  # here at once
    assert service.worker.answerer.library.crosswalk.of_copy(uid) is not None
    time.sleep(max(0.0, (job.not_before - datetime.now(UTC)).total_seconds()))
    service.settle()
    (made,) = notes(service)
    assert referenced_instances(made) == {uid}
    assert service.worker.answerer.library.crosswalk.of_copy(uid) is None


def test_a_result_that_waits_is_answered_anew_without_what_was_rejected(
    service: Plugin, folder: Path
) -> None:
    others = tuple(kind for kind in KINDS if kind != DELIVER)
    answering = replace(service, worker=replace(service.worker, kinds=others))
    answering.send(ASKED, "WRISTMIR_Q_DR")
    answering.settle()
    (waits,) = service.ledger.jobs(kind=DELIVER)
    uid = copy_of(service, PRIORS[0])
    reject(service, PRIORS[0], folder)
    answering.settle()
    service.settle()
    assert uid not in copies(service)
    assert len(copies(service)) == len(PRIORS) - 1
    assert notes(service) == []  # nobody had it
    study = str(image_of(PRIORS[0]).StudyInstanceUID)
    assert service.outcome(study, WITHDRAW) == {"withdrawn": 0, "never_sent": 1}
    (report,) = service.reports()
    assert uid not in referenced_instances(report)
    assert "withdrawn" in (service.ledger.job(waits.id).outcome or {})["reason"]


def test_a_result_that_waits_is_not_sent_with_a_rejected_prior_that_the_library_has(
    service: Plugin, folder: Path
) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    uid, before = copy_of(service, PRIORS[0]), len(service.reports())
    waiting = answered(service, DELIVER, WITHDRAW)
    reject(service, PRIORS[0], folder)
    waiting.settle()
    hands(service, DELIVER, ANSWER).settle()  # the note that withdraws has not gone out yet
    (report,) = service.reports()[before:]
    assert uid not in referenced_instances(report)


def test_a_rejected_prior_that_is_indexed_all_the_same_is_listed_without_its_picture(
    service: Plugin, folder: Path
) -> None:
    answered(service, DELIVER)
    image, uid = image_of(PRIORS[0]), copy_of(service, PRIORS[0])
    crosswalk = service.worker.answerer.library.crosswalk
    crosswalk.reject(str(image.StudyInstanceUID), {str(image.SOPInstanceUID): "113001"})
    service.settle(20)  # it ends: nothing asks for ever
    (report,) = service.reports()
    assert uid not in referenced_instances(report)


def test_a_note_about_two_studies_withdraws_in_each_what_is_its_own(
    service: Plugin, folder: Path
) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    both = [image_of(study) for study in PRIORS[:2]]
    uids = {copy_of(service, study) for study in PRIORS[:2]}
    listed = [note("113001", image).CurrentRequestedProcedureEvidenceSequence[0] for image in both]
    for number, image in enumerate(both):
        rejection = note("113001", image)
        rejection.CurrentRequestedProcedureEvidenceSequence = listed
        rejection.SOPInstanceUID = rejection.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        joined(rejection, image)
        service.send([saved(rejection, folder / f"rejection-{number}.dcm")])
    service.settle()
    assert {job.state for job in service.ledger.jobs(kind=WITHDRAW)} == {JobState.DONE}
    withdrawn = {uid for sent in notes(service) for uid in referenced_instances(sent)}
    assert withdrawn == uids
    assert service.worker.answerer.library.crosswalk.unknown(uids)


def test_a_kill_while_a_result_is_given_up_loses_no_answer(
    service: Plugin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = answered(service, DELIVER)
    reject(service, PRIORS[0], folder)
    waiting.settle()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(service.ledger), "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            hands(service, DELIVER).worker.work_once()
    service.ledger.end_leases(KINDS)
    service.settle()
    assert JobState.DEAD not in {job.state for job in service.ledger.jobs()}
    assert service.reports()


# -- what was rejected while it was being sent ----------------------------------------------


@contextmanager
def delivering(running: Plugin, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have another worker deliver, which has begun to send and goes on when the event is set."""
    begun, may_go_on = threading.Event(), threading.Event()
    real = pipeline.worker.send

    def slow(*given: Any) -> Any:
        if threading.current_thread() is other and not begun.is_set():
            begun.set()
            assert may_go_on.wait(60)
        return real(*given)

    monkeypatch.setattr(pipeline.worker, "send", slow)
    other = threading.Thread(target=hands(running, DELIVER).worker.work_once)
    other.start()
    try:
        assert begun.wait(60)
        yield may_go_on
    finally:
        may_go_on.set()
        other.join(60)


def test_a_copy_that_another_worker_is_sending_is_withdrawn_when_it_has_arrived(
    service: Plugin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = answered(service, DELIVER)
    uid, study = copy_of(service, PRIORS[0]), str(image_of(PRIORS[0]).StudyInstanceUID)
    with delivering(service, monkeypatch):
        reject(waiting, PRIORS[0], folder)
        waiting.settle()
        assert notes(service) == []
        assert uid not in copies(service)
        ended = next(job for job in service.jobs(study, WITHDRAW) if job.state is JobState.DONE)
        assert ended.outcome == {"withdrawn": 0, "never_sent": 0, "being_sent": 1}
    assert uid in copies(service)  # it came after the rejection
    service.ledger.enqueue(WITHDRAW, study)  # no sooner than otherwise, but for the wait
    service.settle()
    (made,) = notes(service)
    assert referenced_instances(made) == {uid}
    assert service.worker.answerer.library.crosswalk.of_copy(uid) is None


def test_a_result_that_is_being_sent_while_a_copy_is_withdrawn_is_kept_here_no_more(
    service: Plugin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.send(ASKED, "WRISTMIR_Q_DR")
    service.settle()
    uid, study = copy_of(service, PRIORS[0]), str(image_of(PRIORS[0]).StudyInstanceUID)
    waiting = answered(service, DELIVER)  # of a result whose copies are all there
    with delivering(service, monkeypatch):
        reject(waiting, PRIORS[0], folder)
        waiting.settle()
        assert notes(service) == []
    assert uid in referenced_instances(service.reports()[-1])
    service.ledger.enqueue(WITHDRAW, study)
    service.settle()
    assert len(notes(service)) == 1
    assert kept(service) == set()


def test_a_copy_whose_sender_was_killed_is_withdrawn_and_once_more_later(
    service: Plugin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = answered(service, DELIVER)
    uid, study = copy_of(service, PRIORS[0]), str(image_of(PRIORS[0]).StudyInstanceUID)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.worker.send", killed)
        with pytest.raises(KeyboardInterrupt):
            hands(service, DELIVER).worker.work_once()
    reject(waiting, PRIORS[0], folder)
    waiting.settle()
    repeated, ended, *_ = service.jobs(study, WITHDRAW)
    assert ended.outcome == {"withdrawn": 1, "never_sent": 0, "to_be_repeated": 1}
    assert (repeated.state, repeated.not_before - repeated.created_at) == (
        JobState.READY,
        timedelta(minutes=15),
    )
    service.ledger.enqueue(WITHDRAW, study, repeated.argument)  # too early: nothing is said yet
    waiting.settle()
    assert len(notes(service)) == 1
    monkeypatch.setattr("pipeline.withdrawal.LATE", timedelta(0))
    service.ledger.enqueue(WITHDRAW, study, repeated.argument)
    waiting.settle()
    assert [referenced_instances(one) for one in notes(service)] == [{uid}, {uid}]
    assert service.worker.answerer.library.crosswalk.of_copy(uid) is None


# -- what is at destinations that were the library once -------------------------------------


@contextmanager
def moved(folder: Path, **given: Any) -> Iterator[tuple[SmallPacs, DestinationSettings]]:
    """Have copies delivered to one destination, then another be the library."""
    with SmallPacs(folder / "old", "OLD") as pacs:
        old = DestinationSettings(name="old", ae_title="OLD", host="127.0.0.1", port=pacs.port)
        with plugin(
            folder, destinations=[old], library_destination="old", **given, **_OFTEN
        ) as running:
            fill(running)
            running.send(ASKED, "WRISTMIR_Q_DR")
            running.settle()
        yield pacs, old


def withdrawn_from(pacs: SmallPacs) -> list[set[str]]:
    sent = pacs.files(KeyObjectSelectionDocumentStorage)
    return [set(referenced_instances(dcmread(file))) for file in sent]


def test_a_copy_is_withdrawn_from_a_destination_that_was_the_library_before(folder: Path) -> None:
    study = str(image_of(PRIORS[0]).StudyInstanceUID)
    with moved(folder) as (pacs, old), plugin(folder, destinations=[old], **_OFTEN) as running:
        uid = copy_of(running, PRIORS[0])
        reject(running, PRIORS[0], folder)
        running.settle()
        assert withdrawn_from(pacs) == [{uid}]
        assert notes(running) == []
        assert running.worker.answerer.library.crosswalk.to_withdraw() == ()
        outcomes = [job.outcome for job in running.jobs(study, WITHDRAW)]
        assert {"withdrawn": 1, "never_sent": 0} in outcomes


def test_one_that_is_configured_no_more_is_waited_for_and_told_when_it_is_back(
    folder: Path,
) -> None:
    study = str(image_of(PRIORS[0]).StudyInstanceUID)
    with moved(folder) as (pacs, old):
        with plugin(folder, **_OFTEN) as running:
            uid = copy_of(running, PRIORS[0])
            reject(running, PRIORS[0], folder)
            running.settle()
            assert running.outcome(study, WITHDRAW) == {
                "withdrawn": 0,
                "never_sent": 0,
                "at_former_destinations": {"old": 1},
            }
            (left,) = running.worker.answerer.library.crosswalk.to_withdraw()
            assert (left.copy.copy_uid, left.destinations) == (uid, {"old"})
        with plugin(folder, **_OFTEN) as running:
            running.settle()
            assert len(running.jobs(study, WITHDRAW)) == 1  # nothing can be done yet
        with plugin(folder, destinations=[old], **_OFTEN) as running:
            running.settle()
            assert withdrawn_from(pacs) == [{uid}]
            assert running.worker.answerer.library.crosswalk.to_withdraw() == ()


# -- where the library commits to what it keeps ---------------------------------------------


@dataclass(frozen=True, eq=False)
class Committing:
    """The plugin with a library that offers storage commitment, and the copy of one prior."""

    running: Plugin
    archive: Archive
    study: str
    uid: str

    def is_missing(self) -> bool:
        crosswalk = self.running.worker.answerer.library.crosswalk
        return crosswalk.missing([self.uid], "library") == (self.uid,)

    def soon(self, kind: str) -> None:
        """Let the time pass that the study's job of a kind waits for."""
        (job,) = (one for one in self.running.jobs(self.study, kind) if one.state is JobState.READY)
        self.running.ledger.enqueue(kind, self.study, job.argument)
        self.running.settle()


@pytest.fixture
def committing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committing]:
    """Begin with a library that has the copy and says nothing yet."""
    monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 0.0)
    with Archive() as archive:
        archive.is_silent = True
        there = archive.destination(name="library", commitment_seconds=20)
        given = {"library_destination": "library", "library_copies": "at_index_time"}
        with plugin(folder, destinations=[there], **given, **_OFTEN) as running:
            running.send(files_of(PRIORS[0]))
            running.settle()
            study = str(image_of(PRIORS[0]).StudyInstanceUID)
            yield Committing(running, archive, study, copy_of(running, PRIORS[0]))


def speaks(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it answer, and its word be waited for, however slow the machine is."""
    archive.is_silent = False
    monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 20.0)


def asked_anew(running: Plugin) -> None:
    """Have nobody wait any longer for a word that does not come."""
    for (subject,) in rows(running, "SELECT DISTINCT subject FROM commitment_request"):
        running.ledger.transactions.abandon(subject)


def rows(running: Plugin, query: str) -> list[tuple[Any, ...]]:
    """Return what stands in the ledger."""
    with closing(sqlite3.connect(running.settings.state_dir / "ledger.sqlite3")) as connection:
        return connection.execute(query).fetchall()


def test_a_copy_counts_as_there_once_the_library_has_committed_to_it(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert committing.archive.stored == [committing.uid]
    assert [[one.sop_instance_uid for one in asked] for _, asked in committing.archive.asked] == [
        [committing.uid]
    ]
    assert committing.is_missing()
    speaks(committing.archive, monkeypatch)
    asked_anew(committing.running)
    committing.soon(COPY)
    assert not committing.is_missing()
    assert committing.archive.stored == [committing.uid]
    assert committing.running.outcome(committing.study, COPY) == {"committed": 1}
    assert {job.state for job in committing.running.ledger.jobs()} == {JobState.DONE}


def test_a_copy_that_the_library_has_lost_is_sent_again(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing.archive.losing = {committing.uid: 0x0112}
    speaks(committing.archive, monkeypatch)
    asked_anew(committing.running)
    committing.soon(COPY)
    committing.running.settle()
    assert committing.is_missing()
    committing.archive.losing = {}
    committing.soon(COPY)
    assert not committing.is_missing()
    assert committing.archive.stored == [committing.uid] * 2


def test_nothing_in_the_ledger_names_a_copy_beside_its_source(committing: Committing) -> None:
    tables = ("commitment_request", "job")
    queries = [f"SELECT * FROM {name}" for name in tables]  # noqa: S608 - named here
    written = [str(row) for query in queries for row in rows(committing.running, query)]
    assert any(committing.uid in row for row in written)
    source = str(image_of(PRIORS[0]).SOPInstanceUID)
    for row in written:
        assert committing.uid not in row or not (committing.study in row or source in row)


def test_a_copy_is_forgotten_when_the_library_has_committed_to_the_note(
    committing: Committing, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, archive = committing.running, committing.archive
    crosswalk = running.worker.answerer.library.crosswalk
    reject(running, PRIORS[0], folder)
    running.settle()
    (_, noted) = archive.stored
    assert crosswalk.of_copy(committing.uid) is not None
    assert running.jobs(committing.study, WITHDRAW)[0].state is JobState.READY
    archive.losing = {noted: 0x0112}
    speaks(archive, monkeypatch)
    asked_anew(running)
    committing.soon(WITHDRAW)
    assert archive.stored == [committing.uid, noted, noted]  # it was lost, and is sent again
    assert crosswalk.of_copy(committing.uid) is not None
    archive.losing = {}
    committing.soon(WITHDRAW)
    assert crosswalk.of_copy(committing.uid) is None
    assert running.outcome(committing.study, WITHDRAW) == {"withdrawn": 1, "never_sent": 0}


def test_while_a_note_is_awaited_neither_restarts_nor_new_looks_at_the_study_send_another(
    committing: Committing, folder: Path
) -> None:
    running, worker = committing.running, committing.running.worker
    reject(running, PRIORS[0], folder)
    running.settle()
    sent = list(committing.archive.stored)
    for _ in range(2):
        _resume_withdrawals(running.ledger, worker.answerer.library.crosswalk, worker.delivery)
        running.ledger.enqueue(INDEX, committing.study)
        running.settle()
    assert committing.archive.stored == sent
    waiting = [
        one for one in running.jobs(committing.study, WITHDRAW) if one.state is JobState.READY
    ]
    assert len(waiting) == 1


def test_where_nobody_is_to_be_asked_a_copy_counts_when_it_is_stored(folder: Path) -> None:
    with Archive() as archive:
        there = archive.destination(name="library", commitment="never")
        given = {"library_destination": "library", "library_copies": "at_index_time"}
        with plugin(folder, destinations=[there], **given, **_OFTEN) as running:
            running.send(files_of(PRIORS[0]))
            running.settle()
            uid = copy_of(running, PRIORS[0])
            crosswalk = running.worker.answerer.library.crosswalk
            assert crosswalk.missing([uid], "library") == ()
            reject(running, PRIORS[0], folder)
            running.settle()
            assert crosswalk.of_copy(uid) is None
        assert archive.asked == []


def test_the_settings_say_when_copies_are_made(tmp_path: Path) -> None:
    from deploy.settings import parse

    chosen = parse(tables(tmp_path, 1, library_copies="at_index_time"))
    assert chosen.pipeline.library_copies == "at_index_time"
