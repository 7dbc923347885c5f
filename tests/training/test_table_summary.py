from __future__ import annotations

import pytest
from rich.console import Console

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from test_exam_table import exam  # noqa: E402

from pipeline.exam import RegionFindings  # noqa: E402
from pipeline.region import Region  # noqa: E402
from training.exam_table import Split  # noqa: E402
from training.table_summary import markdown, summary, summary_table  # noqa: E402

ABSENT = RegionFindings("absent")
BUCKLE = RegionFindings("present", "buckle", "acute")
HEALING = RegionFindings("present", "salter_harris_2", "healing")
DOUBTED = RegionFindings("possible", "buckle")


def wrist(name, radius, ulna=ABSENT, styloid=ABSENT, **changes):
    found = dict(zip(Region, (radius, ulna, styloid), strict=True))
    return exam(name, findings=found, **changes)


ROWS = [
    wrist("a", ABSENT, patient="p1"),
    wrist("b", BUCKLE, patient="p2", report="Buckle fracture.", other=("hardware",)),
    wrist("c", HEALING, HEALING, patient="p2"),
    wrist("d", DOUBTED, patient="p3", split=Split.TEST),
    exam("e", patient="p4"),
]


def lines():
    return {line.words: line for line in summary(ROWS)}


def test_a_table_is_counted_as_the_papers():
    found = lines()
    numbers = {words: line.number for words, line in found.items() if line.number}
    assert numbers == {
        "exams": 5,
        "patients": 4,
        "fractures of a bone": 3,
        "normal (no fracture)": 2,
        "with a fracture": 2,
        "findings not known": 1,
        "0": 2,
        "1": 1,
        "2": 1,
        "distal radius": 2,
        "distal ulna": 1,
        "Salter–Harris": 2,
        "buckle": 1,
        "healing": 2,
        "with a report": 1,
        "with a possible fracture": 1,
        "hardware": 1,
        "train (3 patients)": 4,
        "test (1 patients)": 1,
    }
    assert found["distal radius"].share == pytest.approx(2 / 3)
    assert found["normal (no fracture)"].share == pytest.approx(2 / 5)


def test_the_papers_own_column_adds_up():
    paper = {words: line.paper for words, line in lines().items() if line.paper}
    assert paper["exams"] == 7540 == sum(paper[str(number)] for number in range(6))
    assert paper["fractures of a bone"] == 8637
    assert sum(number * paper[str(number)] for number in range(6)) == 8637
    assert sum(paper[region.words] for region in Region) == 8637
    assert paper["normal (no fracture)"] + paper["with a fracture"] == 7540
    assert (paper["Salter–Harris"], paper["buckle"], paper["transverse"], paper["healing"]) == (
        1621,
        1007,
        1924,
        3955,
    )


def test_it_is_printed_and_written_with_both_columns():
    console = Console(width=120)
    with console.capture() as printed:
        console.print(summary_table(summary(ROWS), "Exams"))
    text = markdown(summary(ROWS), "Exams")
    for said in (printed.get(), text):
        assert "5,369" in said
        assert "62.2" in said
    assert "| distal radius | 2 | 66.7 | 5,369 | 62.2 |" in text


def test_an_empty_table_has_a_summary():
    assert {line.number for line in summary([])} <= {0, None}
