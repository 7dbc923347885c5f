"""Result sets that wait for delivery or are kept after it, and what was delivered before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydicom import Dataset

from pipeline.database import open_database
from pipeline.disk import sync_folder
from pipeline.region import Region

__all__ = ["KeptObject", "Outbox", "OutboxResult", "PriorResult"]

_METADATA = sa.MetaData()
_RESULT = sa.Table(
    "result",
    _METADATA,
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
_STORED = sa.Table(
    "stored",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
)
# the companion of a report, which a later companion replaces
_COMPANION = sa.Table(
    "companion",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("series_uid", sa.String(64), nullable=False),
)
# the objects of result sets whose files are still here
_KEPT = sa.Table(
    "kept",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("file", sa.String(64), primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("series_uid", sa.String(64), nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False, index=True),
)
_RESULTS = "2-result"
# the library copies that a result set refers to, sent with it or before
_REFERS = sa.Table(
    "refers",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True, index=True),
)
_MOST_NAMES = 10_000  # that one query takes; the rest are for the next
_THERE_SINCE = sa.func.coalesce(_STORED.c.stored_at, _RESULT.c.delivered_at)


@dataclass(frozen=True)
class PriorResult:
    """The report of an earlier answer about the same image (PS3.3 C.17.2.1, predecessor).

    ``companion`` is the other structured report of that answer, where it had one.
    """

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    companion: PriorResult | None = None


@dataclass(frozen=True)
class OutboxResult:
    """What is remembered of a result set, delivered or not; times are timezone-aware."""

    result_id: str
    regions: tuple[str, ...]
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True)
class KeptObject:
    """A result object or library copy that the destination has, and that is still here."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path


