"""The labels of a report as a form: what stands in it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from deploy.worklist import WorklistEntry
from pipeline.findings import Fracture, Other
from pipeline.gold import GoldFindings, GoldReport
from pipeline.region import Region

__all__ = ["DETAILS", "GROUPS", "ReviewForm"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "left": ("one",),
    "right": ("one",),
    "both": ("left", "right"),
    "unknown": ("one",),
}
"""Which groups of fields count, by laterality: ``one`` for one wrist, or one a side."""

DETAILS = ("type", "healing", "displacement", "angulation_deg")
_FIELDS = ("fracture", *DETAILS)


@dataclass(frozen=True)
class ReviewForm:
    """Every field of the form and its value, as a browser sends them.

    Parameters
    ----------
    values
        ``laterality``; ``<group>-<region>-<field>`` with the group ``one``, ``left`` or ``right``;
        ``other-<name>``, ``on`` or empty.
    wrong
        What is wrong, by field.
    """

    values: Mapping[str, str]
    wrong: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, report: GoldReport) -> ReviewForm:
        """Fill the form with the labels of a report."""
        gold = report.gold
        sides = {str(side or "one"): regions for side, regions in gold.sides.items()}
        if "one" in sides and gold.laterality in ("left", "right"):
            sides[gold.laterality] = sides["one"]  # should the other wrist turn out to be there
        values: dict[str, str] = {"laterality": gold.laterality}
        for group in ("one", "left", "right"):
            for region in Region:
                found = sides[group][region] if group in sides else _NOTHING
                for name in _FIELDS:
                    values[f"{group}-{region}-{name}"] = _shown(getattr(found, name))
        values |= {f"other-{name}": "on" if name in gold.other else "" for name in Other}
        return cls(values)

    @classmethod
    def posted(cls, sent: Mapping[str, str]) -> ReviewForm:
        """Take what a browser has sent; fields it does not know are left out."""
        empty = cls.of(_EMPTY).values
        values = {name: sent.get(name, "").strip() for name in empty}
        for name, value in values.items():
            if name.endswith("-fracture") and not value:
                values[name] = Fracture.NOT_MENTIONED.value
        return cls(values)

    def differing(self, other: ReviewForm) -> frozenset[str]:
        """Return the fields that count here and say something else in another form."""
        return frozenset(
            name for name in self._counting() if self.values[name] != other.values[name]
        )

    def report(self, entry: WorklistEntry) -> GoldReport | ReviewForm:
        """Return the labels as a gold report; where they cannot be, the form that says why."""
        groups = GROUPS.get(self.values["laterality"], ("one",))
        wrong: dict[str, str] = {}
        sides = {group: self._regions(group, wrong) for group in groups}
        gold = {
            "laterality": self.values["laterality"],
            "regions": sides if len(sides) == 2 else sides["one"],
            "other": [name.value for name in Other if self.values[f"other-{name}"]],
        }
        if not wrong:
            try:
                return GoldReport.model_validate({"id": entry.id, "text": entry.text, "gold": gold})
            except ValidationError:
                wrong["laterality"] = "Choose left, right, both or unknown."
        return ReviewForm(self.values, wrong)

    def _counting(self) -> tuple[str, ...]:
        groups = GROUPS.get(self.values["laterality"], ("one",))
        return tuple(
            name
            for name in self.values
            if "-" not in name or name.split("-")[0] in (*groups, "other")
        )

    def _regions(self, group: str, wrong: dict[str, str]) -> dict[str, Any]:
        regions = {}
        for region in Region:
            place = f"{group}-{region}-"
            said: dict[str, Any] = {name: self.values[place + name] or None for name in _FIELDS}
            if said["angulation_deg"]:
                said["angulation_deg"] = said["angulation_deg"].replace(",", ".")
            regions[region.value] = said
            try:
                GoldFindings.model_validate(said)
            except ValidationError as error:
                wrong |= {place + name: why for name, why in _faults(error, said).items()}
        return regions


def _faults(error: ValidationError, said: Mapping[str, Any]) -> dict[str, str]:
    faults = {}
    for one in error.errors(include_url=False, include_input=False):
        if one["loc"]:
            name = str(one["loc"][0])
            faults[name] = _WORDS.get(name, "Choose one of these.")
            continue
        state = {"absent": "A fracture that is absent"}.get(
            said["fracture"], "A bone not mentioned"
        )
        for name in DETAILS:
            if said[name] is not None:
                faults[name] = f"{state} has no {name.removesuffix('_deg')}."
    return faults


_WORDS = {"angulation_deg": "A number of degrees from 0 to 180."}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


_NOTHING = GoldFindings(
    fracture=Fracture.NOT_MENTIONED, type=None, healing=None, displacement=None, angulation_deg=None
)
_EMPTY = GoldReport.model_validate(
    {
        "id": "empty",
        "text": "-",
        "gold": {"laterality": "unknown", "regions": dict.fromkeys(Region, _NOTHING), "other": ()},
    }
)
