"""Takes jobs from the ledger and runs the steps."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from listener.audit import Audit
from listener.commitment import Reference
from listener.committing import Committer, Parcel, Standing, Step
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError, LeaseLostError, ListenerError, NotCommittedError
from listener.job import COMMIT, INDEX, Job, JobState, NewJob
from listener.ledger import Ledger, utc_now
from listener.milestone import Placement
from listener.receipt import InstanceRow, InstanceState
from listener.report_shelf import report_at
from listener.sender import reference, send
from listener.step_row import ResultInstance
from listener.step_terms import NOT_SUPPORTED, UNSPECIFIED
from pipeline.answering import Answered, Answerer
from pipeline.errors import (
    PASSING,
    AnswerError,
    BundleError,
    DecodeError,
    DecoderUnavailableError,
    IdentityError,
    IndexUnavailableError,
    KeyFileError,
    LanguageModelUnavailableError,
    PipelineError,
    PriorRejectedError,
    RequestError,
    ResultError,
    UnreadError,
)
from pipeline.heartbeat import Heartbeat
from pipeline.indexing import IndexedStudy, Indexer
from pipeline.outbox import Outbox
from pipeline.readers import Readers
from pipeline.report import ReportText
from pipeline.request import Request
from pipeline.stage_clock import StageClock
from pipeline.stored_study import StoredImage, stored_images, told_reports
from pipeline.withdrawal import LATE, Notes, Source, Withdrawal

__all__ = [
    "ANSWER",
    "COPY",
    "DELIVER",
    "FILE_GONE",
    "KINDS",
    "MINE",
    "QUERY",
    "WITHDRAW",
    "Delivery",
    "Worker",
    "placements",
    "uploads_dir",
]

MINE = "mine"
ANSWER = "answer"
QUERY = "query"
DELIVER = "deliver"
COPY = "copy"
WITHDRAW = "withdraw"
KINDS = (INDEX, MINE, ANSWER, QUERY, DELIVER, COMMIT, COPY, WITHDRAW)
"""The kinds of job that a worker does."""

# somebody waits for these, or for what they hold up: they come before a backlog
_AWAITED = (WITHDRAW, DELIVER, ANSWER, QUERY, COMMIT)

_LOG = logging.getLogger("wristmir.worker")

# trying again cannot change these: the same bytes and the same bundle give the same refusal
_FINAL = (BundleError, DecodeError, IdentityError, NotCommittedError, RequestError, ResultError)

# what the error is of may be there again in an hour: these are waited out
_OUTAGES = (
    DecoderUnavailableError,
    DeliveryError,
    IndexUnavailableError,
    KeyFileError,
    LanguageModelUnavailableError,
)

_TRIES_OF_AN_ANSWER = 3  # a language model's; then the rules read, until `wristmir reread`
_LEDGER_PAUSE_SECONDS = 5.0
_MOST_LEASES = 15
_TIDY_SECONDS = 3600.0
# what destinations are asked to commit to beside result sets, by names that lead to no study
_COPIES, _NOTES = "copies-", "notes-"
_SENDING_PAUSE = timedelta(seconds=10)  # whoever sends a copy mostly ends within it


def uploads_dir(state_dir: Path) -> Path:
    """Folder where the command line leaves a file that it asks about."""
    return state_dir / "uploads"


@dataclass(frozen=True)
class Delivery:
    """Where results and library copies go, and under which AE title they are sent.

    ``results`` is None where no destination is configured: answers are then kept in the ledger
    only. ``others`` may have been the library once: copies are withdrawn from them too.
    """

    results: DestinationSettings | None
    library: DestinationSettings | None
    calling_ae_title: str
    others: tuple[DestinationSettings, ...] = ()

    @property
    def by_name(self) -> Mapping[str, DestinationSettings]:
        """Where copies can be withdrawn from."""
        return {one.name: one for one in (*self.others, self.library) if one is not None}


@dataclass(frozen=True)
class _Done:
    """How a step ended, and what follows from it.

    ``spent`` is a file, ``discarded`` a result set that nobody needs once that is recorded.
    """

    outcome: Mapping[str, Any]
    then: Sequence[NewJob] = ()
    spent: Path | None = None
    discarded: str | None = None


@dataclass(frozen=True, eq=False)
class Worker:
    """One worker: leases a job, runs its step, records how it ended.

    Every step is idempotent, so a job may run twice (after a crash, or when its lease ran out)
    without anything being doubled: exams are replaced, findings are replaced, and result objects
    get UIDs that depend on the job alone.

    Parameters
    ----------
    ledger
        Where jobs come from.
    indexer, answerer, outbox
        The steps.
    delivery
        Where results go.
    defaults
        The request that is made where a job does not say otherwise.
    uploads
        Folder of files handed over by the command line.
    lease_seconds
        A job whose worker is silent for so long is given to another.
    kinds
        Which jobs this worker takes.
    readers
        How many reports are read at a time, beside everything else; 0 reads them in turn with it.
    audit
        Is told what is sent.
    copies_at_once
        Whether exams get their library copies when they are indexed, not when a result first refers
        to one.
    """

    ledger: Ledger
    indexer: Indexer
    answerer: Answerer
    outbox: Outbox
    delivery: Delivery
    uploads: Path
    defaults: Request = field(default_factory=Request)
    lease_seconds: float = 120.0
    kinds: tuple[str, ...] = KINDS
    readers: int = 0
    audit: Audit = field(default_factory=Audit.off)
    copies_at_once: bool = False

    def run(
        self,
        stop: threading.Event,
        idle_seconds: float = 0.2,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Work until told to stop; a job in hand is finished first.

        `alive` is called between jobs: a worker that hangs in one does not call it. It may set
        `stop`, and no further job is begun.

        A ledger that cannot be used for a while (a full disk, a long lock) is waited for: the
        job in hand comes again when its lease has run out.
        """
        if not self.readers:
            self._run(stop, idle_seconds, alive)
            return
        mining = replace(self, kinds=(MINE,), readers=0)
        beside = replace(self, kinds=tuple(k for k in self.kinds if k != MINE), readers=0)
        readers = Readers(self.readers, self.indexer.can_mine, mining._next, self._do)
        with readers.at_work() as reading:

            def all_alive() -> None:
                if not reading.is_alive():
                    message = "The readers of reports have ended by themselves."
                    raise PipelineError(message)
                alive()

            beside._run(stop, idle_seconds, all_alive)

    def work_once(self) -> bool:
        """Do the next job, if there is one; return whether there was."""
        job = self._next()
        if job is None:
            return False
        self._do(job)
        return True

    def _run(self, stop: threading.Event, idle_seconds: float, alive: Callable[[], None]) -> None:
        tidy_at = time.monotonic()
        while not stop.is_set():
            alive()
            if stop.is_set():
                return
            try:
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + _TIDY_SECONDS
                    self.outbox.expire(utc_now())
                worked = self.work_once()
            except SQLAlchemyError as error:
                _LOG.error("the ledger cannot be used: %s", type(error).__name__)
                stop.wait(_LEDGER_PAUSE_SECONDS)
                continue
            if not worked:
                stop.wait(idle_seconds)

    def _do(self, job: Job) -> None:
        """Do a job and record how it ended."""
        try:
            with self._heartbeat(job).beating(f"lease-{job.id}"):
                done = self._steps[job.kind](job)
            self.ledger.finish(job, done.outcome, done.then)
            if done.spent is not None:
                done.spent.unlink(missing_ok=True)
            if done.discarded is not None:
                self.outbox.discard(done.discarded)
        except LeaseLostError:
            _LOG.warning("job %d (%s): its lease ran out; another worker has it", job.id, job.kind)
        except (PipelineError, ListenerError) as error:
            self._failed(job, str(error), retry=not _is_final(error), outage=_is_outage(error))
        except OperationalError as error:  # a database is busy or gone, not the study at fault
            self._failed(job, f"{type(error).__name__} in {_place(error)}", retry=True, outage=True)
        except Exception as error:  # noqa: BLE001 - a job ends here, whatever its study does; it is recorded
            # the class alone: another library's message may hold a value of the study
            self._failed(job, f"unexpected {type(error).__name__} in {_place(error)}", retry=True)

    def _next(self) -> Job | None:
        awaited = [kind for kind in self.kinds if kind in _AWAITED]
        job = self.ledger.lease(awaited, self.lease_seconds) if awaited else None
        return job or self.ledger.lease(self.kinds, self.lease_seconds)

    def _failed(self, job: Job, error: str, *, retry: bool, outage: bool = False) -> None:
        try:
            stands = self.ledger.fail(job, error, retry=retry, outage=outage)
        except LeaseLostError:
            return
        if stands.state is JobState.DEAD and job.kind == QUERY:
            self._upload(job).unlink(missing_ok=True)
        _LOG.warning(
            "job %d (%s) failed, try %d, now %s: %s",
            job.id,
            job.kind,
            job.attempts,
            stands.state.value,
            error,
        )

    @property
    def _steps(self) -> Mapping[str, Callable[[Job], _Done]]:
        return {
            INDEX: self._index,
            MINE: self._mine,
            ANSWER: self._answer,
            QUERY: self._query,
            DELIVER: self._deliver,
            COMMIT: self._commit,
            COPY: self._copy,
            WITHDRAW: self._withdraw,
        }

    def _index(self, job: Job) -> _Done:
        return _Done(self._indexed(job.subject).as_json())

    def _indexed(self, study_uid: str) -> IndexedStudy:
        """Index a study as it stands; what follows is in the ledger before it counts as indexed."""
        study = self.ledger.study(study_uid)  # first: what comes meanwhile is indexed again
        gone = self.ledger.instances(study_uid, FILE_GONE)
        earlier = Counter(row.reason or "" for row in self.ledger.instances(study_uid, _FILTERED))
        indexed = self.indexer.index(
            study_uid,
            self._files(study_uid),
            file_gone=frozenset(row.sop_instance_uid for row in gone),
            told=self._told(study_uid),
        )
        if indexed.to_mine:
            self.ledger.enqueue(MINE, study_uid)
        kept = self.answerer.library
        if kept.reject(study_uid, indexed.rejections, as_well=bool(indexed.unread)):
            self.ledger.enqueue(WITHDRAW, study_uid)
        if self.copies_at_once and indexed.exams and self.delivery.library is not None:
            self.ledger.enqueue(COPY, study_uid)
        for sop_instance_uid, reason in indexed.unused:
            self.ledger.filter_instance(sop_instance_uid, reason)
        if indexed.unread:
            self.ledger.indices.note_placements(self.indexer.bundle_id, placements(indexed, gone))
            message = f"{indexed.unread} of the study's files; the others are indexed."
            raise UnreadError(message)
        placed = placements(indexed, gone)
        self.ledger.indices.mark_indexed(
            study_uid, study.generation, self.indexer.bundle_id, placed
        )
        return replace(indexed, left_out=dict(earlier + Counter(indexed.left_out)))

    def _mine(self, job: Job) -> _Done:
        mined = self.indexer.mine(
            job.subject,
            self._files(job.subject),
            self._told(job.subject),
            by_rules=_is_unanswered(job),
        )
        return _Done(mined.as_json())

    def _answer(self, job: Job) -> _Done:
        """Answer a request, however it was made; a procedure step is told how far it is."""
        step = job.argument.get("step")
        if step is None:
            return self._asked(job)
        if not self.ledger.performance.begin(step):
            return _Done({"answered": 0, "reason": _CANCELLED})
        done = self._asked(job)
        names = done.outcome.get("results", ())
        results = {name: self._instances(name) for name in names}
        if names and done.then:
            if self.ledger.performance.answered(step, results):
                self.ledger.performance.progress(step, 70, "Similar cases are found.")
                return done
            for name in names:
                self.outbox.discard(name)
            return _Done({"answered": 0, "reason": _CANCELLED})
        code = UNSPECIFIED if names else NOT_SUPPORTED
        self.ledger.performance.discontinue(
            step, str(done.outcome.get("reason") or _NONE_NAMED), code
        )
        return done

    def _asked(self, job: Job) -> _Done:
        request = self.defaults.asked(job.argument)
        if self.ledger.instances(job.subject, (InstanceState.QUARANTINED,)):
            return _Done({"answered": 0, "reason": _IDENTITY_CHANGED})
        if job.argument.get("unasked") and self._is_answered(job.subject, request):
            return _Done({"answered": 0, "reason": _ANSWERED})
        study = self.ledger.study(job.subject)
        indexed = None
        if study.indexed_generation < study.generation:
            indexed = self._indexed(job.subject)
        if step := job.argument.get("step"):
            self.ledger.performance.progress(step, 30, "The study is indexed.")
        answered = self._answered(job, request)
        if not answered.answers and indexed is None:
            # the index may have been lost, or belong to another bundle than the ledger remembers
            indexed = self._indexed(job.subject)
            answered = self._answered(job, request) if indexed.exams else answered
        if not answered.answers:
            gone = self.ledger.instances(job.subject, FILE_GONE)
            reason = _NOT_KEPT if gone or indexed is None else indexed.reason
            return _Done({"answered": 0, "reason": reason})
        outcome = {
            "answered": len(answered.answers),
            "matches": sum(len(part.matches) for a in answered.answers for part in a.regions),
            "results": list(answered.result_ids),
            "seconds": _rounded(indexed.seconds if indexed else {}, answered.seconds),
        }
        if self.delivery.results is None:
            for name in answered.result_ids:
                self.outbox.discard(name)
            return _Done({**outcome, "reason": "no destination is configured"})
        # with what was asked: where a prior is rejected before it is sent, that is asked again
        asked = {key: value for key, value in job.argument.items() if key != "unasked"}
        return _Done(outcome, [NewJob(DELIVER, name, asked) for name in answered.result_ids])

    def _is_answered(self, study_uid: str, request: Request) -> bool:
        """Tell whether there is no more to say of a study than was said when it was new."""
        study = self.ledger.study(study_uid)
        files = self._files(study_uid)
        is_indexed = study.indexed_generation == study.generation
        return is_indexed and self.answerer.is_answered(study_uid, files, request.regions)

    def _answered(self, job: Job, request: Request) -> Answered:
        named = job.argument.get("instances")
        files = self._files(job.subject)
        return self.answerer.answer(
            f"answer-{job.id}",
            job.subject,
            [one for one in files if named is None or one.sop_instance_uid in named],
            self._originals,
            request,
            job.created_at,
        )

    def _query(self, job: Job) -> _Done:
        request = self.defaults.asked(job.argument)
        upload = job.argument.get("upload")
        path = None
        if upload is None:
            answers = self.answerer.find(job.subject, request, job.created_at)
            reason = "" if answers else "the study is not indexed, or shows no PA wrist"
        else:
            path = self._upload(job)
            answers, reason = self.answerer.find_file(path, request, job.created_at)
        outcome = {"answers": [answer.as_json() for answer in answers], "reason": reason}
        return _Done(outcome, spent=path)

    def _upload(self, job: Job) -> Path:
        return self.uploads / Path(str(job.argument.get("upload", "none"))).name

    def _instances(self, name: str) -> list[ResultInstance]:
        """Return the objects of a result set, by the files that wait for delivery."""
        return [
            ResultInstance(one.study_uid, one.series_uid, one.sop_class_uid, one.sop_instance_uid)
            for one in self.outbox.made(name)
        ]

    def _deliver(self, job: Job) -> _Done:
        if self.outbox.is_delivered(job.subject):
            self._delivered(job.subject)
            return _Done({"delivered": 0})
        self._destinations()  # first: what is missing is a setting
        copies = self.outbox.copies(job.subject)
        objects = self.outbox.results(job.subject)
        query = self._originals(self.outbox.query_of(job.subject) or "")
        if query is None or not objects:
            message = "The query image or the result set is no longer kept."
            raise RequestError(message)
        try:
            return self._send_results(job.subject, copies, objects, query)
        except PriorRejectedError as error:
            return self._answer_anew(job, query, str(error))

    def _send_results(
        self, result_id: str, copies: Sequence[Path], objects: Sequence[Path], query: StoredImage
    ) -> _Done:
        with self.answerer.referring(objects):
            return self._send_held(result_id, copies, objects, query)

    def _send_held(
        self, result_id: str, copies: Sequence[Path], objects: Sequence[Path], query: StoredImage
    ) -> _Done:
        """Send results while no copy that they refer to can be withdrawn."""
        results, library = self._destinations()
        clock = StageClock()
        self.answerer.guard(objects, copies, query, lambda uid: bool(self.ledger.receipt(uid)))
        clock.lap("last checks")
        if not self.ledger.performance.sending(result_id):
            self.outbox.discard(result_id)
            return _Done({"delivered": 0, "reason": _CANCELLED})
        # what a destination has committed to already is not sent again
        committed = self._committer.committed(result_id)
        title = self.delivery.calling_ae_title
        if missing := [path for path in copies if reference(path) not in committed]:
            self._send_copies(library, missing)
        clock.lap("copies sent")
        if missing := [path for path in objects if reference(path) not in committed]:
            with self.audit.sending(results, missing, title):
                send(results, missing, title)
        clock.lap("results sent")
        outcome = {
            "delivered": len(objects),
            "copies": len(copies),
            "destination": results.name,
            "seconds": _rounded(clock.seconds),
        }
        if {results.commitment, library.commitment} == {"never"}:
            self._delivered(result_id)
            return _Done(outcome)
        self.outbox.stored(result_id, utc_now())
        self.ledger.performance.stored(result_id)
        self._committer.sent(result_id)
        return _Done(outcome, [NewJob(COMMIT, result_id)])

    def _send_copies(
        self, library: DestinationSettings, copies: Sequence[Path], *, are_kept: bool = True
    ) -> None:
        title = self.delivery.calling_ae_title
        with (
            self.answerer.sending(copies, are_kept=are_kept),
            self.audit.exporting(library, copies, title),
        ):
            send(library, copies, title)

    def _answer_anew(self, job: Job, query: StoredImage, reason: str) -> _Done:
        """Give up a result set that shows a prior which was rejected since, and ask once more."""
        made = self.outbox.about(query.sop_instance_uid)
        regions = next((one.regions for one in made if one.result_id == job.subject), ())
        # a delivery that was begun again, for a commitment that failed, bears no question
        asked = next(
            (
                one.argument
                for one in self.ledger.jobs(kind=DELIVER, subject=job.subject)
                if one.argument
            ),
            {"regions": list(regions)},
        )
        study_uid = self.ledger.receipt(query.sop_instance_uid)[-1].study_uid
        # before anything is gone of it: a kill in between asks once more, and loses nothing
        number = self.ledger.performance.ask_anew(job.subject, NewJob(ANSWER, study_uid, asked))
        outcome = {"delivered": 0, "reason": reason, "asked_anew": number}
        return _Done(outcome, discarded=job.subject)

    def _copy(self, job: Job) -> _Done:
        """Send the library copies of a study's exams that the library has not got."""
        library = self.delivery.library
        if library is None:
            return _Done({"copied": 0, "reason": "no destination is configured"})
        if job.argument.get("sent"):
            return self._commit_copies(job, library)
        copies = self.answerer.copies(job.subject, self._originals)
        if not copies:
            return _Done({"copied": 0})
        are_kept = library.commitment == "never"
        with self.outbox.passing(f"copies-{job.id}", copies) as paths:
            self._send_copies(library, paths, are_kept=are_kept)
        then = [] if are_kept else [NewJob(COPY, job.subject, {"sent": True})]
        return _Done({"copied": len(copies), "destination": library.name}, then)

    def _commit_copies(self, job: Job, library: DestinationSettings) -> _Done:
        """Count a study's copies as there once the library has committed to them."""
        uids, crosswalk = self.answerer.library.uids, self.answerer.library.crosswalk
        received = self.ledger.receipts_of(job.subject)
        classes = {row.sop_instance_uid: row.sop_class_uid for row in received}
        sent = {
            one.copy_uid: Reference(classes[one.source_uid], one.copy_uid)
            for one in crosswalk.stored(job.subject, library.name)
            if one.source_uid in classes
        }
        if not sent:
            return _Done({"committed": 0})  # they came with a result meanwhile, or were withdrawn
        name = f"{_COPIES}{uids.name(*sorted(sent))}"
        step = self._committer.step(name, [Parcel(library, tuple(sent.values()))])
        outcome = {"standing": step.standing.value}
        if step.standing is Standing.AWAITED:
            return _Done(outcome, [NewJob(COPY, job.subject, job.argument, step.delay)])
        if step.standing is Standing.COMMITTED:
            crosswalk.mark_delivered(sent, library.name)
            return _Done({"committed": step.committed})
        # before they count as lost: a kill in between has them sent for nothing, no more
        self.ledger.enqueue(COPY, job.subject, delay=step.delay)
        committed = {one.sop_instance_uid for one in self._committer.committed(name)}
        crosswalk.mark_lost(sent.keys() - committed, library.name)
        crosswalk.mark_delivered(sent.keys() & committed, library.name)
        self._committer.sent(name)
        return _Done(outcome)

    def _withdraw(self, job: Job) -> _Done:
        """Withdraw the library copies of what was rejected of a study, then forget them."""
        kept, known = self.answerer.library, self.delivery.by_name
        withdrawal = Withdrawal(kept, self.outbox, job.subject, frozenset(known))
        # here at once, whether or not the library can be reached
        self.outbox.withdraw([one.copy.copy_uid for one in withdrawal.copies], utc_now())
        name = str(job.argument.get("destination", kept.destination))
        if "destination" not in job.argument:
            for other in withdrawal.places() - {name}:
                # before this one is tried, and each for itself: one may be away for days
                self.ledger.enqueue(WITHDRAW, job.subject, {"destination": other})
        others = [one for one in self._withdrawals(job.subject, name) if one.id != job.id]
        newest = max((one.id for one in others), default=0)
        if newest > job.id:
            return _Done({"taken_over": newest})
        # what another one waits to hear of is not said anew
        awaiting = [one.argument["noted"] for one in (job, *others) if "noted" in one.argument]
        at, sent = awaiting[0] if awaiting else (job.created_at.isoformat(), "")
        sources = {
            row.sop_instance_uid: Source(row.sop_class_uid, row.series_uid)
            for row in self.ledger.receipts_of(job.subject)
        }
        given = (name, self._give_notes, sources, datetime.fromisoformat(at))
        done = withdrawal.make(*given, now=utc_now(), sent=sent)
        then = []
        if done.being_sent:
            then = [NewJob(WITHDRAW, job.subject, job.argument, _SENDING_PAUSE)]
        elif done.awaited is not None:
            argument = {"destination": name, "noted": [at, done.notes]}
            then = [NewJob(WITHDRAW, job.subject, argument, done.awaited)]
        elif done.unsure:
            then = [NewJob(WITHDRAW, job.subject, {"destination": name}, LATE)]
        return _Done(done.as_json(), then)

    def _withdrawals(self, study_uid: str, destination: str) -> list[Job]:
        """Return the withdrawals from a destination that are still to be made, the latest first."""
        library = self.answerer.library.destination
        return [
            one
            for one in self.ledger.jobs(kind=WITHDRAW, subject=study_uid)
            if one.state in (JobState.READY, JobState.LEASED)
            and one.argument.get("destination", library) == destination
        ]

    def _give_notes(self, destination: str, notes: Notes) -> timedelta | None:
        """Send notes, and again what is lost of them; see `pipeline.withdrawal.Send`."""
        there, title = self.delivery.by_name[destination], self.delivery.calling_ae_title
        name, parcel = f"{_NOTES}{notes.name}", Parcel(there, tuple(map(reference, notes.paths)))
        step = Step(Standing.COMMITTED if there.commitment == "never" else Standing.AWAITED)
        if notes.are_sent:
            step = self._committer.step(name, [parcel])
        if not notes.are_sent or step.standing is Standing.FAILED:
            with self.audit.sending(there, notes.paths, title):
                send(there, notes.paths, title)
            self._committer.sent(name)
        return None if step.standing is Standing.COMMITTED else step.delay

    def _commit(self, job: Job) -> _Done:
        """Count a result set as delivered once its destinations have committed to it."""
        if job.subject.startswith((_COPIES, _NOTES)):
            return _Done({"heard": True})  # the job that sent them looks for itself
        if self.outbox.is_delivered(job.subject):
            self._delivered(job.subject)
            return _Done({"committed": 0})
        results, library = self._destinations()
        objects = self.outbox.results(job.subject)
        if not objects:
            message = "The result set is no longer kept."
            raise RequestError(message)
        there = {library: [*map(reference, self.outbox.copies(job.subject))]}
        there.setdefault(results, []).extend(map(reference, objects))
        parcels = [Parcel(where, tuple(sent)) for where, sent in there.items() if sent]
        step = self._committer.step(job.subject, parcels)
        if step.standing is Standing.COMMITTED:
            self._delivered(job.subject)
            return _Done({"committed": step.committed})
        again = DELIVER if step.standing is Standing.FAILED else COMMIT
        return _Done(
            {"standing": step.standing.value}, [NewJob(again, job.subject, {}, step.delay)]
        )

    def _delivered(self, name: str) -> None:
        """Note that a result set is at its destination for good; again does no harm."""
        if self.outbox.is_delivered(name):
            self.outbox.expire(utc_now())
        else:
            self.outbox.delivered(name, utc_now())
        held_by = self.delivery.results.ae_title if self.delivery.results else ""
        self.ledger.performance.delivered(name, held_by)

    @property
    def _committer(self) -> Committer:
        return Committer(self.ledger.transactions, self.delivery.calling_ae_title, self.audit)

    def _destinations(self) -> tuple[DestinationSettings, DestinationSettings]:
        """Return where results and where library copies go."""
        results, library = self.delivery.results, self.delivery.library
        if results is None or library is None:
            message = "Results have nowhere to go: set pipeline.destination, then retry."
            raise DeliveryError(message)
        return results, library

    def _originals(self, sop_instance_uid: str) -> StoredImage | None:
        """Find the received file of a prior, where retention has left it."""
        rows = self.ledger.receipt(sop_instance_uid)
        kept = stored_images(row for row in rows if row.state is InstanceState.STORED)
        return kept[-1] if kept else None

    def _files(self, study_uid: str) -> tuple[StoredImage, ...]:
        return stored_images(self.ledger.instances(study_uid))

    def _told(self, study_uid: str) -> tuple[ReportText, ...]:
        return told_reports(self.ledger.reports.of_study(study_uid), report_at)

    def _heartbeat(self, job: Job) -> Heartbeat:
        """Return what keeps a job's lease alive; a step that hangs is left to another worker."""

        def renew() -> bool:
            try:
                self.ledger.renew(job, self.lease_seconds)
            except LeaseLostError:
                return False
            except SQLAlchemyError as error:  # the next beat may still come in time
                _LOG.error("a lease was not renewed: %s", type(error).__name__)
            return True

        return Heartbeat(renew, self.lease_seconds / 3, 3 * _MOST_LEASES)


