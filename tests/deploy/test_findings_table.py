from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pyarrow.parquet as pq
from invented_reports import BOTH_WRISTS, BUCKLE

from deploy.findings_table import COLUMNS, findings_row, unread_row, write_table
from pipeline.findings import Finding, Fracture, SideFindings, WristReport
from pipeline.mining import RulesMiner
from pipeline.region import Laterality, Region


def row_of(text: str) -> dict[str, object]:
    return dict(findings_row("a.txt", text, RulesMiner().mine(text), "rules 0"))


def test_a_row_names_its_text_and_every_column() -> None:
    row = row_of(BUCKLE)
    assert tuple(row) == COLUMNS
    assert row["text_sha256"] == hashlib.sha256(BUCKLE.encode()).hexdigest()
    assert (row["distal_radius_fracture"], row["distal_ulna_fracture"]) == ("present", "absent")
    assert (row["sides"], row["reason"]) == (None, None)


def test_parquet_keeps_kinds_where_a_column_is_empty(tmp_path: Path) -> None:
    out = tmp_path / "findings.parquet"
    write_table(out, [unread_row("b.txt", "rules 0", "It is broken."), row_of(BOTH_WRISTS)])
    table = pq.read_table(out)
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["distal_radius_angulation_deg"] == "double"
    assert kinds["other"].startswith("list<")
    assert kinds["dropped"] == kinds["disputed"] == "int32"
    assert kinds["ulnar_styloid_healing"] == "string"
    assert table.to_pylist()[1]["distal_radius_angulation_deg"] == 12


def test_words_that_a_spreadsheet_would_run_are_quoted(tmp_path: Path) -> None:
    words = '=HYPERLINK("http://example.org") fracture of the distal radius'
    finding = Finding(fracture=Fracture.PRESENT, evidence=words)
    sides = {Laterality.LEFT: SideFindings(regions={Region.DISTAL_RADIUS: (finding,)})}
    out = tmp_path / "findings.csv"
    write_table(out, [findings_row("a.txt", words, WristReport(sides=sides), "rules 0")])
    with out.open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["distal_radius_evidence"] == f"'{words}"
    assert row["distal_radius_fracture"] == "present"
