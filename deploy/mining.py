"""What the miner reads in a report file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.reading import miner_name
from deploy.report_folder import find_reports, shown
from deploy.report_reader import ReportReader
from pipeline.errors import PipelineError, ReportError
from pipeline.gold import Counts, GoldScore, gold_reports, score
from pipeline.mining import Miner, mine_json

__all__ = ["Evaluated", "Mined", "evaluate_miner", "mine_files"]


@dataclass(frozen=True)
class Mined:
    """One report file and what was read in it."""

    file: Path
    row: dict[str, Any]

    @property
    def failed(self) -> bool:
        """True where the file could not be read."""
        return "reason" in self.row

    def as_json(self) -> dict[str, Any]:
        """Return the findings with their evidence as one JSON object."""
        return self.row

    def as_table(self) -> Table:
        """Return the findings for people."""
        table = Table(title=self.file.name, title_justify="left")
        if self.failed:
            table.add_column("not read")
            table.add_row(self.row["reason"])
            return table
        for heading in ("bone", "fracture", "type", "healing", "displacement", "evidence"):
            table.add_column(heading, overflow="fold")
        for region, found in self.row["regions"].items():
            words = [
                str(found[key] or "–").replace("_", " ")
                for key in ("fracture", "type", "healing", "displacement")
            ]
            evidence = found["evidence"] or "–"
            said = "; ".join(evidence) if isinstance(evidence, list) else str(evidence)
            table.add_row(region.replace("_", " "), *words, said)
        return table


@dataclass(frozen=True)
class Evaluated:
    """How a miner reads gold reports."""

    miner: str
    score: GoldScore

    def as_json(self) -> dict[str, Any]:
        """Return every figure and every miss as one JSON object."""
        misses = [asdict(miss) for miss in self.score.misses]
        return {"miner": self.miner, **self.score.as_json(), "misses": misses}

    def as_tables(self) -> tuple[Table, ...]:
        """Return the figures, and what was read otherwise than the gold says."""
        return self._presence(), self._rates(), self._misses()

    def _presence(self) -> Table:
        title = f"{self.miner}, {self.score.reports} gold reports: is there a fracture?"
        table = Table("", "precision", "recall", "F1", "state", title=title, title_justify="left")
        for region, counts in self.score.presence.items():
            right, whole = self.score.exact[region]
            state = right / whole if whole else None
            table.add_row(region.replace("_", " "), *_cells(counts), _cell(state))
        table.add_row("all", *_cells(self.score.overall), "")
        table.add_row("other findings", *_cells(self.score.other), "")
        return table

    def _rates(self) -> Table:
        table = Table("", "share", "of")
        for name, (right, whole) in self.score.details.items():
            share = right / whole if whole else None
            table.add_row(name.removesuffix("_deg"), _cell(share), f"{whole} broken bones")
        right, whole = self.score.laterality
        table.add_row("laterality", _cell(right / whole if whole else None), f"{whole} reports")
        found = self.score.overall
        called = found.true_positive + found.false_positive
        rate = self.score.hallucination_rate
        table.add_row("hallucinated fractures", _cell(rate), f"{called} that were read")
        table.add_row("dropped findings", str(self.score.dropped), "no evidence in the text")
        table.add_row("disputed values", str(self.score.disputed), "")
        return table

    def _misses(self) -> Table:
        table = Table("report", "place", "value", "gold", "read", title="Misses")
        for miss in self.score.misses:
            table.add_row(miss.report, miss.place, miss.field, miss.gold, miss.read)
        return table


def evaluate_miner(file: Path, miner: Miner, at_once: int = 1) -> Evaluated:
    """Let a miner read a gold file, several reports at a time.

    Raises
    ------
    GoldError
        Where the file is none.
    """
    return Evaluated(miner_name(miner), score(gold_reports(file), miner, at_once))


def _cells(counts: Counts) -> tuple[str, str, str]:
    return _cell(counts.precision), _cell(counts.recall), _cell(counts.f1)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def mine_files(paths: Sequence[Path], miner: Miner) -> Iterator[Mined]:
    """Mine reports one by one, folders as a whole; a broken file stops nothing."""
    with ReportReader() as reader:
        for file in find_reports(paths).files:
            try:
                text = reader.text(file)
                if text is None:
                    raise ReportError
                report = miner.mine(text)
            except PipelineError as error:
                yield Mined(file, {"file": shown(file), "reason": str(error)})
            except OSError as error:
                yield Mined(file, {"file": shown(file), "reason": error.strerror or "not readable"})
            else:
                yield Mined(file, mine_json(shown(file), report, miner_name(miner)))
