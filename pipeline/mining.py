"""Report text to findings, by rules."""

from __future__ import annotations

from typing import Any, Protocol

from pipeline.draft import Draft
from pipeline.entry import JOIN
from pipeline.findings import WristReport, collapse, collapse_others
from pipeline.language import language_of
from pipeline.own_words import without_own_words
from pipeline.passage import passages, tidied
from pipeline.quotation import Quotations

__all__ = ["Miner", "RulesMiner", "mine_json", "supported"]


class Miner(Protocol):
    """Whatever turns the text of a report into findings."""

    name: str
    version: str

    @property
    def ready(self) -> bool:
        """Whether it is worth asking now; False while what it relies on is down."""

    def probe(self) -> None:
        """Raise a `PipelineError` where reports cannot be read now."""

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        """Return the findings of one report, each with evidence that stands in the text."""


class RulesMiner:
    """Reads English reports by rules (`pipeline.lexicon`, `pipeline.statement`).

    An indication, a comparison, advice and an order to a machine are no findings; an impression
    outranks the findings, an addendum both, and what they contradict is kept in ``disputed``. A
    report in another language is recognised and has no findings.
    """

    name = "rules"
    ready = True
    version = "4"

    def probe(self) -> None:
        """Rules are never down."""

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        """Return the findings of one report; rules need no age."""
        language = language_of(text)
        if language != "en":
            return WristReport(language=language)
        tidy = tidied(without_own_words(text))
        return supported(Draft(tidy, passages(tidy)).report(), text)


def supported(report: WristReport, text: str) -> WristReport:
    """Return a report without the findings whose evidence does not stand in the text.

    Case and white space aside; what is left out is counted in ``dropped``.
    """
    quotations = Quotations(text)
    dropped = report.dropped
    sides = {}
    for side, found in report.sides.items():
        regions = {
            region: tuple(f for f in findings if quotations.stand(f.evidence))
            for region, findings in found.regions.items()
        }
        other = tuple(o for o in found.other if quotations.stand(o.evidence))
        dropped += len(found.other) - len(other)
        dropped += sum(len(f) for f in found.regions.values()) - sum(map(len, regions.values()))
        regions = {region: findings for region, findings in regions.items() if findings}
        sides[side] = found.model_copy(update={"regions": regions, "other": other})
    return report.model_copy(update={"sides": sides, "dropped": dropped})


def mine_json(file: str, report: WristReport, miner: str) -> dict[str, Any]:
    """Return a report as `wristmir mine --json` prints it.

    ``regions`` is the collapsed view over all sides, ``sides`` is the whole.
    """
    collapsed = collapse(report)
    regions = {}
    for region, values in collapsed.items():
        stated = [f for side in report.sides.values() for f in side.regions.get(region, ())]
        quotes = dict.fromkeys(f.evidence for f in stated if f.fracture == values.fracture)
        regions[region.value] = {
            "fracture": values.fracture,
            "type": values.type,
            "healing": values.healing,
            "displacement": values.displacement,
            "angulation_deg": values.angulation_deg,
            "evidence": JOIN.join(quotes) or None,
        }
    whole = report.model_dump(mode="json")
    return {
        "file": file,
        "language": report.language,
        "laterality": report.laterality.value,
        "regions": regions,
        "other": list(collapse_others(report)),
        "disputed": whole["disputed"],
        "dropped": report.dropped,
        "miner": miner,
        "sides": whole["sides"],
    }
