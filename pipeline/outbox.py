"""Result sets that wait for delivery or are kept after it, and what was delivered before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from pydicom import Dataset

from pipeline.database import open_database
from pipeline.disk import sync_folder
from pipeline.outbox_rows import (
    COMPANION,
    KEPT,
    METADATA,
    REFERS,
    RESULT,
    STORED,
    THERE_SINCE,
    OutboxResult,
    companion,
    note_files,
    outbox_result,
    prior_result,
    remember,
    there,
)
from pipeline.prior_result import PriorResult
from pipeline.region import Region

__all__ = ["KeptObject", "Outbox", "OutboxResult"]

_RESULTS = "2-result"
_MOST_NAMES = 10_000  # that one query takes; the rest are for the next


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
        self._engine = open_database(url, METADATA)

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
        with self._engine.begin() as connection:
            remember(connection, result_id, query_uid, results, now, regions)
        with self._engine.begin() as connection:
            note_files(connection, result_id, named, refers)

    def copies(self, result_id: str) -> tuple[Path, ...]:
        """Files of the library copies that go with a result set."""
        return tuple(sorted((self._folder / result_id).glob("1-copy-*.dcm")))

    def results(self, result_id: str) -> tuple[Path, ...]:
        """Files of the result objects: the report first."""
        return tuple(sorted((self._folder / result_id).glob(f"{_RESULTS}-*.dcm")))

    def query_of(self, result_id: str) -> str | None:
        """Return the SOP Instance UID of the image that a result set answers for."""
        query = sa.select(RESULT.c.query_uid).where(RESULT.c.result_id == result_id)
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
            there(sa.select(RESULT))
            .where(RESULT.c.query_uid == query_uid, RESULT.c.result_id != result_id)
            .order_by(THERE_SINCE.desc())
        )
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                if set(row.regions.split()) <= {region.value for region in regions}:
                    beside = companion(connection, row.result_id, row.study_uid)
                    return prior_result(row, beside)
        return None

    def reports(self, query_uid: str) -> frozenset[str]:
        """Return the SOP Instance UIDs of every report about this image at the destination.

        Their companions are among them.
        """
        reports = there(sa.select(RESULT.c.result_id, RESULT.c.sop_instance_uid)).where(
            RESULT.c.query_uid == query_uid
        )
        with self._engine.connect() as connection:
            known = dict(map(tuple, connection.execute(reports)))
            companions = sa.select(COMPANION.c.sop_instance_uid).where(
                COMPANION.c.result_id.in_(known)
            )
            return frozenset({*known.values(), *connection.execute(companions).scalars()})

    def about(self, query_uid: str) -> tuple[OutboxResult, ...]:
        """Return every result set that answers for this image, the first first."""
        query = sa.select(RESULT).where(RESULT.c.query_uid == query_uid)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(RESULT.c.created_at))
            return tuple(outbox_result(row) for row in rows)

    def named_by(self, sop_instance_uid: str) -> str | None:
        """Return the result set that an object of it names: its report, or one that is still here.

        Parameters
        ----------
        sop_instance_uid
            Of the report, its companion, or any result object whose file is kept.
        """
        with self._engine.connect() as connection:
            for table in (RESULT, COMPANION, KEPT):
                here = table.c.sop_instance_uid == sop_instance_uid
                if table is KEPT:  # a library copy goes with many result sets
                    here &= table.c.file.startswith(_RESULTS)
                found = connection.execute(sa.select(table.c.result_id).where(here)).scalar()
                if found is not None:
                    return str(found)
        return None

    def report_of(self, result_id: str) -> PriorResult | None:
        """Return the report of a result set, at its destination or not yet."""
        query = sa.select(RESULT).where(RESULT.c.result_id == result_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else prior_result(row)

    def stored(self, result_id: str, now: datetime) -> None:
        """Record that the destination has it; its files stay until it is delivered."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(STORED).where(STORED.c.result_id == result_id))
            connection.execute(
                sa.insert(STORED).values(result_id=result_id, stored_at=now.astimezone(UTC))
            )

    def delivered(self, result_id: str, now: datetime) -> None:
        """Record the delivery; the files go when their time is over."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(RESULT)
                .where(RESULT.c.result_id == result_id)
                .values(delivered_at=now.astimezone(UTC))
            )
        self.expire(now)

    def expire(self, now: datetime) -> int:
        """Let the files go whose time is over, and return of how many result sets."""
        names = [path.name for path in self._folder.iterdir() if path.suffix != ".partial"]
        query = sa.select(RESULT.c.result_id).where(
            RESULT.c.delivered_at <= (now - self._keep).astimezone(UTC),
            RESULT.c.result_id.in_(names[:_MOST_NAMES]),
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
            there(sa.select(KEPT))
            .join(KEPT, KEPT.c.result_id == RESULT.c.result_id)
            .where(sa.or_(RESULT.c.delivered_at.is_(None), RESULT.c.delivered_at > oldest))
            .order_by(RESULT.c.created_at.desc(), KEPT.c.result_id, KEPT.c.file.desc())
        )
        for column, uids in (
            (KEPT.c.study_uid, studies),
            (KEPT.c.series_uid, series),
            (KEPT.c.sop_instance_uid, instances),
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
        query = sa.select(KEPT).where(KEPT.c.result_id == result_id).order_by(KEPT.c.file)
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
            connection.execute(sa.delete(KEPT).where(KEPT.c.result_id == result_id))
            connection.execute(sa.delete(REFERS).where(REFERS.c.result_id == result_id))
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
                    sa.select(REFERS.c.result_id).where(REFERS.c.sop_instance_uid.in_(uids))
                ).scalars()
            )
            # a release before this one has noted no more than which copies went along
            holding |= set(
                connection.execute(
                    sa.select(KEPT.c.result_id).where(KEPT.c.sop_instance_uid.in_(uids))
                ).scalars()
            )
            query = there(sa.select(RESULT.c.result_id, RESULT.c.delivered_at)).where(
                RESULT.c.result_id.in_(holding)
            )
            found = {row.result_id: row.delivered_at for row in connection.execute(query)}
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
        query = sa.select(RESULT.c.delivered_at).where(RESULT.c.result_id == result_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none() is not None

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


def _write(dataset: Dataset, path: Path) -> None:
    dataset.save_as(path, enforce_file_format=True)
    path.chmod(0o600)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
