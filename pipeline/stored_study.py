"""A stored study: its files, and its reports that came by other roads than DICOM.

Whoever keeps them hands in its rows: this knows no ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pipeline.report import ReportText, told_report

__all__ = ["StoredImage", "stored_images", "told_reports"]

_LOG = logging.getLogger("wristmir.worker")


@dataclass(frozen=True)
class StoredImage:
    """A received file, as the ledger knows it.

    ``version`` counts the contents that came under its SOP Instance UID.
    """

    path: Path
    sop_instance_uid: str
    version: int
    received_at: datetime


def stored_images(instances: Iterable[_Instance]) -> tuple[StoredImage, ...]:
    """Return the files that are kept of a study's instances, as the indexer takes them."""
    return tuple(
        StoredImage(row.path, row.sop_instance_uid, row.version, row.received_at)
        for row in instances
        if row.path is not None
    )


def told_reports(
    reports: Iterable[_Report], read: Callable[[Path, int], _Words | None]
) -> tuple[ReportText, ...]:
    """Return a study's reports that came by other roads than DICOM, as the indexer takes them.

    Parameters
    ----------
    reports
        Of each order the version in force; one that was withdrawn has no text.
    read
        Reads a report out of its message's file, by its position there; None where it is not in it.
    """
    return tuple(_told(row, read) for row in reports)


class _Instance(Protocol):
    """One version of a received instance; ``path`` is None where its bytes are not kept."""

    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def received_at(self) -> datetime: ...


class _Report(Protocol):
    """A recorded report; its file's name ends as its form is called."""

    @property
    def path(self) -> Path: ...
    @property
    def position(self) -> int: ...
    @property
    def is_final(self) -> bool: ...
    @property
    def is_withdrawn(self) -> bool: ...
    @property
    def addendum(self) -> bool: ...
    @property
    def at(self) -> datetime | None: ...
    @property
    def received_at(self) -> datetime: ...


class _Words(Protocol):
    """What a report says, and the number of the order that it answers."""

    @property
    def text(self) -> str: ...
    @property
    def order(self) -> str: ...


def _told(row: _Report, read: Callable[[Path, int], _Words | None]) -> ReportText:
    report = None
    if not row.is_withdrawn:
        try:
            report = read(row.path, row.position)
        except FileNotFoundError:  # the receiver's next start marks it
            _LOG.error("a report's file is missing from its folder: %s", row.path.name[:12])
    return told_report(
        report.text if report else "",
        row.path.suffix.removeprefix("."),
        final=row.is_final,
        addendum=row.addendum,
        at=row.at or row.received_at,
        order=report.order if report else "",
    )
