"""The picture board: query and matches side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.board_row import BoardCase, BoardRow, board_rows
from pipeline.canvas import UNITS, Canvas, Colour, Place
from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region
from pipeline.request import Answer
from pipeline.wording import (
    DEMONSTRATION,
    BundleWords,
    finding_words,
    findings_words,
    other_words,
    side_words,
    wanted_words,
)

__all__ = ["match_board"]

_BLACK: Final[Colour] = (0, 0, 0)
_BRIGHT: Final[Colour] = (224, 224, 224)
_PLAIN: Final[Colour] = (176, 176, 176)
_DIM: Final[Colour] = (134, 134, 134)
_LINE: Final[Colour] = (52, 52, 52)
_CAUTION: Final[Colour] = (240, 228, 66)
# Okabe and Ito: told apart with every kind of colour vision
_COLOURS: Final[Mapping[Region, Colour]] = MappingProxyType(
    {
        Region.DISTAL_RADIUS: (86, 180, 233),
        Region.DISTAL_ULNA: (230, 159, 0),
        Region.ULNAR_STYLOID: (204, 121, 167),
    }
)
_WRIST_COLOUR: Final[Colour] = (150, 150, 150)
_SIDES: Final[Mapping[Laterality, str]] = MappingProxyType(
    {Laterality.LEFT: "L", Laterality.RIGHT: "R", Laterality.UNKNOWN: "L/R ?"}
)

# the layout, in units of which 1024 make the width
_MARGIN: Final = 20.0
_WIDTH: Final = UNITS - 2 * _MARGIN
_COLUMNS: Final = 5
_CELL: Final = 150.0
_GAP: Final = 13.0
_QUERY_GAP: Final = 32.0
_TITLE: Final = 20.0
_PICTURE: Final = 146.0
_BETWEEN: Final = 4.0
_SCORE: Final = 20.0
_LEADING: Final = 15.0
_SMALL: Final = 11.5
_TEXT: Final = 12.0


def match_board(
    answer: Answer,
    query_picture: NDArray[Any],
    prior_pictures: Mapping[str, NDArray[Any]],
    *,
    bundle: BundleWords,
    width: int = 2048,
) -> NDArray[np.uint8]:
    """Draw the board: a row per asked bone, the query on the left, its matches by rank.

    Each case shows its wrist with the bones' boxes, beneath it the asked bone's crop (one scale in
    a row: millimetres where every spacing is known, else the wrist's width), the similarity
    indices as bars, and in words what the prior's report says of the bone and, fainter, what else
    it describes. A prior of the other side is shown mirrored, and marked so. Nothing of any patient
    is written but the side, and of priors the age band.

    Parameters
    ----------
    answer
        What was found; boxes and spacing are those of its exams.
    query_picture
        Grey values, bone bright; shape (rows, columns), geometry of the stored image.
    prior_pictures
        The same by SOP Instance UID of the prior; one that is missing is said to be not shared.
    bundle
        The models behind the answer.
    width
        In pixels; legible from 1024.

    Returns
    -------
    NDArray
        uint8, shape (rows, width, 3), RGB.
    """
    pictures = {**prior_pictures, answer.query.sop_instance_uid: query_picture}
    most = 2 * _COLUMNS if len(answer.regions) == 1 else _COLUMNS
    rows = board_rows(answer, pictures, most)
    canvas = Canvas(width)
    y = _draw_head(canvas, answer, bundle)
    for number, row in enumerate(rows):
        y = _draw_row(canvas, y, row, with_legend=number == 0)
    return canvas.pixels(_draw_foot(canvas, y, rows))


def _draw_head(canvas: Canvas, answer: Answer, bundle: BundleWords) -> float:
    """Say what the board is; like every drawing here, return where the next may begin."""
    canvas.text((_MARGIN, 34), "Similar prior wrists", 21, _BRIGHT)
    asked = f"Query: {side_words(answer.query)}, {answer.query.view.value.upper()} view"
    priors = f"{answer.pool_size} prior{'' if answer.pool_size == 1 else 's'} compared"
    wanted = wanted_words(answer.request)
    about = [asked, priors, *([f"wanted: {wanted}"] if wanted else []), bundle.id]
    canvas.text((_MARGIN, 53), "  ·  ".join(about), _SMALL, _DIM)
    if bundle.demonstration:
        words = DEMONSTRATION.upper()
        right, length = UNITS - _MARGIN, canvas.length(words, 12)
        canvas.box((right - length - 20, 17, right, 41), _CAUTION)
        canvas.text((right - 10, 33.5), words, 12, _CAUTION, "rs")
    y = 56.0
    for warning in answer.warnings:
        y = _draw_lines(canvas, (_MARGIN, y), canvas.wrapped(warning, _WIDTH, _TEXT, 2), _CAUTION)
    return y + 10


def _draw_foot(canvas: Canvas, y: float, rows: Sequence[BoardRow]) -> float:
    cropped = [row for row in rows if row.matches and row.cropped]
    scale = " The crops of a row are drawn to one scale." if cropped else ""
    if not all(row.in_mm for row in cropped):
        scale = f"{scale[:-1]}, by the width of the wrist: some pixel spacings are not known."
    canvas.bar((_MARGIN, y + 3, UNITS - _MARGIN, y + 3), _LINE)
    first = (
        "Matches are other patients; the findings beneath them are theirs, not this patient's. "
        "No diagnosis."
    )
    second = f"The similarity index (0-100) ranks likeness; it is no probability.{scale}"
    canvas.text((_MARGIN, y + 19), first, _TEXT, _PLAIN)
    canvas.text((_MARGIN, y + 35), second, _SMALL, _DIM)
    return y + 46


def _draw_row(canvas: Canvas, y: float, row: BoardRow, *, with_legend: bool) -> float:
    top = _draw_row_title(canvas, y, row)
    if not row.matches:
        return top + 8
    _draw_case(canvas, (_MARGIN, top), row, row.query)
    below = top + _pictures_height(row)
    if with_legend:
        below = _draw_legend(canvas, below, row.query)
    if row.cropped and row.in_mm:
        below = _draw_centimetre(canvas, below, row)
    bottom = top
    for first in range(0, len(row.matches), _COLUMNS):
        bottom = _draw_matches(canvas, bottom, row, row.matches[first : first + _COLUMNS])
    bottom = max(bottom, below + 8)
    middle = _MARGIN + _CELL + _QUERY_GAP / 2
    canvas.bar((middle, top, middle, bottom - 8), _LINE)
    return bottom + 4


def _draw_row_title(canvas: Canvas, y: float, row: BoardRow) -> float:
    """Write the bone's name, whether anything is similar, and what was relaxed on the way."""
    region, shown, found = row.part.region, len(row.matches), len(row.part.matches)
    title = region.words.capitalize() if region else "Wrist as a whole"
    canvas.bar((_MARGIN, y + 3, UNITS - _MARGIN, y + 3), _LINE)
    canvas.bar((_MARGIN, y + 12, _MARGIN + 4, y + 26), _colour(region))
    canvas.text((_MARGIN + 12, y + 24), title, 16, _BRIGHT)
    if row.part.nothing_similar or not found:
        words = "No sufficiently similar case"
        words += ": the nearest are shown all the same." if found else "."
        canvas.text((_MARGIN + 26 + canvas.length(title, 16), y + 24), words, 13, _CAUTION)
    if shown < found:
        words = f"the first {shown} of {found}; the others stand in the report"
        canvas.text((UNITS - _MARGIN, y + 24), words, _SMALL, _DIM, "rs")
    y += 29
    for words in row.part.fallbacks:
        lines = canvas.wrapped(words, _WIDTH - 12, _TEXT, 2)
        y = _draw_lines(canvas, (_MARGIN + 12, y), lines, _PLAIN)
    return y + (9 if row.part.fallbacks else 5)


def _draw_matches(canvas: Canvas, y: float, row: BoardRow, matches: Sequence[BoardCase]) -> float:
    """Draw one line of matches, as high as the longest of their findings wants it."""
    bottoms = []
    for column, case in enumerate(matches):
        x = _MARGIN + _CELL + _QUERY_GAP + column * (_CELL + _GAP)
        _draw_case(canvas, (x, y), row, case)
        bottoms.append(_draw_words(canvas, (x, y + _pictures_height(row)), row, case))
    return max(bottoms) + 12


def _pictures_height(row: BoardRow) -> float:
    return _TITLE + _PICTURE + (_BETWEEN + _PICTURE if row.part.region else 0.0)


def _draw_case(canvas: Canvas, place: Place, row: BoardRow, case: BoardCase) -> None:
    """Draw a title, the wrist with its boxes and, beneath, the asked bone."""
    x, y = place
    _draw_case_title(canvas, (x, y + 12), case)
    _draw_wrist(canvas, (x, y + _TITLE), row.part.region, case)
    if row.part.region:
        _draw_bone(canvas, (x, y + _TITLE + _PICTURE + _BETWEEN), row, row.part.region, case)


def _draw_case_title(canvas: Canvas, place: Place, case: BoardCase) -> None:
    (x, y), right = place, place[0] + _CELL
    side = _SIDES[case.exam.laterality]
    canvas.text((right, y), side, 12.5, _BRIGHT, "rs")
    if case.match is None:
        canvas.text((x, y), case.label, 13.5, _BRIGHT)
        return
    rank = f"#{case.match.rank}"
    canvas.text((x, y), rank, 13.5, _BRIGHT)
    canvas.text((x + 6 + canvas.length(rank, 13.5), y), case.label, _TEXT, _PLAIN)
    age = "age ?" if case.exam.age_years is None else case.exam.age_band.replace(" years", " y")
    canvas.text((right - 7 - canvas.length(side, 12.5), y), age, _SMALL, _DIM, "rs")


def _draw_wrist(canvas: Canvas, place: Place, asked: Region | None, case: BoardCase) -> None:
    x, y = place
    size = canvas.size_in_pixels(_CELL, _PICTURE)
    view = case.wrist(size)
    if view is None:
        _draw_empty(canvas, place, "picture not shared")
        return
    canvas.picture(place, view.pixels())
    unit = _CELL / size[0]
    for region in sorted(Region, key=lambda one: one is asked):
        box = case.box(region.value)
        if box is not None:
            x0, y0, x1, y1 = (value * unit for value in view.shown(box))
            strong = asked is None or region is asked
            colour = _colour(region) if strong else _faded(_colour(region))
            canvas.box((x + x0, y + y0, x + x1, y + y1), colour, 1.4 if strong else 0.7)
    _draw_frame(canvas, place, case, _LINE)
    if case.mirrored:
        canvas.bar((x, y, x + _CELL, y + 15), _BLACK)
        words = f"{case.exam.laterality.value} wrist, shown mirrored"
        canvas.text((x + _CELL / 2, y + 11), words, _SMALL, _CAUTION, "ms")


def _draw_bone(
    canvas: Canvas, place: Place, row: BoardRow, region: Region, case: BoardCase
) -> None:
    size = canvas.size_in_pixels(_CELL, _PICTURE)
    view = case.bone(region.value, size, row.scale(size), row.in_mm)
    if view is None:
        _draw_empty(canvas, place, "" if case.picture is None else "bone not located")
        return
    canvas.picture(place, view.pixels())
    _draw_frame(canvas, place, case, _faded(_colour(region)))


def _draw_frame(canvas: Canvas, place: Place, case: BoardCase, colour: Colour) -> None:
    """Frame a picture; the query's frame stands out."""
    x, y = place
    colour = _PLAIN if case.match is None else colour
    canvas.box((x, y, x + _CELL, y + _PICTURE), colour, 0.7)


def _draw_empty(canvas: Canvas, place: Place, words: str) -> None:
    x, y = place
    canvas.box((x, y, x + _CELL, y + _PICTURE), _LINE, 0.7)
    canvas.text((x + _CELL / 2, y + _PICTURE / 2 + 4), words, _TEXT, _DIM, "ms")


def _draw_words(canvas: Canvas, place: Place, row: BoardRow, case: BoardCase) -> float:
    x, y = place
    region, match = row.part.region, case.match
    if match is None:
        return y
    if region is not None:
        _draw_score(canvas, (x, y), region, match.region_index)
        y += _SCORE
    _draw_score(canvas, (x, y), None, match.global_index)
    return _draw_findings(canvas, (x, y + _SCORE + 4), case, region)


def _draw_score(canvas: Canvas, place: Place, region: Region | None, index: float | None) -> None:
    x, y = place[0], place[1] + 14
    canvas.text((x, y), region.words if region else "whole wrist", _SMALL, _PLAIN)
    if index is None:
        canvas.text((x + _CELL, y), "not compared", _SMALL, _DIM, "rs")
    else:
        canvas.text((x + _CELL, y), f"{index:.0f}", 12.5, _BRIGHT, "rs")
    canvas.bar((x, y + 3.5, x + _CELL, y + 5), _LINE)
    if index:
        canvas.bar((x, y + 3.5, x + _CELL * min(index, 100.0) / 100, y + 5), _colour(region))


def _draw_findings(canvas: Canvas, place: Place, case: BoardCase, region: Region | None) -> float:
    """Write what the prior's report says, marked by a full, half or open disc."""
    (x, y), exam = place, case.exam
    if not exam.findings_known:
        return _draw_lines(canvas, place, ["no report yet"], _DIM)
    if region is None:
        return _draw_lines(
            canvas, place, canvas.wrapped(findings_words(exam, None), _CELL, _TEXT, 6), _BRIGHT
        )
    findings = exam.findings.get(region, RegionFindings())
    fill = {"present": 1.0, "possible": 0.5, "absent": 0.0}.get(findings.fracture)
    colour, indent = _DIM, 0.0
    if fill is not None:
        canvas.disc((x + 4.5, y + _LEADING - 6), 3.5, _BRIGHT, fill)
        colour, indent = _BRIGHT, 13.0
    lines = canvas.wrapped(finding_words(findings), _CELL - indent, _TEXT, 4)
    y = _draw_lines(canvas, (x + indent, y), lines, colour)
    if beside := ", ".join(other_words(exam)):
        y = _draw_lines(canvas, (x, y), canvas.wrapped(beside, _CELL, _TEXT, 3), _DIM)
    return y


def _draw_lines(canvas: Canvas, place: Place, lines: Sequence[str], colour: Colour) -> float:
    x, y = place
    for line in lines:
        y += _LEADING
        canvas.text((x, y - 2), line, _TEXT, colour)
    return y


def _draw_legend(canvas: Canvas, y: float, query: BoardCase) -> float:
    """Name the colours of the boxes."""
    for region in Region:
        y += 16
        found = region.value in query.exam.boxes
        canvas.box((_MARGIN, y - 8, _MARGIN + 9, y), _colour(region), 1.4)
        words = region.words if found else f"{region.words}: not located"
        canvas.text((_MARGIN + 16, y), words, _SMALL, _PLAIN if found else _DIM)
    return y + 4


def _draw_centimetre(canvas: Canvas, y: float, row: BoardRow) -> float:
    size = canvas.size_in_pixels(_CELL, _PICTURE)
    length = 10 * row.scale(size) * _CELL / size[0]
    canvas.bar((_MARGIN, y + 9.5, _MARGIN + length, y + 11), _PLAIN)
    canvas.text((_MARGIN + length + 7, y + 14), "1 cm in the crops", _SMALL, _DIM)
    return y + 18


def _colour(region: Region | None) -> Colour:
    return _COLOURS[region] if region else _WRIST_COLOUR


def _faded(colour: Colour) -> Colour:
    return (colour[0] // 2, colour[1] // 2, colour[2] // 2)
