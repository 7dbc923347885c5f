"""What was asked, and what is answered: request, match, answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pipeline.errors import RequestError
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

    def asked(self, argument: Mapping[str, Any]) -> Request:
        """Return this request with what an argument (of a job) says otherwise.

        Raises
        ------
        RequestError
            If it names a region, mode or number that does not exist.
        """
        try:
            regions = tuple(Region(name) for name in argument.get("regions", ()))
            mode = Mode(argument.get("mode", self.mode.value))
            k = int(argument.get("k", self.k))
        except (ValueError, TypeError):
            message = "Its argument names a region, mode or number that does not exist."
            raise RequestError(message) from None
        return replace(self, regions=regions or self.regions, mode=mode, k=k)


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

    def as_json(self) -> dict[str, Any]:
        """Return the match for programs: codes, scores and the UIDs of the image."""
        return {
            "rank": self.rank,
            "study_instance_uid": self.exam.study_instance_uid,
            "sop_instance_uid": self.exam.sop_instance_uid,
            "laterality": self.exam.laterality.value,
            "age_band": self.exam.age_band,
            "global_similarity": round(float(self.global_similarity), 4),
            "region_similarity": _rounded(self.region_similarity, 4),
            "global_index": round(float(self.global_index), 1),
            "region_index": _rounded(self.region_index, 1),
            "mirrored": self.mirrored,
            "findings_known": self.exam.findings_known,
            "findings": {
                region.value: {
                    "fracture": found.fracture,
                    "type": found.type,
                    "healing": found.healing,
                    "displacement": found.displacement,
                    "angulation_deg": found.angulation_deg,
                }
                for region, found in self.exam.findings.items()
            },
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, eq=False)
class RegionAnswer:
    """The ranked matches for one bone (or for the wrist as a whole where ``region`` is None).

    ``fallbacks`` says in words what was relaxed or replaced; ``nothing_similar`` is True where
    no candidate reached the bundle's threshold. ``further`` are candidates behind the matches, for
    a reader who weighs otherwise (`pipeline.reserve`): no result speaks of them.
    """

    region: Region | None
    matches: tuple[Match, ...]
    fallbacks: tuple[str, ...] = ()
    nothing_similar: bool = False
    further: tuple[Match, ...] = ()


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

    @property
    def further(self) -> tuple[Exam, ...]:
        """Every candidate behind the matches that is no prior of another bone, once."""
        returned = {exam.sop_instance_uid for exam in self.priors}
        seen = {m.exam.sop_instance_uid: m.exam for r in self.regions for m in r.further}
        return tuple(exam for uid, exam in seen.items() if uid not in returned)

    def as_json(self) -> dict[str, Any]:
        """Return the answer for programs."""
        return {
            "query": {
                "study_instance_uid": self.query.study_instance_uid,
                "sop_instance_uid": self.query.sop_instance_uid,
                "laterality": self.query.laterality.value,
                "age_band": self.query.age_band,
                "boxes": {name: list(map(float, box)) for name, box in self.query.boxes.items()},
            },
            "mode": self.request.mode.value,
            "bundle": self.bundle_id,
            "pool": self.pool_size,
            "warnings": list(self.warnings),
            "regions": [
                {
                    "region": "global" if part.region is None else part.region.value,
                    "fallbacks": list(part.fallbacks),
                    "nothing_similar": part.nothing_similar,
                    "matches": [match.as_json() for match in part.matches],
                }
                for part in self.regions
            ],
            "seconds": {name: round(float(value), 4) for name, value in self.seconds.items()},
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)
