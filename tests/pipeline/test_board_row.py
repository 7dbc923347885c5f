from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from result_parts import answer, exam, match, pictures

from pipeline.board_row import BoardRow, board_rows
from pipeline.exam import Exam
from pipeline.region import Laterality, Region
from pipeline.request import RegionAnswer

FRAME = (150, 120)


def row_of(query: Exam, *priors: Exam, region: Region | None = Region.DISTAL_RADIUS) -> BoardRow:
    matches = tuple(match(rank, prior) for rank, prior in enumerate(priors, 1))
    given = answer((RegionAnswer(region, matches),), query=query)
    return board_rows(given, pictures(query, *priors), 10)[0]


def shown_widths(row: BoardRow) -> list[float]:
    """Return how wide the box of each case's bone is drawn, the query's first."""
    widths = []
    for case in (row.query, *row.matches):
        view, box = row.bone(case, FRAME), case.box("distal_radius")
        assert view is not None
        assert box is not None
        x0, _, x1, _ = view.shown(box)
        widths.append(x1 - x0)
    return widths


def coarse(number: int, **changes: Any) -> Exam:
    """Return an exam whose pixels are half as large again."""
    return exam(number, spacing_mm=(0.216, 0.216), **changes)


def test_crops_are_drawn_at_one_scale_in_millimetres() -> None:
    row = row_of(exam(0), exam(1), coarse(2))
    query, same, larger = shown_widths(row)

    assert row.in_mm
    assert query == pytest.approx(same)
    assert larger == pytest.approx(1.5 * query)


def test_the_largest_bone_of_a_row_fits_its_frame() -> None:
    row = row_of(exam(0), coarse(1))
    for case in (row.query, *row.matches):
        view = row.bone(case, FRAME)
        assert view is not None
        x0, y0, x1, y1 = view.shown(case.exam.boxes["distal_radius"])
        assert min(x0, y0) >= 0
        assert x1 <= FRAME[0]
        assert y1 <= FRAME[1]


def test_a_prior_without_spacing_is_sized_by_its_wrist_and_said_to_be() -> None:
    wide = {"wrist": (0.0, 4.0, 40.0, 56.0), "distal_radius": (18.0, 20.0, 33.0, 50.0)}
    row = row_of(exam(0), exam(1), exam(2, spacing_mm=None, boxes=wide))
    query, known, unknown = shown_widths(row)

    assert row.in_mm
    assert [row.unscaled(case) for case in row.matches] == [False, True]
    assert known == pytest.approx(query)
    assert unknown == pytest.approx(query * 32 / 40)


def test_without_the_query_s_spacing_all_are_sized_by_their_wrists() -> None:
    row = row_of(exam(0, spacing_mm=None), exam(1), coarse(2))

    assert not row.in_mm
    assert row.unscaled(row.query)
    assert len({round(width, 3) for width in shown_widths(row)}) == 1


def test_pixels_that_are_not_square_are_shown_as_tall_as_they_are() -> None:
    row = row_of(exam(0, spacing_mm=(0.288, 0.144)), exam(1))
    view = row.bone(row.query, FRAME)

    assert view is not None
    assert view.scale[1] == pytest.approx(2 * view.scale[0])


def test_what_has_no_box_or_no_picture_has_no_crop() -> None:
    bare = exam(1, boxes={"wrist": (4.0, 4.0, 36.0, 56.0)})
    row = row_of(exam(0), bare)
    hidden = replace(row.query, grey=None)

    assert row.bone(row.matches[0], FRAME) is None
    assert row.bone(hidden, FRAME) is None
    assert hidden.wrist(FRAME) is None


def test_a_prior_of_the_other_side_is_shown_mirrored() -> None:
    given = exam(1, laterality=Laterality.RIGHT)
    part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, given, mirrored=True),))
    row = board_rows(answer((part,)), pictures(exam(0), given), 10)[0]
    views = row.matches[0].wrist(FRAME), row.bone(row.matches[0], FRAME)

    assert all(view is not None and view.mirrored for view in views)
    assert (found := row.query.wrist(FRAME)) is not None
    assert not found.mirrored
