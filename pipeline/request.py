"""What was asked, and what is answered: request, match, answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pipeline.exam import Exam
from pipeline.region import Region

__all__ = ["Answer", "Match", "Mode", "RegionAnswer", "Request"]


class Mode(StrEnum):
    """How candidates are found and ranked (WristMIR, section 3.3 and Appendix F)."""

    TWO_STAGE = "two_stage"
    GLOBAL = "global"
    REGION = "region"
    FUSED = "fused"


@dataclass(frozen=True)
class Request:
    """A question about one exam.

    Parameters
    ----------
    regions
        The bones asked about, in the order of the answer; empty asks for the wrist as a whole.
    k
        How many matches are wanted for each.
    mode
        The paper's two stages by default.
    candidates
        Size of the global candidate pool (the paper's 100).
    same_side
        Only priors of the query's side, relaxed (and said so) where too few remain.
    age_band_years
        Only priors within this many years of the query's age; None for any age.
    """

    regions: tuple[Region, ...] = tuple(Region)
    k: int = 10
    mode: Mode = Mode.TWO_STAGE
    candidates: int = 100
    same_side: bool = True
    age_band_years: float | None = None


@dataclass(frozen=True, eq=False)
class Match:
    """A prior that was returned, and why.

    ``global_similarity`` and ``region_similarity`` are cosines in -1..1 (None where the prior or
    the query lacks the bone); ``*_index`` are the calibrated similarity indices in 0..100, said
    to be no probability.
    """

    rank: int
    exam: Exam
    global_similarity: float
    region_similarity: float | None
    global_index: float
    region_index: float | None
    mirrored: bool = False
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RegionAnswer:
    """The ranked matches for one bone (or for the wrist as a whole where ``region`` is None).

    ``fallbacks`` says in words what was relaxed or replaced; ``nothing_similar`` is True where
    no candidate reached the bundle's threshold.
    """

    region: Region | None
    matches: tuple[Match, ...]
    fallbacks: tuple[str, ...] = ()
    nothing_similar: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to one request about one query exam."""

    query: Exam
    request: Request
    regions: tuple[RegionAnswer, ...]
    pool_size: int
    bundle_id: str
    answered_at: datetime
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def priors(self) -> tuple[Exam, ...]:
        """Every prior that is returned, once, in order of first mention."""
        seen = {m.exam.sop_instance_uid: m.exam for r in self.regions for m in r.matches}
        return tuple(seen.values())
