"""What was said of one bone, and the findings that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.findings import Disagreement, Finding, Fracture, FractureType, Healing
from pipeline.fracture_details import Details
from pipeline.region import Laterality, Region
from pipeline.statement import Statement

__all__ = ["JOIN", "Entry", "entry_of", "resolved"]

JOIN = " … "
"""What stands between two quotes."""

_SPECIFIC = set(FractureType) - {FractureType.UNSPECIFIED, FractureType.SALTER_HARRIS_UNSPECIFIED}


@dataclass
class Entry:
    """One statement on one bone, gathering remarks as they come.

    ``place`` is where it stands in the report. A ``vanished`` fracture was only told of, and is
    no longer seen.
    """

    rank: int
    fracture: Fracture
    details: Details
    quotes: dict[str, None]
    reach: str = "all"
    past: bool = False
    concludes: bool = False
    place: int = 0
    vanished: bool = False

    @property
    def lasting(self) -> bool:
        """True of a fracture that heals or has healed: a wrist may be called whole beside it."""
        return self.details.healing in (Healing.HEALING, Healing.HEALED) and not self.vanished

    def amend(self, details: Details, quote: str) -> None:
        """Take details over those that are known."""
        amended = details.completed_by(self.details)
        if amended != self.details:
            self.details = amended
            self.quotes[quote] = None

    def gather(self, details: Details, quote: str) -> None:
        """Take what is not known yet, and a type that says more."""
        kind = details.type
        if self.details.type not in _SPECIFIC and kind is not None:
            self.details = Details(type=kind).completed_by(self.details)
        if self.details.completed_by(details) != self.details:
            self.details = self.details.completed_by(details)
            self.quotes[quote] = None


def entry_of(said: Statement, rank: int, quote: str, place: int) -> Entry:
    """Return a statement as the entry of one bone."""
    status = said.fracture or Fracture.ABSENT
    return Entry(
        rank, status, said.details, {quote: None}, said.reach, said.past, said.concludes, place
    )


def resolved(
    side: Laterality,
    region: Region,
    said: list[Entry],
    denials: list[Entry],
    disputed: list[Disagreement],
) -> tuple[Finding, ...]:
    """Return the findings of one bone: the highest section's, completed by the others."""
    entries = sorted(_without_told(said), key=lambda entry: -entry.rank)
    entries = [*_overruling(entries, denials), *entries]
    if not entries:
        denials = sorted(denials, key=lambda entry: -entry.rank)
        entries = denials[:1]
    if not entries:
        return ()
    top = [entry for entry in entries if entry.rank == entries[0].rank]
    lower = [entry for entry in entries if entry.rank < entries[0].rank]
    disputed += _contradicted(side, region, top, lower)
    kept = _merged(top)
    for entry in lower:
        alike = [k for k in kept if k.fracture is entry.fracture and _compatible(k, entry)]
        if alike and entry.fracture is not Fracture.ABSENT:
            alike[0].gather(entry.details, next(iter(entry.quotes)))
    return tuple(_finding(entry) for entry in kept)


def _overruling(entries: list[Entry], denials: list[Entry]) -> Iterator[Entry]:
    """Yield the general denial that outranks what a lower section says, or tells of the past."""
    if not entries or entries[0].fracture is Fracture.ABSENT:
        return
    stated = entries[0]
    for denial in denials:
        if denial.reach == "rest":
            continue
        if denial.rank <= stated.rank:
            if denial.rank == stated.rank and _concluded(entries, denial):
                yield Entry(denial.rank + 1, denial.fracture, denial.details, denial.quotes)
                return
            continue
        doubted = stated.fracture is Fracture.POSSIBLE
        if doubted or (denial.reach == "all" and not stated.lasting):
            yield denial
            return


def _concluded(entries: list[Entry], denial: Entry) -> bool:
    """Tell whether a general denial outranks what its own section said before.

    It does where that was only told of, or where it draws the sum behind all of it.
    """
    if denial.reach != "all" or any(entry.lasting for entry in entries):
        return False
    if all(entry.past for entry in entries):
        return True
    last = max(entry.place for entry in entries if entry.rank == denial.rank)
    return denial.concludes and denial.place > last


def _without_told(said: list[Entry]) -> list[Entry]:
    """Return what was said without the fractures that were only told of, where one is denied."""
    denied = [e for e in said if e.fracture is Fracture.ABSENT and e.reach == "all"]
    if not denied:
        return said
    highest = max(entry.rank for entry in denied)
    return [
        entry
        for entry in said
        if entry.fracture is Fracture.ABSENT
        or not entry.past
        or entry.lasting
        or entry.rank > highest
    ]


def _contradicted(
    side: Laterality, region: Region, top: list[Entry], lower: list[Entry]
) -> Iterator[Disagreement]:
    statuses = {entry.fracture for entry in top}
    for entry in lower:
        opposite = {Fracture.PRESENT: Fracture.ABSENT, Fracture.ABSENT: Fracture.PRESENT}
        if opposite.get(entry.fracture) in statuses and entry.fracture not in statuses:
            readings = (top[0].fracture.value, entry.fracture.value)
            yield _disagreement(side, region, "fracture", readings, (top[0], entry))
        elif entry.fracture in statuses and not any(_compatible(t, entry) for t in top):
            kinds = (top[0].details.type, entry.details.type)
            readings = (str(kinds[0]), str(kinds[1]))
            yield _disagreement(side, region, "type", readings, (top[0], entry))


def _disagreement(
    side: Laterality,
    region: Region,
    of: str,
    readings: tuple[str, str],
    entries: tuple[Entry, Entry],
) -> Disagreement:
    quotes = tuple(JOIN.join(entry.quotes) for entry in entries)
    return Disagreement(side=side, region=region, field=of, readings=readings, evidence=quotes)


def _merged(entries: list[Entry]) -> list[Entry]:
    """Join the entries that may be about the same fracture."""
    kept: list[Entry] = []
    for entry in entries:
        alike = [k for k in kept if k.fracture is entry.fracture and _compatible(k, entry)]
        if not alike:
            kept.append(entry)
        elif entry.fracture is not Fracture.ABSENT:
            alike[0].gather(entry.details, next(iter(entry.quotes)))
    return kept


def _compatible(one: Entry, other: Entry) -> bool:
    kinds = (one.details.type, other.details.type)
    if FractureType.SALTER_HARRIS_UNSPECIFIED in kinds:
        return all(k is None or k not in _SPECIFIC or k.startswith("salter") for k in kinds)
    return kinds[0] == kinds[1] or not all(kind in _SPECIFIC for kind in kinds)


def _finding(entry: Entry) -> Finding:
    evidence = JOIN.join(entry.quotes)
    if entry.fracture is Fracture.ABSENT:
        return Finding(fracture=entry.fracture, evidence=evidence)
    said = vars(entry.details)
    values: Mapping[str, Any] = {k: v for k, v in said.items() if k != "displaced_somehow"}
    return Finding(fracture=entry.fracture, evidence=evidence, **values)
