"""The rows of the crosswalk: their tables, and how each is sealed, marked and found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from pipeline.seal import Seal

__all__ = [
    "AGAIN",
    "COPY",
    "DELIVERY",
    "METADATA",
    "NOTED",
    "ONE",
    "REJECTED",
    "SEAL",
    "STORED",
    "UNSEALED",
    "LibraryCopy",
    "copy_mark",
    "is_key",
    "key_mark",
    "one_copy",
    "opened_copy",
    "opened_rejection",
    "rejections",
    "seal_anew",
    "sealed_copy",
    "sealed_rejection",
    "source_mark",
    "study_mark",
    "unknown_copies",
    "unsealed_copies",
]

METADATA = sa.MetaData()
# one row: which key has sealed the others, and whether what was here unsealed is gone from the file
SEAL = sa.Table(
    "seal",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("key_mark", sa.String(64), nullable=False),
    sa.Column("is_clean", sa.Boolean, nullable=False),
)
COPY = sa.Table(
    "sealed_copy",
    METADATA,
    sa.Column("copy_mark", sa.String(64), primary_key=True),
    sa.Column("source_mark", sa.String(64), nullable=False, index=True),
    sa.Column("study_mark", sa.String(64), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("source_mark", "version"),
)
# `delivered_at` is empty from when a delivery is begun, then STORED where the destination is yet to
# commit to what it has acknowledged, and the time at last. AGAIN is one that is there and is being
# sent once more; NOTED and a time one of which the destination was told then that it is withdrawn,
# before it was certain that no more of it comes
DELIVERY = sa.Table(
    "sealed_delivery",
    METADATA,
    sa.Column(
        "copy_mark",
        sa.String(64),
        sa.ForeignKey("sealed_copy.copy_mark"),
        primary_key=True,
        nullable=False,
    ),
    sa.Column("destination", sa.String(64), primary_key=True, nullable=False),
    sa.Column("delivered_at", sa.String(32), nullable=False),
)
# sources that were rejected, each with the code of the reason: no copy is made of them again
REJECTED = sa.Table(
    "rejected",
    METADATA,
    sa.Column("source_mark", sa.String(64), primary_key=True),
    sa.Column("study_mark", sa.String(64), nullable=False, index=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
ONE: Final = 1
STORED: Final = "stored"
AGAIN: Final = "again"
NOTED: Final = "noted "
UNSEALED: Final = ("delivery", "copy")  # the tables of releases that sealed nothing


@dataclass(frozen=True)
class LibraryCopy:
    """One row: which copy stands for which source.

    ``copy_uid``, ``source_uid`` and ``source_study_uid`` are SOP and Study Instance UIDs;
    ``version`` counts the source's contents; ``created_at`` is timezone-aware, UTC.
    """

    copy_uid: str
    source_uid: str
    source_study_uid: str
    version: int
    created_at: datetime


def key_mark(seal: Seal) -> str:
    """Return the mark by which a key is known to be the right one."""
    return seal.mark("key")


def copy_mark(seal: Seal, uid: str) -> str:
    """Return the mark of a copy's SOP Instance UID."""
    return seal.mark("copy", uid)


def source_mark(seal: Seal, uid: str) -> str:
    """Return the mark of a source's SOP Instance UID."""
    return seal.mark("source", uid)


def study_mark(seal: Seal, uid: str) -> str:
    """Return the mark of a source's Study Instance UID."""
    return seal.mark("study", uid)


def is_key(connection: sa.Connection, key: bytes) -> bool:
    """Tell whether the table was sealed with this key."""
    mark: str = connection.execute(sa.select(SEAL.c.key_mark)).scalar_one()
    return key_mark(Seal(key)) == mark


def sealed_copy(seal: Seal, row: LibraryCopy) -> dict[str, str | int | bytes]:
    """Return a copy as a row of the table."""
    marks = {
        "copy_mark": copy_mark(seal, row.copy_uid),
        "source_mark": source_mark(seal, row.source_uid),
        "study_mark": study_mark(seal, row.source_study_uid),
    }
    text = json.dumps(
        [row.copy_uid, row.source_uid, row.source_study_uid, row.created_at.isoformat()]
    )
    sealed = seal.close(text, *marks.values(), str(row.version))
    return {**marks, "version": row.version, "sealed": sealed}


