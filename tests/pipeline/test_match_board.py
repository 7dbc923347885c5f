from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from result_parts import answer, exam, match, pictures

from pipeline.canvas import Canvas
from pipeline.dictionary import ENGLISH, dictionary
from pipeline.exam import RegionFindings
from pipeline.match_board import match_board
from pipeline.palette import CAUTION, GROUND, bone_colour
from pipeline.region import Laterality, Region
from pipeline.request import Answer, RegionAnswer
from pipeline.result_language import Language
from pipeline.wording import BundleWords

BUNDLE = BundleWords("wristmir-demonstration-4", "Finds similar prior wrist radiographs.", True)
CLINICAL = replace(BUNDLE, demonstration=False)
DEMONSTRATION = ENGLISH.say("demonstration")
NOTHING = ENGLISH.say("board.nothing")
RADIUS = bone_colour(Region.DISTAL_RADIUS)
TALL: dict[str, tuple[float, float, float, float]] = {
    "wrist": (4.0, 4.0, 36.0, 56.0),
    "distal_radius": (18.0, 20.0, 33.0, 50.0),
}


def board_of(
    given: Answer, width: int = 1024, bundle: BundleWords = BUNDLE, **changes: NDArray[np.float32]
) -> NDArray[np.uint8]:
    shown = {**pictures(given.query, *given.priors), **changes}
    query = shown.pop(given.query.sop_instance_uid)
    return match_board(given, query, shown, bundle=bundle, width=width)


