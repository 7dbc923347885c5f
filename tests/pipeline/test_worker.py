"""The worker: every job ends, once, with a result or a stated reason, whatever its study does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from audit_parts import audit_file, classes, ended, kind, objects, trail
from commitment_parts import Archive
from invented_exams import quick_folder
from result_parts import answer, header
from sqlalchemy.exc import OperationalError

from deploy.small_pacs import SmallPacs
from listener.audit import Audit
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError
from listener.instance import Instance
from listener.job import COMMIT, INDEX, Job, JobState
from listener.ledger import Ledger
from listener.milestone import PLACED
from listener.report_desk import ReportDesk
from listener.report_settings import Hl7Settings
from listener.report_shelf import Form, ReportShelf
from listener.settings import ListenerSettings, TitleSettings
from pipeline.answering import Answered, Answerer
from pipeline.errors import (
    AnswerError,
    BundleError,
    DecodeError,
    DecodeReason,
    DecoderUnavailableError,
    IdentityError,
    IndexUnavailableError,
    LanguageModelUnavailableError,
    PipelineError,
    RequestError,
    ResultError,
)
from pipeline.indexing import IndexedStudy, Indexer, MinedStudy, PlacedFile
from pipeline.outbox import Outbox
from pipeline.readers import Readers
from pipeline.region import Region
from pipeline.report import ReportText
from pipeline.request import Mode, Request
from pipeline.stored_study import StoredImage
from pipeline.worker import ANSWER, DELIVER, MINE, QUERY, Delivery, Worker

PLANTED = "Secret^Name"
GOOD, POISONED = "1.2.3.100", "1.2.3.666"
TITLE = TitleSettings(ae_title="WRISTMIR", jobs=(INDEX,))


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 9, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Steps:
    """Stands in for indexer and answerer; a test says what each study does to them."""

    bundle_id = "simple-1"

    def __init__(self) -> None:
        self.does: dict[str, Callable[[], None]] = {}
        self.calls: list[tuple[str, str]] = []
        self.file_gone: frozenset[str] = frozenset()
        self.told: Sequence[ReportText] = ()
        self.requests: list[Request] = []
        self.exams = 1
        self.answers = 1
        self.unread = 0
        self.rejections: dict[str, str] = {}
        self.to_mine = True
        self.mining = threading.Event()
        self.mining.set()

    def can_mine(self) -> bool:
        return self.mining.is_set()

    def _called(self, step: str, subject: str) -> None:
        self.calls.append((step, subject))
        self.does.get(subject, lambda: None)()

    def index(
        self,
        study_uid: str,
        files: Sequence[StoredImage],
        file_gone: frozenset[str] = frozenset(),
        told: Sequence[ReportText] = (),
    ) -> IndexedStudy:
        self._called("index", study_uid)
        self.file_gone = file_gone
        self.told = told
        reasons = {} if self.exams else {"it is labelled lateral": 1}
        return IndexedStudy(
            self.exams,
            len(files),
            reasons,
            to_mine=self.to_mine and bool(files),
            unread=self.unread,
            placed=tuple(
                PlacedFile(file.sop_instance_uid, file.version, "exam", "pa", "left")
                for file in files
            ),
            rejections=self.rejections,
        )

    def mine(
        self,
        study_uid: str,
        files: Sequence[StoredImage],
        told: Sequence[ReportText] = (),
        *,
        by_rules: bool = False,
    ) -> MinedStudy:
        self._called("mine by rules" if by_rules else "mine", study_uid)
        return MinedStudy(1, 0, "en")

    def answer(
        self,
        named: str,
        study_uid: str,
        files: object,
        originals: object,
        request: Request,
        at: object,
    ) -> Answered:
        self._called("answer", study_uid)
        self.requests.append(request)
        names = tuple(f"{named}-{number + 1}" for number in range(self.answers))
        return Answered(tuple(answer() for _ in names), names)

    def find(self, study_uid: str, request: Request, at: object) -> tuple[Any, ...]:
        self._called("find", study_uid)
        return (answer(),)

    def find_file(self, path: Path, request: Request, at: object) -> tuple[tuple[Any, ...], str]:
        self._called("find_file", path.name)
        if not path.is_file():
            raise RequestError
        return (answer(),), ""

    @property
    def library(self) -> Steps:
        return self

    def reject(self, *_: object, **__: object) -> bool:
        """Know of no copies."""
        return False

    def guard(self, *_: object) -> None:
        """Find nothing wrong."""

    def sending(self, *_: object, **__: object) -> AbstractContextManager[None]:
        """Remember nothing."""
        return nullcontext()

    def referring(self, *_: object) -> AbstractContextManager[None]:
        """Hold nothing."""
        return nullcontext()


@dataclass
class Rig:
    folder: Path
    clock: Clock
    steps: Steps
    ledger: Ledger
    outbox: Outbox
    worker: Worker

    def receive(self, study: str, instance: str | None = None) -> None:
        """Let an instance of a study be there."""
        uid = instance or f"{study}.1.1"
        path = self.folder / f"{uid}.dcm"
        path.touch()
        found = Instance(
            uid, "1.2.840.10008.5.1.4.1.1.1", study, f"{study}.1", "1.2", uid, 0, path, "k", "k"
        )
        self.ledger.record_instance(found, calling_ae="PACS", title=TITLE)

    def work(self, most: int = 100) -> None:
        """Work until there is nothing to do."""
        for _ in range(most):
            if not self.worker.work_once():
                return
        pytest.fail("the worker goes in circles")

    def work_through_waits(self) -> None:
        """Work, and let the time of every backoff pass."""
        for _ in range(12):
            self.work()
            self.clock.pass_(3600)

    def job(self, number: int) -> Job:
        return self.ledger.job(number)


@pytest.fixture
def rig() -> Iterator[Rig]:
    clock, steps = Clock(), Steps()
    with quick_folder() as folder, Ledger(ledger_of(folder), clock) as ledger:
        outbox = Outbox(folder / "outbox", f"sqlite:///{folder / 'outbox.sqlite3'}")
        worker = Worker(
            ledger=ledger,
            indexer=cast(Indexer, steps),
            answerer=cast(Answerer, steps),
            outbox=outbox,
            delivery=Delivery(None, None, "WRISTMIR"),
            uploads=folder / "uploads",
        )
        yield Rig(folder, clock, steps, ledger, outbox, worker)
        outbox.close()


def ledger_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.sqlite3'}"


def busy() -> OperationalError:
    return OperationalError("a statement", None, Exception("database is locked"))


def raising(error: BaseException) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


# -- how a job ends -----------------------------------------------------------------------


def test_an_indexed_study_is_marked_and_its_reports_are_mined(rig: Rig) -> None:
    rig.receive(GOOD)
    number = rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert rig.job(number).state is JobState.DONE
    assert (rig.job(number).outcome or {})["exams"] == 1
    study = rig.ledger.study(GOOD)
    assert study.indexed_generation == study.generation == 1
    assert rig.steps.calls == [("index", GOOD), ("mine", GOOD)]


def test_reports_from_other_roads_are_handed_over_with_their_words(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.receive(GOOD)
    shelf = ReportShelf(rig.folder / "reports", watermark_bytes=0)
    desk = ReportDesk(rig.ledger, shelf, Hl7Settings(), site_key=b"k")
    head = f"StudyInstanceUID: {GOOD}\nAccessionNumber: "
    desk.take(f"{head}1\nStatus: preliminary\n\nNormal.".encode(), Form.TEXT)
    desk.take(f"{head}2\nStatus: withdrawn\n\n".encode(), Form.TEXT)
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    first, second = rig.steps.told
    assert (first.text, first.kind, first.final) == ("Normal.", "txt", False)
    assert second.text == ""
    for file in shelf.files():
        file.unlink()
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert [told.text for told in rig.steps.told] == ["", ""]
    assert "missing" in caplog.text


def test_a_poisoned_study_ends_dead_with_class_and_place_and_no_patient_data(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.receive(POISONED)
    rig.steps.does[POISONED] = raising(ValueError(f"bad value {PLANTED!r}"))
    number = rig.ledger.enqueue(INDEX, POISONED)
    rig.work_through_waits()
    job = rig.job(number)
    assert (job.state, job.attempts) == (JobState.DEAD, 8)
    assert "unexpected ValueError in pipeline/test_worker.py:" in (job.last_error or "")
    assert PLANTED not in repr(job)
    assert PLANTED not in caplog.text
    assert "ValueError" in caplog.text
    for path in rig.folder.glob("ledger.sqlite3*"):
        assert PLANTED.encode() not in path.read_bytes()


def test_a_poisoned_study_blocks_no_other(rig: Rig) -> None:
    for study in (POISONED, GOOD):
        rig.receive(study)
    rig.steps.does[POISONED] = raising(RecursionError())
    bad = rig.ledger.enqueue(INDEX, POISONED)
    good = rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert rig.job(good).state is JobState.DONE
    assert (rig.job(bad).state, rig.job(bad).attempts) == (JobState.READY, 1)
    assert rig.ledger.study(POISONED).indexed_generation == 0


@pytest.mark.parametrize(
    "error",
    [
        BundleError("x"),
        DecodeError(DecodeReason.TRUNCATED),
        IdentityError("x"),
        RequestError("x"),
        ResultError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_trying_again_cannot_change_dies_at_once_with_its_reason(
    rig: Rig, error: Exception
) -> None:
    rig.receive(GOOD)
    rig.steps.does[GOOD] = raising(error)
    number = rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    job = rig.job(number)
    assert (job.state, job.attempts, job.last_error) == (JobState.DEAD, 1, str(error))


@pytest.mark.parametrize(
    "error",
    [IndexUnavailableError("x"), DecoderUnavailableError("x"), DeliveryError("x"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_is_tried_again_later(rig: Rig, error: Exception) -> None:
    rig.receive(GOOD)
    rig.steps.does[GOOD] = raising(error)
    number = rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert rig.job(number).state is JobState.READY
    assert rig.job(number).not_before > rig.clock.now
    rig.steps.does.clear()
    rig.clock.pass_(60)
    rig.work()
    assert (rig.job(number).state, rig.job(number).last_error) == (JobState.DONE, None)


def test_an_error_while_mining_leaves_the_study_indexed(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.ledger.enqueue(INDEX, GOOD)
    rig.worker.work_once()
    rig.steps.does[GOOD] = raising(ValueError())
    rig.work()
    (mining,) = rig.ledger.jobs(kind=MINE)
    assert mining.state is JobState.READY
    assert rig.ledger.study(GOOD).indexed_generation == 1


@pytest.mark.slow
def test_what_arrives_while_a_study_is_indexed_is_not_taken_for_indexed(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.steps.does[GOOD] = lambda: rig.receive(GOOD, f"{GOOD}.1.2")
    rig.ledger.enqueue(INDEX, GOOD)
    rig.worker.work_once()
    study = rig.ledger.study(GOOD)
    assert (study.indexed_generation, study.generation) == (1, 2)


def test_exams_whose_files_retention_has_deleted_are_named_to_the_indexer(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.work_through_waits()
    rig.ledger.close_due_arrivals()
    rig.work()
    rig.clock.pass_(3 * 86400)
    assert rig.ledger.expire(timedelta(days=1)) == 1
    rig.receive(GOOD, f"{GOOD}.1.2")
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert rig.steps.file_gone == {f"{GOOD}.1.1"}


def placed(rig: Rig, study: str) -> dict[str, dict[str, str]]:
    """Return what each instance of a study is to the index, by the ledger."""
    return {
        step.sop_instance_uid: dict(step.detail)
        for step in rig.ledger.milestones(study)
        if (step.kind, step.index) == (PLACED, "simple-1")
    }


def test_the_ledger_learns_what_each_file_became(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert placed(rig, GOOD) == {f"{GOOD}.1.1": {"used_as": "exam", "view": "pa", "side": "left"}}


def test_what_was_read_of_a_study_that_is_not_indexed_as_a_whole_is_known(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.steps.unread = 1
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert rig.ledger.study(GOOD).indexed_generation == 0
    assert set(placed(rig, GOOD)) == {f"{GOOD}.1.1"}


def test_a_withdrawn_exam_whose_file_is_gone_is_known_to_be(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work_through_waits()
    rig.ledger.close_due_arrivals()
    rig.work()
    rig.clock.pass_(3 * 86400)
    assert rig.ledger.expire(timedelta(days=1)) == 1
    rig.receive(GOOD, f"{GOOD}.1.2")
    rig.steps.rejections = {f"{GOOD}.1.1": "113001"}
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    assert placed(rig, GOOD)[f"{GOOD}.1.1"] == {"reason": "a rejection note withdraws it"}


# -- leases -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lease_is_renewed_while_a_long_step_runs(rig: Rig) -> None:
    rig.receive(GOOD)
    with Ledger(ledger_of(rig.folder)) as ledger:
        worker = replace(rig.worker, ledger=ledger, lease_seconds=0.6)
        taken: list[Job | None] = []

        def long() -> None:
            for _ in range(5):
                time.sleep(0.4)
                taken.append(ledger.lease((INDEX,), 60))

        rig.steps.does[GOOD] = long
        number = ledger.enqueue(INDEX, GOOD)
        worker.work_once()
        assert taken == [None] * 5
        job = ledger.job(number)
        assert (job.state, job.attempts, job.token) == (JobState.DONE, 1, 1)


@pytest.mark.slow
def test_a_renewal_that_fails_once_does_not_lose_the_lease(rig: Rig) -> None:
    class Locked(Ledger):
        failures = 0

        def renew(self, job: Job, seconds: float) -> Job:
            if not self.failures:
                self.failures += 1
                raise busy()
            return super().renew(job, seconds)

    rig.receive(GOOD)
    with Locked(ledger_of(rig.folder)) as ledger:
        worker = replace(rig.worker, ledger=ledger, lease_seconds=0.9)
        rig.steps.does[GOOD] = lambda: time.sleep(1.6)
        number = ledger.enqueue(INDEX, GOOD)
        worker.work_once()
        assert ledger.failures == 1
        assert ledger.lease((INDEX,), 60) is None
        assert (ledger.job(number).state, ledger.job(number).token) == (JobState.DONE, 1)


def lose(rig: Rig) -> list[Job | None]:
    """Let the poisoned study's step outlive its lease, and another worker take the job."""
    taken: list[Job | None] = []

    def outlived() -> None:
        rig.clock.pass_(3600)
        taken.append(rig.ledger.lease((INDEX,), 60))

    rig.steps.does[GOOD] = outlived
    return taken


