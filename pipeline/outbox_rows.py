"""The rows of the outbox: their tables, and how a result set is noted in them and found again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydicom import Dataset

from pipeline.prior_result import PriorResult
from pipeline.region import Region

__all__ = [
    "COMPANION",
    "KEPT",
    "METADATA",
    "REFERS",
    "RESULT",
    "STORED",
    "THERE_SINCE",
    "OutboxResult",
    "companion",
    "note_files",
    "outbox_result",
    "prior_result",
    "remember",
    "there",
]

METADATA = sa.MetaData()
RESULT = sa.Table(
    "result",
    METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("query_uid", sa.String(64), nullable=False, index=True),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("series_uid", sa.String(64), nullable=False),
    sa.Column("regions", sa.String(128), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
)
# what the destination has, but has not committed to yet
STORED = sa.Table(
    "stored",
    METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
)
# the companion of a report, which a later companion replaces
COMPANION = sa.Table(
    "companion",
    METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("series_uid", sa.String(64), nullable=False),
)
# the objects of result sets whose files are still here
KEPT = sa.Table(
    "kept",
    METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("file", sa.String(64), primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("series_uid", sa.String(64), nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False, index=True),
)
# the library copies that a result set refers to, sent with it or before
REFERS = sa.Table(
    "refers",
    METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True, index=True),
)
THERE_SINCE = sa.func.coalesce(STORED.c.stored_at, RESULT.c.delivered_at)


@dataclass(frozen=True)
class OutboxResult:
    """What is remembered of a result set, delivered or not; times are timezone-aware."""

    result_id: str
    regions: tuple[str, ...]
    created_at: datetime
    delivered_at: datetime | None


def remember(
    connection: sa.Connection,
    result_id: str,
    query_uid: str,
    results: Sequence[Dataset],
    now: datetime,
    regions: Sequence[Region],
) -> None:
    """Note what a result set is, for good: its report, which comes first, and its companion."""
    report, *others = results
    beside = next((one for one in others if one.get("Modality") == "SR"), None)
    connection.execute(sa.delete(COMPANION).where(COMPANION.c.result_id == result_id))
    if beside is not None:
        connection.execute(sa.insert(COMPANION).values(result_id=result_id, **_identity(beside)))
    connection.execute(sa.delete(RESULT).where(RESULT.c.result_id == result_id))
    connection.execute(
        sa.insert(RESULT).values(
            result_id=result_id,
            study_uid=str(report.StudyInstanceUID),
            query_uid=query_uid,
            **_identity(report),
            regions=" ".join(region.value for region in regions),
            created_at=now.astimezone(UTC),
        )
    )


def note_files(
    connection: sa.Connection,
    result_id: str,
    named: Mapping[str, Dataset],
    refers: Collection[str],
) -> None:
    """Note the objects of a result set whose files are here, and the copies that it refers to."""
    rows = [
        {
            "result_id": result_id,
            "file": name,
            "study_uid": str(dataset.StudyInstanceUID),
            **_identity(dataset),
        }
        for name, dataset in named.items()
    ]
    connection.execute(sa.delete(KEPT).where(KEPT.c.result_id == result_id))
    connection.execute(sa.insert(KEPT), rows)
    connection.execute(sa.delete(REFERS).where(REFERS.c.result_id == result_id))
    for uid in set(refers):
        values = {"result_id": result_id, "sop_instance_uid": uid}
        connection.execute(sa.insert(REFERS).values(**values))


def there(query: sa.Select[Any]) -> sa.Select[Any]:
    """Return the query for those results that are at the destination."""
    joined = RESULT.outerjoin(STORED, STORED.c.result_id == RESULT.c.result_id)
    return query.select_from(joined).where(THERE_SINCE.is_not(None))


def prior_result(row: sa.Row[Any], beside: PriorResult | None = None) -> PriorResult:
    """Return the report of a result set's row, with its companion where that is asked for."""
    return PriorResult(
        row.study_uid, row.series_uid, row.sop_class_uid, row.sop_instance_uid, beside
    )


def companion(connection: sa.Connection, result_id: str, study_uid: str) -> PriorResult | None:
    """Return the companion of a result set's report; None where it had none."""
    query = sa.select(COMPANION).where(COMPANION.c.result_id == result_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return PriorResult(study_uid, row.series_uid, row.sop_class_uid, row.sop_instance_uid)


def outbox_result(row: sa.Row[Any]) -> OutboxResult:
    """Return what a row remembers of a result set."""
    return OutboxResult(
        result_id=row.result_id,
        regions=tuple(row.regions.split()),
        created_at=_in_utc(row.created_at),
        delivered_at=None if row.delivered_at is None else _in_utc(row.delivered_at),
    )


def _identity(document: Dataset) -> dict[str, str]:
    return {
        "sop_class_uid": str(document.SOPClassUID),
        "sop_instance_uid": str(document.SOPInstanceUID),
        "series_uid": str(document.SeriesInstanceUID),
    }


def _in_utc(moment: datetime) -> datetime:
    """Return a time as it was written: SQLite forgets the zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
