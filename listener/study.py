"""A study as the ledger keeps book of it: whose it is, how it grew, what of it is indexed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener.errors import LedgerError
from listener.instance import Instance
from listener.prepared import Prepared
from listener.tables import STUDY

__all__ = [
    "StudyRow",
    "advance",
    "begin_generation",
    "ensure",
    "find",
    "indexed",
    "mark_indexed",
    "of",
    "reopen",
]


@dataclass(frozen=True)
class StudyRow:
    """One study. ``generation`` grows with every new or changed instance, or linked report."""

    study_uid: str
    generation: int
    indexed_generation: int
    first_at: datetime
    last_at: datetime


def of(connection: Connection, study_uid: str) -> StudyRow:
    """Return a study's bookkeeping.

    Raises
    ------
    LedgerError
        If nothing of this study was ever received.
    """
    row = connection.execute(_of(study_uid)).first()
    if row is None:
        msg = "Nothing of this study was ever received."
        raise LedgerError(msg)
    return StudyRow(
        row.study_uid, row.generation, row.indexed_generation, row.first_at, row.last_at
    )


def find(connection: Connection, study_uid: str) -> Row[Any] | None:
    """Return a study's row, held until the transaction ends, or None."""
    return _HELD.first(connection, {"uid": study_uid})


def ensure(connection: Connection, study_uid: str, now: datetime) -> None:
    """Make a study's row where a request is the first that is heard of it."""
    if find(connection, study_uid) is None:
        _insert(connection, study_uid, now)


def advance(
    connection: Connection, instance: Instance, known: Row[Any] | None, now: datetime
) -> None:
    """Begin the next generation of an instance's study, whose row is given where there is one."""
    keys = {"patient_key": instance.patient_key, "patient_id_key": instance.patient_id_key}
    if known is None:
        _insert(connection, instance.study_uid, now, generation=1, **keys)
        return
    if known.patient_key not in (None, known.patient_id_key):
        keys = {}  # an issuer, once known, stays
    row = {"uid": instance.study_uid, "generation": known.generation + 1, "last_at": now}
    _CHANGED.run(connection, {**row, **keys})


def begin_generation(connection: Connection, study_uid: str, now: datetime) -> None:
    """Begin the next generation of a study that is there, for something else than an instance."""
    connection.execute(
        sa.update(STUDY)
        .where(STUDY.c.study_uid == study_uid)
        .values(generation=STUDY.c.generation + 1, last_at=now)
    )


def mark_indexed(connection: Connection, study_uid: str, generation: int) -> None:
    """Note that the study is indexed as it stood at ``generation``."""
    connection.execute(
        sa.update(STUDY)
        .where(STUDY.c.study_uid == study_uid, STUDY.c.indexed_generation < generation)
        .values(indexed_generation=generation)
    )


def indexed(among: sa.Select[tuple[str]]) -> sa.Select[tuple[str]]:
    """Return the query for those of some studies that count as indexed."""
    return sa.select(STUDY.c.study_uid).where(
        STUDY.c.indexed_generation > 0, STUDY.c.study_uid.in_(among)
    )


def reopen(connection: Connection, among: sa.Select[tuple[str]]) -> None:
    """Note of every study among these that it is not indexed."""
    connection.execute(
        sa.update(STUDY).where(STUDY.c.study_uid.in_(among)).values(indexed_generation=0)
    )


def _of(study_uid: str) -> sa.Select[Any]:
    return sa.select(STUDY).where(STUDY.c.study_uid == study_uid)


def _insert(connection: Connection, study_uid: str, now: datetime, **values: str | int) -> None:
    given: dict[str, str | int] = {"generation": 0, **values}
    connection.execute(
        sa.insert(STUDY).values(
            study_uid=study_uid, indexed_generation=0, first_at=now, last_at=now, **given
        )
    )


# every reception runs these: they are made once
_HELD = Prepared(sa.select(STUDY).where(STUDY.c.study_uid == sa.bindparam("uid")).with_for_update())
_CHANGED = Prepared(sa.update(STUDY).where(STUDY.c.study_uid == sa.bindparam("uid")))
