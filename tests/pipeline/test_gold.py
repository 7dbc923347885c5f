"""Gold reports: what is accepted as such, and how a miner is scored on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import AnswerError, GoldError
from pipeline.findings import Finding, OtherFinding, SideFindings, WristReport
from pipeline.gold import GoldReport, gold_reports, score
from pipeline.mining import RulesMiner
from pipeline.region import Laterality, Region

GOLD = Path(__file__).parents[1] / "data" / "gold"
BONES = ("distal_radius", "distal_ulna", "ulnar_styloid")


def bone(fracture: str = "absent", **said: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("type", "healing", "displacement", "angulation_deg"))
    return {"fracture": fracture, **nothing, **said}


def line(name: str = "r1", **changes: Any) -> dict[str, Any]:
    gold = {"laterality": "left", "regions": {b: bone() for b in BONES}, "other": []}
    return {
        "id": name,
        "text": "Left wrist. No fracture.",
        "age_years": 7.5,
        "gold": gold,
    } | changes


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


class Reader:
    """A miner that reads what it is told to."""

    name, version = "told", "1"

    def __init__(self, **regions: Finding) -> None:
        self.side = Laterality.LEFT
        self.regions = {Region(name): (found,) for name, found in regions.items()}
        self.other: tuple[OtherFinding, ...] = ()

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        side = SideFindings(regions=self.regions, other=self.other)
        return WristReport(sides={self.side: side}, dropped=1)


def finding(fracture: str = "present", **said: Any) -> Finding:
    return Finding(fracture=fracture, evidence="words", **said)


def test_a_gold_file_is_read_line_by_line(tmp_path: Path) -> None:
    first, second = gold_reports(written(tmp_path, line("a", style="prose"), line("b")))
    assert (first.id, second.id) == ("a", "b")
    assert set(first.gold.sides[None]) == set(Region)


def test_both_wrists_have_their_own_regions(tmp_path: Path) -> None:
    sides = {side: {b: bone() for b in BONES} for side in ("left", "right")}
    both = line(gold={"laterality": "both", "regions": sides, "other": ["osteopenia"]})
    (report,) = gold_reports(written(tmp_path, both))
    assert set(report.gold.sides) == {Laterality.LEFT, Laterality.RIGHT}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (line("a"), "line 2: the id 'a' is taken"),
        (line(text=""), "line 2: text"),
        (line(gold={"laterality": "left", "regions": {}, "other": []}), "every region"),
        (
            line(gold={"laterality": "both", "regions": {b: bone() for b in BONES}, "other": []}),
            "stand by side",
        ),
        (
            line(gold={"laterality": "left", "regions": {b: bone(type="buckle") for b in BONES},
                       "other": []}),
            "absent has no type",
        ),
    ],
)  # fmt: skip
def test_a_line_that_is_no_gold_is_named(
    tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    with pytest.raises(GoldError, match=reason):
        gold_reports(written(tmp_path, line("a"), wrong))


def test_what_is_no_file_of_json_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GoldError, match="cannot be read"):
        gold_reports(tmp_path / "none.jsonl")
    (tmp_path / "gold.jsonl").write_text("fracture\n")
    with pytest.raises(GoldError, match="line 1: no JSON"):
        gold_reports(tmp_path / "gold.jsonl")


def gold(**regions: dict[str, Any]) -> GoldReport:
    found = {b: regions.get(b, bone()) for b in BONES}
    given = {"laterality": "left", "regions": found, "other": ["osteopenia"]}
    return GoldReport.model_validate(line(gold=given))


def test_what_is_read_rightly_scores_fully() -> None:
    buckle = {"type": "buckle", "healing": "healing"}
    reader = Reader(distal_radius=finding(**buckle), distal_ulna=finding("absent"),
                    ulnar_styloid=finding("absent"))  # fmt: skip
    reader.other = (OtherFinding(name="osteopenia", evidence="words"),)
    found = score([gold(distal_radius=bone("present", **buckle))], reader)
    assert found.misses == []
    assert found.overall.f1 == found.other.f1 == 1
    assert found.details["type"] == found.details["angulation_deg"] == [1, 1]
    assert (found.laterality, found.hallucination_rate, found.dropped) == ([1, 1], 0, 1)


def test_each_error_is_counted_where_it_belongs() -> None:
    reader = Reader(distal_radius=finding(type="buckle"), distal_ulna=finding())
    reader.side = Laterality.RIGHT
    given = gold(distal_radius=bone("possible", type="transverse"), ulnar_styloid=bone("present"))
    found = score([given], reader)
    assert {(miss.place, miss.field) for miss in found.misses} == {
        ("report", "laterality"),
        ("distal_radius", "fracture"),
        ("distal_radius", "type"),
        ("distal_ulna", "fracture"),
        ("ulnar_styloid", "fracture"),
        ("report", "osteopenia"),
    }
    # a doubted fracture that is called one is found; the ulna's is made up, the styloid's missed
    overall = found.overall
    assert (overall.true_positive, overall.false_positive, overall.false_negative) == (1, 1, 1)
    assert found.hallucination_rate == 0.5
    assert found.details["type"] == [0, 1]
    assert found.other.recall == 0


def test_the_sides_of_a_report_on_both_wrists_are_compared_each_with_its_own(
    tmp_path: Path,
) -> None:
    intact = {b: bone() for b in BONES}
    buckle = bone("present", type="buckle")
    sides = {"left": {**intact, "distal_radius": buckle}, "right": intact}
    text = "Left wrist: Buckle fracture of the distal radius. Ulna and styloid intact.\n" \
           "Right wrist: No fracture."  # fmt: skip
    both = line(text=text, gold={"laterality": "both", "regions": sides, "other": []})
    found = score(gold_reports(written(tmp_path, both)), RulesMiner())
    assert found.presence["distal_radius"].f1 == 1
    assert found.hallucinated == 0


@pytest.mark.parametrize(
    ("part", "presence", "kind"), [("tuning", 0.99, 0.99), ("unseen", 0.96, 0.96)]
)
def test_the_rules_read_no_worse_than_they_did(part: str, presence: float, kind: float) -> None:
    found = score(gold_reports(GOLD / f"{part}.jsonl"), RulesMiner())
    assert (found.overall.f1 or 0) >= presence
    right, whole = found.details["type"]
    assert right / whole >= kind


def test_a_report_on_which_a_miner_gives_no_answer_counts_as_not_read(tmp_path: Path) -> None:
    class Silent(RulesMiner):
        def mine(self, text: str, age_years: float | None = None) -> WristReport:
            raise AnswerError

    broken = {**{b: bone() for b in BONES}, "distal_radius": bone("present", type="buckle")}
    one = line(text="Left wrist.", gold={"laterality": "left", "regions": broken, "other": []})
    found = score(gold_reports(written(tmp_path, one)), Silent())
    assert found.overall.recall == 0
    assert found.misses[0].read == "no usable answer"
