"""A procedure step's row: how it is read, moved, and told of; within the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import subscription
from listener.errors import NoSuchStepError
from listener.job_queue import JobQueue
from listener.step_event import STATE
from listener.step_state import StepState
from listener.step_terms import Coded
from listener.tables import STEP, STEP_RESULT

__all__ = [
    "DELIVERED",
    "GIVEN_UP",
    "MOST_WORDS",
    "SENDING",
    "WAITING",
    "ResultInstance",
    "StepRow",
    "StepWriter",
    "held_row",
    "is_on_its_way",
    "results_of",
    "row_of",
    "step_of",
]

MOST_WORDS = 1024
"""Of a Reason For Cancellation (its VR, LT, could be longer)."""

WAITING, SENDING, DELIVERED, GIVEN_UP = "waiting", "sending", "delivered", "given up"
"""Where a step's result set stands."""


@dataclass(frozen=True)
class ResultInstance:
    """An object that came of a step."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class StepRow:
    """One step; ``results`` are the objects that came of it, ``held_by`` who has them."""

    sop_instance_uid: str
    study_uid: str
    state: StepState
    readiness: str
    progress: int
    told: str
    reason: str
    reason_code: Coded | None
    path: Path
    changed_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    results: tuple[ResultInstance, ...] = ()
    held_by: str = ""


@dataclass(frozen=True)
class StepWriter:
    """Changes steps and has their subscribers told, in one transaction.

    ``now`` is the time that counts in it.
    """

    connection: Connection
    queue: JobQueue
    now: datetime

    def update(self, sop_instance_uid: str, **values: Any) -> None:
        """Set columns of a step."""
        here = STEP.c.sop_instance_uid == sop_instance_uid
        self.connection.execute(sa.update(STEP).where(here).values(**values))

    def move(self, sop_instance_uid: str, through: Sequence[StepState], **values: Any) -> None:
        """Move a step through states, and have its subscribers told of each."""
        for state in through:
            self.update(sop_instance_uid, state=state, changed_at=self.now, **values)
            self.tell_state(sop_instance_uid)

    def cancel(
        self, sop_instance_uid: str, through: Sequence[StepState], words: str, code: Coded
    ) -> None:
        """Move a step to its cancellation, with the reason."""
        given = {"reason": words[:MOST_WORDS], "reason_code": json.dumps(code)}
        self.move(sop_instance_uid, through, ended_at=self.now, **given)

    def tell_state(self, sop_instance_uid: str, only: str | None = None) -> None:
        """Have subscribers told how a step stands, or one of them only."""
        row = held_row(self.connection, sop_instance_uid)
        if row is None:
            raise NoSuchStepError
        self.tell(sop_instance_uid, STATE, subscription.state_report(row), only)

    def tell(
        self, sop_instance_uid: str, kind: int, content: Mapping[str, Any], only: str | None = None
    ) -> None:
        """Have subscribers told an event, or one of them only."""
        subscription.tell(
            self.connection, self.queue, sop_instance_uid, kind, content, self.now, only
        )


def held_row(connection: Connection, sop_instance_uid: str) -> Row[Any] | None:
    """Return a step's row, held until the transaction ends, or None."""
    return connection.execute(_of(sop_instance_uid).with_for_update()).first()


def row_of(connection: Connection, sop_instance_uid: str) -> Row[Any] | None:
    """Return a step's row, to be read, or None."""
    return connection.execute(_of(sop_instance_uid)).first()


def step_of(connection: Connection, row: Row[Any]) -> StepRow:
    """Return the step that a row holds, with the results that were delivered."""
    query = sa.select(STEP_RESULT).where(
        STEP_RESULT.c.sop_instance_uid == row.sop_instance_uid, STEP_RESULT.c.state == DELIVERED
    )
    results = connection.execute(query.order_by(STEP_RESULT.c.name)).all()
    return StepRow(
        sop_instance_uid=row.sop_instance_uid,
        study_uid=row.study_uid,
        state=StepState(row.state),
        readiness=row.readiness,
        progress=row.progress,
        told=row.told,
        reason=row.reason or "",
        reason_code=tuple(json.loads(row.reason_code)) if row.reason_code else None,
        path=Path(row.path),
        changed_at=row.changed_at,
        begun_at=row.begun_at,
        ended_at=row.ended_at,
        results=tuple(ResultInstance(*one) for r in results for one in json.loads(r.instances)),
        held_by=next((r.held_by for r in results if r.held_by), ""),
    )


def results_of(connection: Connection, sop_instance_uid: str) -> dict[str, str]:
    """Return where each result set of a step stands, by its name."""
    here = STEP_RESULT.c.sop_instance_uid == sop_instance_uid
    rows = connection.execute(sa.select(STEP_RESULT.c.name, STEP_RESULT.c.state).where(here))
    return {row.name: row.state for row in rows}


def is_on_its_way(connection: Connection, sop_instance_uid: str) -> bool:
    """Tell whether a result set of a step has begun to go to its destination."""
    stands = results_of(connection, sop_instance_uid).values()
    return any(state not in (WAITING, GIVEN_UP) for state in stands)


def _of(sop_instance_uid: str) -> sa.Select[Any]:
    return sa.select(STEP).where(STEP.c.sop_instance_uid == sop_instance_uid)
