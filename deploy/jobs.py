"""What the ledger says of its work, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from deploy.errors import InputError
from deploy.look_up import looking_up
from deploy.settings import Settings
from deploy.state import open_ledger
from listener.job import Job, JobState

__all__ = ["as_json", "as_table", "listed", "one", "retried"]


def listed(settings: Settings, state: str | None, limit: int) -> tuple[Job, ...]:
    """Return the latest jobs, of one state where one is named."""
    try:
        wanted = None if state is None else JobState(state)
    except ValueError:
        text = f"{state}: no such state; there are {', '.join(JobState)}"
        raise InputError(text) from None
    words = [] if wanted is None else [f"--state={wanted}"]
    with open_ledger(settings) as ledger, looking_up(settings, "jobs", *words):
        return ledger.jobs(state=wanted, limit=limit)


def one(settings: Settings, number: int) -> Job:
    """Return one job."""
    with open_ledger(settings) as ledger, looking_up(settings, "jobs show", number) as told:
        job = ledger.job(number)
        told.shows_study(ledger, job.subject)
        return job


def retried(settings: Settings, number: int | None) -> tuple[Job, ...]:
    """Make a dead job ready again, or every dead one."""
    words = ["--all"] if number is None else [number]
    with open_ledger(settings) as ledger, looking_up(settings, "jobs retry", *words):
        if number is not None:
            return (ledger.retry(number),)
        dead = ledger.jobs(state=JobState.DEAD, limit=1_000_000)
        return tuple(ledger.retry(job.id) for job in reversed(dead))


def as_json(job: Job) -> dict[str, Any]:
    """Return a job as one JSON object; times in ISO 8601, UTC."""
    return {
        "id": job.id,
        "kind": job.kind,
        "subject": job.subject,
        "argument": job.argument,
        "state": job.state.value,
        "attempts": job.attempts,
        "created_at": job.created_at.isoformat(),
        "not_before": job.not_before.isoformat(),
        "last_error": job.last_error,
        "outcome": job.outcome,
    }


def as_table(jobs: Sequence[Job]) -> Table:
    """Return jobs as a table, the latest first."""
    table = Table("job", "kind", "state", "tries", "since", "subject", "last error or outcome")
    for job in jobs:
        colour = {"dead": "red", "leased": "yellow", "done": "green"}.get(job.state.value, "")
        said = job.last_error or _summary(job.outcome)
        since = job.created_at.strftime("%Y-%m-%d %H:%M:%S")
        tail = f"…{job.subject[-16:]}" if len(job.subject) > 17 else job.subject
        state = f"[{colour}]{job.state.value}[/]" if colour else job.state.value
        table.add_row(str(job.id), job.kind, state, str(job.attempts), since, tail, said)
    return table


def _summary(outcome: dict[str, Any] | None) -> str:
    if not outcome:
        return ""
    words = [f"{key}: {value}" for key, value in outcome.items() if isinstance(value, (int, str))]
    return ", ".join(words)[:100]
