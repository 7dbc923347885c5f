"""The linkage of a report that came by another road than DICOM: to which study it belongs.

By the Study Instance UID that it names, else by accession number, Patient ID and issuer together;
never by the accession number alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import study
from listener.instance import Instance, same_issued, same_patient
from listener.job import INDEX, NewJob
from listener.job_queue import JobQueue
from listener.named_lock import hold_names
from listener.prepared import Prepared
from listener.tables import ACCESSION, ARRIVAL, REPORT, STUDY

__all__ = [
    "NOT_COME",
    "LinkState",
    "hold_named",
    "hold_study",
    "is_any_to_link",
    "link",
    "link_each",
    "link_waiting",
    "note_accession",
    "reopen",
    "study_came",
]

NOT_COME = "its study has not come"
"""Why most reports wait."""


class LinkState(StrEnum):
    """How a report stands to its study.

    ``waiting``: its study has not come. ``linked``: it is read with its study. ``quarantined``:
    the study that it names is another patient's; kept, never used. ``lost``: its file vanished.
    """

    WAITING = "waiting"
    LINKED = "linked"
    QUARANTINED = "quarantined"
    LOST = "lost"


def hold_study(connection: Connection, instance: Instance) -> None:
    """Have whoever records a report of an instance's study wait until the transaction ends.

    Else two that come at once would each look for the other before it can be seen. To be called
    before anything is recorded; `study_came` looks.
    """
    hold_names(connection, _names(instance.study_uid, instance.accession_keys))


def hold_named(
    connection: Connection, named: Iterable[tuple[str | None, tuple[str, str] | None]]
) -> None:
    """Have whoever records an instance of the studies that reports name wait likewise.

    Parameters
    ----------
    named
        Study Instance UID and accession number's keys that each report names, or None.
    """
    hold_names(connection, (name for one in named for name in _names(*one)))


def study_came(connection: Connection, instance: Instance) -> None:
    """Link what waits for the study of an instance that was just recorded.

    The instance itself has its study indexed, once that is complete.
    """
    note_accession(connection, instance)
    _, number_key = instance.accession_keys or (None, None)
    named = {"uid": instance.study_uid, "number": number_key}
    for row in _WAITING_FOR.rows(connection, named):
        _link(connection, row)


def is_any_to_link(connection: Connection) -> bool:
    """Tell whether a report waits for a study that has come, without holding up who writes."""
    waiting = sa.select(REPORT.c.id).where(REPORT.c.state == LinkState.WAITING, _has_come())
    return connection.execute(waiting.limit(1)).first() is not None


def link_waiting(connection: Connection, queue: JobQueue, now: datetime) -> int:
    """Try once more for every report that waits; return how many found their studies.

    A study that was named before it came, or whose patient was not known, may be one of them.
    """
    names: list[str] = []
    waiting = sa.select(REPORT).where(REPORT.c.state == LinkState.WAITING, _has_come())
    for row in connection.execute(waiting).all():
        names += _names(row.named_study_uid, (row.accession_key, row.accession_number_key))
    hold_names(connection, names)
    return link_each(connection, queue, _has_come(), now)


def link(connection: Connection, queue: JobQueue, number: int, now: datetime) -> LinkState:
    """Link a report that was just recorded, where its study is there; return how it stands."""
    row = connection.execute(sa.select(REPORT).where(REPORT.c.id == number)).one()
    state, study_uid = _link(connection, row)
    if study_uid is not None:
        reopen(connection, queue, study_uid, now)
    return state


def link_each(
    connection: Connection, queue: JobQueue, which: sa.ColumnElement[bool], now: datetime
) -> int:
    """Link the waiting reports among these that can be, and have their studies read anew."""
    rows = connection.execute(_waiting(which)).all()
    linked = [study_uid for row in rows if (study_uid := _link(connection, row)[1]) is not None]
    for study_uid in linked:
        reopen(connection, queue, study_uid, now)
    return len(linked)


def reopen(connection: Connection, queue: JobQueue, study_uid: str, now: datetime) -> None:
    """Begin a study's next generation and have it indexed, at once where it is complete."""
    study.begin_generation(connection, study_uid, now)
    arriving = sa.select(ARRIVAL.c.study_uid).where(ARRIVAL.c.study_uid == study_uid)
    if connection.execute(arriving.limit(1)).first() is None:
        queue.enqueue(connection, NewJob(INDEX, study_uid))


