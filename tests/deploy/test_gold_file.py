from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from invented_reports import BUCKLE, DISPUTED, TUNING

from deploy.gold_file import GoldFile, text_id
from deploy.worklist import reading_as_gold
from pipeline.errors import GoldError
from pipeline.gold import GoldReport, gold_reports
from pipeline.mining import RulesMiner


def read(text: str) -> GoldReport:
    return reading_as_gold(text, RulesMiner().mine(text))


def corrected(text: str, laterality: str) -> GoldReport:
    said = read(text).model_dump(mode="json")
    said["gold"]["laterality"] = laterality
    return GoldReport.model_validate(said)


def test_one_line_a_report_the_later_correction_counts(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    gold = GoldFile(path)
    gold.put(corrected(BUCKLE, "left"), read(BUCKLE), "rules 0")
    gold.put(read(DISPUTED), read(DISPUTED), "rules 0")
    gold.put(corrected(BUCKLE, "right"), read(BUCKLE), "rules 0")
    assert [report.gold.laterality for report in gold_reports(path)] == ["right", "right"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    line = json.loads(path.read_text().splitlines()[0])
    assert line["read"]["laterality"] == "left"  # what was read is not overwritten
    assert (line["miner"], line["reviewed_at"][-6:]) == ("rules 0", "+00:00")


def test_an_id_tells_nothing_of_where_the_report_was_found(tmp_path: Path) -> None:
    gold = GoldFile(tmp_path / "gold.jsonl")
    gold.put(read(BUCKLE), read(BUCKLE), "rules 0")
    assert str(tmp_path) not in gold.path.read_text()
    assert GoldFile(gold.path).of(text_id(BUCKLE)) is not None


def test_lines_and_keys_of_others_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    first, second, *_ = TUNING.read_text(encoding="utf-8").splitlines()
    path.write_text(f"{first}\n\n{second}\n", encoding="utf-8")
    text = json.loads(first)["text"]
    GoldFile(path).put(corrected(text, "unknown"), read(text), "rules 0")
    one, two = (json.loads(line) for line in path.read_text().splitlines())
    assert two == json.loads(second)
    kept = ("id", "style", "traps", "text", "age_years")
    assert {key: one[key] for key in kept} == {key: json.loads(first)[key] for key in kept}
    assert one["gold"]["laterality"] == "unknown"


def test_what_somebody_else_adds_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    one, other = GoldFile(path), GoldFile(path)
    one.put(read(BUCKLE), read(BUCKLE), "rules 0")
    other.put(read(DISPUTED), read(DISPUTED), "rules 0")
    assert len(gold_reports(path)) == 2
    one.remove(text_id(BUCKLE))
    assert [report.text for report in gold_reports(path)] == [DISPUTED]


def test_a_file_that_is_no_gold_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(GoldError, match="line 1"):
        GoldFile(path)
    assert path.read_text() == "my notes\n"


def test_its_folder_is_made_when_the_first_correction_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gold.jsonl"
    GoldFile(path).put(read(BUCKLE), read(BUCKLE), "rules 0")
    assert len(gold_reports(path)) == 1
    assert path.parent.stat().st_mode & 0o777 == 0o700
