"""The completion of a study: when it is due at a title, and the jobs it then sets in motion.

While a study comes in, it has an arrival, one row for each title that it is sent to.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import study
from listener.job import INDEX, NewJob, canonical
from listener.job_queue import JobQueue
from listener.prepared import Prepared
from listener.settings import TitleSettings
from listener.tables import ARRIVAL, STUDY

__all__ = ["close_due", "end_association", "is_any_due", "touch", "wait_anew"]

# A PACS may send one study in several associations, one for each SOP class or transfer syntax
# (Orthanc does). What follows so soon, before there is an answer, and brings nothing new belongs
# to the same question.
_ONE_ACT = timedelta(seconds=3)


def touch(
    connection: Connection, study_uid: str, title: TitleSettings, now: datetime, *, fresh: bool
) -> None:
    """Open or extend the arrival of a study at a title.

    Parameters
    ----------
    fresh
        Whether what came is new or changed.
    """
    here = {"uid": study_uid, "called": title.ae_title}
    row = _HELD.first(connection, here)
    # a clock that was put back must not make the cap later
    first = now if row is None else min(now, row.first_at)
    capped = first + timedelta(seconds=title.cap_seconds)
    # a request waits for its association's end: a slow sender must not be cut in two
    due = capped if title.is_request else min(capped, _quiet(now, title))
    values = {
        "first_at": first,
        "last_at": now,
        "due_at": due,
        "fresh": fresh or (row is not None and row.fresh),
        "jobs": json.dumps(title.jobs),
        "argument": canonical(title.argument),
    }
    if row is not None:
        _EXTENDED.run(connection, {**here, **values})
        return
    opened = {"study_uid": study_uid, "title": title.ae_title, "first_at": now}
    _OPENED.run(connection, {**opened, **values})


def end_association(
    connection: Connection, study_uids: Collection[str] | None, title: TitleSettings, now: datetime
) -> None:
    """Make the arrivals at a request title due: now where they are settled, else after its quiet.

    An arrival is settled where everything sent was known and the study is indexed.
    ``study_uids=None`` means every study.
    """
    settled = sa.exists().where(
        STUDY.c.study_uid == ARRIVAL.c.study_uid,
        STUDY.c.generation == STUDY.c.indexed_generation,
    )
    here = ARRIVAL.c.title == title.ae_title
    if study_uids is not None:
        here &= ARRIVAL.c.study_uid.in_(list(study_uids))
    for which, due in (
        (~ARRIVAL.c.fresh & settled, now),
        (sa.true(), _quiet(now, title)),
    ):
        connection.execute(
            sa.update(ARRIVAL).where(here, which, ARRIVAL.c.due_at > due).values(due_at=due)
        )


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Tell whether an arrival is due, without holding up who writes."""
    return connection.execute(_due(now).limit(1)).first() is not None


def close_due(connection: Connection, queue: JobQueue, now: datetime) -> int:
    """Enqueue the jobs of every arrival that is due; return how many arrivals there were.

    One that another process has in hand, with its study, is left to it or to the next look: a
    receiver holds the study and waits for the arrival, so whoever waits here the other way round
    would wait for ever.
    """
    rows = connection.execute(
        _due(now)
        .join(STUDY, STUDY.c.study_uid == ARRIVAL.c.study_uid)
        .order_by(ARRIVAL.c.due_at)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        _close(connection, queue, row)
    return len(rows)


def wait_anew(connection: Connection, now: datetime, *, all_of_them: bool) -> None:
    """Let arrivals begin their wait now, after the clock has jumped or may have.

    Parameters
    ----------
    all_of_them
        Whether it has jumped for certain, either way. Else only those begin anew whose last
        instance lies in the future, which proves that it was put back.
    """
    which = sa.true() if all_of_them else ARRIVAL.c.last_at > now
    for row in connection.execute(sa.select(ARRIVAL).where(which).with_for_update()).all():
        connection.execute(
            sa.update(ARRIVAL)
            .where(ARRIVAL.c.study_uid == row.study_uid, ARRIVAL.c.title == row.title)
            .values(
                first_at=now - (row.last_at - row.first_at),
                last_at=now,
                due_at=now + max(row.due_at - row.last_at, timedelta(0)),
            )
        )


def _close(connection: Connection, queue: JobQueue, row: Row[Any]) -> None:
    known = study.find(connection, row.study_uid)
    settled = known is not None and known.indexed_generation == known.generation
    after_id: int | None = None
    for kind in json.loads(row.jobs):
        if kind == INDEX and settled:
            continue
        job = NewJob(kind, row.study_uid, {} if kind == INDEX else json.loads(row.argument))
        same_act = row.first_at - _ONE_ACT, row.first_at
        if settled and not row.fresh and queue.is_asked_already(connection, job, *same_act):
            continue
        after_id = queue.enqueue(connection, job, after_id=after_id)
    connection.execute(
        sa.delete(ARRIVAL).where(ARRIVAL.c.study_uid == row.study_uid, ARRIVAL.c.title == row.title)
    )


def _due(now: datetime) -> sa.Select[Any]:
    return sa.select(ARRIVAL).where(ARRIVAL.c.due_at <= now)


def _quiet(now: datetime, title: TitleSettings) -> datetime:
    return now + timedelta(seconds=title.quiet_seconds)


# every reception runs these: they are made once
_HERE = (ARRIVAL.c.study_uid == sa.bindparam("uid")) & (ARRIVAL.c.title == sa.bindparam("called"))
_HELD = Prepared(sa.select(ARRIVAL).where(_HERE).with_for_update())
_EXTENDED = Prepared(sa.update(ARRIVAL).where(_HERE))
_OPENED = Prepared(sa.insert(ARRIVAL))
