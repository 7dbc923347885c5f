"""Requests over HTTP: ask for the matches of a study, and see how far the answer is."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.web.bearer import BearerTokens
from listener.audit import Audit
from listener.audit_event import End, StudyPart
from listener.audit_query import Person, command_query, records_accessed
from listener.elements import is_uid
from listener.errors import LedgerError
from listener.job import Job, JobState
from listener.ledger import Ledger
from pipeline.region import Region
from pipeline.request import Mode
from pipeline.worker import ANSWER, DELIVER, QUERY

__all__ = ["matches_app"]

_log = logging.getLogger("wristmir.web")

_MOST_BODY_BYTES = 16 << 10
_MOST_WAITING = 100  # requests that nobody has begun with
_NO_JOB = 2**31 - 1  # and no database takes a larger number
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class _Asked(BaseModel):
    """The body of a request; everything may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    regions: tuple[Region, ...] = ()
    k: int | None = Field(default=None, ge=1, le=50)
    mode: Mode | None = None
    deliver: bool = True

    @property
    def argument(self) -> dict[str, Any]:
        """What the job is told."""
        asked: dict[str, Any] = {"regions": [region.value for region in self.regions]}
        asked |= {} if self.k is None else {"k": self.k}
        return asked | ({} if self.mode is None else {"mode": self.mode.value})


def matches_app(
    ledger: Ledger, tokens: BearerTokens, audit: Audit, *, shows_originals: bool = False
) -> Starlette:
    """Return an application to be mounted where it shall answer.

    ``POST /studies/{StudyInstanceUID}/matches`` with a JSON object of ``regions``, ``k``, ``mode``
    and ``deliver``, none of which is needed, is answered by 202 and the Location of its state;
    ``deliver`` (the default) has results stored like a send to a request title, without it the
    matches are only told. ``GET`` of that location tells ``state`` (waiting, working, done,
    failed), and what came of it. A bearer token is needed for both.

    Parameters
    ----------
    ledger
        Stays the caller's to close.
    tokens
        Who may ask.
    audit
        Is told who has asked for what, and seen it; stays the caller's to start and stop.
    shows_originals
        Whether matches name the priors' own studies; else UIDs of other patients are left out.
    """
    service = _Matches(ledger, tokens, audit, shows_originals=shows_originals)
    return Starlette(
        routes=[
            Route("/studies/{study_uid}/matches", service.ask, methods=["POST"]),
            Route("/studies/{study_uid}/matches/{number:int}", service.state, methods=["GET"]),
        ]
    )


