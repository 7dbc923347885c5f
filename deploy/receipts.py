"""What became of received instances, gathered from the ledger and the outbox.

The index is not asked: it belongs to the worker. What an instance is to it stands in the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import cache, cached_property
from itertools import groupby
from typing import Any

from deploy.errors import DeployError, InputError
from deploy.life_line import (
    WITH_A_PLACE,
    Asked,
    Committed,
    Delivered,
    Indexed,
    LifeLine,
    SetAside,
    unfinished_indexing,
)
from deploy.look_up import looking_up
from deploy.settings import Settings, site_key
from deploy.state import open_ledger, open_outbox
from listener.elements import is_uid
from listener.job import COMMIT, Job, JobState
from listener.ledger import Ledger
from listener.milestone import Milestone
from listener.receipt import HOLDING, InstanceRow, InstanceState
from pipeline.outbox import Outbox, OutboxResult
from pipeline.uid import KeyedUids
from pipeline.worker import ANSWER, DELIVER, MINE, QUERY

__all__ = ["UnknownUidError", "as_json", "latest_receipts", "life_lines"]

_MOST_JOBS = 100_000
_UNFINISHED = (JobState.READY, JobState.LEASED)


class UnknownUidError(DeployError):
    """Nothing of this UID was ever received."""

    exit_status = 1


def life_lines(settings: Settings, uids: Iterable[str]) -> Iterator[LifeLine]:
    """Yield the line of life of every instance that SOP Instance, Series or Study UIDs name.

    Raises
    ------
    InputError
        Where one is no UID.
    UnknownUidError
        After all others were told, where nothing of one was ever received.
    """
    unknown, asked = [], tuple(uids)
    with (
        open_ledger(settings) as ledger,
        closing(open_outbox(settings)) as outbox,
        looking_up(settings, "receipt", *asked) as told,
    ):
        for uid in asked:
            if not is_uid(uid):
                text = f"{uid}: not a UID; name a SOP Instance, Series or Study Instance UID"
                raise InputError(text)
            rows = ledger.receipts_of(uid)
            if not rows:
                unknown.append(uid)
            told.shows((row.study_uid, row.patient_key) for row in rows)
            yield from _lines(ledger, outbox, rows)
    if unknown:
        raise UnknownUidError("\n".join(_why_unknown(settings, uid) for uid in unknown))


def latest_receipts(
    settings: Settings, states: Collection[InstanceState], limit: int
) -> tuple[InstanceRow, ...]:
    """Return what came last of these states, the latest first; no state stands for all."""
    words = [f"--state={state}" for state in states]
    with open_ledger(settings) as ledger, looking_up(settings, "receipts", *words):
        return ledger.receipts(tuple(states) or tuple(InstanceState), limit)


def as_json(row: InstanceRow) -> dict[str, Any]:
    """Return a receipt as one JSON object; times in ISO 8601, UTC."""
    return {
        "sop_instance_uid": row.sop_instance_uid,
        "series_instance_uid": row.series_uid,
        "study_instance_uid": row.study_uid,
        "version": row.version,
        "state": row.state.value,
        "reason": row.reason,
        "received_at": row.received_at.isoformat(),
        "calling_ae": row.calling_ae,
        "called_ae": row.called_ae,
    }


def _why_unknown(settings: Settings, uid: str) -> str:
    if KeyedUids(site_key(settings.state_dir)).is_own(uid):
        return f"{uid}: this plugin made it; ask about the study that it answers"
    return (
        f"{uid}: nothing of it was ever received; look whether the PACS forwards it, "
        "`wristmir reconcile` lists what is missing"
    )


def _lines(ledger: Ledger, outbox: Outbox, rows: Iterable[InstanceRow]) -> Iterator[LifeLine]:
    ordered = sorted(rows, key=lambda row: row.study_uid)  # stable: by arrival within a study
    for study_uid, members in groupby(ordered, key=lambda row: row.study_uid):
        study = _StudyLife(ledger, outbox, study_uid)
        yield from (study.line(row) for row in members)


class _StudyLife:
    """What ledger and outbox know of one study."""

    def __init__(self, ledger: Ledger, outbox: Outbox, study_uid: str) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._study_uid = study_uid
        self._results = cache(outbox.about)

    def line(self, row: InstanceRow) -> LifeLine:
        place = self._indexed(row)
        asks = row.state in WITH_A_PLACE and place.used_as not in ("report", "relevance")
        answered = tuple(self._answered(row.sop_instance_uid)) if asks else ()
        results = self._results(row.sop_instance_uid) if asks else ()
        delivered = tuple(self._delivered(result) for result in results)
        return LifeLine(
            row=row,
            file_there=row.state in HOLDING and row.path is not None and row.path.is_file(),
            set_aside=self._set_aside(row),
            indexed=place,
            answered=answered,
            delivered=delivered,
            committed=tuple(
                self._committed(one) for one in delivered if one.state in ("delivered", "stored")
            ),
        )

    @cached_property
    def _milestones(self) -> tuple[Milestone, ...]:
        return self._ledger.milestones(self._study_uid)

    @cached_property
    def _serving(self) -> str | None:
        return self._ledger.indices.serving()

    @cached_property
    def _jobs(self) -> tuple[Job, ...]:
        """The study's jobs, the first first."""
        jobs = self._ledger.jobs(subject=self._study_uid, limit=_MOST_JOBS)
        # one that another took in did nothing itself
        return tuple(j for j in reversed(jobs) if "merged_into" not in (j.outcome or {}))

    def _set_aside(self, row: InstanceRow) -> SetAside | None:
        if row.state is InstanceState.STORED:
            return None
        same = row.sop_instance_uid, row.version, row.state.value
        began = [m.at for m in self._milestones if (m.sop_instance_uid, m.version, m.kind) == same]
        # what is set aside when it comes has no other time than that
        at_once = row.path is None or row.state is InstanceState.QUARANTINED
        at = began[-1] if began else row.received_at if at_once else None
        return SetAside(row.state, at, row.reason or "")

    def _indexed(self, row: InstanceRow) -> Indexed:
        place = Indexed.of(row, self._milestones, self._serving)
        pending = unfinished_indexing(reversed(self._jobs))
        number = None if pending is None else pending.id
        if place is None:
            return self._not_yet(row, pending)
        if place.used_as == "report":
            return replace(place, read_at=self._read_at(), job=number)
        return replace(place, job=number) if place.at else place

    def _not_yet(self, row: InstanceRow, pending: Job | None) -> Indexed:
        if row.state is not InstanceState.STORED:
            return Indexed("not indexed", reason=f"it was {row.state.value} before")
        return Indexed.not_yet(self._ledger.study(self._study_uid), pending)

    def _read_at(self) -> datetime | None:
        """When the study's reports were read last; None before, or once that is forgotten."""
        read = [j for j in self._jobs if j.kind == MINE and j.state is JobState.DONE]
        return read[-1].ended_at if read else None

    def _answered(self, sop_instance_uid: str) -> Iterator[Asked]:
        results = {result.result_id: result for result in self._results(sop_instance_uid)}
        told: set[str] = set()
        asked = []
        for job in self._jobs:
            if job.kind == ANSWER:
                one = _of_answer(job, results)
            elif job.kind == QUERY:
                one = _of_query(job, sop_instance_uid)
            else:
                continue
            if one is not None:
                asked.append(one)
                told |= set(one.results)
        # what retention has forgotten of the jobs, the outbox still knows
        asked += [_of_result(result) for name, result in results.items() if name not in told]
        return iter(sorted(asked, key=lambda one: one.asked_at))

    def _delivered(self, result: OutboxResult) -> Delivered:
        name = result.result_id
        jobs = self._ledger.jobs(kind=DELIVER, subject=name)
        if result.delivered_at is not None:
            outcomes = [job.outcome or {} for job in jobs]
            named = [str(told["destination"]) for told in outcomes if "destination" in told]
            return Delivered(name, "delivered", result.delivered_at, next(iter(named), None))
        if not jobs:
            return Delivered(name, "not sent", reason="no destination is configured")
        job = jobs[0]
        given_up = (job.outcome or {}).get("reason")
        if job.state is JobState.DONE and given_up:
            return Delivered(name, "not sent", reason=given_up)
        if job.state is JobState.DONE:
            return Delivered(name, "stored", destination=(job.outcome or {}).get("destination"))
        state = "waiting" if job.state in _UNFINISHED else "failed"
        return Delivered(name, state, reason=job.last_error)

    def _committed(self, delivered: Delivered) -> Committed:
        name = delivered.result
        jobs = self._ledger.jobs(kind=COMMIT, subject=name)  # the latest first
        if not jobs:
            return Committed(name)
        number = (jobs[0].outcome or {}).get("committed")
        if delivered.state == "delivered" and number is not None:
            return Committed(name, "committed" if number else "not offered", jobs[0].ended_at)
        return Committed(name, "failed" if jobs[0].state is JobState.DEAD else "waiting")


