"""The guarded table from library copy to source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from pipeline.database import open_database

__all__ = ["Crosswalk", "LibraryCopy", "LookedUp"]

_METADATA = sa.MetaData()
_COPY = sa.Table(
    "copy",
    _METADATA,
    sa.Column("copy_uid", sa.String(64), primary_key=True),
    sa.Column("source_uid", sa.String(64), nullable=False, index=True),
    sa.Column("source_study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.UniqueConstraint("source_uid", "version"),
)
_DELIVERY = sa.Table(
    "delivery",
    _METADATA,
    sa.Column(
        "copy_uid", sa.String(64), sa.ForeignKey("copy.copy_uid"), primary_key=True, nullable=False
    ),
    sa.Column("destination", sa.String(64), primary_key=True, nullable=False),
    sa.Column("delivered_at", sa.String(32), nullable=False),
)


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


LookedUp = Callable[[str, LibraryCopy | None], None]
"""Is told that a copy's source was looked up, and what the answer is."""


class Crosswalk:
    """Which library copy stands for which prior, and where it was delivered.

    It holds UIDs and times only. Whoever reads it can go from a copy back to the patient: it is
    kept apart from the index, in a file that only its owner may read (mode 0600).

    Parameters
    ----------
    url
        SQLAlchemy URL of the database, for example ``sqlite:////var/lib/wristmir/crosswalk.db``.
    clock
        Gives the time, timezone-aware.
    looked_up
        Is told of every way back from a copy to its source, before the answer is given.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        looked_up: LookedUp = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._looked_up = looked_up
        self._engine = open_database(url, _METADATA)

    def keep(
        self, copy_uid: str, source_uid: str, source_study_uid: str, version: int = 1
    ) -> LibraryCopy:
        """Remember a copy; the same one again changes nothing."""
        with self._engine.begin() as connection:
            known = _one(connection, _COPY.c.copy_uid == copy_uid)
            if known is not None:
                return known
            row = LibraryCopy(copy_uid, source_uid, source_study_uid, version, self._now())
            values = {**vars(row), "created_at": row.created_at.isoformat()}
            connection.execute(sa.insert(_COPY).values(**values))
            return row

    def of_copy(self, copy_uid: str) -> LibraryCopy | None:
        """Return the row of a copy: the way back to its source."""
        with self._engine.connect() as connection:
            found = _one(connection, _COPY.c.copy_uid == copy_uid)
        self._looked_up(copy_uid, found)
        return found

    def of_source(self, source_uid: str) -> LibraryCopy | None:
        """Return the copy of a source's latest version."""
        with self._engine.connect() as connection:
            return _one(connection, _COPY.c.source_uid == source_uid)

    def mark_delivered(self, copy_uids: Iterable[str], destination: str) -> None:
        """Remember that the destination has acknowledged these copies.

        Raises
        ------
        sqlalchemy.exc.IntegrityError
            Where one of them was never kept.
        """
        with self._engine.begin() as connection:
            for copy_uid in copy_uids:
                here = (_DELIVERY.c.copy_uid == copy_uid) & (_DELIVERY.c.destination == destination)
                connection.execute(sa.delete(_DELIVERY).where(here))
                connection.execute(
                    sa.insert(_DELIVERY).values(
                        copy_uid=copy_uid,
                        destination=destination,
                        delivered_at=self._now().isoformat(),
                    )
                )

    def missing(self, copy_uids: Iterable[str], destination: str) -> tuple[str, ...]:
        """Return those of the copies that the destination has not acknowledged, in their order."""
        wanted = tuple(dict.fromkeys(copy_uids))
        query = sa.select(_DELIVERY.c.copy_uid).where(
            _DELIVERY.c.destination == destination, _DELIVERY.c.copy_uid.in_(wanted)
        )
        with self._engine.connect() as connection:
            there = set(connection.execute(query).scalars())
        return tuple(uid for uid in wanted if uid not in there)

    def forget_study(self, source_study_uid: str) -> tuple[str, ...]:
        """Forget every copy of a study (it was rejected); return the copies' UIDs."""
        of_study = _COPY.c.source_study_uid == source_study_uid
        with self._engine.begin() as connection:
            uids = tuple(connection.execute(sa.select(_COPY.c.copy_uid).where(of_study)).scalars())
            connection.execute(sa.delete(_DELIVERY).where(_DELIVERY.c.copy_uid.in_(uids)))
            connection.execute(sa.delete(_COPY).where(of_study))
        return uids

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> LibraryCopy | None:
    query = sa.select(_COPY).where(condition).order_by(_COPY.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return LibraryCopy(
        row.copy_uid,
        row.source_uid,
        row.source_study_uid,
        row.version,
        datetime.fromisoformat(row.created_at),
    )
