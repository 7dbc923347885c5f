"""The linkage of a report that came by another road than DICOM: to which study it belongs.

By the Study Instance UID that it names, else by accession number, Patient ID and issuer together;
never by the accession number alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import study
from listener.instance import Instance, same_issued, same_patient
from listener.job import INDEX, NewJob
from listener.job_queue import JobQueue
from listener.named_lock import hold_names
from listener.report import ReportStatus
from listener.tables import ACCESSION, ARRIVAL, REPORT, STUDY

__all__ = [
    "LinkState",
    "NewReport",
    "ReportRow",
    "counts",
    "current",
    "files",
    "hold_study",
    "is_any_to_link",
    "latest",
    "link_waiting",
    "mark_lost",
    "move_file",
    "note_accession",
    "of_study",
    "record",
    "study_came",
]


class LinkState(StrEnum):
    """How a report stands to its study.

    ``waiting``: its study has not come. ``linked``: it is read with its study. ``quarantined``:
    the study that it names is another patient's; kept, never used. ``lost``: its file vanished.
    """

    WAITING = "waiting"
    LINKED = "linked"
    QUARANTINED = "quarantined"
    LOST = "lost"


@dataclass(frozen=True)
class NewReport:
    """A report to be recorded, with keyed hashes of whatever identifies somebody.

    Parameters
    ----------
    message_key, position
        The message or file that it came in, and which of its reports it is.
    path
        Where the message lies.
    study_uid
        The study that it names, or None.
    patient_keys, accession_keys
        As `listener.instance.issued_keys`; None where it names none.
    order_key
        The same for every version of one report.
    """

    message_key: str
    position: int
    path: Path
    status: ReportStatus
    addendum: bool
    at: datetime | None
    study_uid: str | None
    patient_keys: tuple[str, str] | None
    accession_keys: tuple[str, str] | None
    order_key: str


@dataclass(frozen=True)
class ReportRow:
    """One recorded report; ``study_uid`` is the study it is linked to, else the one it names."""

    id: int
    message_key: str
    position: int
    path: Path
    state: LinkState
    reason: str | None
    status: ReportStatus
    addendum: bool
    at: datetime | None
    received_at: datetime
    study_uid: str | None
    order_key: str

    @classmethod
    def of(cls, row: Row[Any]) -> ReportRow:
        """Return the report that a row of the table holds."""
        return cls(
            id=row.id,
            message_key=row.message_key,
            position=row.position,
            path=Path(row.path),
            state=LinkState(row.state),
            reason=row.reason,
            status=ReportStatus(row.status),
            addendum=row.addendum,
            at=row.at,
            received_at=row.received_at,
            study_uid=row.study_uid or row.named_study_uid,
            order_key=row.order_key,
        )


def record(
    connection: Connection, queue: JobQueue, reports: Sequence[NewReport], now: datetime
) -> list[LinkState]:
    """Record the reports of one message and link what can be; return how each stands.

    A message that is known already is nothing new: the list is empty. One whose file was lost is
    used again.
    """
    hold_names(
        connection, (n for one in reports for n in _names(one.study_uid, one.accession_keys))
    )
    same = REPORT.c.message_key == reports[0].message_key
    known = connection.execute(sa.select(REPORT.c.path, REPORT.c.state).where(same)).first()
    if known is not None:
        if known.state == LinkState.LOST:
            move_file(connection, Path(known.path), reports[0].path)
            _link_and_reopen(connection, queue, same, now)
        return []
    inserted = [_insert(connection, report, now) for report in reports]
    states = []
    for number in inserted:
        state, study_uid = _link(connection, _row(connection, number))
        states.append(state)
        if study_uid is not None:
            _reopen(connection, queue, study_uid, now)
    return states


def hold_study(connection: Connection, instance: Instance) -> None:
    """Have whoever records a report of an instance's study wait until the transaction ends.

    Else two that come at once would each look for the other before it can be seen. To be called
    before anything is recorded; `study_came` looks.
    """
    hold_names(connection, _names(instance.study_uid, instance.accession_keys))


def study_came(connection: Connection, instance: Instance) -> None:
    """Link what waits for the study of an instance that was just recorded.

    The instance itself has its study indexed, once that is complete.
    """
    note_accession(connection, instance)
    _, number_key = instance.accession_keys or (None, None)
    named = {"uid": instance.study_uid, "number": number_key}
    for row in connection.execute(_WAITING_FOR, named).all():
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
    return _link_and_reopen(connection, queue, _has_come(), now)


def note_accession(connection: Connection, instance: Instance) -> None:
    """Remember the accession number that an instance gives its study, as keyed hashes."""
    if instance.accession_keys is None:
        return
    key, number_key = instance.accession_keys
    here = (ACCESSION.c.study_uid == instance.study_uid) & (ACCESSION.c.accession_key == key)
    if connection.execute(sa.select(ACCESSION.c.study_uid).where(here)).first() is None:
        connection.execute(
            sa.insert(ACCESSION).values(
                study_uid=instance.study_uid, accession_key=key, accession_number_key=number_key
            )
        )


def of_study(connection: Connection, study_uid: str) -> tuple[ReportRow, ...]:
    """Return the reports that are linked to a study, in the order in which they came."""
    query = sa.select(REPORT).where(
        REPORT.c.study_uid == study_uid, REPORT.c.state == LinkState.LINKED
    )
    return tuple(ReportRow.of(row) for row in connection.execute(query.order_by(REPORT.c.id)))


def current(reports: Iterable[ReportRow]) -> tuple[ReportRow, ...]:
    """Return the reports of one study that count: of each order the version in force, and addenda.

    Final and corrected reports replace what was written before them, a preliminary one only other
    preliminary ones; a withdrawal takes back everything before it. Of two with the same time the
    one that came later is the later. Where nothing of an order is left, its withdrawal stands.
    """
    orders: dict[str, list[ReportRow]] = {}
    for report in sorted(reports, key=lambda r: (r.at or r.received_at, r.id)):
        before = orders.setdefault(report.order_key, [])
        before[:] = [one for one in before if not _replaces(report, one)]
        before.append(report)
    return tuple(
        report
        for versions in orders.values()
        for report in versions
        if not _is_outranked(report, versions)
    )


def latest(
    connection: Connection, states: Collection[LinkState], limit: int
) -> tuple[ReportRow, ...]:
    """Return the reports in these states that came last, the latest first."""
    query = sa.select(REPORT).where(REPORT.c.state.in_(list(states)))
    rows = connection.execute(query.order_by(REPORT.c.id.desc()).limit(limit))
    return tuple(ReportRow.of(row) for row in rows)


def counts(connection: Connection) -> dict[LinkState, int]:
    """Return how many reports there are in each state."""
    query = sa.select(REPORT.c.state, sa.func.count()).group_by(REPORT.c.state)
    return {LinkState(state): number for state, number in connection.execute(query)}


def files(connection: Connection) -> dict[Path, LinkState]:
    """Return every message file that a report stands in, with the state of one of its reports."""
    query = sa.select(REPORT.c.path, REPORT.c.state)
    return {Path(path): LinkState(state) for path, state in connection.execute(query)}


def move_file(connection: Connection, old: Path, new: Path) -> None:
    """Note where a message's file lies now; reports that were lost with it wait again."""
    here = REPORT.c.path == str(old)
    connection.execute(
        sa.update(REPORT)
        .where(here, REPORT.c.state == LinkState.LOST)
        .values(state=LinkState.WAITING, reason=_NOT_COME)
    )
    connection.execute(sa.update(REPORT).where(here).values(path=str(new)))