def test_a_lost_lease_drops_the_result(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.receive(GOOD)
    taken = lose(rig)
    number = rig.ledger.enqueue(INDEX, GOOD)
    assert rig.worker.work_once()
    (other,) = taken
    assert other is not None
    assert (rig.job(number).state, rig.job(number).token) == (JobState.LEASED, 2)
    assert rig.job(number).outcome is None
    assert "its lease ran out" in caplog.text
    rig.ledger.finish(other, {"exams": 7})
    assert rig.job(number).outcome == {"exams": 7}


def test_the_failure_of_a_lost_lease_is_dropped_too(rig: Rig) -> None:
    rig.receive(GOOD)
    taken = lose(rig)
    outlived = rig.steps.does[GOOD]

    def fail_after() -> None:
        outlived()
        raise ResultError

    rig.steps.does[GOOD] = fail_after
    number = rig.ledger.enqueue(INDEX, GOOD)
    assert rig.worker.work_once()
    assert taken[0] is not None
    assert (rig.job(number).state, rig.job(number).last_error) == (
        JobState.LEASED,
        "the worker stopped before the end",
    )


def test_a_worker_that_is_told_to_stop_finishes_the_job_in_hand(rig: Rig) -> None:
    stop, begun = threading.Event(), threading.Event()
    rig.receive(GOOD)

    def slow() -> None:
        begun.set()
        time.sleep(0.3)

    rig.steps.does[GOOD] = slow
    number = rig.ledger.enqueue(INDEX, GOOD)
    thread = threading.Thread(target=rig.worker.run, args=(stop,))
    thread.start()
    begun.wait(5)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert rig.job(number).state is JobState.DONE
    assert [job.state for job in rig.ledger.jobs(kind=MINE)] == [JobState.READY]


def test_a_database_that_is_away_is_waited_out_and_not_counted_against_the_job(rig: Rig) -> None:
    def away() -> None:
        raise busy()

    rig.receive(GOOD)
    rig.steps.does[GOOD] = away
    number = rig.ledger.enqueue(INDEX, GOOD)
    for _ in range(10):  # more than the attempts that a study at fault has
        assert rig.worker.work_once()
        rig.clock.pass_(3600)
    job = rig.job(number)
    assert (job.state, job.attempts) == (JobState.READY, 10)
    assert (job.last_error or "").startswith("OperationalError in ")


def test_a_ledger_that_cannot_be_used_for_a_while_does_not_end_the_worker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Ledger):
        failures = 3

        def lease(self, *given: Any) -> Job | None:
            if self.failures:
                self.failures -= 1
                raise busy()
            return super().lease(*given)

    monkeypatch.setattr("pipeline.worker._LEDGER_PAUSE_SECONDS", 0.01)
    rig.receive(GOOD)
    with Full(ledger_of(rig.folder)) as ledger:
        stop = threading.Event()
        rig.steps.does[GOOD] = stop.set
        number = ledger.enqueue(INDEX, GOOD)
        replace(rig.worker, ledger=ledger).run(stop)
        assert ledger.job(number).state is JobState.DONE
    assert "the ledger cannot be used: OperationalError" in caplog.text


