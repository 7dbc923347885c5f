"""What radiologists said of matches: for evaluation, and for training."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from test_cli import wristmir
from test_feedback import judgement

from deploy.settings import load
from deploy.state import open_feedback
from training.pseudonym import Pseudonyms
from training.relevance import judgements_in, relevance

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "wristmir.toml"
    file.write_text(f'state_dir = "{tmp_path / "state"}"\n[listener]\n', encoding="utf-8")
    with closing(open_feedback(load(file))) as feedback:
        feedback.give(judgement(5))
        feedback.give(judgement(2, "other"))
        feedback.give(replace(judgement(4), part="distal_ulna", region_similarity=None))
    return file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path) -> Run:
    return lambda *words: wristmir(monkeypatch, capsys, *words, "--config", config)


def test_relevance_is_summed_up_by_bundle_ranking_and_bone(run: Run) -> None:
    status, out, _ = run("feedback", "--json")
    told = json.loads(out)
    assert (status, told["judgements"]) == (0, 3)
    radius, ulna = told["rows"]
    assert (radius["part"], radius["mean"], radius["raters"]) == ("distal_radius", 3.5, 2)
    assert radius["points"] == [0, 1, 0, 0, 1]
    assert (ulna["part"], ulna["mean"], ulna["bundle"]) == ("distal_ulna", 4.0, "wristmir-test-1")
    assert "distal_radius" in run("feedback")[1]


def test_an_export_joins_the_exam_table_that_the_same_key_made(run: Run, tmp_path: Path) -> None:
    out, key = tmp_path / "out" / "feedback.jsonl", tmp_path / "pseudonyms.key"
    assert run("feedback", "--export", out, "--key", key)[0] == 0
    names = Pseudonyms(key.read_bytes())
    lines = [json.loads(line) for line in out.read_text(encoding="ascii").splitlines()]
    given = judgement()
    assert {line["query"] for line in lines} == {names.exam(given.query_uid)}
    assert {line["prior"] for line in lines} == {names.exam(given.prior_uid)}
    assert [line["relevance"] for line in lines].count(5) == 1
    assert {line["region_similarity"] for line in lines} == {0.8, None}
    assert out.stat().st_mode & 0o077 == 0


def test_an_export_is_what_the_evaluation_reads(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "feedback.jsonl"
    run("feedback", "--export", out, "--key", tmp_path / "pseudonyms.key")
    radius, ulna = sorted(relevance(judgements_in(out)), key=lambda one: one.mean.value or 0)
    assert (radius.part, radius.mean.value, radius.raters) == ("distal_radius", 3.5, 2)
    assert (ulna.part, ulna.mean.value, ulna.judgements) == ("distal_ulna", 4.0, 1)


def test_an_export_names_nobody_and_no_image(run: Run, tmp_path: Path) -> None:
    out, key = tmp_path / "feedback.jsonl", tmp_path / "pseudonyms.key"
    run("feedback", "--export", out, "--key", key)
    text, given = out.read_text(encoding="ascii"), judgement()
    for word in (given.query_uid, given.prior_uid, given.result_id, "reader", "2026"):
        assert word not in text


def test_an_export_without_a_key_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("feedback", "--export", tmp_path / "feedback.jsonl")[0] != 0
    assert not (tmp_path / "feedback.jsonl").exists()


@pytest.mark.slow
def test_accounts_are_made_listed_and_removed_by_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from io import StringIO

    monkeypatch.setattr("sys.stdin", StringIO("an invented password\n"))
    assert run("users", "add", "reader", "--role", "radiologist", "--role", "it")[0] == 0
    assert json.loads(run("users", "--json")[1]) == {
        "name": "reader",
        "roles": ["it", "radiologist"],
    }
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))
    assert run("users", "add", "other", "--role", "it")[0] == 66
    assert run("users", "add", "other", "--role", "doctor")[0] == 66
    assert run("users", "remove", "reader")[0] == 0
    assert run("users", "--json")[1] == ""
