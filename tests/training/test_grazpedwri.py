from __future__ import annotations

import csv
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from pipeline.findings import Fracture, FractureType, Other, collapse_others
from pipeline.mining import RulesMiner
from pipeline.region import Laterality, Region, View
from training.errors import DataError
from training.grazpedwri import (
    STYLES,
    AoFracture,
    Row,
    ao_fractures,
    findings,
    lines,
    reading,
    report,
    rows,
)

CODES = Path(__file__).parents[1] / "data" / "grazpedwri" / "ao_codes.csv"
with CODES.open(newline="") as stream:
    DISTINCT = [line["ao_classification"] for line in csv.DictReader(stream)]

ROW = Row(
    filestem="0000_0000000000_01_WRI-L1_F009",
    patient=0,
    study=1,
    age_years=9.1,
    sex="F",
    laterality=Laterality.LEFT,
    view=View.PA,
    ao="",
    cast=False,
    osteopenia=False,
    metal=False,
    spacing_mm=0.144,
)


def types(ao):
    return {
        region.value: set(kinds)
        for region, kinds in reading(replace(ROW, ao=ao)).regions.items()
        if kinds
    }


@pytest.mark.parametrize(
    ("ao", "expected"),
    [
        ("", {}),
        ("23r-M/2.1", {"distal_radius": {"buckle"}}),
        ("23-M/2.1", {"distal_radius": {"buckle"}, "distal_ulna": {"buckle"}}),
        ("23r-M/3.1; 23u-E/7", {"distal_radius": {"unspecified"}, "ulnar_styloid": {"avulsion"}}),
        (
            "23r-E/1; 23u-E/2.1",
            {"distal_radius": {"salter_harris_1"}, "distal_ulna": {"salter_harris_2"}},
        ),
        ("23r-E/3", {"distal_radius": {"salter_harris_3"}}),
        ("23u-E/4", {"distal_ulna": {"salter_harris_4"}}),
        ("23r-D/2.1", {"distal_radius": {"greenstick"}}),
        ("23r-E/2.1; 23r-M/2.1", {"distal_radius": {"salter_harris_2", "buckle"}}),
        ("22-D/4.1", {}),
    ],
)
def test_codes_are_read_by_bone_segment_and_kind(ao, expected):
    assert types(ao) == expected


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("23r-M/2.1; 23u-E7", "23r-M/2.1; 23u-E/7"),
        ("23r-M3.1; 23u-E/1", "23r-M/3.1; 23u-E/1"),
        ("23r-M/3.1; 23u/E/7", "23r-M/3.1; 23u-E/7"),
        ("23r-E/2.1, 23u-E/7", "23r-E/2.1; 23u-E/7"),
        ("23r-M/3.1; 23u-M/2.", "23r-M/3.1; 23u-M/2.1"),
        ("23r-E/2.1;  23u-E/7 ", "23r-E/2.1; 23u-E/7"),
        ("72B.(b)", "72B(b)"),
    ],
)
def test_slips_of_the_pen_are_read_as_what_was_meant(slip, meant):
    assert ao_fractures(slip) == ao_fractures(meant)


def test_a_complete_metaphyseal_fracture_is_not_taken_for_a_transverse_one():
    assert {f.type for f in ao_fractures("23-M/3.1")} == {FractureType.UNSPECIFIED}


def test_an_unspecified_type_beside_a_specific_one_is_merged_into_it():
    assert types("23-M/3.1; 23u-M/2.1") == {
        "distal_radius": {"unspecified"},
        "distal_ulna": {"buckle"},
    }


def test_shaft_and_hand_are_other_fractures():
    assert ao_fractures("22-D/4.1") == (
        AoFracture(None, "radial shaft", FractureType.TRANSVERSE),
        AoFracture(None, "ulnar shaft", FractureType.TRANSVERSE),
    )
    assert reading(replace(ROW, ao="22r-D/1")).other == {Other.OTHER_FRACTURE}
    assert reading(replace(ROW, ao="72B(b)")).other == {Other.SCAPHOID_FRACTURE}
    assert reading(replace(ROW, ao="77.1.1A")).other == {Other.OTHER_FRACTURE}


def test_a_code_of_another_region_is_refused_without_repeating_it():
    with pytest.raises(DataError) as refused:
        ao_fractures("31-M/3.1")
    assert "31" not in str(refused.value)


def test_every_distinct_code_of_the_data_set_can_be_read():
    assert len(DISTINCT) == 108
    assert all(ao_fractures(ao) or not ao for ao in DISTINCT)


MINER = RulesMiner()
MARKS = [(False, False, False), (True, False, True), (False, True, False)]


