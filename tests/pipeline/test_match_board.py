from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from result_parts import answer, exam, match, pictures

from pipeline.exam import RegionFindings
from pipeline.match_board import match_board
from pipeline.region import Laterality, Region
from pipeline.request import Answer, RegionAnswer
from pipeline.wording import BundleWords

BUNDLE = BundleWords("wristmir-demonstration-4", "Finds similar prior wrist radiographs.", True)
CAUTION = (240, 228, 66)
RADIUS = (86, 180, 233)


def board_of(
    given: Answer, width: int = 1024, bundle: BundleWords = BUNDLE, **changes: NDArray[np.float32]
) -> NDArray[np.uint8]:
    shown = {**pictures(given.query, *given.priors), **changes}
    query = shown.pop(given.query.sop_instance_uid)
    return match_board(given, query, shown, bundle=bundle, width=width)


def has(board: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((board == colour).all(axis=2).any())


def one_match(**changes: object) -> Answer:
    given = match(1, exam(1))
    return answer(
        (RegionAnswer(Region.DISTAL_RADIUS, (replace(given, **changes),)),),  # type: ignore[arg-type]
        warnings=(),
    )


@pytest.mark.parametrize("width", [1024, 2048])
def test_it_has_the_width_that_was_asked_for_and_a_black_background(width: int) -> None:
    board = board_of(answer(), width)

    assert board.dtype == np.uint8
    assert board.shape[1:] == (width, 3)
    assert (board[:4] == 0).all()
    assert (board[:, -4:] == 0).all()


def test_it_draws_the_same_at_every_width() -> None:
    small, large = board_of(answer(), 1024), board_of(answer(), 2048)

    assert abs(large.shape[0] - 2 * small.shape[0]) <= 2
    halved = large[: 2 * (large.shape[0] // 2)].reshape(-1, 2, 1024, 2, 3).mean((1, 3))
    rows = min(len(halved), len(small))
    assert np.abs(halved[:rows] - small[:rows]).mean() < 6


def test_the_same_answer_gives_the_same_board() -> None:
    assert np.array_equal(board_of(answer()), board_of(answer()))


def test_a_demonstration_bundle_is_said_to_be_one() -> None:
    clinical = replace(BUNDLE, demonstration=False)

    assert has(board_of(one_match()), CAUTION)
    assert not has(board_of(one_match(), bundle=clinical), CAUTION)


def test_a_mirrored_prior_is_shown_mirrored_and_marked() -> None:
    clinical = replace(BUNDLE, demonstration=False)
    right = exam(1, laterality=Laterality.RIGHT)

    assert has(board_of(one_match(exam=right, mirrored=True), bundle=clinical), CAUTION)
    assert not has(board_of(one_match(exam=right), bundle=clinical), CAUTION)


def test_the_bar_grows_with_the_similarity_index() -> None:
    def length(index: float) -> int:
        board = board_of(one_match(region_index=index))
        return int((board == RADIUS).all(axis=2).sum())

    assert length(10.0) < length(50.0) < length(100.0)


def test_a_bone_without_score_and_a_prior_without_box_or_picture_are_drawn_all_the_same() -> None:
    bare = exam(1, boxes={}, spacing_mm=None, findings={}, findings_known=False)
    given = one_match(exam=bare, region_index=None)

    assert board_of(given).any()
    query = pictures(given.query)[given.query.sop_instance_uid]
    assert match_board(given, query, {}, bundle=BUNDLE, width=1024).any()


def test_more_bones_make_a_taller_board_and_an_empty_one_a_small_row() -> None:
    full = RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)),))
    empty = RegionAnswer(Region.DISTAL_ULNA, (), nothing_similar=True)
    one = board_of(answer((full,))).shape[0]
    with_empty = board_of(answer((full, empty))).shape[0]
    two = board_of(answer((full, replace(full, region=Region.DISTAL_ULNA)))).shape[0]

    assert one < with_empty < two


def test_a_row_is_as_high_as_the_longest_of_its_findings() -> None:
    long = RegionFindings("present", "oblique", "healing", "moderate", 25.0)
    longer = exam(1, findings={Region.DISTAL_RADIUS: long}, other=("hardware", "osteopenia"))

    assert len(board_of(one_match(exam=longer))) > len(board_of(one_match())) + 20


def test_all_that_was_relaxed_is_shown() -> None:
    part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)),))
    lengths = [
        len(board_of(answer((replace(part, fallbacks=("Both sides were compared.",) * number),))))
        for number in range(4)
    ]

    assert lengths == sorted(set(lengths))


def test_that_nothing_is_similar_catches_the_eye() -> None:
    clinical = replace(BUNDLE, demonstration=False)
    part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)),))
    far = replace(part, nothing_similar=True)

    assert not has(board_of(answer((part,), warnings=()), bundle=clinical), CAUTION)
    assert has(board_of(answer((far,), warnings=()), bundle=clinical), CAUTION)


def test_metal_does_not_darken_the_crop_of_a_bone() -> None:
    given = one_match()
    uid = given.priors[0].sop_instance_uid
    plain = pictures(given.query, *given.priors)[uid] / 4
    pinned = plain.copy()
    pinned[5:15, 5:35] = 1.0
    boards = [board_of(given, **{uid: grey}) for grey in (plain, pinned)]
    crops = [board[320:380, 250:300] for board in boards]

    assert crops[0].std() > 10
    assert np.array_equal(*crops)