def _of_answer(job: Job, results: Mapping[str, OutboxResult]) -> Asked | None:
    """Return a request that was sent, where it is about this instance or about no other."""
    outcome = job.outcome or {}
    named = [str(name) for name in outcome.get("results", ())]
    own = tuple(name for name in named if name in results)
    if named and not own:
        return None
    return Asked(
        job=job.id,
        by="send",
        state=job.state.value,
        asked_at=job.created_at,
        answered_at=job.ended_at if job.state is JobState.DONE else None,
        regions=_regions(job),
        matches=outcome.get("matches") if named else None,
        results=own,
        reason=job.last_error or outcome.get("reason"),
    )


def _of_query(job: Job, sop_instance_uid: str) -> Asked | None:
    outcome = job.outcome or {}
    answers = outcome.get("answers", ())
    own = [a for a in answers if a["query"]["sop_instance_uid"] == sop_instance_uid]
    if answers and not own:
        return None
    matches = sum(len(part["matches"]) for answer in own for part in answer["regions"])
    return Asked(
        job=job.id,
        by="command",
        state=job.state.value,
        asked_at=job.created_at,
        answered_at=job.ended_at if job.state is JobState.DONE else None,
        regions=_regions(job),
        matches=matches if own else None,
        reason=job.last_error or outcome.get("reason") or None,
    )


def _of_result(result: OutboxResult) -> Asked:
    return Asked(
        job=None,
        by="send",
        state=JobState.DONE.value,
        asked_at=result.created_at,
        answered_at=None,
        regions=result.regions,
        results=(result.result_id,),
    )


def _regions(job: Job) -> tuple[str, ...]:
    return tuple(str(name) for name in job.argument.get("regions", ()))