def note_accession(connection: Connection, instance: Instance) -> None:
    """Remember the accession number that an instance gives its study, as keyed hashes."""
    if instance.accession_keys is None:
        return
    key, number_key = instance.accession_keys
    if _NUMBERED.first(connection, {"uid": instance.study_uid, "number": key}) is None:
        connection.execute(
            sa.insert(ACCESSION).values(
                study_uid=instance.study_uid, accession_key=key, accession_number_key=number_key
            )
        )


_SEVERAL = "several studies bear its accession number: have the sender name one by its UID"
_ANOTHER = "the study that it names is another patient's: look into RIS and PACS"
_NAMES_NONE = "it names neither a study, nor an accession number with a patient"


def _names(
    study_uid: str | None, accession_keys: tuple[str | None, str | None] | None
) -> list[str]:
    """Return what a study and its reports have in common, by which one waits for the other."""
    number_key = accession_keys and accession_keys[1]
    return [name for name in (study_uid, number_key) if name]


def _has_come() -> sa.ColumnElement[bool]:
    named = REPORT.c.named_study_uid.in_(sa.select(STUDY.c.study_uid))
    return named | REPORT.c.accession_number_key.in_(sa.select(ACCESSION.c.accession_number_key))


def _waiting(which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    waiting = sa.select(REPORT).where(REPORT.c.state == LinkState.WAITING, which)
    return waiting.order_by(REPORT.c.id).with_for_update()


# every reception runs these: they are made once
_NUMBERED = Prepared(
    sa.select(ACCESSION.c.study_uid).where(
        ACCESSION.c.study_uid == sa.bindparam("uid"),
        ACCESSION.c.accession_key == sa.bindparam("number"),
    )
)
_WAITING_FOR = Prepared(
    _waiting(
        sa.or_(
            REPORT.c.named_study_uid == sa.bindparam("uid"),
            REPORT.c.accession_number_key == sa.bindparam("number"),
        )
    )
)


def _link(connection: Connection, row: Row[Any]) -> tuple[LinkState, str | None]:
    """Link a waiting report where its study is there; return how it stands, and that study."""
    state, reason, study_uid = _judged(connection, row)
    connection.execute(
        sa.update(REPORT)
        .where(REPORT.c.id == row.id)
        .values(state=state, reason=reason, study_uid=study_uid)
    )
    return state, study_uid


def _judged(connection: Connection, row: Row[Any]) -> tuple[LinkState, str | None, str | None]:
    patient = None if row.patient_key is None else (row.patient_key, row.patient_id_key)
    if row.named_study_uid is not None:
        known = study.find(connection, row.named_study_uid)
        if known is None or known.patient_key is None:  # only asked for, not received
            return LinkState.WAITING, NOT_COME, None
        if patient is not None and not same_patient(_patient(known), patient):
            return LinkState.QUARANTINED, _ANOTHER, None
        return LinkState.LINKED, None, row.named_study_uid
    if patient is None or row.accession_key is None:
        return LinkState.WAITING, _NAMES_NONE, None
    found = _by_accession(connection, (row.accession_key, row.accession_number_key), patient)
    if len(found) == 1:
        return LinkState.LINKED, None, found.pop()
    return LinkState.WAITING, _SEVERAL if found else NOT_COME, None


def _by_accession(
    connection: Connection, accession: tuple[str, str], patient: tuple[str, str]
) -> set[str]:
    """Return the studies of this patient that bear this accession number."""
    rows = connection.execute(
        sa.select(STUDY, ACCESSION.c.accession_key)
        .join(ACCESSION, ACCESSION.c.study_uid == STUDY.c.study_uid)
        .where(ACCESSION.c.accession_number_key == accession[1], STUDY.c.patient_key.is_not(None))
    )
    return {
        row.study_uid
        for row in rows
        if same_patient(_patient(row), patient)
        and same_issued((row.accession_key, accession[1]), accession)
    }


def _patient(row: Row[Any]) -> tuple[str, str]:
    return row.patient_key, row.patient_id_key
