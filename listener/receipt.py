"""A receipt: what became of one received instance, version by version."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import milestone, study
from listener.instance import Instance, same_patient
from listener.prepared import Prepared
from listener.tables import INSTANCE

__all__ = [
    "HOLDING",
    "InstanceRow",
    "InstanceState",
    "Origin",
    "Outcome",
    "Recorded",
    "files",
    "is_committed",
    "kept_studies",
    "knows_file",
    "latest",
    "leave",
    "mark_lost",
    "move_file",
    "of_any",
    "of_instance",
    "of_study",
    "record",
    "record_filtered",
    "studies_since",
]


class InstanceState(StrEnum):
    """What became of a received instance.

    ``stored``: kept and current. ``superseded``: kept, a newer version exists. ``filtered``: not
    used, bytes not kept. ``unused``: not used, kept because that was committed to.
    ``quarantined``: kept, never used. ``expired``: deleted by the retention setting. ``lost``: its
    file vanished from the inbox, which only an operator can explain.
    """

    STORED = "stored"
    SUPERSEDED = "superseded"
    FILTERED = "filtered"
    UNUSED = "unused"
    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    LOST = "lost"


HOLDING = frozenset(
    {
        InstanceState.STORED,
        InstanceState.SUPERSEDED,
        InstanceState.UNUSED,
        InstanceState.QUARANTINED,
    }
)
"""The states in which an instance has a file in the inbox."""


class Outcome(StrEnum):
    """What recording an instance came to."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "changed"
    QUARANTINED = "quarantined"
    FILTERED = "filtered"


@dataclass(frozen=True)
class Recorded:
    """The outcome of recording one instance, its version, and where its content lies, if at all.

    A known instance keeps its first file: one that was received again is not needed.
    """

    outcome: Outcome
    version: int
    path: Path | None


@dataclass(frozen=True)
class Origin:
    """When an instance came, and along which way."""

    received_at: datetime
    calling_ae: str
    called_ae: str


@dataclass(frozen=True)
class InstanceRow:
    """One version of one received instance; ``path`` is None where its bytes are not kept."""

    sop_instance_uid: str
    version: int
    study_uid: str
    series_uid: str
    sop_class_uid: str
    transfer_syntax: str
    digest: str
    size: int
    path: Path | None
    state: InstanceState
    reason: str | None
    received_at: datetime
    calling_ae: str
    called_ae: str
    patient_key: str

    @classmethod
    def of(cls, row: Row[Any]) -> InstanceRow:
        """Return the version that a row of the table holds."""
        return cls(
            sop_instance_uid=row.sop_instance_uid,
            version=row.version,
            study_uid=row.study_uid,
            series_uid=row.series_uid,
            sop_class_uid=row.sop_class_uid,
            transfer_syntax=row.transfer_syntax,
            digest=row.digest,
            size=row.size,
            path=None if row.path is None else Path(row.path),
            state=InstanceState(row.state),
            reason=row.reason,
            received_at=row.received_at,
            calling_ae=row.calling_ae,
            called_ae=row.called_ae,
            patient_key=row.patient_key,
        )


def record(connection: Connection, instance: Instance, origin: Origin) -> Recorded:
    """Record a kept instance; content that is new or changed begins its study's next generation.

    The same content again is nothing new. Other content under the same UID is a new version. A
    changed patient or study is quarantined.
    """
    versions = _versions(connection, instance)
    known = _known(versions, instance)
    if known is not None:
        return known
    number = 1 + len(versions)
    current = next((row for row in versions if row.state == InstanceState.STORED), None)
    known_study = study.find(connection, instance.study_uid)
    conflict = _identity_conflict(instance, current, known_study)
    if conflict is not None:
        _insert(connection, instance, number, origin, InstanceState.QUARANTINED, conflict)
        return Recorded(Outcome.QUARANTINED, number, instance.path)
    if current is not None:
        connection.execute(
            sa.update(INSTANCE)
            .where(
                INSTANCE.c.sop_instance_uid == current.sop_instance_uid,
                INSTANCE.c.version == current.version,
            )
            .values(state=InstanceState.SUPERSEDED, reason="a newer version came")
        )
        superseded = [(current.sop_instance_uid, current.version)]
        milestone.note_state(connection, superseded, InstanceState.SUPERSEDED, origin.received_at)
    _insert(connection, instance, number, origin, InstanceState.STORED)
    study.advance(connection, instance, known_study, origin.received_at)
    outcome = Outcome.NEW if current is None else Outcome.CHANGED
    return Recorded(outcome, number, instance.path)


