"""The matches of an answer in the order and choice that a reader wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.answer_record import AnswerRecord, CaseRecord, MatchRecord, PartRecord
from pipeline.exam import RegionFindings

__all__ = ["Finding", "Ranked", "Wish", "finding_of", "ranked"]


class Finding(StrEnum):
    """What a match's report has to say of the asked bone."""

    ANY = "any"
    FRACTURE = "fracture"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Wish:
    """How a reader wants the matches.

    Parameters
    ----------
    weight
        How much the bone counts against the whole wrist, 0 to 100; None for the answer's own order.
    finding
        Only matches whose report says this.
    same_side
        Only matches of the query's side.
    pictured
        Only matches whose picture is shown.
    """

    weight: int | None = None
    finding: Finding = Finding.ANY
    same_side: bool = False
    pictured: bool = False

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Wish:
        """Return what an address asks for; what is no wish is none."""
        weight = asked.get("weight", "")
        finding = asked.get("finding", "")
        return cls(
            weight=min(int(weight), 100) if weight.isdecimal() and len(weight) < 4 else None,
            finding=Finding(finding) if finding in set(Finding) else Finding.ANY,
            same_side="same_side" in asked,
            pictured="pictured" in asked,
        )

    def score(self, match: MatchRecord) -> float:
        """Return the weighed similarity index; a bone that was not compared counts as nothing."""
        share = (self.weight or 0) / 100
        return share * (match.region_index or 0.0) + (1 - share) * match.global_index


@dataclass(frozen=True)
class Ranked:
    """A match at its place for a reader; None for one that the choices leave out."""

    match: MatchRecord
    case: CaseRecord
    place: int | None
    finding: Finding


_SAID: Final = {
    "present": Finding.FRACTURE,
    "possible": Finding.FRACTURE,
    "absent": Finding.NONE,
}


def ranked(
    record: AnswerRecord,
    part: PartRecord,
    wish: Wish,
    is_pictured: Callable[[CaseRecord], bool],
) -> tuple[Ranked, ...]:
    """Return what a reader wants to see of a part, in order: as many as there are matches.

    Candidates behind the matches come in where weight and choices bring them there.

    Parameters
    ----------
    record, part, wish
        The answer, the bone, and what is wanted.
    is_pictured
        Tells whether a case's picture is shown.
    """
    found = [(match, case) for match in part.ranked if (case := record.case(match.case))]
    if wish.weight is not None:
        found.sort(key=lambda one: (-wish.score(one[0]), one[0].rank))
    wanted: list[Ranked] = []
    for match, case in found:
        if len(wanted) == len(part.matches):
            break
        finding = finding_of(case, part)
        if _is_wanted(match, finding, wish) and (not wish.pictured or is_pictured(case)):
            wanted.append(Ranked(match, case, len(wanted) + 1, finding))
    return tuple(wanted)


def _is_wanted(match: MatchRecord, finding: Finding, wish: Wish) -> bool:
    if wish.finding not in (Finding.ANY, finding):
        return False
    return not (wish.same_side and match.mirrored)


def finding_of(case: CaseRecord, part: PartRecord) -> Finding:
    """Return what the report of a case says of the asked bone."""
    if not case.findings_known:
        return Finding.UNKNOWN
    if part.region is not None:
        said = case.findings.get(part.region, RegionFindings()).fracture
        return _SAID.get(said, Finding.UNKNOWN)
    all_said = {_SAID.get(one.fracture, Finding.UNKNOWN) for one in case.findings.values()}
    order = (Finding.FRACTURE, Finding.NONE)
    return next((one for one in order if one in all_said), Finding.UNKNOWN)