FILE_GONE = (InstanceState.EXPIRED, InstanceState.LOST)
"""What became of an instance whose exam stays although its file is gone."""
_FILTERED = (InstanceState.FILTERED, InstanceState.UNUSED)
_IDENTITY_CHANGED = (
    "an image of this study came with another patient or study identity than before and is kept "
    "apart: see `wristmir doctor`"
)
_CANCELLED = "its procedure step was cancelled"
_NONE_NAMED = "none of the images that were named shows a PA wrist"
_ANSWERED = "nobody has asked, and each of its images was answered for before"
_NOT_KEPT = "the study's images are no longer kept: send them again"


def placements(indexed: IndexedStudy, gone: Sequence[InstanceRow]) -> tuple[Placement, ...]:
    """Return what became of a study's instances, as the ledger keeps it.

    Parameters
    ----------
    gone
        Those whose files are gone: their exams stay unless they are withdrawn.
    """
    placed = [Placement(p.sop_instance_uid, p.version, p.as_json()) for p in indexed.placed]
    placed += [
        Placement(row.sop_instance_uid, row.version, {"reason": "a rejection note withdraws it"})
        for row in gone
        if row.sop_instance_uid in indexed.withdrawn
    ]
    return tuple(placed)


def _rounded(*stages: Mapping[str, float]) -> dict[str, float]:
    return {name: round(seconds, 4) for each in stages for name, seconds in each.items()}


def _is_unanswered(job: Job) -> bool:
    """Whether a language model was tried often enough, and at last gave an answer of no use.

    Tries that an outage took do not count against it: the last one tells.
    """
    useless = (job.last_error or "").startswith(str(AnswerError()))
    return job.attempts > _TRIES_OF_AN_ANSWER and useless


def _is_final(error: Exception) -> bool:
    passing = isinstance(error, DecodeError) and error.reason in PASSING
    return isinstance(error, _FINAL) and not passing


def _is_outage(error: Exception) -> bool:
    return isinstance(error, _OUTAGES)


def _place(error: BaseException) -> str:
    """Name the innermost place of this project in a traceback: file and line, no values."""
    place = "an unknown place"
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.parent.name in ("pipeline", "listener"):
            place = f"{file.parent.name}/{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
