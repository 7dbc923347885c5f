"""Answers that are kept for the pages: codes, scores and UIDs, and nothing more."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from invented_exams import invented_exam

from pipeline.answer_record import IN_LIBRARY, AnswerRecord, AnswerRecords, Shown
from pipeline.dictionary import dictionary
from pipeline.exam import RegionFindings
from pipeline.reference import PriorReference
from pipeline.region import Laterality, Region
from pipeline.remark import Remark
from pipeline.request import Answer, Match, RegionAnswer, Request
from pipeline.result_language import Language
from pipeline.wording import BundleWords, wanted_words

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
WORDS = BundleWords("wristmir-test-1", "demonstration only", demonstration=True)
BROKEN = RegionFindings("present", "buckle", "acute", "mild", 12.0)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[AnswerRecords]:
    opened = AnswerRecords(f"sqlite:///{tmp_path / 'state' / 'answers.sqlite3'}")
    yield opened
    opened.close()


def answer(at: datetime = NOW) -> Answer:
    query = invented_exam(1, age_years=7.3)
    prior = invented_exam(
        2,
        age_years=9.9,
        laterality=Laterality.RIGHT,
        findings={Region.DISTAL_RADIUS: BROKEN},
        findings_known=True,
        patient_key="PLANTED-KEY",
        captions={"global": "PLANTED CAPTION"},
    )
    match = Match(1, prior, 0.9, 0.8, 77.5, 66.25, mirrored=True, reasons=("other side",))
    none = RegionAnswer(Region.DISTAL_ULNA, (), ("The distal ulna was not located.",), True)
    parts = (RegionAnswer(Region.DISTAL_RADIUS, (match,)), none)
    return Answer(query, Request(regions=tuple(Region)[:2]), parts, 34, WORDS.id, at)


def record(name: str = "answer-1-1-A", at: datetime = NOW) -> AnswerRecord:
    found = answer(at)
    (prior,) = found.priors
    reference = PriorReference(prior, "1", "2.25.1", "2.25.2", "2.25.3")
    shown = {
        found.query.sop_instance_uid: Shown(1, pictured=True),
        prior.sop_instance_uid: Shown(2, pictured=True, reference=reference),
    }
    return AnswerRecord.of(name, found, shown, WORDS, "same side")


def test_an_answer_comes_back_as_it_was_kept(records: AnswerRecords) -> None:
    records.keep(record())
    kept = records.get("answer-1-1-A")
    assert kept == record()
    assert kept is not None
    assert (kept.pool, kept.wanted, kept.demonstration, kept.asked_at) == (
        34,
        "same side",
        True,
        NOW,
    )
    part = kept.part("distal_radius")
    assert part is not None
    (match,) = part.matches
    assert (match.rank, match.global_index, match.region_index) == (1, 77.5, 66.25)
    assert (match.mirrored, match.reasons) == (True, ("other side",))
    case = kept.case(match.case)
    assert case is not None
    assert case.findings == {Region.DISTAL_RADIUS: BROKEN}
    assert (case.version, case.viewer_study_uid) == (2, IN_LIBRARY)
    assert "2.25.3" not in record().model_dump_json()  # it would be a second crosswalk, unsealed
    assert kept.parts[1].nothing_similar


def test_a_bone_that_was_not_asked_about_gives_the_first_that_was(records: AnswerRecords) -> None:
    assert record().part("ulnar_styloid") == record().parts[0]
    assert record().part(None) == record().parts[0]


def test_of_an_age_the_band_alone_is_kept_and_neither_key_nor_caption() -> None:
    text = record().model_dump_json()
    assert "9-11 years" in text
    assert not any(word in text for word in ("9.9", "7.3", "PLANTED"))


def test_words_are_kept_in_the_hospitals_language() -> None:
    found = answer()
    (match,) = found.regions[0].matches
    said = replace(match, reasons=(Remark("reason.other_side"),))
    part = replace(found.regions[0], matches=(said,), further=(replace(said, rank=2),))
    german = dictionary(Language.GERMAN)
    kept = AnswerRecord.of(
        "a", replace(found, regions=(part,)), {}, WORDS, wanted_words(found.request, german), german
    )
    assert kept.query.age_band == "6-8 Jahre"
    assert kept.wanted == "dieselbe Seite"
    assert [one.reasons for one in kept.parts[0].ranked] == [("Gegenseite",)] * 2


def test_candidates_behind_the_matches_are_numbered_after_them_and_nobody_has_seen_them() -> None:
    found = answer()
    (match,) = found.regions[0].matches
    behind = replace(match, rank=2, exam=invented_exam(3))
    parts = tuple(replace(part, further=(behind, replace(match, rank=3))) for part in found.regions)
    kept = AnswerRecord.of("a", replace(found, regions=parts), {}, WORDS, "")
    assert [(one.number, one.further, one.version) for one in kept.cases] == [
        (1, False, 0),
        (2, True, 0),
    ]
    assert [one.case for one in kept.parts[1].further] == [2, 1]
    assert AnswerRecord.model_validate_json(kept.model_dump_json()) == kept


def test_a_prior_whose_file_was_gone_has_no_picture_and_no_place_in_the_viewer() -> None:
    found = answer()
    shown = {found.query.sop_instance_uid: Shown(1, pictured=True)}
    kept = AnswerRecord.of("answer-1-1-A", found, shown, WORDS, "")
    (case,) = kept.cases
    assert (case.version, case.pictured, case.viewer_study_uid) == (0, False, "")


def test_the_same_result_set_again_replaces_the_first(records: AnswerRecords) -> None:
    records.keep(record())
    records.keep(record().model_copy(update={"pool": 35}))
    assert [one.pool for one in records.latest(10)] == [35]


def test_the_latest_come_first(records: AnswerRecords) -> None:
    times = [NOW - timedelta(days=days) for days in (2, 0, 1)]
    for number, at in enumerate(times):
        records.keep(record(f"answer-{number}-1-A", at))
    assert [one.result_id[7] for one in records.latest(10)] == ["1", "2", "0"]
    assert [one.result_id[7] for one in records.latest(1, 1)] == ["2"]
    assert len(records.of_study(record().study_uid)) == 3
    assert records.of_study("1.2.3") == ()


def test_what_is_older_than_retention_is_forgotten(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'answers.sqlite3'}"
    with closing(AnswerRecords(url, timedelta(days=30))) as records:
        for days in (40, 20, 0):
            records.keep(record(f"answer-{days}-1-A", NOW - timedelta(days=days)))
        assert [one.result_id for one in records.latest(10)] == ["answer-0-1-A", "answer-20-1-A"]
        assert records.get("answer-40-1-A") is None


def test_what_another_release_has_kept_in_another_form_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite3"
    with closing(AnswerRecords(f"sqlite:///{file}")) as records:
        records.keep(record("answer-1-1-A"))
        records.keep(record("answer-2-1-A"))
        with closing(sqlite3.connect(file)) as other:
            other.execute("update answer set record = '{}' where result_id = 'answer-1-1-A'")
            other.commit()
        assert [one.result_id for one in records.latest(10)] == ["answer-2-1-A"]


def test_what_an_earlier_release_kept_of_copies_is_gone_once_it_is_opened(tmp_path: Path) -> None:
    file, copy = tmp_path / "answers.sqlite3", "2.25.3141592653589793"
    kept = record()
    original = kept.cases[0].model_copy(update={"number": 2, "further": True})
    original = original.model_copy(update={"viewer_study_uid": original.study_uid})
    kept = kept.model_copy(update={"cases": (kept.cases[0], original)})
    with closing(AnswerRecords(f"sqlite:///{file}")) as records:
        records.keep(kept)
        records.keep(record("answer-2-1-A"))
    with closing(sqlite3.connect(file)) as other:  # as it was written, and marked as nothing
        other.execute("update answer set record = replace(record, '\"library\"', ?)", [f'"{copy}"'])
        other.execute("insert into answer values ('answer-3-1-A', '1.2', '2026', 'no record')")
        other.execute("pragma user_version = 0")
        other.commit()
    assert copy.encode() in file.read_bytes()
    with closing(AnswerRecords(f"sqlite:///{file}")) as records:
        assert records.get("answer-1-1-A") == kept
        assert records.get("answer-2-1-A") == record("answer-2-1-A")
        written = [one for one in tmp_path.iterdir() if copy.encode() in one.read_bytes()]
        assert written == []


@pytest.mark.slow
def test_an_answer_that_another_process_reads_meanwhile_is_cleaned_at_the_next_opening(
    tmp_path: Path,
) -> None:
    file, copy = tmp_path / "answers.sqlite3", "2.25.3141592653589793"
    url = f"sqlite:///{file}"
    with closing(AnswerRecords(url)) as records:
        records.keep(record())
    with closing(sqlite3.connect(file)) as other:
        other.execute("update answer set record = replace(record, '\"library\"', ?)", [f'"{copy}"'])
        other.execute("pragma user_version = 0")
        other.commit()
        other.execute("begin")
        other.execute("select * from answer").fetchall()
        with closing(AnswerRecords(url)) as records:
            assert records.get("answer-1-1-A") == record()
            log = file.with_name(f"{file.name}-wal")
            assert copy.encode() in log.read_bytes()  # what the other reads stays for it
            other.rollback()
        with closing(AnswerRecords(url)):
            assert not any(copy.encode() in one.read_bytes() for one in (file, log))


def test_nobody_else_may_read_the_file(records: AnswerRecords, tmp_path: Path) -> None:
    records.keep(record())
    files = list((tmp_path / "state").iterdir())
    assert files
    assert [oct(file.stat().st_mode & 0o077) for file in files] == ["0o0"] * len(files)


def test_an_answer_without_a_bone_is_for_the_wrist_as_a_whole() -> None:
    found = replace(answer(), regions=(replace(answer().regions[0], region=None),))
    kept = AnswerRecord.of("answer-1-1-A", found, {}, WORDS, "")
    assert kept.part("global") is kept.parts[0]
