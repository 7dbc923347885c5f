"""The reports that somebody reviews, in order, each with what the miner has read in it."""

from __future__ import annotations

import os
import statistics
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploy.gold_file import GoldFile, text_id
from deploy.marked_text import Piece, evidence_of, marked
from deploy.reading import Reading
from pipeline.exam import RegionFindings
from pipeline.findings import Fracture, WristReport, collapse, collapse_others
from pipeline.gold import GoldReport, GoldScore, score
from pipeline.mining import RulesMiner
from pipeline.region import Laterality, Region

__all__ = ["Show", "Worklist", "WorklistEntry", "reading_as_gold"]


class Show(StrEnum):
    """Which reports of a worklist are shown."""

    ALL = "all"
    TO_DO = "todo"
    FRACTURE = "fracture"
    DISPUTED = "disputed"
    LOOK_FIRST = "look_first"
    CORRECTED = "corrected"

    @property
    def words(self) -> str:
        """The filter in plain words."""
        return {"todo": "not reviewed", "look_first": "look first"}.get(self.value, self.value)


@dataclass(frozen=True)
class WorklistEntry:
    """One report to review.

    Parameters
    ----------
    id
        Of the gold report (`deploy.gold_file.text_id`).
    name
        Its file, relative to what all files have in common.
    report
        What the miner has read, with evidence.
    read
        The same in gold's values.
    pieces
        The text, cut where evidence begins and ends.
    """

    id: str
    name: str
    text: str
    report: WristReport
    read: GoldReport
    pieces: tuple[Piece, ...]

    @property
    def unused(self) -> int:
        """How many telling words no finding stands on."""
        return sum(piece.unused for piece in self.pieces)

    @property
    def doubtful(self) -> bool:
        """Whether the reading is likelier wrong than others: a person should look here first."""
        report = self.report
        return bool(report.disputed or report.dropped or self.unused or not report.sides)

    @property
    def fracture(self) -> bool:
        """Whether any bone is called broken, be it with doubt."""
        broken = (Fracture.PRESENT, Fracture.POSSIBLE)
        return any(
            f.fracture in broken for side in self.read.gold.sides.values() for f in side.values()
        )


