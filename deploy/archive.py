"""An archive of reports, mined as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.errors import ServiceUnavailableError
from deploy.findings_table import (
    COLUMNS,
    Row,
    check_ending,
    findings_row,
    unread_row,
    write_table,
)
from deploy.mining_journal import MiningJournal
from deploy.mining_progress import mining_progress
from deploy.mining_summary import MiningSummary
from deploy.private_file import remove_leftovers
from deploy.reading import CONCURRENCY, Outcome, Reading, miner_name, readings
from deploy.report_folder import reports_in, shown
from pipeline.mining import Miner

__all__ = ["PATIENCE", "journal_of", "mine_archive"]

PATIENCE = 50
"""After so many reports in a row on which the miner failed, though it says that it is ready, a run
stops: a result without findings would be of no use."""


def mine_archive(
    paths: Sequence[Path], out: Path, miner: Miner, concurrency: int = CONCURRENCY
) -> MiningSummary:
    """Mine every report in files and folders; write one row a report to a Parquet or CSV file.

    What is done is kept in a journal beside the result, so that a run that was interrupted, by
    whatever, goes on where it stopped when it is started again with the same `out`: a file whose
    content this miner, in this version, has read is not mined again. The result is written as a
    whole when everything is done, in the order of the files; then the journal is removed. Where
    the miner itself failed on some reports the journal stays, so that starting again tries just
    these.

    Raises
    ------
    InputError
        Where a path does not exist, no report lies there, or `out` ends otherwise.
    ServiceUnavailableError
        Where another process writes the same result; or the miner failed on `PATIENCE` reports in
        a row, or was gone for ten minutes: the journal then stays.
    PipelineError
        Where the miner cannot read anything at the moment; nothing is done then.
    OSError
        Where the disk refuses.
    """
    check_ending(out)
    found = reports_in(paths)
    miner.probe()
    summary = MiningSummary(
        out, miner_name(miner), no_report=found.no_report, other_files=found.other
    )
    with MiningJournal(journal_of(out), summary.miner, frozenset(COLUMNS)) as journal:
        remove_leftovers(out)
        began = time.monotonic()
        run = _Run(journal, summary)
        with mining_progress() as shown:
            task = shown.add_task("reports", total=len(found.files))
            for reading in readings(found.files, miner, concurrency, known=journal.done):
                run.take(reading)
                shown.advance(task)
        write_table(out, _counted(run.rows(found.files), summary))
        if not summary.to_try_again:
            journal.remove()
    summary.seconds = time.monotonic() - began
    return summary


def journal_of(out: Path) -> Path:
    """Return where the journal of a result lies."""
    return out.with_name(f"{out.name}.journal")


class _Run:
    """Takes readings into the journal, and gives the rows of all files back."""

    def __init__(self, journal: MiningJournal, summary: MiningSummary) -> None:
        self._journal, self._summary = journal, summary
        self._contents: dict[Path, str] = {}
        self._unopened: dict[Path, str] = {}
        self._failed_in_a_row = 0

    def take(self, reading: Reading) -> None:
        """Keep what a reading came to."""
        file, miner = shown(reading.file), self._summary.miner
        if not reading.content:
            self._unopened[reading.file] = reading.reason
            return
        self._contents[reading.file] = reading.content
        if reading.report is not None:
            row = findings_row(file, reading.text, reading.report, miner)
            self._journal.append(reading.content, row)
            self._summary.mined += 1
        elif reading.reason:
            self._journal.append(reading.content, unread_row(file, miner, reading.reason))
            self._summary.to_try_again += reading.outcome is not Outcome.BROKEN
        self._lose_patience(reading)

    def rows(self, files: Sequence[Path]) -> Iterator[Row]:
        """Yield the rows of files that are reports, in their order."""
        for file in files:
            if (reason := self._unopened.get(file)) is not None:
                yield unread_row(shown(file), self._summary.miner, reason)
            elif (row := self._journal.row(self._contents[file])) is not None:
                yield row | {"file": shown(file)}
            else:
                self._summary.no_report += 1

    def _lose_patience(self, reading: Reading) -> None:
        if reading.outcome is Outcome.MINER_FAILED:
            self._failed_in_a_row += 1
        elif reading.outcome is Outcome.READ:
            self._failed_in_a_row = 0
        if self._failed_in_a_row >= PATIENCE or reading.outcome is Outcome.MINER_GONE:
            text = (
                f"the miner fails on one report after the other: {reading.reason} What is done is "
                f"kept in {self._journal.path}; start again with the same --out to go on."
            )
            raise ServiceUnavailableError(text)


def _counted(rows: Iterator[Row], summary: MiningSummary) -> Iterator[Row]:
    for row in rows:
        summary.add(row)
        yield row
