"""What an evaluation found, as one record: everything its tables and curves are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from pipeline.region import Region
from training.consistency import Consistency
from training.detection import Detection
from training.exam_table import ExamRow
from training.latency import Latency
from training.matching import Matching, fracture_class
from training.probing import LinearProbe
from training.ranking import CaptionRanking

__all__ = ["CHANCE", "UNTRAINED", "Composition", "EncoderFigures", "Evaluation"]

CHANCE, UNTRAINED = "chance", "untrained"
"""Names of the encoders that every bundle is compared with."""


@dataclass(frozen=True)
class Composition:
    """What a split holds (Table 3).

    ``fractures`` counts by bone and class; ``captions`` counts distinct ones.
    """

    exams: int
    patients: int
    with_findings: int
    captions: int
    sources: dict[str, int]
    fractures: dict[str, dict[str, int]]

    @classmethod
    def of(cls, rows: Sequence[ExamRow]) -> Composition:
        """Count some exams."""
        said = {words for row in rows for words in row.captions.values()}
        return cls(
            len(rows),
            len({(row.source, row.patient) for row in rows}),
            sum(bool(row.findings) for row in rows),
            len(said),
            _counted(row.source for row in rows),
            {
                region.value: _counted(
                    fracture_class(row.findings.get(region)) for row in rows if row.findings
                )
                for region in Region
            },
        )


@dataclass(frozen=True)
class EncoderFigures:
    """Everything measured of one encoder.

    ``matching`` is by choice of stored exams: training exams, training exams of the query's side,
    and the other test exams, as far as they have findings.
    """

    name: str
    captions: tuple[CaptionRanking, ...]
    probes: tuple[LinearProbe, ...]
    matching: tuple[Matching, ...]
    consistency: Consistency


@dataclass(frozen=True)
class Evaluation:
    """Tables 1, 2 and 4 to 8 as figures; the first of ``encoders`` is the bundle's.

    ``detection`` is None where no picture with true boxes is at hand.
    """

    bundle: str
    measured_at: datetime
    splits: dict[str, Composition]
    draws: int
    candidates: int
    encoders: tuple[EncoderFigures, ...]
    detection: Detection | None
    latency: Latency

    def to_json(self) -> bytes:
        """Return the record as JSON; what is not defined is null."""
        return TypeAdapter(Evaluation).dump_json(self, indent=1)

    @classmethod
    def from_json(cls, text: bytes) -> Evaluation:
        """Return the record that `to_json` wrote."""
        return TypeAdapter(cls).validate_json(text)


def _counted(names: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