def mark_lost(connection: Connection, queue: JobQueue, path: Path, now: datetime) -> None:
    """Note that a message's file is gone; the studies that it was read with are read anew."""
    here = REPORT.c.path == str(path)
    linked = connection.execute(
        sa.select(REPORT.c.study_uid).where(here, REPORT.c.state == LinkState.LINKED)
    ).all()
    connection.execute(
        sa.update(REPORT)
        .where(here)
        .values(state=LinkState.LOST, reason="its file is missing from the reports' folder")
    )
    for row in linked:
        _reopen(connection, queue, row.study_uid, now)


_NOT_COME = "its study has not come"
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


def _replaces(report: ReportRow, before: ReportRow) -> bool:
    if report.status is ReportStatus.WITHDRAWN:
        return True
    if report.addendum != before.addendum:
        return False
    if report.status is ReportStatus.PRELIMINARY:
        return before.status is ReportStatus.PRELIMINARY
    # addenda stand side by side; a corrected one stands for those before it
    return not report.addendum or report.status is ReportStatus.CORRECTED


def _is_outranked(report: ReportRow, versions: Sequence[ReportRow]) -> bool:
    """Tell whether a report counts no more beside what else is left of its order."""
    others = [one for one in versions if one is not report]
    if report.status is ReportStatus.WITHDRAWN:
        return bool(others)
    told = (ReportStatus.FINAL, ReportStatus.CORRECTED)
    return report.status is ReportStatus.PRELIMINARY and any(
        one.status in told and one.addendum == report.addendum for one in others
    )