# -- requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        {"regions": ["scaphoid"]},
        {"regions": "distal_radius"},
        {"regions": 7},
        {"mode": "magic"},
        {"k": "many"},
        {"k": None},
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_dead_with_its_reason(
    rig: Rig, argument: dict[str, Any]
) -> None:
    rig.receive(GOOD)
    numbers = [rig.ledger.enqueue(kind, GOOD, argument) for kind in (ANSWER, QUERY)]
    rig.work()
    for number in numbers:
        job = rig.job(number)
        assert (job.state, job.attempts) == (JobState.DEAD, 1)
        assert "region, mode or number" in (job.last_error or "")


def test_a_request_asks_for_what_its_argument_says_and_the_defaults_for_the_rest(rig: Rig) -> None:
    rig.receive(GOOD)
    worker = replace(rig.worker, defaults=Request(k=4, same_side=False, mode=Mode.REGION))
    rig.ledger.enqueue(ANSWER, GOOD, {"regions": ["distal_ulna"], "mode": "fused"})
    rig.ledger.enqueue(ANSWER, GOOD)
    while worker.work_once():
        pass
    first, second = rig.steps.requests
    assert (first.regions, first.mode, first.k) == ((Region.DISTAL_ULNA,), Mode.FUSED, 4)
    assert not first.same_side
    assert (second.regions, second.mode) == (tuple(Region), Mode.REGION)


