"""What the language model has to answer with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.answer import Answer, answer_schema
from pipeline.findings import Fracture, FractureType, Other
from pipeline.region import Laterality, Region, View

FRACTURE: dict[str, Any] = {
    "side": "left",
    "bone": "distal_radius",
    "fracture": "present",
    "type": "buckle",
    "healing": None,
    "displacement": "mild",
    "angulation_deg": 12,
    "physeal": None,
    "intra_articular": None,
    "evidence": "buckle fracture",
}
OTHER = {"side": "left", "name": "hardware", "possible": False, "evidence": "K-wires"}
ANSWER: dict[str, Any] = {
    "reasoning": "Nothing is denied.",
    "sides": ["left"],
    "views": ["lateral", "pa"],
    "alignment": None,
    "fractures": [FRACTURE],
    "others": [OTHER],
}


def answer(**changed: Any) -> Answer:
    return Answer.model_validate_json(json.dumps({**ANSWER, **changed}))


def keywords(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                for inner in value.values():
                    yield from keywords(inner)
                continue
            yield key
            yield from keywords(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from keywords(item)


def test_an_answer_becomes_findings_by_side() -> None:
    report = answer().report()
    (finding,) = report.sides[Laterality.LEFT].regions[Region.DISTAL_RADIUS]
    assert (finding.type, finding.angulation_deg) == (FractureType.BUCKLE, 12)
    assert report.views == (View.PA, View.LATERAL)
    assert [other.name for other in report.sides[Laterality.LEFT].other] == [Other.HARDWARE]


def test_one_sides_fracture_is_never_lent_to_the_other() -> None:
    right = {**FRACTURE, "side": "right", "fracture": "absent"}
    report = answer(sides=["left", "right"], fractures=[FRACTURE, right]).report()
    assert {
        side: found.regions[Region.DISTAL_RADIUS][0].fracture
        for side, found in report.sides.items()
    } == {Laterality.LEFT: Fracture.PRESENT, Laterality.RIGHT: Fracture.ABSENT}


def test_a_whole_bone_has_nothing_more_to_say() -> None:
    report = answer(fractures=[{**FRACTURE, "fracture": "absent"}]).report()
    (finding,) = report.sides[Laterality.LEFT].regions[Region.DISTAL_RADIUS]
    assert (finding.type, finding.displacement, finding.angulation_deg) == (None, None, None)


def test_a_fracture_without_morphology_is_unspecified() -> None:
    report = answer(fractures=[{**FRACTURE, "type": None}]).report()
    (finding,) = report.sides[Laterality.LEFT].regions[Region.DISTAL_RADIUS]
    assert finding.type is FractureType.UNSPECIFIED


@pytest.mark.parametrize(
    "wrong",
    [
        {"fractures": [{**FRACTURE, "type": "torus"}]},
        {"fractures": [{**FRACTURE, "evidence": ""}]},
        {"fractures": [{**FRACTURE, "angulation_deg": 200}]},
        {"fractures": [FRACTURE] * 17},
        {"reasoning": "x" * 701},
        {"diagnosis": "fracture"},
    ],
    ids=["type", "no evidence", "angle", "too many", "too long", "unknown key"],
)
def test_anything_else_is_no_answer(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        answer(**wrong)


def test_the_schema_keeps_to_what_the_grammars_are_known_to_keep() -> None:
    known = {
        *("type", "title", "description", "enum", "const", "$ref", "anyOf", "required"),
        *("items", "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"),
        "additionalProperties",
    }
    assert set(keywords(answer_schema())) <= known


def test_every_object_of_the_schema_is_closed_and_every_key_has_to_be_there() -> None:
    schema = answer_schema()
    for part in (schema, *schema["$defs"].values()):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert set(part["required"]) == set(part["properties"])


def test_reasoning_comes_first() -> None:
    assert next(iter(answer_schema()["properties"])) == "reasoning"