def has(board: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((board == colour).all(axis=2).any())


def matches_of(count: int, region: Region | None = Region.DISTAL_RADIUS, **changes: Any) -> Answer:
    matches = tuple(match(rank, exam(rank, **changes)) for rank in range(1, count + 1))
    return answer((RegionAnswer(region, matches),), warnings=())


def one_match(**changes: Any) -> Answer:
    given = match(1, exam(1))
    return answer(
        (RegionAnswer(Region.DISTAL_RADIUS, (replace(given, **changes),)),),
        warnings=(),
    )


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line that is written from now on, in its order; it is drawn all the same."""
    lines: list[str] = []
    draw = Canvas.text

    def text(canvas: Canvas, place: Any, words: str, *others: Any, **more: Any) -> None:
        lines.append(words)
        draw(canvas, place, words, *others, **more)

    monkeypatch.setattr(Canvas, "text", text)
    return lines


@pytest.mark.parametrize("width", [1024, 2048, 2560])
def test_it_has_the_width_that_was_asked_for_and_one_dark_neutral_ground(width: int) -> None:
    board = board_of(answer(), width)

    assert board.dtype == np.uint8
    assert board.shape[1:] == (width, 3)
    assert (board[:4] == GROUND).all()
    assert (board[:, -4:] == GROUND).all()
    assert max(GROUND) - min(GROUND) < 4


def test_it_draws_the_same_at_every_width() -> None:
    small = board_of(answer(), 1024)
    for width in (2048, 2560):
        large = board_of(answer(), width)
        assert abs(large.shape[0] * 1024 / width - small.shape[0]) <= 2
        reduced = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(reduced.astype(int) - small).mean() < 6


def test_letters_of_a_wide_board_stay_legible_when_a_viewer_makes_it_small() -> None:
    """A viewer scales without care: what is bright in the small board has to stay bright."""
    small, large = board_of(answer(), 1024), board_of(answer(), 2560)
    scaled = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    text = slice(75, 90), slice(30, 140)  # the first bone's name

    assert scaled[text].max() > 0.9 * small[text].max()
    assert scaled[text].std() > 0.75 * small[text].std()


def test_the_same_answer_gives_the_same_board() -> None:
    assert np.array_equal(board_of(answer()), board_of(answer()))


@pytest.mark.parametrize("count", range(11))
def test_one_to_ten_matches_of_a_bone_make_a_landscape_sheet(
    count: int, written: list[str]
) -> None:
    rows, columns = board_of(matches_of(count)).shape[:2]

    assert 1.3 < columns / rows < 2
    assert [word for word in written if word.isdigit() and int(word) <= 10] == [
        str(rank) for rank in range(1, count + 1)
    ]


@pytest.mark.parametrize("bones", [2, 3])
def test_several_bones_make_a_landscape_sheet(bones: int) -> None:
    (part,) = matches_of(10).regions
    parts = tuple(replace(part, region=region) for region in list(Region)[:bones])
    rows, columns = board_of(answer(parts)).shape[:2]

    assert 1.05 < columns / rows < 2


def test_matches_that_do_not_fit_are_said_to_stand_in_the_report(written: list[str]) -> None:
    (part,) = matches_of(10).regions
    board_of(answer((part, replace(part, region=Region.DISTAL_ULNA))))

    assert written.count("the first 4 of 10; the others stand in the report") == 2


def test_the_query_stands_at_the_left_and_its_matches_follow_by_rank() -> None:
    given = matches_of(3)
    uids = [given.query.sop_instance_uid, *(prior.sop_instance_uid for prior in given.priors)]
    striped = np.zeros((60, 40), np.float32)
    striped[10:50:4] = 1.0
    dark = {uid: np.zeros((60, 40), np.float32) for uid in uids}
    plain = board_of(given, **dark)
    places = []
    for uid in uids:
        board = board_of(given, **{**dark, uid: striped})
        changed = np.flatnonzero((board != plain).any(axis=(0, 2)))
        places.append((changed[0], changed[-1]))

    assert places[0][0] < 30
    assert places == sorted(places)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(places))


def test_a_demonstration_bundle_is_said_to_be_one(written: list[str]) -> None:
    assert has(board_of(one_match()), CAUTION)
    assert DEMONSTRATION in written
    written.clear()
    assert not has(board_of(one_match(), bundle=CLINICAL), CAUTION)
    assert DEMONSTRATION not in written


def test_a_mirrored_prior_is_shown_mirrored_and_says_what_that_means(written: list[str]) -> None:
    right = exam(1, laterality=Laterality.RIGHT)

    assert has(board_of(one_match(exam=right, mirrored=True), bundle=CLINICAL), CAUTION)
    assert "mirrored" in written
    assert "R" in written
    assert any(ENGLISH.say("board.mirrored_means").startswith(line) for line in written)
    written.clear()
    assert not has(board_of(one_match(exam=right), bundle=CLINICAL), CAUTION)
    assert "mirrored" not in written


def test_a_mirrored_picture_is_turned_left_for_right() -> None:
    given = exam(1, boxes=TALL)
    half = np.zeros((60, 40), np.float32)
    half[:, 25:] = 1.0

    def brightest(mirrored: bool) -> float:
        board = board_of(one_match(exam=given, mirrored=mirrored), **{given.sop_instance_uid: half})
        seen = board[160:240, 370:675].astype(float).sum(axis=(0, 2))  # the match's wrist
        return float(np.average(np.arange(305), weights=seen))

    assert brightest(mirrored=False) > 165
    assert brightest(mirrored=True) < 140


def test_the_bar_grows_with_the_similarity_index() -> None:
    def length(index: float) -> int:
        board = board_of(one_match(region_index=index))
        return int((board == RADIUS).all(axis=2).sum())

    assert length(10.0) < length(50.0) < length(100.0)


def test_findings_stand_there_in_words(written: list[str]) -> None:
    long = RegionFindings("present", "oblique", "healing", "moderate", 25.0)
    given = exam(1, findings={Region.DISTAL_RADIUS: long}, other=("hardware", "osteopenia"))
    board_of(one_match(exam=given))
    text = " ".join(written)

    assert "oblique fracture, healing, moderately displaced, angulated 25 degrees" in text
    assert "6-8 years, hardware, osteopenia" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"findings_known": False, "findings": {}}, "no report yet"),
        ({"findings": {}}, "not described"),
        ({"age_years": None}, "age unknown"),
        ({"laterality": Laterality.UNKNOWN}, "side ?"),
        ({"boxes": {"wrist": TALL["wrist"]}}, "bone not located"),
        ({"spacing_mm": None}, "6-8 years, scale unknown"),
    ],
)
def test_what_is_not_known_of_a_prior_is_said(
    changes: dict[str, Any], words: str, written: list[str]
) -> None:
    board_of(one_match(exam=exam(1, **changes)))

    assert words in written


def test_a_bone_without_score_and_a_prior_without_picture_are_drawn_all_the_same(
    written: list[str],
) -> None:
    given = one_match(exam=exam(1, boxes={}, spacing_mm=None), region_index=None)
    query = pictures(given.query)[given.query.sop_instance_uid]

    assert match_board(given, query, {}, bundle=BUNDLE, width=1024).any()
    assert "picture not shared" in written
    assert "no score" in written


def test_a_scale_bar_tells_the_length_that_it_has(written: list[str]) -> None:
    """The test's bones are 30 pixels of 0.144 mm long: a bar of 1 or 2 mm fits beneath."""
    board_of(one_match())
    lengths = [int(found[1]) for line in written if (found := re.fullmatch(r"(\d+) mm", line))]

    assert lengths in ([1], [2])


def test_without_the_query_s_spacing_the_scale_is_said_to_be_unknown(written: list[str]) -> None:
    given = replace(one_match(), query=exam(0, spacing_mm=None))
    board_of(given)

    assert "scale unknown" in written
    assert not any(line.endswith(" mm") for line in written)
    assert any("equally wide" in line for line in written)


def test_all_that_was_relaxed_is_shown(written: list[str]) -> None:
    part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)),))
    for number in range(4):
        relaxed = tuple(f"Both sides were compared, {each}." for each in range(number))
        written.clear()
        board_of(answer((replace(part, fallbacks=relaxed),)))
        assert [line for line in written if line in relaxed] == list(relaxed)