def record_filtered(
    connection: Connection, instance: Instance, reason: str, origin: Origin
) -> Recorded:
    """Record an instance that is not used and whose bytes are not kept."""
    versions = _versions(connection, instance)
    known = _known(versions, instance)
    if known is not None:
        return Recorded(Outcome.FILTERED, known.version, None)
    number = 1 + len(versions)
    _insert(connection, instance, number, origin, InstanceState.FILTERED, reason)
    return Recorded(Outcome.FILTERED, number, None)


def leave(
    connection: Connection,
    sop_instance_uid: str,
    state: InstanceState,
    reason: str,
    now: datetime,
) -> list[Path]:
    """Let a stored instance be used no more; return its files, none where none was stored."""
    stored = (INSTANCE.c.sop_instance_uid == sop_instance_uid) & (
        INSTANCE.c.state == InstanceState.STORED
    )
    rows = connection.execute(sa.select(INSTANCE.c.version, INSTANCE.c.path).where(stored)).all()
    connection.execute(sa.update(INSTANCE).where(stored).values(state=state, reason=reason))
    left = [(sop_instance_uid, row.version) for row in rows]
    milestone.note_state(connection, left, state, now)
    return [Path(row.path) for row in rows if row.path]


def is_committed(connection: Connection, sop_instance_uid: str) -> bool:
    """Tell whether somebody was told that an instance is kept."""
    query = sa.exists().where(
        INSTANCE.c.sop_instance_uid == sop_instance_uid, INSTANCE.c.committed_at.is_not(None)
    )
    return bool(connection.execute(sa.select(query)).scalar())


def of_study(
    connection: Connection, study_uid: str, states: Collection[InstanceState]
) -> tuple[InstanceRow, ...]:
    """Return a study's instances in these states, in the order of their arrival."""
    query = sa.select(INSTANCE).where(
        INSTANCE.c.study_uid == study_uid, INSTANCE.c.state.in_(list(states))
    )
    return _rows(connection, query.order_by(INSTANCE.c.received_at, INSTANCE.c.version))


def of_instance(connection: Connection, sop_instance_uid: str) -> tuple[InstanceRow, ...]:
    """Return every version of one instance, the first version first."""
    query = sa.select(INSTANCE).where(INSTANCE.c.sop_instance_uid == sop_instance_uid)
    return _rows(connection, query.order_by(INSTANCE.c.version))


def of_any(connection: Connection, uid: str) -> tuple[InstanceRow, ...]:
    """Return every version of what a SOP Instance, Study or Series Instance UID names.

    The UIDs are tried in this order; instances come in the order of their arrival.
    """
    for column in (INSTANCE.c.sop_instance_uid, INSTANCE.c.study_uid, INSTANCE.c.series_uid):
        query = sa.select(INSTANCE).where(column == uid)
        order = (INSTANCE.c.received_at, INSTANCE.c.sop_instance_uid, INSTANCE.c.version)
        rows = _rows(connection, query.order_by(*order))
        if rows:
            return rows
    return ()


def studies_since(
    connection: Connection, moment: datetime, states: Collection[InstanceState]
) -> tuple[str, ...]:
    """Return the studies of which something in these states was received since a moment."""
    query = (
        sa.select(INSTANCE.c.study_uid)
        .where(INSTANCE.c.received_at >= moment, INSTANCE.c.state.in_(list(states)))
        .distinct()
        .order_by(INSTANCE.c.study_uid)
    )
    return tuple(connection.execute(query).scalars())


def latest(
    connection: Connection, states: Collection[InstanceState], limit: int
) -> tuple[InstanceRow, ...]:
    """Return the instances in these states that came last, the latest first."""
    query = sa.select(INSTANCE).where(INSTANCE.c.state.in_(list(states)))
    return _rows(connection, query.order_by(INSTANCE.c.received_at.desc()).limit(limit))


def files(connection: Connection) -> dict[Path, InstanceState]:
    """Return every file that stands in a receipt, with its current state."""
    query = sa.select(INSTANCE.c.path, INSTANCE.c.state).where(INSTANCE.c.path.is_not(None))
    return {Path(p): InstanceState(s) for p, s in connection.execute(query)}


