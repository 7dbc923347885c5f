"""The guarded table from library copy to source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from pipeline.crosswalk_rows import (
    AGAIN,
    COPY,
    DELIVERY,
    METADATA,
    NOTED,
    ONE,
    REJECTED,
    SEAL,
    STORED,
    UNSEALED,
    LibraryCopy,
    copy_mark,
    is_key,
    key_mark,
    one_copy,
    opened_copy,
    opened_rejection,
    rejections,
    seal_anew,
    sealed_copy,
    sealed_rejection,
    source_mark,
    study_mark,
    unknown_copies,
    unsealed_copies,
)
from pipeline.database import open_database
from pipeline.errors import KeyFileError, PictureWithheldError, PriorRejectedError
from pipeline.key_file import KeyFile
from pipeline.seal import Seal

__all__ = ["Crosswalk", "LibraryCopy", "LookedUp", "RejectedCopy"]


@dataclass(frozen=True)
class RejectedCopy:
    """A copy whose source was rejected: it is to be withdrawn where it was delivered.

    ``reason`` is the code of the rejection (PS3.16 CID 7010); ``destinations`` are the names of
    those that have it, or may have it: its delivery was begun and nobody knows how it ended. The
    latter are ``unsure`` until they were told once that it is withdrawn; from then on ``noted`` has
    the time of that.
    """

    copy: LibraryCopy
    reason: str
    destinations: frozenset[str]
    unsure: frozenset[str] = frozenset()
    noted: Mapping[str, datetime] = field(default_factory=dict)


LookedUp = Callable[[str, LibraryCopy | None], None]
"""Is told that a copy's source was looked up, and what the answer is."""


