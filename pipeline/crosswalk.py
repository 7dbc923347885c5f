"""The guarded table from library copy to source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from pipeline.database import open_database
from pipeline.errors import KeyFileError, PictureWithheldError, PriorRejectedError
from pipeline.key_file import KeyFile
from pipeline.seal import Seal

__all__ = ["Crosswalk", "LibraryCopy", "LookedUp", "RejectedCopy"]

_METADATA = sa.MetaData()
# one row: which key has sealed the others, and whether what was here unsealed is gone from the file
_SEAL = sa.Table(
    "seal",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("key_mark", sa.String(64), nullable=False),
    sa.Column("is_clean", sa.Boolean, nullable=False),
)
_COPY = sa.Table(
    "sealed_copy",
    _METADATA,
    sa.Column("copy_mark", sa.String(64), primary_key=True),
    sa.Column("source_mark", sa.String(64), nullable=False, index=True),
    sa.Column("study_mark", sa.String(64), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("source_mark", "version"),
)
_DELIVERY = sa.Table(
    "sealed_delivery",
    _METADATA,
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
_REJECTED = sa.Table(
    "rejected",
    _METADATA,
    sa.Column("source_mark", sa.String(64), primary_key=True),
    sa.Column("study_mark", sa.String(64), nullable=False, index=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
_ONE: Final = 1
_UNSEALED: Final = ("delivery", "copy")  # the tables of releases that sealed nothing


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


@dataclass(frozen=True)
class RejectedCopy:
    """A copy whose source was rejected: it is to be withdrawn where it was delivered.

    ``reason`` is the code of the rejection (PS3.16 CID 7010); ``destinations`` are the names of
    those that have it, or may have it: its delivery was begun and nobody knows how it ended.
    """

    copy: LibraryCopy
    reason: str
    destinations: frozenset[str]


LookedUp = Callable[[str, LibraryCopy | None], None]
"""Is told that a copy's source was looked up, and what the answer is."""


