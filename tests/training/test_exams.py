from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from deploy.settings import SHIPPED_BUNDLE  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.exam_table import ExamTable, Split  # noqa: E402
from training.exams import app  # noqa: E402

REAL = Path(__file__).parents[1] / "data" / "studies"


def run(*said):
    done = CliRunner().invoke(app, [str(word) for word in said])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_phantoms_become_a_table_with_summary_and_sheet(tmp_path):
    out = tmp_path / "table"
    said = run("phantoms", "--out", out, "--exams", 5, "--first", 7, "--processes", 1)
    assert "7,540" in said
    assert [row.exam for row in ExamTable.open(out).rows] == [
        f"phantom-table3-{seed}" for seed in range(7, 12)
    ]
    assert "| exams | 5 |" in (out / "summary.md").read_text(encoding="utf-8")
    assert cv2.imread(str(out / "contact_sheet.png")).shape[1] == 2000
    assert "7,540" in run("summary", out)
    run("sheet", out, "--number", 2)


def test_a_hospitals_export_becomes_a_table_and_none_of_its_file_names_is_printed(tmp_path):
    folder, out = tmp_path / "export", tmp_path / "table"
    shutil.copytree(REAL / "TEST-0006-1", folder / "Secret")
    (folder / "Secret" / "notes.txt").write_text("no DICOM")
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("TEST-0006\n")
    said = run(
        "hospital", folder, "--out", out, "--bundle", SHIPPED_BUNDLE, "--key", tmp_path / "key",
        "--held-out", held_out, "--processes", 1,
    )  # fmt: skip
    assert "no DICOM Part 10 file" in said
    assert "Secret" not in said
    assert "Secret/notes.txt" in (out / "skipped.csv").read_text(encoding="utf-8")
    assert [row.split for row in ExamTable.open(out).rows] == [Split.TEST]


def test_a_folder_of_other_things_is_not_written_into(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="other things"):
        run("phantoms", "--out", tmp_path, "--exams", 1, "--processes", 1)
    assert (tmp_path / "thesis.txt").exists()


def test_nothing_at_all_is_an_error_that_says_where_the_reasons_are(tmp_path):
    (tmp_path / "dataset.csv").write_text("filestem\nx\n")
    with pytest.raises(DataError, match=r"skipped\.csv"):
        run("grazpedwri", tmp_path, "--out", tmp_path / "table", "--processes", 1)
    reasons = (tmp_path / "table" / "skipped.csv").read_text(encoding="utf-8")
    assert "patient_id" in reasons