class Outbox:
    """A folder per result set, and one row that remembers its report.

    Parameters
    ----------
    folder
        Made with mode 0700; each result set is a folder of DICOM files within.
    url
        Database of the rows.
    keep
        For how long files are kept after they were delivered.
    """

    def __init__(self, folder: Path, url: str, keep: timedelta = timedelta(0)) -> None:
        self._folder = folder
        self._keep = keep
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = open_database(url, _METADATA)

    def put(
        self,
        result_id: str,
        query_uid: str,
        copies: Sequence[Dataset],
        results: Sequence[Dataset],
        now: datetime,
        regions: Sequence[Region] = (),
        refers: Collection[str] = (),
    ) -> None:
        """Write a result set durably; the same id again replaces it until it is delivered.

        Parameters
        ----------
        result_id
            Name of the result set: letters, digits and hyphens.
        query_uid
            SOP Instance UID of the query image.
        copies
            Library copies to deliver first, with their file meta information.
        results
            The readable SR first, then its companions, with their file meta information.
        now
            Timezone-aware time of the answer.
        regions
            The bones that it answers for.
        refers
            SOP Instance UIDs of the library copies that it refers to, those among them that the
            destination has already.
        """
        if self.is_delivered(result_id):
            return  # by another worker, while this one took too long
        partial = self._folder / f"{result_id}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        named: dict[str, Dataset] = {}
        for kind, datasets in (("1-copy", copies), (_RESULTS, results)):
            named |= {f"{kind}-{n:03d}.dcm": dataset for n, dataset in enumerate(datasets)}
        for name, dataset in named.items():
            _write(dataset, partial / name)
        sync_folder(partial)
        final = self._folder / result_id
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        sync_folder(self._folder)
        self._remember(result_id, query_uid, results, now, regions)
        self._note(result_id, named, refers)

    def copies(self, result_id: str) -> tuple[Path, ...]:
        """Files of the library copies that go with a result set."""
        return tuple(sorted((self._folder / result_id).glob("1-copy-*.dcm")))

    def results(self, result_id: str) -> tuple[Path, ...]:
        """Files of the result objects: the report first."""
        return tuple(sorted((self._folder / result_id).glob(f"{_RESULTS}-*.dcm")))

    def query_of(self, result_id: str) -> str | None:
        """Return the SOP Instance UID of the image that a result set answers for."""
        query = sa.select(_RESULT.c.query_uid).where(_RESULT.c.result_id == result_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def predecessor(
        self, query_uid: str, result_id: str, regions: Sequence[Region] = ()
    ) -> PriorResult | None:
        """Return the last report at the destination that a new one about the same image replaces.

        That is one, other than `result_id`'s own, whose bones are all among the new one's: a
        report about the ulna does not replace one about the radius.
        """
        query = (
            _there(sa.select(_RESULT))
            .where(_RESULT.c.query_uid == query_uid, _RESULT.c.result_id != result_id)
            .order_by(_THERE_SINCE.desc())
        )
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                if set(row.regions.split()) <= {region.value for region in regions}:
                    return PriorResult(
                        row.study_uid,
                        row.series_uid,
                        row.sop_class_uid,
                        row.sop_instance_uid,
                        _companion(connection, row.result_id, row.study_uid),
                    )
        return None

    def reports(self, query_uid: str) -> frozenset[str]:
        """Return the SOP Instance UIDs of every report about this image at the destination.

        Their companions are among them.
        """
        reports = _there(sa.select(_RESULT.c.result_id, _RESULT.c.sop_instance_uid)).where(
            _RESULT.c.query_uid == query_uid
        )
        with self._engine.connect() as connection:
            known = dict(map(tuple, connection.execute(reports)))
            companions = sa.select(_COMPANION.c.sop_instance_uid).where(
                _COMPANION.c.result_id.in_(known)
            )
            return frozenset({*known.values(), *connection.execute(companions).scalars()})

    def about(self, query_uid: str) -> tuple[OutboxResult, ...]:
        """Return every result set that answers for this image, the first first."""
        query = sa.select(_RESULT).where(_RESULT.c.query_uid == query_uid)
        with self._engine.connect() as connection:
            return tuple(
                OutboxResult(
                    result_id=row.result_id,
                    regions=tuple(row.regions.split()),
                    created_at=_in_utc(row.created_at),
                    delivered_at=None if row.delivered_at is None else _in_utc(row.delivered_at),
                )
                for row in connection.execute(query.order_by(_RESULT.c.created_at))
            )

    def named_by(self, sop_instance_uid: str) -> str | None:
        """Return the result set that an object of it names: its report, or one that is still here.

        Parameters
        ----------
        sop_instance_uid
            Of the report, its companion, or any result object whose file is kept.
        """
        with self._engine.connect() as connection:
            for table in (_RESULT, _COMPANION, _KEPT):
                here = table.c.sop_instance_uid == sop_instance_uid
                if table is _KEPT:  # a library copy goes with many result sets
                    here &= table.c.file.startswith(_RESULTS)
                found = connection.execute(sa.select(table.c.result_id).where(here)).scalar()
                if found is not None:
                    return str(found)
        return None

    def report_of(self, result_id: str) -> PriorResult | None:
        """Return the report of a result set, at its destination or not yet."""
        query = sa.select(_RESULT).where(_RESULT.c.result_id == result_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return PriorResult(row.study_uid, row.series_uid, row.sop_class_uid, row.sop_instance_uid)

    def stored(self, result_id: str, now: datetime) -> None:
        """Record that the destination has it; its files stay until it is delivered."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_STORED).where(_STORED.c.result_id == result_id))
            connection.execute(
                sa.insert(_STORED).values(result_id=result_id, stored_at=now.astimezone(UTC))
            )

    def delivered(self, result_id: str, now: datetime) -> None:
        """Record the delivery; the files go when their time is over."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(_RESULT)
                .where(_RESULT.c.result_id == result_id)
                .values(delivered_at=now.astimezone(UTC))
            )
        self.expire(now)

    def expire(self, now: datetime) -> int:
        """Let the files go whose time is over, and return of how many result sets."""
        names = [path.name for path in self._folder.iterdir() if path.suffix != ".partial"]
        query = sa.select(_RESULT.c.result_id).where(
            _RESULT.c.delivered_at <= (now - self._keep).astimezone(UTC),
            _RESULT.c.result_id.in_(names[:_MOST_NAMES]),
        )
        with self._engine.connect() as connection:
            over = list(connection.execute(query).scalars())
        for name in over:
            self.discard(name)
        return len(over)

    def kept(
        self,
        now: datetime,
        most: int,
        *,
        studies: Collection[str] = (),
        series: Collection[str] = (),
        instances: Collection[str] = (),
    ) -> tuple[KeptObject, ...]:
        """Return what the destination has and is still here, the newest first, each once.

        Parameters
        ----------
        most
            So many at the most.
        studies, series, instances
            UIDs of those that are wanted; empty for any.
        """
        oldest = (now - self._keep).astimezone(UTC)
        query = (
            _there(sa.select(_KEPT))
            .join(_KEPT, _KEPT.c.result_id == _RESULT.c.result_id)
            .where(sa.or_(_RESULT.c.delivered_at.is_(None), _RESULT.c.delivered_at > oldest))
            .order_by(_RESULT.c.created_at.desc(), _KEPT.c.result_id, _KEPT.c.file.desc())
        )
        for column, uids in (
            (_KEPT.c.study_uid, studies),
            (_KEPT.c.series_uid, series),
            (_KEPT.c.sop_instance_uid, instances),
        ):
            query = query.where(column.in_(uids)) if uids else query
        found: dict[str, KeptObject] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                if len(found) == most:
                    break
                path = self._folder / row.result_id / row.file
                one = KeptObject(
                    row.study_uid, row.series_uid, row.sop_class_uid, row.sop_instance_uid, path
                )
                found.setdefault(one.sop_instance_uid, one)
        return tuple(found.values())

    def made(self, result_id: str) -> tuple[KeptObject, ...]:
        """Return the result objects of a result set whose files are here, without its copies."""
        query = sa.select(_KEPT).where(_KEPT.c.result_id == result_id).order_by(_KEPT.c.file)
        with self._engine.connect() as connection:
            return tuple(
                KeptObject(
                    row.study_uid,
                    row.series_uid,
                    row.sop_class_uid,
                    row.sop_instance_uid,
                    self._folder / result_id / row.file,
                )
                for row in connection.execute(query)
                if row.file.startswith(_RESULTS)
            )

    def discard(self, result_id: str) -> None:
        """Let the files of a result set go; what was delivered stays known."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_KEPT).where(_KEPT.c.result_id == result_id))
            connection.execute(sa.delete(_REFERS).where(_REFERS.c.result_id == result_id))
        shutil.rmtree(self._folder / result_id, ignore_errors=True)

    def withdraw(self, copy_uids: Collection[str], now: datetime) -> int:
        """Let the files go of what the destination has and refers to library copies, these copies.

        They are found and fetched here no more, for the pictures in them were withdrawn. What waits
        for its delivery stays: whoever delivers it looks before what it refers to.

        Parameters
        ----------
        copy_uids
            SOP Instance UIDs of the copies.
        now
            A result set that the destination has not committed to yet counts as delivered then.

        Returns
        -------
        int
            How many result sets.
        """
        uids = tuple(copy_uids)
        with self._engine.connect() as connection:
            holding = set(
                connection.execute(
                    sa.select(_REFERS.c.result_id).where(_REFERS.c.sop_instance_uid.in_(uids))
                ).scalars()
            )
            # a release before this one has noted no more than which copies went along
            holding |= set(
                connection.execute(
                    sa.select(_KEPT.c.result_id).where(_KEPT.c.sop_instance_uid.in_(uids))
                ).scalars()
            )
            there = _there(sa.select(_RESULT.c.result_id, _RESULT.c.delivered_at)).where(
                _RESULT.c.result_id.in_(holding)
            )
            found = {row.result_id: row.delivered_at for row in connection.execute(there)}
        for result_id, delivered_at in found.items():
            if delivered_at is None:
                self.delivered(result_id, now)
            self.discard(result_id)
        return len(found)

    @contextmanager
    def passing(self, name: str, objects: Sequence[Dataset]) -> Iterator[tuple[Path, ...]]:
        """Write objects to files that are gone after the block: what can be made anew is sent so.

        Parameters
        ----------
        name
            Of nobody else's; the same again finds nothing that a kill has left there.
        """
        folder = self._folder / f"{name}.partial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            paths = tuple(folder / f"{number:03d}.dcm" for number in range(len(objects)))
            for path, dataset in zip(paths, objects, strict=True):
                _write(dataset, path)
            yield paths
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def is_delivered(self, result_id: str) -> bool:
        """Whether the result set counts as delivered: its destination committed to it, if asked."""
        query = sa.select(_RESULT.c.delivered_at).where(_RESULT.c.result_id == result_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none() is not None

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _remember(
        self,
        result_id: str,
        query_uid: str,
        results: Sequence[Dataset],
        now: datetime,
        regions: Sequence[Region],
    ) -> None:
        report, *others = results
        companion = next((one for one in others if one.get("Modality") == "SR"), None)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_COMPANION).where(_COMPANION.c.result_id == result_id))
            if companion is not None:
                connection.execute(
                    sa.insert(_COMPANION).values(result_id=result_id, **_identity(companion))
                )
            connection.execute(sa.delete(_RESULT).where(_RESULT.c.result_id == result_id))
            connection.execute(
                sa.insert(_RESULT).values(
                    result_id=result_id,
                    study_uid=str(report.StudyInstanceUID),
                    query_uid=query_uid,
                    **_identity(report),
                    regions=" ".join(region.value for region in regions),
                    created_at=now.astimezone(UTC),
                )
            )

    def _note(self, result_id: str, named: Mapping[str, Dataset], refers: Collection[str]) -> None:
        rows = [
            {
                "result_id": result_id,
                "file": name,
                "study_uid": str(dataset.StudyInstanceUID),
                "series_uid": str(dataset.SeriesInstanceUID),
                "sop_class_uid": str(dataset.SOPClassUID),
                "sop_instance_uid": str(dataset.SOPInstanceUID),
            }
            for name, dataset in named.items()
        ]
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_KEPT).where(_KEPT.c.result_id == result_id))
            connection.execute(sa.insert(_KEPT), rows)
            connection.execute(sa.delete(_REFERS).where(_REFERS.c.result_id == result_id))
            for uid in set(refers):
                values = {"result_id": result_id, "sop_instance_uid": uid}
                connection.execute(sa.insert(_REFERS).values(**values))


def _companion(connection: sa.Connection, result_id: str, study_uid: str) -> PriorResult | None:
    query = sa.select(_COMPANION).where(_COMPANION.c.result_id == result_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return PriorResult(study_uid, row.series_uid, row.sop_class_uid, row.sop_instance_uid)


def _identity(document: Dataset) -> dict[str, str]:
    return {
        "sop_class_uid": str(document.SOPClassUID),
        "sop_instance_uid": str(document.SOPInstanceUID),
        "series_uid": str(document.SeriesInstanceUID),
    }


def _in_utc(moment: datetime) -> datetime:
    """Return a time as it was written: SQLite forgets the zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _there(query: sa.Select[Any]) -> sa.Select[Any]:
    """Return the query for those results that are at the destination."""
    joined = _RESULT.outerjoin(_STORED, _STORED.c.result_id == _RESULT.c.result_id)
    return query.select_from(joined).where(_THERE_SINCE.is_not(None))


def _write(dataset: Dataset, path: Path) -> None:
    dataset.save_as(path, enforce_file_format=True)
    path.chmod(0o600)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