@pytest.mark.parametrize("style", STYLES)
def test_the_miner_finds_back_what_a_common_code_was_worded_as(style):
    _assert_read_back(style, DISTINCT[:8])


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_the_miner_finds_back_exactly_what_a_report_was_written_from(style):
    _assert_read_back(style, DISTINCT)


def _assert_read_back(style, codes):
    for number, (ao, side, marks) in enumerate(product(codes, ("left", "right"), MARKS)):
        cast, metal, osteopenia = marks
        row = replace(ROW, ao=ao, laterality=Laterality(side), cast=cast, metal=metal)
        row = replace(row, osteopenia=osteopenia)
        text = report(row, number, style)
        mined = MINER.mine(text)
        assert mined.laterality is row.laterality, text
        assert _read_back(mined.sides[row.laterality]) == _written(row), text
        assert set(collapse_others(mined)) == {name.value for name in reading(row).other}, text
        assert (mined.dropped, mined.disputed, list(mined.sides)) == (0, (), [row.laterality]), text


def _read_back(side):
    read = {}
    for region in Region:
        findings = side.regions.get(region, ())
        broken = [f for f in findings if f.fracture is Fracture.PRESENT]
        bare = [f for f in broken if (f.healing, f.displacement, f.angulation_deg) == (None,) * 3]
        denied = any(f.fracture is Fracture.ABSENT for f in findings)
        read[region] = {f.type for f in bare} if bare == broken and (broken or denied) else findings
    return read


def _written(row):
    return {region: set(kinds) for region, kinds in reading(row).regions.items()}


def test_the_same_seed_writes_the_same_report_and_another_may_not():
    row = replace(ROW, ao="23-M/3.1; 23u-E/7", cast=True)
    assert report(row, 7) == report(row, 7)
    assert len({report(row, seed) for seed in range(30)}) > 10


def test_rows_are_read_from_the_data_sets_own_table(tmp_path):
    table = tmp_path / "dataset.csv"
    table.write_text(
        "\ufefffilestem,patient_id,study_number,timehash,gender,age,laterality,projection,"
        "initial_exam,ao_classification,cast,diagnosis_uncertain,osteopenia,fracture_visible,metal,"
        "pixel_spacing,device_manufacturer\n"
        "0001_x_01_WRI-L1_M014,1,1,5,M,14.1,L,2,1,23r-M/2.1,1,,,1,,0.144,Siemens\n",
        encoding="utf-8",
    )
    (row,) = rows(table)
    assert row.patient == 1
    assert row.age_years == 14.1
    assert (row.laterality, row.view, row.ao) == (Laterality.LEFT, View.LATERAL, "23r-M/2.1")
    assert (row.cast, row.metal, row.osteopenia) == (True, False, False)


HEADER = (
    "filestem,patient_id,study_number,gender,age,laterality,projection,ao_classification,"
    "cast,osteopenia,metal,pixel_spacing\n"
)


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("../../a,1,1,M,14.1,L,1,,,,,0.144", "filestem"),
        ("a,one,1,M,14.1,L,1,,,,,0.144", "patient_id"),
        ("a,1,1,M,-3,L,1,,,,,0.144", "age"),
        ("a,1,1,M,nan,L,1,,,,,0.144", "age"),
        ("a,1,1,M,14.1,B,1,,,,,0.144", "laterality"),
        ("a,1,1,M,14.1,L,4,,,,,0.144", "projection"),
        ("a,1,1", "age"),
    ],
)
def test_a_malformed_line_is_named_by_its_column_and_the_rest_goes_on(tmp_path, line, column):
    table = tmp_path / "dataset.csv"
    table.write_text(f"{HEADER}{line}\nb,2,1,F,9,R,1,,,,,0.144\n", encoding="utf-8")
    (first, wrong), (second, right) = lines(table)
    assert (first, second) == (2, 3)
    assert isinstance(wrong, DataError)
    assert wrong.detail == f"its column {column} is not in the format of dataset.csv"
    assert right.filestem == "b"


def test_a_code_is_one_finding_for_each_bone():
    found = findings(replace(ROW, ao="23r-M/3.1; 23r-M/2.1; 23u-E/7"))
    assert {region.value: (f.fracture, f.type) for region, f in found.items()} == {
        "distal_radius": ("present", "buckle"),
        "distal_ulna": ("absent", None),
        "ulnar_styloid": ("present", "avulsion"),
    }


@pytest.mark.parametrize("line", ["filestem\nx\n", "filestem,patient_id\n1,one\n"])
def test_another_table_is_refused(tmp_path, line):
    table = tmp_path / "dataset.csv"
    table.write_text(line)
    with pytest.raises(DataError, match="line 2"):
        list(rows(table))
