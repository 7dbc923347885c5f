"""What a language model has to answer with, and the findings that come of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.findings import (
    Alignment,
    Displacement,
    Finding,
    Fracture,
    FractureType,
    Healing,
    Other,
    OtherFinding,
    SideFindings,
    WristReport,
)
from pipeline.region import Laterality, Region, View

__all__ = ["Answer", "StatedFracture", "StatedOther", "answer_schema"]

Quote = Annotated[str, Field(min_length=1, max_length=400)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StatedFracture(_Part):
    """One statement about a fracture of one bone, with the report's own words for it."""

    side: Laterality
    bone: Region
    fracture: Literal[Fracture.PRESENT, Fracture.POSSIBLE, Fracture.ABSENT]
    type: FractureType | None
    healing: Healing | None
    displacement: Displacement | None
    angulation_deg: Annotated[int, Field(ge=0, le=180)] | None
    physeal: bool | None
    intra_articular: bool | None
    evidence: Quote


class StatedOther(_Part):
    """Something beside the three bones, with the report's own words for it."""

    side: Laterality
    name: Other
    possible: bool
    evidence: Quote


class Answer(_Part):
    """A language model's reading of one report (WristMIR, section 2.3).

    ``reasoning`` comes first, so that the model thinks before it decides: a reasoning parser would
    switch the grammar off. Every key has to be there; nothing in the schema goes beyond what the
    grammars of vLLM are known to keep (`answer_schema`).
    """

    reasoning: str = Field(max_length=700)
    sides: tuple[Literal[Laterality.LEFT, Laterality.RIGHT], ...] = Field(max_length=2)
    views: tuple[Literal[View.PA, View.LATERAL, View.OBLIQUE], ...] = Field(max_length=3)
    alignment: Alignment | None
    fractures: tuple[StatedFracture, ...] = Field(max_length=16)
    others: tuple[StatedOther, ...] = Field(max_length=16)

    def report(self, language: str = "en") -> WristReport:
        """Return the findings, by side; what they quote is not checked yet."""
        told = [one.side for one in self.fractures] + [one.side for one in self.others]
        sides: dict[Laterality, None] = dict.fromkeys((*self.sides, *told))
        return WristReport(
            language=language,
            views=tuple(view for view in View if view in self.views),
            sides={side: self._side(side) for side in sides},
        )

    def _side(self, side: Laterality) -> SideFindings:
        stated = [one for one in self.fractures if one.side is side]
        regions = {
            region: tuple(_finding(one) for one in stated if one.bone is region)
            for region in Region
        }
        others = tuple(
            OtherFinding(name=one.name, possible=one.possible, evidence=one.evidence)
            for one in self.others
            if one.side is side
        )
        return SideFindings(
            regions={region: found for region, found in regions.items() if found},
            alignment=self.alignment,
            other=others,
        )


def answer_schema() -> dict[str, Any]:
    """Return the JSON schema of `Answer` for constrained decoding.

    Objects, arrays, strings of bounded length, bounded integers, booleans, enumerations, null and
    references: no discriminated union, no ``not``, ``if`` or ``uniqueItems``.
    """
    return Answer.model_json_schema()


def _finding(stated: StatedFracture) -> Finding:
    """Return a statement as a finding; a bone that is whole has nothing more to say."""
    if stated.fracture is Fracture.ABSENT:
        return Finding(fracture=stated.fracture, evidence=stated.evidence)
    return Finding(
        fracture=Fracture(stated.fracture),
        type=stated.type or FractureType.UNSPECIFIED,
        healing=stated.healing,
        displacement=stated.displacement,
        angulation_deg=stated.angulation_deg,
        physeal=stated.physeal,
        intra_articular=stated.intra_articular,
        evidence=stated.evidence,
    )
