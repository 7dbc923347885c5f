"""A milestone: when a received instance came to where its receipt says that it stands.

The receipt tells what holds now. Its milestones tell since when, and what the instance is to an
index; the words of that are the worker's, and mean nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener.job import canonical
from listener.tables import INSTANCE, MILESTONE

__all__ = [
    "PLACED",
    "Milestone",
    "Placement",
    "count_placed",
    "forget_placements",
    "note_placements",
    "note_state",
    "of_study",
]

PLACED = "placed"
"""The kind of milestone that tells what an instance is to an index."""


@dataclass(frozen=True)
class Milestone:
    """One dated step in the life of one version of an instance.

    ``kind`` is `PLACED`, or the state of the receipt that began. ``index`` is empty but for
    `PLACED`.
    """

    sop_instance_uid: str
    version: int
    kind: str
    index: str
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Placement:
    """What one version of an instance is to an index: of use there, or why not.

    Parameters
    ----------
    detail
        In the worker's words, as JSON holds them; never a patient's data.
    """

    sop_instance_uid: str
    version: int
    detail: Mapping[str, Any] = field(default_factory=dict)


def count_placed(connection: Connection, index: str, detail: Mapping[str, str]) -> int:
    """Count the instances that are something to an index; `detail` is a part of what is kept."""
    query = sa.select(sa.func.count(sa.distinct(MILESTONE.c.sop_instance_uid))).where(
        MILESTONE.c.kind == PLACED,
        MILESTONE.c.index_name == index,
        *(
            MILESTONE.c.detail.contains(canonical({name: value})[1:-1], autoescape=True)
            for name, value in detail.items()
        ),
    )
    return int(connection.execute(query).scalar_one())


def note_state(
    connection: Connection,
    versions: Collection[tuple[str, int]],
    state: str,
    now: datetime,
) -> None:
    """Note that versions (SOP Instance UID and number) of instances began a state now."""
    for sop_instance_uid, version in versions:
        _note(connection, Milestone(sop_instance_uid, version, state, "", now, {}))


def note_placements(
    connection: Connection, index: str, placements: Collection[Placement], now: datetime
) -> None:
    """Note what instances are to an index since now; it replaces what they were to it before."""
    for placed in placements:
        uid, version = placed.sop_instance_uid, placed.version
        _note(connection, Milestone(uid, version, PLACED, index, now, placed.detail))


def forget_placements(connection: Connection, index: str) -> None:
    """Forget what instances were to an index, for one that was lost."""
    connection.execute(
        sa.delete(MILESTONE).where(MILESTONE.c.kind == PLACED, MILESTONE.c.index_name == index)
    )


def of_study(connection: Connection, study_uid: str) -> tuple[Milestone, ...]:
    """Return the milestones of a study's instances, in the order of time."""
    same = (INSTANCE.c.sop_instance_uid == MILESTONE.c.sop_instance_uid) & (
        INSTANCE.c.version == MILESTONE.c.version
    )
    rows = connection.execute(
        sa.select(MILESTONE)
        .join(INSTANCE, same)
        .where(INSTANCE.c.study_uid == study_uid)
        .order_by(MILESTONE.c.at, MILESTONE.c.sop_instance_uid, MILESTONE.c.version)
    )
    return tuple(
        Milestone(
            sop_instance_uid=row.sop_instance_uid,
            version=row.version,
            kind=row.kind,
            index=row.index_name,
            at=row.at,
            detail=json.loads(row.detail),
        )
        for row in rows
    )


def _note(connection: Connection, one: Milestone) -> None:
    key = {
        "sop_instance_uid": one.sop_instance_uid,
        "version": one.version,
        "kind": one.kind,
        "index_name": one.index,
    }
    connection.execute(
        sa.delete(MILESTONE).where(*(MILESTONE.c[name] == value for name, value in key.items()))
    )
    connection.execute(sa.insert(MILESTONE).values(**key, at=one.at, detail=canonical(one.detail)))
