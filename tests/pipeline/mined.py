"""What the rules read in a report, in short."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.findings import RegionFindings, WristReport, collapse
from pipeline.mining import RulesMiner
from pipeline.region import Laterality, Region

RADIUS, ULNA, STYLOID = Region
ALL_ABSENT = dict.fromkeys(Region, "absent")
BOTH = """EXAM: BILATERAL WRISTS
FINDINGS:
RIGHT WRIST: Buckle fracture of the distal radius. A cast is in place.
LEFT WRIST: No fracture.
IMPRESSION: Right distal radius buckle fracture. Normal left wrist."""


def mine(text: str) -> WristReport:
    return RulesMiner().mine(text)


def read(text: str, side: Laterality | None = None) -> dict[Region, str]:
    """The fractures of a report, in short: what is not mentioned is left out."""
    return {
        region: f.fracture
        for region, f in collapse(mine(text), side).items()
        if f.fracture != "not_mentioned"
    }


def radius(text: str) -> RegionFindings:
    found: Mapping[Region, RegionFindings] = collapse(mine(text))
    return found[RADIUS]
