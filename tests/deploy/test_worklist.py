from __future__ import annotations

from pathlib import Path

import pytest
from invented_reports import BOTH_WRISTS, BUCKLE, DISPUTED, tuning_texts

from deploy.gold_file import GoldFile
from deploy.review import read_worklist
from deploy.worklist import Show, Worklist, reading_as_gold
from pipeline.gold import score
from pipeline.mining import RulesMiner

GERMAN = "Röntgen des linken Handgelenks: kein Nachweis einer Fraktur, und ohne Schwellung."


@pytest.fixture
def worklist(tmp_path: Path) -> Worklist:
    folder = tmp_path / "in"
    folder.mkdir()
    texts = (BUCKLE, BOTH_WRISTS, DISPUTED, GERMAN, BUCKLE, "")
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return read_worklist([folder], tmp_path / "gold.jsonl", RulesMiner())


def names(worklist: Worklist, show: Show) -> list[str]:
    return [entry.name for entry in worklist.shown(show)]


def test_reports_stand_in_the_order_of_their_files_each_text_once(worklist: Worklist) -> None:
    assert names(worklist, Show.ALL) == ["0.txt", "1.txt", "2.txt", "3.txt"]
    assert [file.name for file, _ in worklist.unread] == ["5.txt"]


def test_filters_let_through_what_they_say(worklist: Worklist) -> None:
    assert names(worklist, Show.FRACTURE) == ["0.txt", "1.txt", "2.txt"]
    assert names(worklist, Show.DISPUTED) == ["2.txt"]
    assert names(worklist, Show.LOOK_FIRST) == ["2.txt", "3.txt"]
    first = worklist.shown(Show.ALL)[0]
    worklist.save(first.read, first)
    assert names(worklist, Show.TO_DO) == ["1.txt", "2.txt", "3.txt"]
    assert names(worklist, Show.CORRECTED) == []


def test_one_goes_on_within_a_filter_and_round_at_its_end(worklist: Worklist) -> None:
    first, second, third, last = worklist.shown(Show.ALL)
    assert worklist.after(first, Show.FRACTURE) == second
    assert worklist.after(third, Show.FRACTURE) == first
    assert worklist.before(first, Show.ALL) == last
    assert worklist.after(third, Show.DISPUTED) is None


@pytest.mark.slow
def test_what_is_read_is_gold_that_the_miner_agrees_with() -> None:
    texts = (*tuning_texts(176), BOTH_WRISTS)
    miner = RulesMiner()
    gold = [reading_as_gold(text, miner.mine(text)) for text in texts]
    assert score(gold, miner).misses == []


def test_the_score_so_far_is_that_of_the_reviewed_reports(worklist: Worklist) -> None:
    first, second, *_ = worklist.shown(Show.ALL)
    worklist.save(first.read, first)
    wrong = first.read.model_dump(mode="json") | {"id": second.id, "text": second.text}
    worklist.save(type(first.read).model_validate(wrong), second)
    found = worklist.score()
    assert found.reports == 2
    assert found.laterality == [1, 2]
    assert (
        found.misses
        == score(
            [report for report in map(worklist.correction, (first, second)) if report], RulesMiner()
        ).misses
    )


def test_the_time_that_is_left_is_told_at_the_pace_of_the_last_reports(
    worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 20.0, 40.0, 400.0, 420.0])
    monkeypatch.setattr("deploy.worklist.time.monotonic", lambda: next(now))
    first, *_ = worklist.shown(Show.ALL)
    for told in (None, None, None, 20.0 * 3, 20.0 * 3):  # one long pause changes nothing
        worklist.save(first.read, first)
        assert worklist.seconds_left() == told


def test_a_gold_file_of_before_shows_what_is_done(worklist: Worklist) -> None:
    first, *_ = worklist.shown(Show.ALL)
    worklist.save(first.read, first)
    assert GoldFile(worklist.gold.path).of(first.id) == worklist.correction(first)
