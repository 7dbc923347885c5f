from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

pytestmark = [pytest.mark.training, pytest.mark.slow]

pytest.importorskip("onnx", reason="needs the training extra")

import typer  # noqa: E402

from deploy.settings import SHIPPED_BUNDLE as BUNDLE  # noqa: E402
from pipeline.bundle import Bundle  # noqa: E402
from pipeline.region import Laterality, View  # noqa: E402
from training.dataset import phantom_pair  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.evaluation import Evaluator, main  # noqa: E402
from training.evaluation_page import terminal_table  # noqa: E402
from training.evaluation_record import Evaluation  # noqa: E402
from training.exam_table import ExamRow, ExamTable, ExamTableWriter, Split  # noqa: E402
from training.paper_tables import Kind, sheets  # noqa: E402
from training.phantom.prevalence import PREVALENCES  # noqa: E402
from training.phantom.visit import look  # noqa: E402

SPLITS = [Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST]


def write_table(folder, count, *, silent=False, source="phantom", splits=SPLITS):
    preprocessing = Bundle.load(BUNDLE).manifest.preprocessing
    with ExamTableWriter(folder, preprocessing.size) as writer:
        for seed in range(count):
            exam = look(seed, PREVALENCES["table3"])
            pair = phantom_pair(exam, preprocessing, jitter=True)
            row = ExamRow(
                exam=f"e{seed}",
                source=source,
                patient=f"p{seed}",
                study=f"s{seed}",
                split=splits[seed % len(splits)],
                view=exam.view,
                laterality=exam.laterality,
                image=f"phantom:table3:{seed}",
                age_years=exam.age_years,
                other=exam.other,
                findings={} if silent else exam.findings,
                captions={} if silent else pair.captions,
                boxes={} if silent else exam.boxes,
            )
            writer.add(row, pair.crops)
    return folder


def evaluate(table, out, *more):
    app = typer.Typer()
    app.command()(main)
    arguments = ["--bundle", BUNDLE, "--table", table, "--out", out, "--draws", 20, "--maps", 1]
    answer = CliRunner().invoke(app, [str(a) for a in (*arguments, *more)], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def output(folder):
    table = write_table(folder / "table", 64)
    return evaluate(table, folder / "out", "--compare", f"again={BUNDLE}", "--pictures", 4)


@pytest.fixture(scope="module")
def evaluation(folder, output):
    return Evaluation.from_json((folder / "out" / "evaluation.json").read_bytes())


def test_every_table_of_the_paper_is_printed(output):
    for title in ("Table 1", "Table 2", "Table 4", "Table 5", "Table 6", "Table 7", "Table 8"):
        assert title in output
    assert BUNDLE.name in output


def test_the_record_holds_the_bundle_what_it_is_compared_with_and_both_baselines(evaluation):
    names = [encoder.name for encoder in evaluation.encoders]
    assert names == [BUNDLE.name, "again", "untrained", "chance"]
    ours, again = evaluation.encoders[:2]
    assert ours.captions == again.captions
    assert [(m.stored_split, m.same_side) for m in ours.matching] == [
        ("train", False),
        ("train", True),
        ("test", False),
    ]
    assert evaluation.splits["test"].exams == 16
    assert evaluation.detection.pictures == 4
    assert evaluation.latency.cached.keys() == {100, 500, 1000}
    assert evaluation.latency.uncached[1000] > evaluation.latency.uncached[100] > 0


def test_the_record_is_plain_json(folder, evaluation):
    assert json.loads((folder / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_every_table_has_the_papers_rows_beside_ours_and_as_many_cells_as_columns(evaluation):
    for sheet in sheets(evaluation):
        kinds = {line.kind for line in sheet.lines}
        if sheet.title.startswith("Table ") and "readings" not in sheet.title:
            assert {Kind.PAPER, Kind.OURS} <= kinds
        for line in sheet.lines:
            assert len(line.cells) in (0, 1, len(sheet.columns))
        assert terminal_table(sheet, 80).row_count == len(sheet.lines)


def test_the_page_needs_nothing_but_itself(folder, output):
    page = (folder / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert page.count("<figure") > 100
    assert page.count("<html") == page.count("</html>") == 1
    loaded = set(re.findall(r'(?:src|href)="([^"#:]*:?)', page))
    assert loaded <= {"data:", ""}
    assert str(folder) not in page


def test_a_second_run_takes_the_vectors_that_were_kept(folder, output, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("training.evaluation.exam_vectors", refuse)
    evaluate(folder / "table", folder / "out", "--compare", f"again={BUNDLE}", "--pictures", 0)


def test_images_without_reports_give_what_needs_none(tmp_path):
    splits = [Split.TEST]
    table = write_table(tmp_path / "table", 14, silent=True, source="grazpedwri", splits=splits)
    output = evaluate(table, tmp_path / "out", "--source", "grazpedwri")
    found = Evaluation.from_json((tmp_path / "out" / "evaluation.json").read_bytes())
    assert "wrists like the query's" in output
    ours = found.encoders[0]
    assert (ours.captions, ours.probes, ours.matching) == ((), (), ())
    assert ours.consistency.stored_split == "test"
    assert ours.consistency.figures["age"]["two_stage"].value > 0
    assert found.detection is None


@pytest.mark.parametrize("named", ["global-only", "a/b=folder", "chance=folder", "name="])
def test_a_comparison_without_a_proper_name_is_refused(folder, output, named):
    app = typer.Typer()
    app.command()(main)
    out = folder / "out"
    arguments = ["--bundle", BUNDLE, "--table", folder / "table", "--out", out, "--compare", named]
    answer = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert answer.exit_code == 2
    assert "NAME=FOLDER" in answer.output


def test_a_table_without_test_exams_is_refused(tmp_path):
    table = write_table(tmp_path, 2, splits=[Split.TRAIN])
    with pytest.raises(DataError, match="test"):
        Evaluator(ExamTable.open(table), table)


def test_other_views_take_no_part(tmp_path):
    crop = {"global": np.zeros((4, 4), np.uint8)}
    with ExamTableWriter(tmp_path, 4) as writer:
        for name, view in (("a", View.PA), ("b", View.LATERAL)):
            writer.add(ExamRow(name, "s", name, name, Split.TEST, view, Laterality.LEFT, ""), crop)
    evaluator = Evaluator(ExamTable.open(tmp_path), tmp_path)
    assert [row.exam for row in evaluator.parts[Split.TEST].rows] == ["a"]
