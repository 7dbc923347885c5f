"""A job: one row of durable work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import Row

__all__ = [
    "COMMIT",
    "EVENT_REPORT",
    "INDEX",
    "STEP_EVENT",
    "Job",
    "JobState",
    "NewJob",
    "canonical",
]

INDEX = "index"
"""The kind of job that `Indices.mark_indexed` settles; it takes no argument."""

COMMIT = "commit"
"""The kind of job that sees to it that a destination commits to what it got; no argument."""

EVENT_REPORT = "event-report"
"""The kind of job that tells a peer what became of its request for commitment; no argument."""


STEP_EVENT = "step-event"
"""The kind of job that tells a subscriber what became of procedure steps; no argument."""


class JobState(StrEnum):
    """Where a job stands."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True)
class NewJob:
    """A job to be enqueued; ``subject`` is what it excludes others from, mostly a study's UID."""

    kind: str
    subject: str
    argument: Mapping[str, Any] = field(default_factory=dict)
    delay: timedelta = timedelta(0)


@dataclass(frozen=True)
class Job:
    """One row of work. ``token`` fences: it grows with every lease."""

    id: int
    kind: str
    subject: str
    argument: dict[str, Any]
    state: JobState
    attempts: int
    token: int
    created_at: datetime
    not_before: datetime
    lease_until: datetime | None
    last_error: str | None
    outcome: dict[str, Any] | None
    ended_at: datetime | None = None

    @classmethod
    def of(cls, row: Row[Any]) -> Job:
        """Return the job that a row of the table holds."""
        return cls(
            id=row.id,
            kind=row.kind,
            subject=row.subject,
            argument=json.loads(row.argument),
            state=JobState(row.state),
            attempts=row.attempts,
            token=row.token,
            created_at=row.created_at,
            not_before=row.not_before,
            lease_until=row.lease_until,
            last_error=row.last_error,
            outcome=None if row.outcome is None else json.loads(row.outcome),
            ended_at=row.ended_at,
        )


def canonical(value: Mapping[str, Any]) -> str:
    """Return an argument or outcome as a row holds it: JSON that is equal where the values are."""
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
