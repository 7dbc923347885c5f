"""Figures of exported feedback: means by rank, and nDCG with the gain of five points."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import DataError
from training.relevance import Judged, judgements_in, ndcg, relevance


def judged(query: int, rank: int, points: int, rater: str = "one", **given: Any) -> Judged:
    values: dict[str, Any] = {
        "query": f"query-{query}",
        "prior": f"prior-{query}-{rank}",
        "part": "distal_radius",
        "relevance": points,
        "rater": rater,
        "bundle": "wristmir-test-1",
        "mode": "two_stage",
        "rank": rank,
        "global_similarity": 0.9,
        "region_similarity": 0.8,
    }
    return Judged.model_validate(values | given)


def written(path: Path, *said: Judged) -> Path:
    path.write_text("".join(one.model_dump_json() + "\n" for one in said), encoding="ascii")
    return path


def test_ndcg_is_what_the_textbook_says() -> None:
    # gains 7, 3, 15 by the formula; discounts 1, 1 / log2(3), 1 / 2
    assert ndcg([4, 3, 5], 10) == pytest.approx(
        (7 + 3 / 1.5849625 + 15 / 2) / (15 + 7 / 1.5849625 + 3 / 2)
    )
    assert ndcg([5, 4, 3], 10) == 1
    assert ndcg([1, 5], 1) == 0
    assert ndcg([1, 1, 1], 10) is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 12))
def test_ndcg_lies_between_nothing_and_the_best_order(points: list[int], k: int) -> None:
    value, best = ndcg(points, k), ndcg(sorted(points, reverse=True), k)
    assert value is None or 0 <= value <= 1 + 1e-12
    assert best is None or best == pytest.approx(1)


def test_means_are_by_rank_and_by_bone_with_intervals() -> None:
    said = [judged(n, rank, 6 - rank if n % 2 else 5) for n in range(8) for rank in (1, 2, 3)]
    said += [judged(1, 1, 2, part="ulnar_styloid")]
    radius, styloid = relevance(said)
    assert (radius.part, styloid.part) == ("distal_radius", "ulnar_styloid")
    assert [radius.by_rank[rank].value for rank in (1, 2, 3)] == [5.0, 4.5, 4.0]
    third = radius.by_rank[3]
    assert third.low is not None
    assert third.high is not None
    assert 3 <= third.low < 4 < third.high <= 5
    assert radius.mean.value == pytest.approx(4.5)
    assert radius.ndcg.value == 1
    assert (radius.judgements, radius.queries, radius.lists) == (24, 8, 8)
    assert styloid.mean.value == 2


def test_what_lies_behind_k_does_not_count() -> None:
    (found,) = relevance([judged(1, 1, 5), judged(1, 11, 1)])
    assert (found.judgements, found.mean.value) == (1, 5)


def test_a_list_without_anything_relevant_counts_in_the_means_alone() -> None:
    (found,) = relevance([judged(1, 1, 1), judged(2, 1, 2), judged(2, 2, 5)])
    assert (found.lists, found.lists_without_order) == (2, 1)
    assert found.ndcg.value == ndcg([2, 5], 10)
    assert found.mean.value == pytest.approx(8 / 3)


def test_raters_have_lists_of_their_own_and_the_last_word_counts() -> None:
    said = [judged(1, 1, 5), judged(1, 2, 1), judged(1, 1, 1, "two"), judged(1, 2, 5, "two")]
    (found,) = relevance(said)
    assert (found.raters, found.lists) == (2, 2)
    assert found.ndcg.value == pytest.approx((1 + (ndcg([1, 5], 10) or 0)) / 2)
    (changed,) = relevance([*said, judged(1, 2, 5, "one")])
    assert changed.judgements == 4
    assert changed.by_rank[2].value == 5


@pytest.mark.parametrize(
    "change", [{"relevance": 6}, {"part": "femur"}, {"rank": 0}, {"colour": "blue"}]
)
def test_a_line_that_is_none_of_the_export_is_named_by_its_number(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    good = judged(1, 1, 5).model_dump()
    file = tmp_path / "feedback.jsonl"
    file.write_text(f"{json.dumps(good)}\n{json.dumps(good | change)}\n", encoding="ascii")
    with pytest.raises(DataError, match="Line 2"):
        judgements_in(file)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        judgements_in(tmp_path / "feedback.jsonl")


@pytest.mark.slow
def test_the_command_prints_the_figures_and_loads_no_torch(tmp_path: Path) -> None:
    file = written(tmp_path / "feedback.jsonl", judged(1, 1, 5), judged(1, 2, 3))
    program = "import sys; from training.relevance import main; sys.argv[1:] = {0}; main()"
    program = program.format([str(file), "--json"])
    watched = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); "
    done = subprocess.run(
        [sys.executable, "-c", watched + program], capture_output=True, text=True, check=True
    )
    row, torch = done.stdout.splitlines()
    assert torch == "False"
    assert json.loads(row)["by_rank"]["1"]["value"] == 5
    plain = subprocess.run(
        [sys.executable, "-m", "training.relevance", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nDCG@10" in plain.stdout
    assert "4.000" in plain.stdout