class Crosswalk:
    """Which library copy stands for which prior, and where it was delivered.

    Whoever reads it can go from a copy back to the patient. So it is kept apart from the index, in
    a file that only its owner may read (mode 0600), and sealed: without the key, which lies in a
    file of its own, nothing of it can be read. Columns that are looked for are marks, the rest is
    encrypted (`pipeline.seal.Seal`). Of a rejected source that it is rejected stays.

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
        self._engine = open_database(url, METADATA)
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
            here = REJECTED.c.source_mark == source_mark(seal, source_uid)
            if connection.execute(sa.select(REJECTED).where(here)).one_or_none() is not None:
                detail = "It was rejected."
                raise PictureWithheldError(detail)
            known = one_copy(connection, seal, COPY.c.copy_mark == copy_mark(seal, copy_uid))
            if known is not None:
                return known
            row = LibraryCopy(copy_uid, source_uid, source_study_uid, version, self._now())
            connection.execute(sa.insert(COPY).values(**sealed_copy(seal, row)))
            return row

    def of_copy(self, copy_uid: str) -> LibraryCopy | None:
        """Return the row of a copy: the way back to its source."""
        with self._reading() as (connection, seal):
            found = one_copy(connection, seal, COPY.c.copy_mark == copy_mark(seal, copy_uid))
        self._looked_up(copy_uid, found)
        return found

    def of_source(self, source_uid: str) -> LibraryCopy | None:
        """Return the copy of a source's latest version."""
        with self._reading() as (connection, seal):
            return one_copy(connection, seal, COPY.c.source_mark == source_mark(seal, source_uid))

    def unknown(self, copy_uids: Iterable[str]) -> tuple[str, ...]:
        """Return those of the copies that are not kept or whose source was rejected, in order."""
        with self._reading() as (connection, seal):
            return unknown_copies(connection, seal, tuple(dict.fromkeys(copy_uids)))

    def begin_delivery(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that copies are about to be sent: from now on the destination may have them.

        Raises
        ------
        PriorRejectedError
            Where one of them is not kept, or its source was rejected: none may be sent.
        """
        wanted = tuple(copy_uids)
        with self._writing() as (connection, seal):
            if unknown_copies(connection, seal, wanted):
                raise PriorRejectedError
            for mark in [copy_mark(seal, uid) for uid in wanted]:
                here = (DELIVERY.c.copy_mark == mark) & (DELIVERY.c.destination == destination)
                known = connection.execute(sa.select(DELIVERY).where(here)).one_or_none()
                if known is None:
                    values = {"copy_mark": mark, "destination": destination, "delivered_at": ""}
                    connection.execute(sa.insert(DELIVERY).values(**values))
                else:
                    begun = AGAIN if _is_there(known.delivered_at) else ""
                    connection.execute(sa.update(DELIVERY).where(here).values(delivered_at=begun))

    def mark_delivered(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that the destination has copies, for good, whose delivery was begun."""
        self._mark(copy_uids, destination, self._now().isoformat())

    def mark_stored(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that the destination has acknowledged copies, to which it is yet to commit."""
        self._mark(copy_uids, destination, STORED)

    def mark_lost(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that the destination has not kept copies: they are missing there."""
        self._mark(copy_uids, destination, "")

    def mark_noted(self, copy_uids: Iterable[str], destination: str, at: datetime) -> None:
        """Remember when the destination was told that copies are withdrawn, to be told again."""
        when = at.astimezone(UTC).isoformat(timespec="seconds")
        self._mark(copy_uids, destination, f"{NOTED}{when}")

    def stored(self, source_study_uid: str, destination: str) -> tuple[LibraryCopy, ...]:
        """Return a study's copies to which the destination is yet to commit.

        Those of rejected sources are not among them.
        """
        with self._reading() as (connection, seal):
            query = (
                sa.select(COPY)
                .join(DELIVERY, DELIVERY.c.copy_mark == COPY.c.copy_mark)
                .where(COPY.c.study_mark == study_mark(seal, source_study_uid))
                .where(DELIVERY.c.destination == destination, DELIVERY.c.delivered_at == STORED)
                .where(COPY.c.source_mark.not_in(sa.select(REJECTED.c.source_mark)))
            )
            return tuple(opened_copy(seal, row) for row in connection.execute(query))

    def missing(self, copy_uids: Iterable[str], destination: str) -> tuple[str, ...]:
        """Return those of the copies that the destination has not got for good, in their order."""
        wanted = tuple(dict.fromkeys(copy_uids))
        with self._reading() as (connection, seal):
            marks = {copy_mark(seal, uid): uid for uid in wanted}
            query = sa.select(DELIVERY).where(
                DELIVERY.c.destination == destination, DELIVERY.c.copy_mark.in_(marks)
            )
            rows = connection.execute(query).all()
            there = {marks[row.copy_mark] for row in rows if _is_there(row.delivered_at)}
        return tuple(uid for uid in wanted if uid not in there)

    def reject(
        self, source_study_uid: str, reasons: Mapping[str, str], *, as_well: bool = False
    ) -> bool:
        """Remember which sources of a study are rejected; return whether copies of one are kept.

        What was rejected before and is not now may have copies again.

        Parameters
        ----------
        reasons
            Code of the rejection (PS3.16 CID 7010) by the source's SOP Instance UID.
        as_well
            Whether what was rejected before stays so: not every note could be read this time.
        """
        with self._reading() as (connection, seal):
            known = rejections(connection, seal, source_study_uid)
        reasons = {**known, **reasons} if as_well else reasons
        if known != dict(reasons):
            with self._writing() as (connection, seal):
                study = study_mark(seal, source_study_uid)
                connection.execute(sa.delete(REJECTED).where(REJECTED.c.study_mark == study))
                for source_uid in known.keys() - reasons.keys():
                    _take_back(connection, source_mark(seal, source_uid))
                for source_uid, reason in reasons.items():
                    values = sealed_rejection(seal, source_uid, source_study_uid, reason)
                    connection.execute(sa.insert(REJECTED).values(**values))
        return bool(reasons) and bool(self.rejected(source_study_uid))

    def rejected(self, source_study_uid: str) -> tuple[RejectedCopy, ...]:
        """Return the copies that are kept of a study's rejected sources."""
        with self._reading() as (connection, seal):
            of_study = REJECTED.c.study_mark == study_mark(seal, source_study_uid)
            return _rejected(connection, seal, of_study)

    def to_withdraw(self) -> tuple[RejectedCopy, ...]:
        """Return the copies that are kept of rejected sources, of every study."""
        with self._reading() as (connection, seal):
            return _rejected(connection, seal, sa.true())

    def forget(self, copies: Iterable[LibraryCopy], destination: str) -> None:
        """Forget that copies are at a destination, and those of them that are nowhere else."""
        with self._writing() as (connection, seal):
            marks = [copy_mark(seal, one.copy_uid) for one in copies]
            here = DELIVERY.c.copy_mark.in_(marks), DELIVERY.c.destination == destination
            connection.execute(sa.delete(DELIVERY).where(*here))
            connection.execute(sa.delete(COPY).where(COPY.c.copy_mark.in_(marks), _NOWHERE))

    def forget_destination(self, destination: str) -> int:
        """Forget what a destination has that is gone for good; return how many copies it had.

        Of rejected copies that are nowhere else nothing is left to be withdrawn.
        """
        with self._writing() as (connection, _):
            gone = sa.delete(DELIVERY).where(DELIVERY.c.destination == destination)
            number = connection.execute(gone).rowcount
            rejected = COPY.c.source_mark.in_(sa.select(REJECTED.c.source_mark))
            connection.execute(sa.delete(COPY).where(rejected, _NOWHERE))
        return number

    def rotate_key(self) -> int:
        """Seal everything with a new key, which takes the old one's place; return how many rows.

        Whatever interrupts it, the table can be opened with what lies in the key's file or beside
        it: the new key is on the disk before anything is sealed with it, and the old one goes
        after everything is.
        """
        with self._locked() as connection:
            old = self._current(connection)
            # one that a rotation before this one has left beside is in use: it must not be lost
            self._key_file.settle(lambda key: is_key(connection, key))
            new = Seal(self._key_file.make_next())
            number = seal_anew(connection, old, new)
            connection.execute(sa.update(SEAL).values(key_mark=key_mark(new)))
        with self._locked() as connection:
            self._key_file.settle(lambda key: is_key(connection, key))
        return number

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _opened(self, connection: sa.Connection) -> Seal:
        """Return the seal, made at first use; seal what is there unsealed."""
        known = connection.execute(sa.select(SEAL.c.key_mark)).scalar_one_or_none()
        if known is not None:
            seal = self._current(connection)
            self._key_file.settle(lambda key: is_key(connection, key))
            return seal
        seal = Seal(self._key_file.read_or_make())
        rows = unsealed_copies(connection)
        for row, places in rows.items():
            values = sealed_copy(seal, row)
            connection.execute(sa.insert(COPY).values(**values))
            for destination, at in places.items():
                connection.execute(
                    sa.insert(DELIVERY).values(
                        copy_mark=values["copy_mark"], destination=destination, delivered_at=at
                    )
                )
        had_some = sa.inspect(connection).has_table("copy")
        for table in UNSEALED:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
        values = {"number": ONE, "key_mark": key_mark(seal), "is_clean": not had_some}
        connection.execute(sa.insert(SEAL).values(**values))
        return seal

    def _clean(self) -> None:
        """Have the file hold no page that was written unsealed, its log included."""
        with self._engine.connect() as connection:
            if connection.execute(sa.select(SEAL.c.is_clean)).scalar_one():
                return
        plain = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with plain.connect() as connection:
            connection.exec_driver_sql("VACUUM")
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
            if not busy:  # else another process reads: the next opening tries again
                connection.execute(sa.update(SEAL).values(is_clean=True))

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
        mark = connection.execute(sa.select(SEAL.c.key_mark)).scalar_one()
        if known is not None and key_mark(known) == mark:
            return known
        key = self._key_file.find(lambda key: is_key(connection, key))
        if key is None:
            detail = (
                f"{self._key_file.path}: it is another key than that which sealed the crosswalk; "
                "restore that from its backup, and restart."
            )
            raise KeyFileError(detail)
        self._seal = Seal(key)
        return self._seal

    def _mark(self, copy_uids: Iterable[str], destination: str, delivered_at: str) -> None:
        with self._writing() as (connection, seal):
            marks = [copy_mark(seal, uid) for uid in copy_uids]
            connection.execute(
                sa.update(DELIVERY)
                .where(DELIVERY.c.copy_mark.in_(marks), DELIVERY.c.destination == destination)
                .values(delivered_at=delivered_at)
            )

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)


_NOWHERE = ~sa.exists().where(DELIVERY.c.copy_mark == COPY.c.copy_mark).correlate(COPY)


def _is_there(delivered_at: str) -> bool:
    """Whether a destination has a copy for good, by what stands in its row."""
    return delivered_at not in ("", STORED) and not delivered_at.startswith(NOTED)


def _take_back(connection: sa.Connection, source: str) -> None:
    """Let a source's copies be missing everywhere: who was told of its rejection may hide them."""
    copies = sa.select(COPY.c.copy_mark).where(COPY.c.source_mark == source)
    here = DELIVERY.c.copy_mark.in_(copies)
    connection.execute(sa.update(DELIVERY).where(here).values(delivered_at=""))


def _rejected(
    connection: sa.Connection, seal: Seal, which: sa.ColumnElement[bool]
) -> tuple[RejectedCopy, ...]:
    """Return the copies that are kept of the sources that these rejections are about."""
    with_copies = REJECTED.c.source_mark.in_(sa.select(COPY.c.source_mark))
    reasons = {
        row.source_mark: opened_rejection(seal, row)[2]
        for row in connection.execute(sa.select(REJECTED).where(which, with_copies))
    }
    of_them = COPY.c.source_mark.in_(sa.select(REJECTED.c.source_mark).where(which))
    found = []
    for row in connection.execute(sa.select(COPY).where(of_them).order_by(COPY.c.copy_mark)).all():
        places = sa.select(DELIVERY).where(DELIVERY.c.copy_mark == row.copy_mark)
        at = {place.destination: place.delivered_at for place in connection.execute(places)}
        unsure = frozenset(name for name, there in at.items() if there in ("", AGAIN))
        noted = {
            name: datetime.fromisoformat(delivered_at.removeprefix(NOTED))
            for name, delivered_at in at.items()
            if delivered_at.startswith(NOTED)
        }
        copy, reason = opened_copy(seal, row), reasons[row.source_mark]
        found.append(RejectedCopy(copy, reason, frozenset(at), unsure, noted))
    return tuple(found)