def test_that_nothing_is_similar_catches_the_eye(written: list[str]) -> None:
    part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)),))
    far = replace(part, nothing_similar=True)

    assert not has(board_of(answer((part,), warnings=()), bundle=CLINICAL), CAUTION)
    assert has(board_of(answer((far,), warnings=()), bundle=CLINICAL), CAUTION)
    assert written[-20:].count(NOTHING) <= 1
    assert NOTHING in written
    assert ENGLISH.say("board.nearest") in written


@pytest.mark.parametrize("nothing_similar", [True, False])
def test_a_bone_without_any_match_says_so_in_their_place(
    nothing_similar: bool, written: list[str]
) -> None:
    empty = RegionAnswer(Region.DISTAL_ULNA, (), nothing_similar=nothing_similar)
    board = board_of(answer((empty,), warnings=()), bundle=CLINICAL)
    rows, columns = np.nonzero((board == CAUTION).all(axis=2))

    assert NOTHING in written
    assert (ENGLISH.say("board.nothing_means") in written) is nothing_similar
    assert (ENGLISH.say("board.nothing_to_compare") in written) is not nothing_similar
    assert columns.min() > 350
    assert 0.3 < rows.mean() / len(board) < 0.7


def test_a_wrist_as_a_whole_has_no_crops(written: list[str]) -> None:
    board_of(matches_of(2, region=None))

    assert "Wrist as a whole" in written
    assert not {"distal radius: not located", "1 mm", "2 mm"} & set(written)


def test_metal_does_not_darken_the_crop_of_a_bone() -> None:
    given = one_match()
    uid = given.priors[0].sop_instance_uid
    plain = pictures(given.query, *given.priors)[uid] / 4
    pinned = plain.copy()
    pinned[5:15, 5:35] = 1.0
    boards = [board_of(given, **{uid: grey}) for grey in (plain, pinned)]
    crops = [board[450:560, 420:600] for board in boards]

    assert crops[0].std() > 10
    assert np.array_equal(*crops)


@pytest.mark.parametrize("gain", [0.03, 0.4])
def test_a_darker_exposure_is_shown_like_the_others(gain: float) -> None:
    given = one_match()
    uid = given.priors[0].sop_instance_uid
    plain = pictures(given.query, *given.priors)[uid]

    dark = board_of(given, **{uid: plain * np.float32(gain)})
    assert np.abs(dark.astype(int) - board_of(given)).max() <= 3


def test_nothing_of_an_exam_but_what_was_seen_and_reported_is_drawn() -> None:
    """Two patients alike in picture, side and age band, in nothing else, give one board."""
    later = datetime(2031, 7, 1, tzinfo=UTC)

    def other(number: int, uid: str) -> Any:
        return exam(
            number,
            sop_instance_uid=f"{uid}.1.1",
            series_instance_uid=f"{uid}.1",
            study_instance_uid=uid,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
            patient_key=f"another-{number}",
            sex="M",
            age_years=6.1,
            runtime="another",
            received_at=later,
            indexed_at=later,
            captions={"global": "Left wrist X-ray."},
        )

    def given(query: Any, prior: Any, **changes: Any) -> Answer:
        part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, prior),))
        return answer((part,), query=query, **changes)

    one = board_of(given(exam(0), exam(1)))
    another = board_of(given(other(5, "1.9.8"), other(6, "1.9.9"), answered_at=later))

    assert np.array_equal(one, another)


def test_another_language_is_drawn_instead(written: list[str]) -> None:
    given = one_match()
    shown = dict(pictures(given.query, *given.priors))
    query = shown.pop(given.query.sop_instance_uid)
    german = dictionary(Language.GERMAN)
    match_board(given, query, shown, bundle=BUNDLE, width=1024, words=german)

    assert {"Ähnliche frühere Handgelenke", "Anfrage", "Distaler Radius", "Fall 1"} <= set(written)
    assert "Nur zur Demonstration, nicht für den klinischen Gebrauch" in written
    assert "Wulstfraktur, frisch, gering disloziert" in " ".join(written)
