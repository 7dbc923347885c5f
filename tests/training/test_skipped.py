from __future__ import annotations

import csv
import stat

import pytest
from rich.console import Console

pytestmark = pytest.mark.training

from training.skipped import Skipped, skipped_table, write_skipped  # noqa: E402

ITEMS = [
    Skipped("Doe^John/1.dcm", "it is labelled lateral"),
    Skipped("Doe^John/2.dcm", "it cannot be read"),
    Skipped("a, b.dcm", "it is labelled lateral"),
]


def printed(*, names):
    console = Console(width=120)
    with console.capture() as text:
        console.print(skipped_table(ITEMS, names=names))
    return text.get()


def test_everything_left_out_is_named_in_a_file_for_the_owner_alone(tmp_path):
    path = tmp_path / "skipped.csv"
    write_skipped(ITEMS, path)
    with path.open(newline="", encoding="utf-8") as stream:
        assert [(row["name"], row["reason"]) for row in csv.DictReader(stream)] == [
            (item.name, item.reason) for item in ITEMS
        ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_reasons_are_counted_the_frequent_ones_first():
    text = printed(names=True)
    assert text.index("labelled lateral") < text.index("cannot be read")
    assert "Doe^John/1.dcm" in text


def test_a_hospitals_file_names_are_not_printed():
    assert "Doe" not in printed(names=False)