def _insert(connection: Connection, report: NewReport, now: datetime) -> int:
    patient, accession = report.patient_keys, report.accession_keys
    inserted = connection.execute(
        sa.insert(REPORT).values(
            message_key=report.message_key,
            position=report.position,
            path=str(report.path),
            state=LinkState.WAITING,
            reason=_NOT_COME,
            status=report.status,
            addendum=report.addendum,
            at=report.at,
            received_at=now,
            named_study_uid=report.study_uid,
            patient_key=patient and patient[0],
            patient_id_key=patient and patient[1],
            accession_key=accession and accession[0],
            accession_number_key=accession and accession[1],
            order_key=report.order_key,
        )
    )
    return int(inserted.inserted_primary_key[0])  # type: ignore[index]  # one row, one key


def _row(connection: Connection, number: int) -> Row[Any]:
    return connection.execute(sa.select(REPORT).where(REPORT.c.id == number)).one()


def _link_and_reopen(
    connection: Connection, queue: JobQueue, which: sa.ColumnElement[bool], now: datetime
) -> int:
    """Link the waiting reports among these that can be, and have their studies read anew."""
    linked = _link_each(connection, which)
    for study_uid in linked:
        _reopen(connection, queue, study_uid, now)
    return len(linked)


def _link_each(connection: Connection, which: sa.ColumnElement[bool]) -> list[str]:
    """Link the waiting reports among these that can be; return the studies, one a report."""
    rows = connection.execute(_waiting(which)).all()
    linked = [_link(connection, row)[1] for row in rows]
    return [study_uid for study_uid in linked if study_uid is not None]


def _waiting(which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    waiting = sa.select(REPORT).where(REPORT.c.state == LinkState.WAITING, which)
    return waiting.order_by(REPORT.c.id).with_for_update()


# every reception runs it: it is made once
_WAITING_FOR = _waiting(
    sa.or_(
        REPORT.c.named_study_uid == sa.bindparam("uid"),
        REPORT.c.accession_number_key == sa.bindparam("number"),
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
            return LinkState.WAITING, _NOT_COME, None
        if patient is not None and not same_patient(_patient(known), patient):
            return LinkState.QUARANTINED, _ANOTHER, None
        return LinkState.LINKED, None, row.named_study_uid
    if patient is None or row.accession_key is None:
        return LinkState.WAITING, _NAMES_NONE, None
    found = _by_accession(connection, (row.accession_key, row.accession_number_key), patient)
    if len(found) == 1:
        return LinkState.LINKED, None, found.pop()
    return LinkState.WAITING, _SEVERAL if found else _NOT_COME, None


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


def _reopen(connection: Connection, queue: JobQueue, study_uid: str, now: datetime) -> None:
    """Begin a study's next generation and have it indexed, at once where it is complete."""
    study.begin_generation(connection, study_uid, now)
    arriving = sa.select(ARRIVAL.c.study_uid).where(ARRIVAL.c.study_uid == study_uid)
    if connection.execute(arriving.limit(1)).first() is None:
        queue.enqueue(connection, NewJob(INDEX, study_uid))
