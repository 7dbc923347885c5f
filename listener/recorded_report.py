"""A recorded report: what the ledger keeps of one that came by another road than DICOM."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from listener import linkage
from listener.database import Database, repeated
from listener.job_queue import JobQueue
from listener.linkage import LinkState
from listener.report import ReportStatus
from listener.tables import REPORT

__all__ = ["NewReport", "RecordedReports", "ReportRow"]


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

    @property
    def is_final(self) -> bool:
        """Whether it is said for good: final, or corrected."""
        return self.status.is_final

    @property
    def is_withdrawn(self) -> bool:
        """Whether it takes back what came before of its order; it has no text."""
        return self.status is ReportStatus.WITHDRAWN

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


class RecordedReports:
    """The reports of a ledger; each call is durable when it returns.

    Parameters
    ----------
    queue
        Gets the jobs that read studies anew.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    @repeated
    def record(self, reports: Sequence[NewReport]) -> list[LinkState]:
        """Record the reports of one message, link those whose study is there, and re-open it.

        A message whose file was lost is used again.

        Returns
        -------
        list
            How each report stands; empty where the message was known.
        """
        same = REPORT.c.message_key == reports[0].message_key
        with self._database.writing() as connection:
            now = self._database.now(connection)
            linkage.hold_named(connection, ((one.study_uid, one.accession_keys) for one in reports))
            known = connection.execute(sa.select(REPORT.c.path, REPORT.c.state).where(same)).first()
            if known is not None:
                if known.state == LinkState.LOST:
                    _move_file(connection, Path(known.path), reports[0].path)
                    linkage.link_each(connection, self._queue, same, now)
                return []
            inserted = [_insert(connection, report, now) for report in reports]
            return [linkage.link(connection, self._queue, number, now) for number in inserted]

    @repeated
    def link_waiting(self) -> int:
        """Try once more for every report that waits for its study; return how many were linked."""
        with self._database.reading() as connection:
            if not linkage.is_any_to_link(connection):
                return 0
        with self._database.writing() as connection:
            return linkage.link_waiting(connection, self._queue, self._database.now(connection))

    def latest(
        self, states: Collection[LinkState] = tuple(LinkState), limit: int = 100
    ) -> tuple[ReportRow, ...]:
        """List reports, the latest first."""
        query = sa.select(REPORT).where(REPORT.c.state.in_(list(states)))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(REPORT.c.id.desc()).limit(limit))
            return tuple(ReportRow.of(row) for row in rows)

    def of_study(self, study_uid: str) -> tuple[ReportRow, ...]:
        """Return the reports that count of those linked to a study.

        Of each order that is the version in force, and its addenda. Final and corrected reports
        replace what was written before them, a preliminary one only other preliminary ones; a
        withdrawal takes back everything before it. Of two with the same time the one that came
        later is the later. Where nothing of an order is left, its withdrawal stands.
        """
        query = sa.select(REPORT).where(
            REPORT.c.study_uid == study_uid, REPORT.c.state == LinkState.LINKED
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(REPORT.c.id)).all()
        return _current(ReportRow.of(row) for row in rows)

    def counts(self) -> dict[LinkState, int]:
        """Return how many reports there are in each state."""
        query = sa.select(REPORT.c.state, sa.func.count()).group_by(REPORT.c.state)
        with self._database.reading() as connection:
            return {LinkState(state): number for state, number in connection.execute(query)}

    def files(self) -> dict[Path, LinkState]:
        """Return every message file that the ledger knows, with the state of one of its reports."""
        query = sa.select(REPORT.c.path, REPORT.c.state)
        with self._database.reading() as connection:
            return {Path(path): LinkState(state) for path, state in connection.execute(query)}

    @repeated
    def move_file(self, old: Path, new: Path) -> None:
        """Note where a message's file lies now; reports that were lost with it wait again."""
        with self._database.writing() as connection:
            _move_file(connection, old, new)

    @repeated
    def mark_lost(self, path: Path) -> None:
        """Note that a message's file is gone; the studies that it was read with are read anew."""
        here = REPORT.c.path == str(path)
        with self._database.writing() as connection:
            now = self._database.now(connection)
            linked = connection.execute(
                sa.select(REPORT.c.study_uid).where(here, REPORT.c.state == LinkState.LINKED)
            ).all()
            connection.execute(
                sa.update(REPORT).where(here).values(state=LinkState.LOST, reason=_MISSING)
            )
            for row in linked:
                linkage.reopen(connection, self._queue, row.study_uid, now)


_MISSING = "its file is missing from the reports' folder"


def _move_file(connection: Connection, old: Path, new: Path) -> None:
    here = REPORT.c.path == str(old)
    connection.execute(
        sa.update(REPORT)
        .where(here, REPORT.c.state == LinkState.LOST)
        .values(state=LinkState.WAITING, reason=linkage.NOT_COME)
    )
    connection.execute(sa.update(REPORT).where(here).values(path=str(new)))


def _current(reports: Iterable[ReportRow]) -> tuple[ReportRow, ...]:
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


def _replaces(report: ReportRow, before: ReportRow) -> bool:
    if report.is_withdrawn:
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
    if report.is_withdrawn:
        return bool(others)
    return report.status is ReportStatus.PRELIMINARY and any(
        one.is_final and one.addendum == report.addendum for one in others
    )


def _insert(connection: Connection, report: NewReport, now: datetime) -> int:
    patient, accession = report.patient_keys, report.accession_keys
    inserted = connection.execute(
        sa.insert(REPORT).values(
            message_key=report.message_key,
            position=report.position,
            path=str(report.path),
            state=LinkState.WAITING,
            reason=linkage.NOT_COME,
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