def knows_file(connection: Connection, path: Path) -> bool:
    """Tell whether a receipt names a file."""
    query = sa.select(INSTANCE.c.version).where(INSTANCE.c.path == str(path)).limit(1)
    return connection.execute(query).first() is not None


def move_file(connection: Connection, old: Path, new: Path) -> None:
    """Note that a received file lies somewhere else now."""
    connection.execute(sa.update(INSTANCE).where(INSTANCE.c.path == str(old)).values(path=str(new)))


def mark_lost(connection: Connection, path: Path, now: datetime) -> None:
    """Note that a file that should be in the inbox is not."""
    held = (INSTANCE.c.path == str(path)) & INSTANCE.c.state.in_(list(HOLDING))
    rows = connection.execute(
        sa.select(INSTANCE.c.sop_instance_uid, INSTANCE.c.version).where(held)
    )
    lost = [(row.sop_instance_uid, row.version) for row in rows]
    connection.execute(
        sa.update(INSTANCE)
        .where(held)
        .values(state=InstanceState.LOST, reason="its file is missing from the inbox")
    )
    milestone.note_state(connection, lost, InstanceState.LOST, now)


def kept_studies() -> sa.Select[tuple[str]]:
    """Return the query for the studies of which an instance is stored."""
    return (
        sa.select(INSTANCE.c.study_uid).where(INSTANCE.c.state == InstanceState.STORED).distinct()
    )


# every reception runs these: they are made once
_EVERY_VERSION = Prepared(
    sa.select(INSTANCE)
    .where(INSTANCE.c.sop_instance_uid == sa.bindparam("uid"))
    .order_by(INSTANCE.c.version)
    .with_for_update()
)
_NEW_VERSION = Prepared(sa.insert(INSTANCE))

_KNOWN_AS: Mapping[str, Outcome] = {
    InstanceState.STORED: Outcome.KNOWN,
    InstanceState.QUARANTINED: Outcome.QUARANTINED,
    InstanceState.FILTERED: Outcome.FILTERED,
    InstanceState.UNUSED: Outcome.FILTERED,
}


def _versions(connection: Connection, instance: Instance) -> Sequence[Row[Any]]:
    """Return every version of an instance; they are numbered from 1 without gaps."""
    return _EVERY_VERSION.rows(connection, {"uid": instance.sop_instance_uid})


def _known(versions: Sequence[Row[Any]], instance: Instance) -> Recorded | None:
    """Return how the very same content stands already, or None."""
    for row in reversed(versions):
        outcome = _KNOWN_AS.get(row.state)
        if outcome is not None and row.digest == instance.digest:
            kept = row.path is not None and outcome is not Outcome.FILTERED
            return Recorded(outcome, row.version, Path(row.path) if kept else None)
    return None


def _identity_conflict(
    instance: Instance, current: Row[Any] | None, known_study: Row[Any] | None
) -> str | None:
    """Say which identity changed, or None."""
    if current is not None and current.study_uid != instance.study_uid:
        return "the instance came before with another study identity"
    if known_study is None or known_study.patient_key is None:
        return None
    before = (known_study.patient_key, known_study.patient_id_key)
    if not same_patient(before, (instance.patient_key, instance.patient_id_key)):
        return "the study came before with another patient identity"
    return None


def _insert(
    connection: Connection,
    instance: Instance,
    version: int,
    origin: Origin,
    state: InstanceState,
    reason: str | None = None,
) -> None:
    row = {
        "sop_instance_uid": instance.sop_instance_uid,
        "version": version,
        "study_uid": instance.study_uid,
        "series_uid": instance.series_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax": instance.transfer_syntax,
        "digest": instance.digest,
        "size": instance.size,
        "path": None if instance.path is None else str(instance.path),
        "state": state,
        "reason": reason,
        "patient_key": instance.patient_key,
        "received_at": origin.received_at,
        "calling_ae": origin.calling_ae,
        "called_ae": origin.called_ae,
    }
    _NEW_VERSION.run(connection, row)


def _rows(connection: Connection, query: sa.Select[Any]) -> tuple[InstanceRow, ...]:
    return tuple(InstanceRow.of(row) for row in connection.execute(query))