def test_an_answer_about_a_study_that_is_not_indexed_indexes_it_first_and_mines_it_too(
    rig: Rig,
) -> None:
    rig.receive(GOOD)
    rig.ledger.enqueue(ANSWER, GOOD)
    rig.work()
    assert rig.steps.calls == [("index", GOOD), ("answer", GOOD), ("mine", GOOD)]
    assert rig.ledger.study(GOOD).indexed_generation == 1


def test_an_answer_about_an_indexed_study_does_not_index_it_again(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.ledger.enqueue(INDEX, GOOD)
    rig.work()
    rig.steps.calls.clear()
    rig.ledger.enqueue(ANSWER, GOOD)
    rig.work()
    assert rig.steps.calls == [("answer", GOOD)]


def test_where_there_is_nothing_to_answer_about_the_reason_is_said(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.steps.exams = rig.steps.answers = 0
    number = rig.ledger.enqueue(ANSWER, GOOD)
    rig.work()
    outcome = rig.job(number).outcome or {}
    assert outcome["answered"] == 0
    assert "labelled lateral" in outcome["reason"]
    assert rig.ledger.jobs(kind=DELIVER) == ()


def test_without_a_destination_an_answer_stays_in_the_ledger(rig: Rig) -> None:
    rig.receive(GOOD)
    number = rig.ledger.enqueue(ANSWER, GOOD)
    rig.work()
    outcome = rig.job(number).outcome or {}
    assert outcome["answered"] == 1
    assert "no destination" in outcome["reason"]
    assert rig.ledger.jobs(kind=DELIVER) == ()


def test_whoever_waits_for_an_answer_does_not_wait_for_a_backlog(rig: Rig) -> None:
    for number in range(3):
        rig.receive(f"1.2.3.{number}")
        rig.ledger.enqueue(INDEX, f"1.2.3.{number}")
    rig.clock.pass_(1)
    rig.ledger.enqueue(QUERY, GOOD)
    rig.work()
    assert [step for step, _ in rig.steps.calls[:2]] == ["find", "index"]


def test_an_uploaded_file_is_deleted_once_its_answer_is_kept(rig: Rig) -> None:
    rig.worker.uploads.mkdir()
    upload = rig.worker.uploads / "upload-1"
    upload.touch()
    number = rig.ledger.enqueue(QUERY, "upload-1", {"upload": "upload-1"})
    rig.steps.does["upload-1"] = raising(KeyboardInterrupt())  # the process dies in the middle
    with pytest.raises(KeyboardInterrupt):
        rig.worker.work_once()
    assert upload.exists()
    rig.steps.does.clear()
    rig.clock.pass_(3600)
    rig.work()
    assert len((rig.job(number).outcome or {})["answers"]) == 1
    assert not upload.exists()


def test_an_upload_is_looked_for_in_its_folder_alone(rig: Rig) -> None:
    rig.worker.uploads.mkdir()
    (rig.folder / "other").touch()
    number = rig.ledger.enqueue(QUERY, "x", {"upload": "../other"})
    rig.work()
    assert rig.steps.calls == [("find_file", "other")]
    assert rig.job(number).state is JobState.DEAD
    assert (rig.folder / "other").exists()


# -- delivery -----------------------------------------------------------------------------


def place(port: int, **said: Any) -> Delivery:
    """Return a destination whose word that it has stored is enough."""
    given = {"commitment": "never", "timeout_seconds": 5, **said}
    there = DestinationSettings(
        name="pacs", ae_title="SMALLPACS", host="127.0.0.1", port=port, **given
    )
    return Delivery(there, there, "WRISTMIR")


def waiting(rig: Rig) -> int:
    """Put a result set with one copy into the outbox; return the number of its delivery."""
    query = f"{GOOD}.1.1"
    rig.receive(GOOD)
    results = [header(number) for number in (7, 8)]
    rig.outbox.put("answer-1-1", query, [header(5)], results, rig.clock.now)
    return rig.ledger.enqueue(DELIVER, "answer-1-1")


def sent(pacs_folder: Path) -> list[str]:
    return sorted(path.stem for path in pacs_folder.glob("*.dcm"))


EVERYTHING = ["1.2.3.5.1.1", "1.2.3.7.1.1", "1.2.3.8.1.1"]


def test_a_delivery_waits_for_a_destination_that_is_down_and_succeeds_when_it_is_back(
    rig: Rig, unused_port: int
) -> None:
    number = waiting(rig)
    rig.worker = replace(rig.worker, delivery=place(unused_port))
    waits = []
    for attempt in range(1, 4):
        rig.work()
        job = rig.job(number)
        assert (job.state, job.attempts) == (JobState.READY, attempt)
        assert "Destination pacs: it cannot be reached" in (job.last_error or "")
        waits.append(job.not_before - rig.clock.now)
        rig.clock.now = job.not_before
    assert waits[0] < waits[1] < waits[2]
    assert rig.outbox.results("answer-1-1")
    with SmallPacs(rig.folder / "pacs") as pacs:
        rig.worker = replace(rig.worker, delivery=place(pacs.port))
        rig.work()
    outcome = rig.job(number).outcome or {}
    assert outcome.pop("seconds").keys() == {"last checks", "copies sent", "results sent"}
    assert outcome == {"delivered": 2, "copies": 1, "destination": "pacs"}
    assert sent(rig.folder / "pacs") == EVERYTHING
    assert rig.outbox.results("answer-1-1") == ()


def test_what_is_delivered_is_told_to_the_audit_trail_tries_in_vain_too(
    rig: Rig, unused_port: int
) -> None:
    file = rig.folder / "audit.xml"
    audited = ListenerSettings(state_dir=rig.folder, audit=audit_file(file))
    number = waiting(rig)
    with Audit(audited, site_key=b"k" * 32) as audit:
        rig.worker = replace(rig.worker, delivery=place(unused_port), audit=audit)
        rig.work()
        with SmallPacs(rig.folder / "pacs") as pacs:
            rig.worker = replace(rig.worker, delivery=place(pacs.port))
            rig.clock.now = rig.job(number).not_before
            rig.work()
    messages = trail(file)
    studies = [[header(number).StudyInstanceUID] for number in (7, 8)]
    assert [(kind(m)[0], ended(m)[1]) for m in messages] == [
        ("110100", "0"),
        ("110106", "8"),  # library copies that did not leave; nothing else was tried then
        ("110106", "0"),
        *[("110102", "0")] * 2,
        *[("110104", "0")] * 2,
        ("110100", "0"),
    ]
    assert [objects(m, "110180") for m in messages[3:7]] == studies * 2
    assert [sum(classes(m).values()) for m in messages[5:7]] == [1, 1]


def test_a_delivery_whose_end_was_not_noted_is_made_again_with_the_same_objects(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = waiting(rig)
    with SmallPacs(rig.folder / "pacs") as pacs:
        rig.worker = replace(rig.worker, delivery=place(pacs.port))
        with monkeypatch.context() as patch:
            patch.setattr(rig.outbox, "delivered", lambda *_: raising(KeyboardInterrupt())())
            with pytest.raises(KeyboardInterrupt):
                rig.worker.work_once()
        first = {path.name: path.read_bytes() for path in (rig.folder / "pacs").iterdir()}
        rig.clock.pass_(3600)
        rig.work()
    assert rig.job(number).state is JobState.DONE
    assert {path.name: path.read_bytes() for path in (rig.folder / "pacs").iterdir()} == first
    assert sent(rig.folder / "pacs") == EVERYTHING


@pytest.mark.slow
def test_what_is_delivered_is_not_sent_again_and_leaves_no_files(
    rig: Rig, unused_port: int
) -> None:
    number = waiting(rig)
    left = rig.outbox.results("answer-1-1")[0]
    content = left.read_bytes()
    with SmallPacs(rig.folder / "pacs") as pacs:
        rig.worker = replace(rig.worker, delivery=place(pacs.port))
        rig.work()
    assert rig.job(number).state is JobState.DONE
    left.parent.mkdir()
    left.write_bytes(content)  # as after a kill between the note and the deletion
    again = rig.ledger.enqueue(DELIVER, "answer-1-1")
    rig.worker = replace(rig.worker, delivery=place(unused_port))
    rig.work()
    assert rig.job(again).outcome == {"delivered": 0}
    assert not left.parent.exists()


def test_a_delivery_without_a_destination_says_which_setting_is_missing(rig: Rig) -> None:
    number = waiting(rig)
    rig.work()
    assert rig.job(number).state is JobState.READY
    assert "pipeline.destination" in (rig.job(number).last_error or "")


def test_a_result_set_that_is_no_longer_there_is_dead_at_once(rig: Rig, unused_port: int) -> None:
    waiting(rig)
    rig.worker = replace(rig.worker, delivery=place(unused_port))
    number = rig.ledger.enqueue(DELIVER, "answer-404-1")
    rig.work()
    assert (rig.job(number).state, rig.job(number).attempts) == (JobState.DEAD, 1)
    assert "no longer kept" in (rig.job(number).last_error or "")


@pytest.fixture(autouse=True)
def _a_long_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a PACS's word that will come, however slow the machine is."""
    monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 20.0)


def committed_by(rig: Rig, pacs: Archive, **said: Any) -> None:
    """Let a PACS that offers storage commitment be the destination."""
    rig.worker = replace(rig.worker, delivery=place(pacs.port, commitment="ask", **said))


def test_a_result_set_is_delivered_when_its_destination_has_committed_to_it(rig: Rig) -> None:
    number = waiting(rig)
    with Archive() as pacs:
        committed_by(rig, pacs)
        assert rig.worker.work_once()
        outcome = rig.job(number).outcome or {}
        assert (outcome["delivered"], outcome["copies"]) == (2, 1)
        assert not rig.outbox.is_delivered("answer-1-1")
        assert rig.outbox.results("answer-1-1")
        rig.work()
    (_, references), *more = pacs.asked
    assert more == []
    assert sorted(one.sop_instance_uid for one in references) == EVERYTHING
    assert rig.outbox.is_delivered("answer-1-1")
    assert rig.outbox.results("answer-1-1") == ()
    outcomes = [job.outcome for job in rig.ledger.jobs(kind=COMMIT)]
    assert outcomes == [{"committed": 0}, {"committed": 3}]  # the later was woken by the word


def test_only_what_the_destination_does_not_keep_is_sent_again(rig: Rig) -> None:
    waiting(rig)
    with Archive() as pacs:
        committed_by(rig, pacs)
        pacs.losing = {"1.2.3.8.1.1": 0x0112}
        rig.work()
        assert sorted(pacs.stored) == EVERYTHING
        assert not rig.outbox.is_delivered("answer-1-1")
        pacs.losing = {}
        rig.clock.pass_(60)
        rig.work()
    assert pacs.stored[3:] == ["1.2.3.8.1.1"]
    assert [len(references) for _, references in pacs.asked] == [3, 1]
    assert rig.outbox.is_delivered("answer-1-1")
    assert rig.ledger.counts().keys() == {(DELIVER, JobState.DONE), (COMMIT, JobState.DONE)}


def test_a_word_that_is_awaited_holds_up_no_other_job(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 0.0)
    waiting(rig)
    with Archive() as pacs:
        pacs.is_silent = True
        committed_by(rig, pacs)
        rig.work()
        (waits,) = rig.ledger.jobs(JobState.READY, COMMIT)
        assert waits.not_before > rig.clock.now
        assert rig.outbox.results("answer-1-1")
        query = f"{GOOD}.1.1"
        known = rig.outbox.predecessor(query, "answer-2-1", ())
        assert known is not None  # the PACS has the report: a later one can replace it
        number = rig.ledger.enqueue(INDEX, GOOD)
        rig.work()
        assert rig.job(number).state is JobState.DONE
        pacs.is_silent = False
        monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 20.0)
        rig.clock.now = waits.not_before
        rig.work()
    assert rig.outbox.is_delivered("answer-1-1")


def test_a_destination_that_has_to_commit_and_does_not_offer_it_is_waited_for(rig: Rig) -> None:
    waiting(rig)
    with SmallPacs(rig.folder / "pacs") as pacs:
        rig.worker = replace(rig.worker, delivery=place(pacs.port, commitment="require"))
        rig.work()
        (commit,) = rig.ledger.jobs(kind=COMMIT)
        assert commit.state is JobState.READY
        assert "offers no storage commitment" in (commit.last_error or "")
        assert rig.outbox.results("answer-1-1")
        rig.worker = replace(rig.worker, delivery=place(pacs.port, commitment="ask"))
        rig.clock.pass_(3600)
        rig.work()
    assert rig.ledger.job(commit.id).state is JobState.DONE
    assert rig.outbox.is_delivered("answer-1-1")


def test_a_worker_killed_before_the_word_came_asks_again_with_nothing_sent_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(rig)
    with Archive() as pacs:
        committed_by(rig, pacs)
        assert rig.worker.work_once()
        with monkeypatch.context() as patch:
            patch.setattr(rig.outbox, "delivered", lambda *_: raising(KeyboardInterrupt())())
            with pytest.raises(KeyboardInterrupt):
                rig.worker.work_once()
        rig.clock.pass_(3600)
        rig.work()
    assert sorted(pacs.stored) == EVERYTHING
    assert rig.outbox.is_delivered("answer-1-1")
    assert {job.state for job in rig.ledger.jobs()} == {JobState.DONE}


@pytest.fixture
def unused_port() -> int:
    """Return a port that nobody listens on."""
    from plugin import free_port

    return free_port()


def test_a_study_with_a_changed_identity_is_not_answered_under_the_old_one(rig: Rig) -> None:
    rig.receive(GOOD)
    (row,) = rig.ledger.instances(GOOD)
    rig.ledger.quarantine(row.sop_instance_uid, "the study came before with another patient")
    number = rig.ledger.enqueue(ANSWER, GOOD)
    rig.work()
    outcome = rig.job(number).outcome or {}
    assert outcome["answered"] == 0
    assert "identity" in outcome["reason"]
    assert rig.steps.calls == []


def test_what_follows_from_indexing_survives_an_answer_that_fails(rig: Rig) -> None:
    rig.receive(GOOD)

    def fails() -> None:
        if rig.steps.calls[-1][0] == "answer":
            raise DecodeError(DecodeReason.CODEC)

    rig.steps.does[GOOD] = fails
    number = rig.ledger.enqueue(ANSWER, GOOD)
    assert rig.worker.work_once()
    assert rig.job(number).state is JobState.DEAD
    assert [job.state for job in rig.ledger.jobs(kind=MINE)] == [JobState.READY]


def test_files_that_another_try_may_read_leave_the_study_to_be_indexed_again(rig: Rig) -> None:
    rig.receive(GOOD)
    rig.steps.unread = 1
    number = rig.ledger.enqueue(INDEX, GOOD)
    assert rig.worker.work_once()
    assert rig.job(number).state is JobState.READY
    assert "could not be read this time" in (rig.job(number).last_error or "")
    assert rig.ledger.study(GOOD).indexed_generation == 0


def test_reports_are_read_side_by_side_and_beside_everything_else(rig: Rig) -> None:
    together = threading.Barrier(4, timeout=20)  # three reports and the index job of a study
    stop = threading.Event()

    def meet() -> None:
        if together.wait() == 0:
            stop.set()

    for number in (301, 302, 303):
        rig.ledger.enqueue(MINE, f"1.2.3.{number}")
        rig.steps.does[f"1.2.3.{number}"] = meet
    rig.steps.to_mine = False
    rig.receive(GOOD)
    rig.ledger.enqueue(INDEX, GOOD)
    rig.steps.does[GOOD] = meet
    _run_until(rig, stop, readers=3)
    assert not together.broken
    assert sorted(step for step, _ in rig.steps.calls) == ["index", "mine", "mine", "mine"]


def test_no_report_is_taken_while_what_reads_them_is_down(rig: Rig) -> None:
    stop = threading.Event()
    rig.steps.mining.clear()
    rig.steps.to_mine = False
    job = rig.ledger.enqueue(MINE, "1.2.3.304")
    rig.steps.does["1.2.3.304"] = stop.set
    rig.receive(GOOD)
    rig.ledger.enqueue(INDEX, GOOD)
    # it is up again some time after the image was indexed
    rig.steps.does[GOOD] = threading.Timer(0.3, rig.steps.mining.set).start
    _run_until(rig, stop, readers=2)
    assert rig.steps.calls == [("index", GOOD), ("mine", "1.2.3.304")]
    assert rig.job(job).attempts == 1


def test_a_report_waits_out_an_outage_of_the_language_model(rig: Rig) -> None:
    def down() -> None:
        raise LanguageModelUnavailableError

    job = rig.ledger.enqueue(MINE, GOOD)
    rig.steps.does[GOOD] = down
    rig.work_through_waits()
    assert rig.job(job).attempts > 8
    assert rig.job(job).state is JobState.READY


def test_after_three_answers_that_are_no_use_the_rules_read(rig: Rig) -> None:
    def useless() -> None:
        if rig.steps.calls[-1][0] == "mine":
            raise AnswerError

    job = rig.ledger.enqueue(MINE, GOOD)
    rig.steps.does[GOOD] = useless
    rig.work_through_waits()
    assert [step for step, _ in rig.steps.calls] == ["mine", "mine", "mine", "mine by rules"]
    assert rig.job(job).state is JobState.DONE


def test_after_an_outage_the_model_is_asked_and_not_the_rules(rig: Rig) -> None:
    def down_at_first() -> None:
        if len(rig.steps.calls) <= 5:
            raise LanguageModelUnavailableError

    job = rig.ledger.enqueue(MINE, GOOD)
    rig.steps.does[GOOD] = down_at_first
    rig.work_through_waits()
    assert rig.steps.calls == [("mine", GOOD)] * 6
    assert rig.job(job).state is JobState.DONE


def test_readers_that_end_by_themselves_end_the_worker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Readers, "_run", lambda *_: None)
    with pytest.raises(PipelineError, match="readers of reports have ended"):
        replace(rig.worker, readers=2).run(threading.Event(), 0.01)


def _run_until(rig: Rig, stop: threading.Event, readers: int) -> None:
    given_up = threading.Timer(20, stop.set)
    given_up.start()
    replace(rig.worker, readers=readers).run(stop, 0.01)
    given_up.cancel()
