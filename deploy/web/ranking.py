"""The matches of an answer in the order and choice that a reader wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.answer_record import AnswerRecord, CaseRecord, MatchRecord, PartRecord
from pipeline.exam import RegionFindings

__all__ = ["Finding", "Ranked", "Wish", "ranked"]


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
    """A match at its place for a reader; one that the filters leave out has none."""

    match: MatchRecord
    case: CaseRecord
    place: int | None
    finding: Finding


_SAID: Final = {
    "present": Finding.FRACTURE,
    "possible": Finding.FRACTURE,
    "absent": Finding.NONE,
}


def ranked(record: AnswerRecord, part: PartRecord, wish: Wish) -> tuple[Ranked, ...]:
    """Return every match of a part: those that a reader wants in order, then the others."""
    matches = [(match, case) for match in part.matches if (case := record.case(match.case))]
    if wish.weight is not None:
        matches.sort(key=lambda one: (-wish.score(one[0]), one[0].rank))
    wanted: list[Ranked] = []
    others: list[Ranked] = []
    for match, case in matches:
        finding = _finding(case, part)
        if _is_wanted(match, case, finding, wish):
            wanted.append(Ranked(match, case, len(wanted) + 1, finding))
        else:
            others.append(Ranked(match, case, None, finding))
    return (*wanted, *others)


def _is_wanted(match: MatchRecord, case: CaseRecord, finding: Finding, wish: Wish) -> bool:
    if wish.finding not in (Finding.ANY, finding):
        return False
    if wish.same_side and match.mirrored:
        return False
    return case.pictured or not wish.pictured


def _finding(case: CaseRecord, part: PartRecord) -> Finding:
    if not case.findings_known:
        return Finding.UNKNOWN
    if part.region is not None:
        said = case.findings.get(part.region, RegionFindings()).fracture
        return _SAID.get(said, Finding.UNKNOWN)
    all_said = {_SAID.get(one.fracture, Finding.UNKNOWN) for one in case.findings.values()}
    order = (Finding.FRACTURE, Finding.NONE)
    return next((one for one in order if one in all_said), Finding.UNKNOWN)