class Worklist:
    """Reports, corrections, and where one stands.

    Parameters
    ----------
    readings
        What a miner has read; of files with the same text the first is kept.
    gold
        Where corrections are, and go.
    miner
        Its name and version.
    """

    def __init__(self, readings: Iterable[Reading], gold: GoldFile, miner: str) -> None:
        ordered = sorted(readings, key=lambda reading: reading.file)
        read = [(one.file, one.text, one.report) for one in ordered if one.report is not None]
        self.gold, self.miner = gold, miner
        self.unread: tuple[tuple[Path, str], ...] = tuple(
            (reading.file, reading.reason) for reading in ordered if reading.reason
        )
        self._entries: dict[str, WorklistEntry] = {}
        above = _common([file for file, _, _ in read])
        for file, text, report in read:
            entry = _entry(text, report, os.path.relpath(file, above))
            self._entries.setdefault(entry.id, entry)
        self._places = {entry_id: place for place, entry_id in enumerate(self._entries)}
        self._saved_at: deque[float] = deque(maxlen=21)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, entry_id: str) -> WorklistEntry | None:
        """Return a report by its id, or None where there is none."""
        return self._entries.get(entry_id)

    def correction(self, entry: WorklistEntry) -> GoldReport | None:
        """Return what a person says of a report, or None while it is to do."""
        return self.gold.of(entry.id)

    def place(self, entry: WorklistEntry) -> int:
        """Return where a report stands in the list, from 1."""
        return self._places[entry.id] + 1

    @property
    def done(self) -> int:
        """How many of the reports are reviewed."""
        return sum(self.correction(entry) is not None for entry in self._entries.values())

    def shown(self, show: Show) -> tuple[WorklistEntry, ...]:
        """Return the reports that a filter lets through, in order."""
        return tuple(entry for entry in self._entries.values() if self._lets(show, entry))

    def after(self, entry: WorklistEntry, show: Show) -> WorklistEntry | None:
        """Return the next report that a filter lets through, from the start again at the end."""
        return self._nearest(entry, show, forwards=True)

    def before(self, entry: WorklistEntry, show: Show) -> WorklistEntry | None:
        """Return the one before, from the end again at the start."""
        return self._nearest(entry, show, forwards=False)

    def save(self, report: GoldReport, entry: WorklistEntry) -> None:
        """Keep what a person says of a report.

        Raises
        ------
        GoldError, OSError
            As `deploy.gold_file.GoldFile.put`.
        """
        self.gold.put(report, entry.read, self.miner)
        self._saved_at.append(time.monotonic())

    def take_back(self, entry: WorklistEntry) -> None:
        """Forget what a person said of a report.

        Raises
        ------
        GoldError, OSError
            As `deploy.gold_file.GoldFile.put`.
        """
        self.gold.remove(entry.id)

    def seconds_left(self) -> float | None:
        """Return how long the rest will take at the pace of the last reports; None at first."""
        pauses = [b - a for a, b in zip(self._saved_at, list(self._saved_at)[1:], strict=False)]
        if len(pauses) < 3:
            return None
        return statistics.median(pauses) * (len(self) - self.done)

    def score(self) -> GoldScore:
        """Return how well the miner has read what is reviewed so far."""
        pairs = [(entry, self.correction(entry)) for entry in self._entries.values()]
        reviewed = [gold for _, gold in pairs if gold is not None]
        return score(reviewed, _Recalled({entry.text: entry.report for entry, _ in pairs}))

    def _lets(self, show: Show, entry: WorklistEntry) -> bool:
        correction = self.correction(entry)
        match show:
            case Show.TO_DO:
                return correction is None
            case Show.FRACTURE:
                return entry.fracture
            case Show.DISPUTED:
                return bool(entry.report.disputed)
            case Show.LOOK_FIRST:
                return correction is None and entry.doubtful
            case Show.CORRECTED:
                return correction is not None and not _same(correction, entry.read)
            case _:
                return True

    def _nearest(self, entry: WorklistEntry, show: Show, *, forwards: bool) -> WorklistEntry | None:
        order = list(self._entries.values())
        place = self._places[entry.id]
        others = [*order[place + 1 :], *order[:place]]
        return next(
            (one for one in (others if forwards else others[::-1]) if self._lets(show, one)), None
        )


class _Recalled(RulesMiner):
    """A miner that has read everything before."""

    def __init__(self, reports: Mapping[str, WristReport]) -> None:
        self._reports = reports

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        return self._reports[text]


def reading_as_gold(text: str, report: WristReport) -> GoldReport:
    """Return what a miner has read in gold's values: one value a bone, by side where both are."""
    known = [side for side in (Laterality.LEFT, Laterality.RIGHT) if side in report.sides]
    regions: dict[str, Any]
    if len(known) == 2:
        laterality = "both"
        regions = {side.value: _regions(collapse(report, side, one_sided=False)) for side in known}
    else:
        laterality, regions = report.laterality.value, _regions(collapse(report))
    gold = {"laterality": laterality, "regions": regions, "other": collapse_others(report)}
    return GoldReport.model_validate({"id": text_id(text), "text": text, "gold": gold})


def _same(one: GoldReport, other: GoldReport) -> bool:
    a, b = one.gold, other.gold
    return (a.laterality, a.regions, set(a.other)) == (b.laterality, b.regions, set(b.other))


def _regions(collapsed: Mapping[Region, RegionFindings]) -> dict[str, Any]:
    return {region.value: _values(collapsed[region]) for region in Region}


def _values(found: RegionFindings) -> dict[str, Any]:
    return {
        "fracture": found.fracture,
        "type": found.type,
        "healing": found.healing,
        "displacement": found.displacement,
        "angulation_deg": found.angulation_deg,
    }


def _entry(text: str, report: WristReport, name: str) -> WorklistEntry:
    pieces = marked(text, evidence_of(report))
    return WorklistEntry(text_id(text), name, text, report, reading_as_gold(text, report), pieces)


def _common(files: Sequence[Path]) -> Path:
    if not files:
        return Path()
    return Path(os.path.commonpath([file.absolute().parent for file in files]))
