from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from result_parts import (
    NOW,
    UIDS,
    answer,
    as_bytes,
    dciodvfy_errors,
    exam,
    header,
    match,
    pictures,
    without,
)

from pipeline.close_up import CloseUp, windowed
from pipeline.match_board import board_dataset, match_board
from pipeline.match_report import BundleWords
from pipeline.region import Laterality, Region
from pipeline.request import Answer, RegionAnswer

BUNDLE = BundleWords("wristmir-demonstration-1", "Finds similar prior wrist radiographs.", True)
CAUTION = (240, 228, 66)
RADIUS = (86, 180, 233)


def board_of(
    given: Answer, width: int = 1024, bundle: BundleWords = BUNDLE, **changes: NDArray[np.float32]
) -> NDArray[np.uint8]:
    shown = {**pictures(given.query, *given.priors), **changes}
    query = shown.pop(given.query.sop_instance_uid)
    return match_board(given, query, shown, bundle=bundle, width=width)


def dataset_of(query: Dataset) -> Dataset:
    board = board_of(answer())
    return board_dataset(board, query, uids=UIDS, result_id="result-1", created_at=NOW)


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


def test_a_close_up_shows_equal_lengths_equally_long() -> None:
    picture = np.zeros((100, 100), np.uint8)
    fine = CloseUp(picture, (50, 50), (4.0, 4.0), (80, 60))
    coarse = CloseUp(picture, (50, 50), (8.0, 8.0), (80, 60))

    assert width(fine.shown((50, 50, 60, 60))) == width(coarse.shown((50, 50, 55, 55)))


def test_a_close_up_puts_a_box_where_the_picture_shows_it() -> None:
    picture = np.zeros((90, 120), np.uint8)
    picture[30:50, 20:40] = 200
    for mirrored in (False, True):
        view = CloseUp(picture, (40, 45), (1.5, 1.5), (150, 120), mirrored)
        x0, y0, x1, y1 = (round(value) for value in view.shown((20, 30, 40, 50)))
        seen = view.pixels()

        assert seen[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].min() > 150
        assert seen[:, : max(0, x0 - 3)].max(initial=0) < 50
        assert seen[:, x1 + 3 :].max(initial=0) < 50


def width(box: tuple[float, float, float, float]) -> float:
    return box[2] - box[0]


def test_windowing_makes_two_exposures_alike() -> None:
    ramp = np.linspace(0, 1, 60 * 40).reshape(60, 40)
    box = (0.0, 0.0, 40.0, 60.0)

    assert np.abs(windowed(ramp, box).astype(int) - windowed(0.2 + ramp / 3, box)).max() <= 1


@pytest.mark.peers
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    assert dciodvfy_errors(dataset_of(header(0)), tmp_path) == []


@pytest.mark.peers
def test_dciodvfy_finds_no_error_where_the_query_lacks_type_2_attributes(tmp_path: Path) -> None:
    bare = without(header(0), "PatientBirthDate", "StudyID", "AccessionNumber", "ImageLaterality")

    assert dciodvfy_errors(dataset_of(bare), tmp_path) == []


def test_the_secondary_capture_holds_the_board_as_it_was_drawn() -> None:
    image = dataset_of(header(0))

    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (image.ConversionType, image.BurnedInAnnotation) == ("WSD", "NO")
    assert np.array_equal(image.pixel_array, board_of(answer()))
    assert UIDS.is_own(image.SOPInstanceUID)
    assert as_bytes(image) == as_bytes(dataset_of(header(0)))
