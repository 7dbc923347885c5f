"""The page of how the service stands: for IT, without any patient on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deploy.settings import Settings
from deploy.web.gate import checked_form, for_role, person_of
from deploy.web.page import Pages
from deploy.web.users import Role
from listener.audit import Audit
from listener.audit_event import End
from listener.audit_query import command_query
from listener.destination_settings import DestinationSettings
from listener.elements import is_uid
from listener.errors import LedgerError
from listener.job import COMMIT, Job, JobState
from listener.ledger import Ledger
from pipeline.uid import KeyedUids
from pipeline.worker import DELIVER

__all__ = ["StatusPages"]

_SHOWN: Final = 40
_LOOKED_AT: Final = 400


@dataclass(frozen=True)
class JobLine:
    """A job as the page shows it: a study is named by a stand-in that is used nowhere else."""

    job: Job
    subject: str


@dataclass(frozen=True)
class DestinationLine:
    """A destination, and what the ledger knows of the way there."""

    destination: DestinationSettings
    uses: tuple[str, ...]
    last: datetime | None
    waiting: int
    error: str


@dataclass(frozen=True, eq=False)
class StatusPages:
    """``/status``, and the retry of dead jobs.

    Parameters
    ----------
    pages
        Make the page.
    settings
        The configuration.
    ledger
        The work.
    uids
        Stand-ins for Study Instance UIDs, which are not shown to IT.
    audit
        Is told of every view.
    """

    pages: Pages
    settings: Settings
    ledger: Ledger
    uids: KeyedUids
    audit: Audit

    def routes(self) -> list[Route]:
        """Return where they are."""
        return [
            Route("/status", for_role(Role.IT, self.status), methods=["GET"]),
            Route("/status/jobs/{number:int}", for_role(Role.IT, self.retry), methods=["POST"]),
            Route("/status/jobs", for_role(Role.IT, self.retry_all), methods=["POST"]),
        ]

    async def status(self, request: Request) -> Response:
        """Show how everything stands."""
        await self._tell(request, "web status")
        found = await run_in_threadpool(self._found)
        return self.pages.page(request, "status.html", **found)

    async def retry(self, request: Request) -> Response:
        """Give a dead job its attempts again."""
        await checked_form(request)
        number = request.path_params["number"]
        await self._tell(request, f"web retry {number}")
        try:
            await run_in_threadpool(self.ledger.retry, number)
        except LedgerError:
            raise HTTPException(409) from None
        return RedirectResponse("/status#dead", 303)

    async def retry_all(self, request: Request) -> Response:
        """Give every dead job its attempts again."""
        await checked_form(request)
        await self._tell(request, "web retry --all")
        await run_in_threadpool(self._retry_dead)
        return RedirectResponse("/status#dead", 303)

    def _retry_dead(self) -> None:
        for job in reversed(self.ledger.jobs(state=JobState.DEAD, limit=1_000_000)):
            self.ledger.retry(job.id)

    async def _tell(self, request: Request, command: str) -> None:
        event = partial(command_query, person=person_of(request), command=command, end=End())
        await run_in_threadpool(self.audit.tell, event)

    def _found(self) -> dict[str, Any]:
        ledger, serving = self.ledger, self.ledger.indices.serving()
        counts = ledger.counts()
        kinds = sorted({kind for kind, _ in counts})
        last = ledger.receipts(limit=1)
        return {
            "kinds": [(kind, [counts.get((kind, s), 0) for s in JobState]) for kind in kinds],
            "states": tuple(JobState),
            "dead_count": sum(n for (_, state), n in counts.items() if state is JobState.DEAD),
            "dead": self._lines(ledger.jobs(state=JobState.DEAD, limit=_SHOWN)),
            "in_hand": self._lines(ledger.jobs(state=JobState.LEASED, limit=_SHOWN)),
            "waiting": self._lines(ledger.jobs(state=JobState.READY, limit=_SHOWN)),
            "waiting_count": sum(n for (_, s), n in counts.items() if s is JobState.READY),
            "destinations": [self._destination(one) for one in self._destinations],
            "last_received": last[0].received_at if last else None,
            "serving": serving,
            "bundle": self.settings.bundle.name,
            "exams": ledger.count_placed(serving, {"used_as": "exam"}) if serving else 0,
            "engine": self.settings.pipeline.index.engine,
            "index_size": _amount(_size(self.settings.state_dir / "index")),
            "disk_free": _amount(_disk(self.settings.state_dir)),
        }

    def _lines(self, jobs: Iterable[Job]) -> list[JobLine]:
        return [JobLine(job, self._subject(job.subject)) for job in jobs]

    def _subject(self, subject: str) -> str:
        """Return what a job is about: a study by its stand-in, a result set by its name."""
        return f"study {self.uids.name('web study', subject)[:8]}" if is_uid(subject) else subject

    @property
    def _destinations(self) -> tuple[DestinationSettings, ...]:
        return self.settings.listener.destinations

    def _destination(self, destination: DestinationSettings) -> DestinationLine:
        pipeline = self.settings.pipeline
        library = pipeline.library_destination or pipeline.destination
        uses = {"results": pipeline.destination, "library copies": library}
        sent = [
            job
            for job in self.ledger.jobs(state=JobState.DONE, kind=DELIVER, limit=_LOOKED_AT)
            if (job.outcome or {}).get("destination") == destination.name
        ]
        is_results = pipeline.destination == destination.name
        unsent = [*self._unsent()] if is_results else []
        errors = [job.last_error for job in unsent if job.last_error]
        return DestinationLine(
            destination,
            tuple(use for use, name in uses.items() if name == destination.name),
            max((job.ended_at for job in sent if job.ended_at), default=None),
            len(unsent),
            errors[0] if errors else "",
        )

    def _unsent(self) -> Iterable[Job]:
        for state in (JobState.DEAD, JobState.LEASED, JobState.READY):
            for kind in (DELIVER, COMMIT):
                yield from self.ledger.jobs(state=state, kind=kind, limit=_LOOKED_AT)


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # the worker changes it meanwhile
            size += file.stat().st_size if file.is_file() else 0
    return size


def _disk(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