def opened_copy(seal: Seal, row: sa.Row[Any]) -> LibraryCopy:
    """Return the copy of a row.

    Raises
    ------
    SealError
        Where the row was changed.
    """
    marks = (row.copy_mark, row.source_mark, row.study_mark)
    copy_uid, source_uid, study_uid, created_at = json.loads(
        seal.open(row.sealed, *marks, str(row.version))
    )
    created = datetime.fromisoformat(created_at)
    return LibraryCopy(copy_uid, source_uid, study_uid, row.version, created)


def one_copy(
    connection: sa.Connection, seal: Seal, condition: sa.ColumnElement[bool]
) -> LibraryCopy | None:
    """Return the copy that a condition names, of the latest version; None where there is none."""
    query = sa.select(COPY).where(condition).order_by(COPY.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else opened_copy(seal, row)


def unknown_copies(
    connection: sa.Connection, seal: Seal, copy_uids: tuple[str, ...]
) -> tuple[str, ...]:
    """Return those that are not kept, or whose source was rejected, in their order."""
    marks = {copy_mark(seal, uid): uid for uid in copy_uids}
    query = sa.select(COPY.c.copy_mark).where(
        COPY.c.copy_mark.in_(marks), COPY.c.source_mark.not_in(sa.select(REJECTED.c.source_mark))
    )
    there = {marks[mark] for mark in connection.execute(query).scalars()}
    return tuple(uid for uid in copy_uids if uid not in there)


def seal_anew(connection: sa.Connection, old: Seal, new: Seal) -> int:
    """Seal every row with another key; return how many copies there are."""
    rows = [opened_copy(old, row) for row in connection.execute(sa.select(COPY))]
    places = list(connection.execute(sa.select(DELIVERY)))
    renamed = {copy_mark(old, row.copy_uid): copy_mark(new, row.copy_uid) for row in rows}
    connection.execute(sa.delete(DELIVERY))
    connection.execute(sa.delete(COPY))
    for row in rows:
        connection.execute(sa.insert(COPY).values(**sealed_copy(new, row)))
    for place in places:
        values = {**place._mapping, "copy_mark": renamed[place.copy_mark]}
        connection.execute(sa.insert(DELIVERY).values(**values))
    rejections = [opened_rejection(old, row) for row in connection.execute(sa.select(REJECTED))]
    connection.execute(sa.delete(REJECTED))
    for words in rejections:
        connection.execute(sa.insert(REJECTED).values(**sealed_rejection(new, *words)))
    return len(rows)


def rejections(connection: sa.Connection, seal: Seal, study_uid: str) -> dict[str, str]:
    """Return the reason of every rejected source of a study, by the source's UID."""
    of_study = REJECTED.c.study_mark == study_mark(seal, study_uid)
    rows = connection.execute(sa.select(REJECTED).where(of_study))
    return {uid: reason for uid, _, reason in (opened_rejection(seal, row) for row in rows)}


def sealed_rejection(
    seal: Seal, source_uid: str, study_uid: str, reason: str
) -> dict[str, str | bytes]:
    """Return a rejection as a row of the table."""
    marks = {
        "source_mark": source_mark(seal, source_uid),
        "study_mark": study_mark(seal, study_uid),
    }
    text = json.dumps([source_uid, study_uid, reason])
    return {**marks, "sealed": seal.close(text, *marks.values())}


def opened_rejection(seal: Seal, row: sa.Row[Any]) -> tuple[str, str, str]:
    """Return source, study and reason of a row.

    Raises
    ------
    SealError
        Where the row was changed.
    """
    source_uid, study_uid, reason = json.loads(
        seal.open(row.sealed, row.source_mark, row.study_mark)
    )
    return source_uid, study_uid, reason


def unsealed_copies(connection: sa.Connection) -> Mapping[LibraryCopy, Mapping[str, str]]:
    """Return what an earlier release has kept, with where each copy was delivered, and when."""
    if not sa.inspect(connection).has_table("copy"):
        return {}
    found: dict[LibraryCopy, dict[str, str]] = {}
    for row in connection.exec_driver_sql(
        "SELECT copy_uid, source_uid, source_study_uid, version, created_at FROM copy"
    ):
        uids = row.copy_uid, row.source_uid, row.source_study_uid
        copy = LibraryCopy(*uids, row.version, datetime.fromisoformat(row.created_at))
        places = connection.exec_driver_sql(
            "SELECT destination, delivered_at FROM delivery WHERE copy_uid = ?", (copy.copy_uid,)
        )
        found[copy] = {place.destination: place.delivered_at for place in places}
    return found