class Crosswalk:
    """Which library copy stands for which prior, and where it was delivered.

    Whoever reads it can go from a copy back to the patient. So it is kept apart from the index, in
    a file that only its owner may read (mode 0600), and sealed: without the key, which lies in a
    file of its own, nothing of it can be read. Columns that are looked for are marks, the rest is
    encrypted (`pipeline.seal.Seal`). Of a rejected source a mark stays.

    What a release before this one has kept unsealed is sealed when it is opened, and gone from the
    file before the constructor returns.

    Parameters
    ----------
    url
        SQLAlchemy URL of a SQLite file, for example ``sqlite:////var/lib/wristmir/crosswalk.db``.
    key_file
        Where the key is; made at first use, never beside a table that was sealed with another.
    clock
        Gives the time, timezone-aware.
    looked_up
        Is told of every way back from a copy to its source, before the answer is given.

    Raises
    ------
    KeyFileError
        Where the key is lost, or another one than that which sealed the table. So do all methods,
        where another process has changed the key and this one cannot read the new one.
    """

    def __init__(
        self,
        url: str,
        key_file: KeyFile,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        looked_up: LookedUp = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._looked_up = looked_up
        self._key_file = key_file
        self._engine = open_database(url, _METADATA)
        try:
            with self._locked() as connection:
                self._seal = self._opened(connection)
            self._clean()
        except BaseException:
            self._engine.dispose()
            raise

    def keep(
        self, copy_uid: str, source_uid: str, source_study_uid: str, version: int = 1
    ) -> LibraryCopy:
        """Remember a copy; the same one again changes nothing.

        Raises
        ------
        PictureWithheldError
            Where the source was rejected meanwhile.
        """
        with self._writing() as (connection, seal):
            known = _one(connection, seal, _COPY.c.copy_mark == _copy_mark(seal, copy_uid))
            if known is not None:
                return known
            here = _REJECTED.c.source_mark == _source_mark(seal, source_uid)
            if connection.execute(sa.select(_REJECTED).where(here)).one_or_none() is not None:
                detail = "It was rejected."
                raise PictureWithheldError(detail)
            row = LibraryCopy(copy_uid, source_uid, source_study_uid, version, self._now())
            connection.execute(sa.insert(_COPY).values(**_sealed(seal, row)))
            return row

    def of_copy(self, copy_uid: str) -> LibraryCopy | None:
        """Return the row of a copy: the way back to its source."""
        with self._reading() as (connection, seal):
            found = _one(connection, seal, _COPY.c.copy_mark == _copy_mark(seal, copy_uid))
        self._looked_up(copy_uid, found)
        return found

    def of_source(self, source_uid: str) -> LibraryCopy | None:
        """Return the copy of a source's latest version."""
        with self._reading() as (connection, seal):
            return _one(connection, seal, _COPY.c.source_mark == _source_mark(seal, source_uid))

    def unknown(self, copy_uids: Iterable[str]) -> tuple[str, ...]:
        """Return those of the copies that are not kept or whose source was rejected, in order."""
        with self._reading() as (connection, seal):
            return _unknown(connection, seal, tuple(dict.fromkeys(copy_uids)))

    def begin_delivery(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that copies are about to be sent: from now on the destination may have them.

        Raises
        ------
        PriorRejectedError
            Where one of them is not kept, or its source was rejected: none may be sent.
        """
        wanted = tuple(copy_uids)
        with self._writing() as (connection, seal):
            if _unknown(connection, seal, wanted):
                raise PriorRejectedError
            for mark in [_copy_mark(seal, uid) for uid in wanted]:
                here = (_DELIVERY.c.copy_mark == mark) & (_DELIVERY.c.destination == destination)
                if connection.execute(sa.select(_DELIVERY).where(here)).one_or_none() is None:
                    values = {"copy_mark": mark, "destination": destination, "delivered_at": ""}
                    connection.execute(sa.insert(_DELIVERY).values(**values))

    def mark_delivered(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that the destination has acknowledged copies whose delivery was begun."""
        with self._writing() as (connection, seal):
            marks = [_copy_mark(seal, uid) for uid in copy_uids]
            connection.execute(
                sa.update(_DELIVERY)
                .where(_DELIVERY.c.copy_mark.in_(marks), _DELIVERY.c.destination == destination)
                .values(delivered_at=self._now().isoformat())
            )

    def missing(self, copy_uids: Iterable[str], destination: str) -> tuple[str, ...]:
        """Return those of the copies that the destination has not acknowledged, in their order."""
        wanted = tuple(dict.fromkeys(copy_uids))
        with self._reading() as (connection, seal):
            marks = {_copy_mark(seal, uid): uid for uid in wanted}
            query = sa.select(_DELIVERY.c.copy_mark).where(
                _DELIVERY.c.destination == destination,
                _DELIVERY.c.copy_mark.in_(marks),
                _DELIVERY.c.delivered_at != "",
            )
            there = {marks[mark] for mark in connection.execute(query).scalars()}
        return tuple(uid for uid in wanted if uid not in there)

    def reject(self, source_study_uid: str, reasons: Mapping[str, str]) -> bool:
        """Remember which sources of a study are rejected; return whether copies of one are kept.

        What was rejected before and is not now may have copies again.

        Parameters
        ----------
        reasons
            Code of the rejection (PS3.16 CID 7010) by the source's SOP Instance UID.
        """
        with self._reading() as (connection, seal):
            known = _rejections(connection, seal, source_study_uid)
        if known != dict(reasons):
            with self._writing() as (connection, seal):
                study = _study_mark(seal, source_study_uid)
                connection.execute(sa.delete(_REJECTED).where(_REJECTED.c.study_mark == study))
                for source_uid, reason in reasons.items():
                    values = _rejection(seal, source_uid, source_study_uid, reason)
                    connection.execute(sa.insert(_REJECTED).values(**values))
        return bool(reasons) and bool(self.rejected(source_study_uid))

    def rejected(self, source_study_uid: str) -> tuple[RejectedCopy, ...]:
        """Return the copies that are kept of a study's rejected sources."""
        with self._reading() as (connection, seal):
            reasons = _rejections(connection, seal, source_study_uid)
            marks = {_source_mark(seal, uid): reason for uid, reason in reasons.items()}
            of_them = _COPY.c.source_mark.in_(marks)
            query = sa.select(_COPY).where(of_them).order_by(_COPY.c.copy_mark)
            found = []
            for row in connection.execute(query).all():
                places = sa.select(_DELIVERY.c.destination).where(
                    _DELIVERY.c.copy_mark == row.copy_mark
                )
                names = frozenset(connection.execute(places).scalars())
                found.append(RejectedCopy(_opened(seal, row), marks[row.source_mark], names))
        return tuple(found)

    def forget(self, copies: Iterable[LibraryCopy]) -> None:
        """Forget copies and where they are."""
        with self._writing() as (connection, seal):
            marks = [_copy_mark(seal, one.copy_uid) for one in copies]
            connection.execute(sa.delete(_DELIVERY).where(_DELIVERY.c.copy_mark.in_(marks)))
            connection.execute(sa.delete(_COPY).where(_COPY.c.copy_mark.in_(marks)))

    def rotate_key(self) -> int:
        """Seal everything with a new key, which takes the old one's place; return how many rows.

        Whatever interrupts it, the table can be opened with what lies in the key's file or beside
        it: the new key is on the disk before anything is sealed with it, and the old one goes
        after everything is.
        """
        with self._locked() as connection:
            old = self._current(connection)
            # one that a rotation before this one has left beside is in use: it must not be lost
            self._key_file.settle(lambda key: _is_key(connection, key))
            new = Seal(self._key_file.make_next())
            number = _sealed_anew(connection, old, new)
            connection.execute(sa.update(_SEAL).values(key_mark=_key_mark(new)))
        with self._locked() as connection:
            self._key_file.settle(lambda key: _is_key(connection, key))
        return number

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _opened(self, connection: sa.Connection) -> Seal:
        """Return the seal, made at first use; seal what is there unsealed."""
        known = connection.execute(sa.select(_SEAL.c.key_mark)).scalar_one_or_none()
        if known is not None:
            seal = self._current(connection)
            self._key_file.settle(lambda key: _is_key(connection, key))
            return seal
        seal = Seal(self._key_file.read_or_make())
        rows = _unsealed(connection)
        for row, places in rows.items():
            values = _sealed(seal, row)
            connection.execute(sa.insert(_COPY).values(**values))
            for destination, at in places.items():
                connection.execute(
                    sa.insert(_DELIVERY).values(
                        copy_mark=values["copy_mark"], destination=destination, delivered_at=at
                    )
                )
        had_some = sa.inspect(connection).has_table("copy")
        for table in _UNSEALED:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
        values = {"number": _ONE, "key_mark": _key_mark(seal), "is_clean": not had_some}
        connection.execute(sa.insert(_SEAL).values(**values))
        return seal

    def _clean(self) -> None:
        """Have the file hold no page that was written unsealed, its log included."""
        with self._engine.connect() as connection:
            if connection.execute(sa.select(_SEAL.c.is_clean)).scalar_one():
                return
        plain = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with plain.connect() as connection:
            connection.exec_driver_sql("VACUUM")
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
            if not busy:  # else another process reads: the next opening tries again
                connection.execute(sa.update(_SEAL).values(is_clean=True))

    @contextmanager
    def _locked(self) -> Iterator[sa.Connection]:
        """Write, and let no other process write or change the key meanwhile."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[tuple[sa.Connection, Seal]]:
        with self._locked() as connection:
            yield connection, self._current(connection)

    @contextmanager
    def _reading(self) -> Iterator[tuple[sa.Connection, Seal]]:
        with self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")  # key and rows of one moment
            yield connection, self._current(connection)

    def _current(self, connection: sa.Connection) -> Seal:
        """Return the seal that the table was closed with, for another process may change it."""
        known: Seal | None = getattr(self, "_seal", None)
        mark = connection.execute(sa.select(_SEAL.c.key_mark)).scalar_one()
        if known is not None and _key_mark(known) == mark:
            return known
        key = self._key_file.find(lambda key: _is_key(connection, key))
        if key is None:
            detail = (
                f"{self._key_file.path}: it is another key than that which sealed the crosswalk; "
                "restore that from its backup, and restart."
            )
            raise KeyFileError(detail)
        self._seal = Seal(key)
        return self._seal

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)


def _key_mark(seal: Seal) -> str:
    return seal.mark("key")


def _copy_mark(seal: Seal, uid: str) -> str:
    return seal.mark("copy", uid)


def _source_mark(seal: Seal, uid: str) -> str:
    return seal.mark("source", uid)


def _study_mark(seal: Seal, uid: str) -> str:
    return seal.mark("study", uid)


def _is_key(connection: sa.Connection, key: bytes) -> bool:
    mark: str = connection.execute(sa.select(_SEAL.c.key_mark)).scalar_one()
    return _key_mark(Seal(key)) == mark


def _sealed(seal: Seal, row: LibraryCopy) -> dict[str, str | int | bytes]:
    marks = {
        "copy_mark": _copy_mark(seal, row.copy_uid),
        "source_mark": _source_mark(seal, row.source_uid),
        "study_mark": _study_mark(seal, row.source_study_uid),
    }
    text = json.dumps(
        [row.copy_uid, row.source_uid, row.source_study_uid, row.created_at.isoformat()]
    )
    sealed = seal.close(text, *marks.values(), str(row.version))
    return {**marks, "version": row.version, "sealed": sealed}


def _opened(seal: Seal, row: sa.Row[Any]) -> LibraryCopy:
    marks = (row.copy_mark, row.source_mark, row.study_mark)
    copy_uid, source_uid, study_uid, created_at = json.loads(
        seal.open(row.sealed, *marks, str(row.version))
    )
    created = datetime.fromisoformat(created_at)
    return LibraryCopy(copy_uid, source_uid, study_uid, row.version, created)


def _one(
    connection: sa.Connection, seal: Seal, condition: sa.ColumnElement[bool]
) -> LibraryCopy | None:
    query = sa.select(_COPY).where(condition).order_by(_COPY.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _opened(seal, row)


def _unknown(connection: sa.Connection, seal: Seal, copy_uids: tuple[str, ...]) -> tuple[str, ...]:
    marks = {_copy_mark(seal, uid): uid for uid in copy_uids}
    query = sa.select(_COPY.c.copy_mark).where(
        _COPY.c.copy_mark.in_(marks), _COPY.c.source_mark.not_in(sa.select(_REJECTED.c.source_mark))
    )
    there = {marks[mark] for mark in connection.execute(query).scalars()}
    return tuple(uid for uid in copy_uids if uid not in there)


def _sealed_anew(connection: sa.Connection, old: Seal, new: Seal) -> int:
    """Seal every row with another key; return how many copies there are."""
    rows = [_opened(old, row) for row in connection.execute(sa.select(_COPY))]
    places = list(connection.execute(sa.select(_DELIVERY)))
    renamed = {_copy_mark(old, row.copy_uid): _copy_mark(new, row.copy_uid) for row in rows}
    connection.execute(sa.delete(_DELIVERY))
    connection.execute(sa.delete(_COPY))
    for row in rows:
        connection.execute(sa.insert(_COPY).values(**_sealed(new, row)))
    for place in places:
        values = {**place._mapping, "copy_mark": renamed[place.copy_mark]}
        connection.execute(sa.insert(_DELIVERY).values(**values))
    rejections = [_opened_rejection(old, row) for row in connection.execute(sa.select(_REJECTED))]
    connection.execute(sa.delete(_REJECTED))
    for words in rejections:
        connection.execute(sa.insert(_REJECTED).values(**_rejection(new, *words)))
    return len(rows)


def _rejections(connection: sa.Connection, seal: Seal, study_uid: str) -> dict[str, str]:
    """Return the reason of every rejected source of a study, by the source's UID."""
    of_study = _REJECTED.c.study_mark == _study_mark(seal, study_uid)
    rows = connection.execute(sa.select(_REJECTED).where(of_study))
    return {uid: reason for uid, _, reason in (_opened_rejection(seal, row) for row in rows)}


def _rejection(seal: Seal, source_uid: str, study_uid: str, reason: str) -> dict[str, str | bytes]:
    marks = {
        "source_mark": _source_mark(seal, source_uid),
        "study_mark": _study_mark(seal, study_uid),
    }
    text = json.dumps([source_uid, study_uid, reason])
    return {**marks, "sealed": seal.close(text, *marks.values())}


def _opened_rejection(seal: Seal, row: sa.Row[Any]) -> tuple[str, str, str]:
    source_uid, study_uid, reason = json.loads(
        seal.open(row.sealed, row.source_mark, row.study_mark)
    )
    return source_uid, study_uid, reason


def _unsealed(connection: sa.Connection) -> Mapping[LibraryCopy, Mapping[str, str]]:
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
