"""Findings with their evidence: kept in a database of their own, never in the index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import sqlalchemy as sa

from pipeline.database import open_database
from pipeline.findings import WristReport

__all__ = ["Record", "Records"]

_METADATA = sa.MetaData()
_RECORD = sa.Table(
    "record",
    _METADATA,
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("miner", sa.String(64), nullable=False),
    sa.Column("text_digest", sa.String(64), nullable=False),
    sa.Column("mined_at", sa.String(32), nullable=False),
)


@dataclass(frozen=True)
class Record:
    """What was read in a study's reports.

    ``miner`` is the miner's name and version, ``text_digest`` the SHA-256 of the text it read
    (UTF-8, hexadecimal), ``mined_at`` timezone-aware, UTC.
    """

    study_uid: str
    report: WristReport
    miner: str
    text_digest: str
    mined_at: datetime


class Records:
    """The findings of every study that has a report, with the words that support them.

    Evidence is words of a report: it stays in this file, which only its owner may read (mode
    0600), and goes into no index, log or result.

    Parameters
    ----------
    url
        SQLAlchemy URL of the database.
    clock
        Gives the time, timezone-aware.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._engine = open_database(url, _METADATA)

    def keep(self, study_uid: str, report: WristReport, miner: str, text: str) -> Record:
        """Keep what was read in a study's reports, replacing what was read before.

        Parameters
        ----------
        study_uid
            Study Instance UID.
        report
            The findings with their evidence.
        miner
            Name and version of what read them.
        text
            What was read; only its digest is kept.
        """
        digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        now = self._clock().astimezone(UTC)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_RECORD).where(_RECORD.c.study_uid == study_uid))
            connection.execute(
                sa.insert(_RECORD).values(
                    study_uid=study_uid,
                    report=report.model_dump_json(),
                    miner=miner,
                    text_digest=digest,
                    mined_at=now.isoformat(),
                )
            )
        return Record(study_uid, report, miner, digest, now)

    def of(self, study_uid: str) -> Record | None:
        """Return what was read in a study's reports, or None where none was."""
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(_RECORD).where(_RECORD.c.study_uid == study_uid)
            ).one_or_none()
        if row is None:
            return None
        report = WristReport.model_validate_json(row.report)
        at = datetime.fromisoformat(row.mined_at)
        return Record(row.study_uid, report, row.miner, row.text_digest, at)

    def not_read_by(self, miner: str) -> tuple[str, ...]:
        """Return the studies whose reports another miner read, or another version of this one."""
        with self._engine.connect() as connection:
            found = connection.execute(
                sa.select(_RECORD.c.study_uid)
                .where(_RECORD.c.miner != miner)
                .order_by(_RECORD.c.mined_at)
            )
            return tuple(found.scalars())

    def forget(self, study_uid: str) -> None:
        """Forget a study's findings; one that is not there is no error."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_RECORD).where(_RECORD.c.study_uid == study_uid))

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()
