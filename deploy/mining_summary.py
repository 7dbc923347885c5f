"""What a mining run came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.findings_table import Row
from pipeline.region import Region

__all__ = ["MiningSummary"]


@dataclass
class MiningSummary:
    """Counts over the rows of a result.

    Parameters
    ----------
    out
        The result.
    miner
        Name and version.
    mined
        How many reports this run has mined; the others were in the journal, or have the same
        content as another.
    seconds
        How long it took.
    no_report, other_files
        DICOM files that hold no report, and files that are neither DICOM nor text.
    fractures
        By bone, how many reports call it broken: ``present`` and ``possible``.
    languages
        How many reports by language; what the miner does not read has no findings.
    not_read
        How many files by the reason why they were not read.
    to_try_again
        How many of them the miner failed on; the same command again tries just these.
    """

    out: Path
    miner: str
    mined: int = 0
    seconds: float = 0.0
    no_report: int = 0
    other_files: int = 0
    reports: int = 0
    fractures: dict[str, Counter[str]] = field(
        default_factory=lambda: {region.value: Counter(present=0, possible=0) for region in Region}
    )
    languages: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    disputed: int = 0
    not_read: Counter[str] = field(default_factory=Counter)
    to_try_again: int = 0

    def add(self, row: Row) -> None:
        """Count one row."""
        self.reports += 1
        if row["reason"] is not None:
            self.not_read[row["reason"]] += 1
            return
        self.languages[row["language"]] += 1
        self.dropped += row["dropped"]
        self.disputed += row["disputed"]
        for region, counts in self.fractures.items():
            said = row[f"{region}_fracture"]
            if said in counts:
                counts[said] += 1

    @property
    def rate(self) -> float | None:
        """Reports a second that were mined; None where there was nothing to do."""
        return self.mined / self.seconds if self.mined and self.seconds else None

    def as_json(self) -> dict[str, Any]:
        """Return every count as one JSON object."""
        return {
            "out": str(self.out),
            "miner": self.miner,
            "reports": self.reports,
            "mined": self.mined,
            "seconds": round(self.seconds, 3),
            "reports_per_second": None if self.rate is None else round(self.rate, 1),
            "fractures": {region: dict(counts) for region, counts in self.fractures.items()},
            "languages": dict(self.languages.most_common()),
            "dropped": self.dropped,
            "disputed": self.disputed,
            "not_read": dict(self.not_read.most_common()),
            "to_try_again": self.to_try_again,
            "no_report": self.no_report,
            "other_files": self.other_files,
        }

    def as_tables(self) -> tuple[Table, ...]:
        """Return the counts for people."""
        title = f"{self.out.name}: {self.reports:,} reports by {self.miner}"
        bones = Table("bone", "broken", "possibly", title=title, title_justify="left")
        for region, counts in self.fractures.items():
            bones.add_row(region.replace("_", " "), *(f"{n:,}" for n in counts.values()))
        run = Table(show_header=False)
        rate = "" if self.rate is None else f", {self.rate:,.0f} a second"
        run.add_row("mined in this run", f"{self.mined:,}{rate}")
        languages = ", ".join(f"{code} {n:,}" for code, n in self.languages.most_common())
        run.add_row("languages", languages or "–")
        run.add_row("findings dropped", f"{self.dropped:,} (no evidence in the text)")
        run.add_row("values disputed", f"{self.disputed:,}")
        for reason, n in self.not_read.most_common():
            run.add_row(f"not read: {n:,}", reason)
        if self.to_try_again:
            run.add_row("miner failed", f"{self.to_try_again:,}: the same command tries them again")
        if self.no_report:
            run.add_row("DICOM without a report", f"{self.no_report:,} left out")
        if self.other_files:
            run.add_row("neither DICOM nor .txt", f"{self.other_files:,} left out")
        return bones, run