class _RefusedError(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Matches:
    def __init__(
        self, ledger: Ledger, tokens: BearerTokens, audit: Audit, *, shows_originals: bool
    ) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._audit = audit
        self._shows_originals = shows_originals

    async def ask(self, request: Request) -> Response:
        """Take a request; it is durable before it is answered."""
        return await self._answered(request, self._taken)

    async def state(self, request: Request) -> Response:
        """Tell how far a request is."""
        return await self._answered(request, self._told)

    async def _answered(
        self, request: Request, step: Callable[[Request, str, str, bytes], Response]
    ) -> Response:
        try:
            body = await _body(request)
            return await run_in_threadpool(self._admitted, request, body, step)
        except _RefusedError as refused:
            headers = _HEADERS | ({"WWW-Authenticate": "Bearer"} if refused.status == 401 else {})
            return JSONResponse({"error": str(refused)}, refused.status, headers)

    def _admitted(
        self,
        request: Request,
        body: bytes,
        step: Callable[[Request, str, str, bytes], Response],
    ) -> Response:
        holder = self._tokens.admit(request, self._audit)
        if holder is None:
            raise _RefusedError(401, "a bearer token of the token file is needed")
        study_uid = request.path_params["study_uid"]
        if not is_uid(study_uid):
            raise _RefusedError(404, "no such study")
        try:
            return step(request, holder, study_uid, body)
        except SQLAlchemyError as error:
            _log.error("the ledger cannot be used: %s", type(error).__name__)
            raise _RefusedError(503, "the ledger cannot be used just now") from None

    def _taken(self, request: Request, holder: str, study_uid: str, body: bytes) -> Response:
        asked = _asked(body)
        kind = ANSWER if asked.deliver else QUERY
        self._tell(holder, f"http-{kind} {study_uid}")
        try:
            self._ledger.study(study_uid)
        except LedgerError:
            raise _RefusedError(404, "no such study") from None
        waiting = self._ledger.jobs(JobState.READY, kind, limit=_MOST_WAITING)
        if len(waiting) == _MOST_WAITING:
            raise _RefusedError(429, "too many requests wait already")
        number = self._ledger.enqueue(kind, study_uid, asked.argument)
        where = f"{request.url.path.rstrip('/')}/{number}"
        headers = _HEADERS | {"Location": where}
        return JSONResponse({"id": number, "state": "waiting"}, 202, headers)

    def _told(self, request: Request, holder: str, study_uid: str, _: bytes) -> Response:
        number = request.path_params["number"]
        try:
            job = self._ledger.job(min(number, _NO_JOB))
        except LedgerError:
            raise _RefusedError(404, "no such request") from None
        if job.subject != study_uid or job.kind not in (ANSWER, QUERY):
            raise _RefusedError(404, "no such request")
        told: dict[str, Any] = {"id": job.id, "state": _STATES[job.state]}
        if job.state is JobState.DEAD:
            told["reason"] = job.last_error or "the worker gave no reason"
        if job.outcome is not None:
            told |= self._outcome(job, job.outcome)
        if told.get("answers"):
            self._tell_seen(holder, study_uid)
        return JSONResponse(told, headers=_HEADERS)

    def _outcome(self, job: Job, outcome: Mapping[str, Any]) -> dict[str, Any]:
        """Return what came of a request, and of the delivery of its results."""
        told = {name: outcome[name] for name in ("answered", "reason") if outcome.get(name)}
        if job.kind == QUERY:
            answers = outcome.get("answers", [])
            told["answers"] = answers if self._shows_originals else [_without(a) for a in answers]
            return told
        told["results"] = [self._result(name) for name in outcome.get("results", ())]
        return told

    def _result(self, name: str) -> dict[str, Any]:
        jobs = self._ledger.jobs(kind=DELIVER, subject=name, limit=1)
        state = _STATES[jobs[0].state] if jobs else "not delivered"
        told: dict[str, Any] = {"id": name, "delivery": state}
        if not jobs:
            return told
        outcome = jobs[0].outcome or {}
        if jobs[0].state is JobState.DONE and outcome.get("reason"):
            told |= {"delivery": "not sent", "reason": outcome["reason"]}
            if "asked_anew" in outcome:
                told["asked_anew"] = outcome["asked_anew"]
        elif jobs[0].last_error and jobs[0].state is not JobState.DONE:
            told["reason"] = jobs[0].last_error
        return told

    def _tell(self, holder: str, question: str) -> None:
        person = Person(f"token {holder}")
        self._audit.tell(partial(command_query, person=person, command=question, end=End()))

    def _tell_seen(self, holder: str, study_uid: str) -> None:
        """Tell that somebody was shown what is alike to a study."""
        rows = self._ledger.instances(study_uid)
        part = StudyPart(study_uid, rows[0].patient_key if rows else "")
        person = Person(f"token {holder}")
        self._audit.tell(partial(records_accessed, person=person, parts=(part,)))


_STATES = {
    JobState.READY: "waiting",
    JobState.LEASED: "working",
    JobState.DONE: "done",
    JobState.DEAD: "failed",
}


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BODY_BYTES:
            raise _RefusedError(413, "a request is at most 16 KiB")
    return body


def _asked(body: bytes) -> _Asked:
    try:
        return _Asked.model_validate(json.loads(body) if body.strip() else {})
    except (ValueError, RecursionError) as error:
        words = "it is no JSON object of regions, k, mode and deliver"
        if isinstance(error, ValidationError):
            places = {".".join(map(str, one["loc"][:1])) for one in error.errors()} & set(
                _Asked.model_fields
            )
            words += f"; wrong: {', '.join(sorted(places))}" if places else ""
        raise _RefusedError(422, words) from None


def _without(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without the UIDs of other patients' images."""
    regions = [
        part
        | {"matches": [{k: v for k, v in m.items() if k not in _UIDS} for m in part["matches"]]}
        for part in answer["regions"]
    ]
    return {**answer, "regions": regions}


_UIDS = frozenset({"study_instance_uid", "sop_instance_uid"})
