from __future__ import annotations

import pytest
from result_parts import answer, exam, match, pictures

from pipeline.board_layout import MARGIN, WIDTH, BoardLayout, most_shown
from pipeline.board_row import BoardRow, board_rows
from pipeline.canvas import UNITS
from pipeline.region import Region
from pipeline.request import RegionAnswer


def rows_of(*counts: int, region: Region | None = Region.DISTAL_RADIUS) -> tuple[BoardRow, ...]:
    exams = [exam(number) for number in range(11)]
    parts = tuple(
        RegionAnswer(region, tuple(match(rank, exams[rank]) for rank in range(1, count + 1)))
        for count in counts
    )
    return board_rows(answer(parts), pictures(*exams), most_shown(len(counts)))


@pytest.mark.parametrize("counts", [(0,), (1,), (3,), (5,), (6,), (10,), (4, 0), (10, 10, 1)])
def test_cases_stand_in_columns_that_fill_the_width(counts: tuple[int, ...]) -> None:
    rows = rows_of(*counts)
    layout = BoardLayout.of(rows).filled(rows, 300)
    last = layout.column(layout.columns - 1) + layout.cell

    assert last == pytest.approx(MARGIN + WIDTH)
    assert MARGIN + layout.cell < layout.divider < layout.column(0)
    for row in rows:
        assert all(len(line) <= layout.columns for line in layout.lines(row))
        right, down = layout.bone_offset(row)
        width, height = layout.bone_size(row)
        assert right + width == pytest.approx(layout.cell)
        assert down + height == pytest.approx(layout.stack)


@pytest.mark.parametrize("count", range(1, 11))
def test_of_one_bone_ten_matches_are_shown_in_lines_of_nearly_equal_length(count: int) -> None:
    (row,) = rows_of(count)
    lines = [len(line) for line in BoardLayout.of((row,)).lines(row)]

    assert sum(lines) == count
    assert len(lines) == (1 if count <= 5 else 2)
    assert max(lines) - min(lines) <= 1


def test_of_several_bones_the_first_four_are_shown() -> None:
    assert [len(row.matches) for row in rows_of(10, 10, 3)] == [4, 4, 3]


def test_a_bone_s_crop_stands_beneath_its_wrist_or_beside_it_where_room_is_short() -> None:
    few, many, several = rows_of(5), rows_of(6), rows_of(2, 2, 2)

    assert not BoardLayout.of(few).beside
    assert BoardLayout.of(many).beside
    assert BoardLayout.of(several).beside
    assert not BoardLayout.of(rows_of(10, region=None)).beside


def test_pictures_take_what_the_words_leave_of_a_landscape_sheet() -> None:
    rows = rows_of(5)
    layout = BoardLayout.of(rows)

    assert layout.filled(rows, 400).stack + 400 == pytest.approx(0.75 * UNITS)
    assert layout.filled(rows, 450).stack == pytest.approx(layout.filled(rows, 400).stack - 50)


def test_many_words_do_not_make_pictures_useless() -> None:
    rows = rows_of(4, 4, 4)
    layout = BoardLayout.of(rows)

    assert layout.filled(rows, 650).stack == 96
    assert 3 * layout.filled(rows, 800).stack + 800 == pytest.approx(UNITS)
    assert layout.filled(rows, 3000).stack == 48


def test_a_wrist_as_a_whole_fills_its_cell() -> None:
    rows = rows_of(3, region=None)
    layout = BoardLayout.of(rows).filled(rows, 300)

    assert layout.wrist_size(rows[0]) == (layout.cell, layout.stack)
