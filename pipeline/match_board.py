"""The picture board: query and matches side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.board_layout import MARGIN, WIDTH, BoardLayout, most_shown
from pipeline.board_panel import draw_match, draw_query
from pipeline.board_row import BoardRow, board_rows
from pipeline.board_sheet import MIRROR, SMALL, TEXT, BoardSheet
from pipeline.canvas import UNITS, Canvas, Colour, Place, Ruler
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.palette import BRIGHT, CAUTION, DIM, GROUND, LINE, PLAIN, bone_colour
from pipeline.request import Answer
from pipeline.typeface import measured
from pipeline.wording import BundleWords, bone_words, in_language, side_words, wanted_words

__all__ = ["match_board"]

_RIGHT: Final = UNITS - MARGIN


def match_board(
    answer: Answer,
    query_picture: NDArray[Any],
    prior_pictures: Mapping[str, NDArray[Any]],
    *,
    bundle: BundleWords,
    width: int = 2048,
    words: Dictionary = ENGLISH,
) -> NDArray[np.uint8]:
    """Draw the board: a row per asked bone, the query on the left, its matches by rank.

    Each case shows its wrist with the bone's box, beneath it (beside it, where several bones were
    asked about) the bone's crop, all crops of a row at one scale: in millimetres where spacing is
    known; the similarity indices as bars; in words what the prior's report says of the bone and,
    fainter, what else it describes. A prior of the other side is shown mirrored, and marked so.
    The sheet is landscape. Nothing of any patient is written but the side, and of priors the age
    band.

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
    words
        The language.

    Returns
    -------
    NDArray
        uint8, shape (rows, width, 3), RGB.
    """
    answer = in_language(answer, words)
    pictures = {**prior_pictures, answer.query.sop_instance_uid: query_picture}
    rows = board_rows(answer, pictures, most_shown(len(answer.regions)), words)
    flat = BoardLayout.of(rows)
    # the words have what they need, the pictures the rest
    needed = _draw(BoardSheet(Ruler(), flat, words), answer, bundle, rows)
    sheet = BoardSheet(Canvas(width, GROUND), flat.filled(rows, needed), words)
    return sheet.canvas.pixels(_draw(sheet, answer, bundle, rows))


def _draw(
    sheet: BoardSheet, answer: Answer, bundle: BundleWords, rows: Sequence[BoardRow]
) -> float:
    """Draw all; like every drawing here, return where the next may begin."""
    y = _draw_head(sheet, answer, bundle)
    for row in rows:
        y = _draw_row(sheet, y, row)
    return _draw_foot(sheet, y, rows)


def _draw_head(sheet: BoardSheet, answer: Answer, bundle: BundleWords) -> float:
    """Say what the board is."""
    canvas, words = sheet.canvas, sheet.words
    canvas.text((MARGIN, 36), words.say("board.title"), 21, BRIGHT, bold=True)
    if bundle.demonstration:
        demonstration = words.say("demonstration")
        left = _RIGHT - measured(demonstration, 12.5, bold=True) - 20
        canvas.box((left, 18, _RIGHT, 42), CAUTION, 1.2)
        canvas.text((_RIGHT - 10, 34.5), demonstration, 12.5, CAUTION, "rs", bold=True)
    y = sheet.paragraph((MARGIN, 43), _about(words, answer, bundle), WIDTH, PLAIN)
    for warning in answer.warnings:
        sign = [(MARGIN, y + 13), (MARGIN + 6, y + 3), (MARGIN + 12, y + 13)]
        canvas.shape(sign, CAUTION)
        y = sheet.paragraph((MARGIN + 19, y), warning, WIDTH - 19, CAUTION)
    return y + 8


def _about(words: Dictionary, answer: Answer, bundle: BundleWords) -> str:
    """Return what was asked, of how many, with which models."""
    query = answer.query
    wrist, view = side_words(query, words), words.say(f"view.{query.view.value}")
    about = [words.say("board.asked", wrist=wrist, view=view)]
    about.append(words.say("board.compared", count=answer.pool_size))
    if wanted := wanted_words(answer.request, words):
        about.append(words.say("board.wanted", wanted=wanted))
    return " · ".join([*about, bundle.id])


def _draw_row(sheet: BoardSheet, y: float, row: BoardRow) -> float:
    """Draw the query and, line by line, its matches."""
    top = _draw_title(sheet, y, row)
    bottom = draw_query(sheet, (MARGIN, top), row)
    if not row.matches:
        _draw_nothing(sheet, top, row)
    below = top
    for line in sheet.layout.lines(row):
        below = 12 + max(
            draw_match(sheet, (sheet.layout.column(number), below), row, case)
            for number, case in enumerate(line)
        )
    bottom = max(bottom + 6, below)
    divider = sheet.layout.divider
    sheet.canvas.bar((divider, top, divider + 1, bottom - 8), LINE)
    return bottom


def _draw_title(sheet: BoardSheet, y: float, row: BoardRow) -> float:
    """Write the bone's name, whether anything is similar, and what was relaxed on the way."""
    canvas, words, region = sheet.canvas, sheet.words, row.part.region
    shown, found = len(row.matches), len(row.part.matches)
    name = bone_words(region, words) if region else words.say("board.whole_wrist")
    title, left, right = words.capital(name), MARGIN, _RIGHT
    canvas.bar((left, y, right, y + 1), LINE)
    canvas.bar((left, y + 10, left + 5, y + 24), bone_colour(region))
    canvas.text((left + 13, y + 22), title, 15, BRIGHT, bold=True)
    left += 13 + measured(title, 15, bold=True) + 16
    if shown < found:
        some = words.say("board.some_of", shown=shown, found=found)
        canvas.text((right, y + 22), some, SMALL, DIM, "rs")
        right -= measured(some, SMALL) + 16
    remarks = [(fallback, PLAIN) for fallback in row.part.fallbacks]
    if row.part.nothing_similar and found:
        nothing = words.say("board.nothing")
        canvas.text((left, y + 22), nothing, 13, CAUTION, bold=True)
        left += measured(nothing, 13, bold=True) + 8
        remarks.insert(0, (words.say("board.nearest"), CAUTION))
    return _draw_remarks(sheet, (left, y), right, remarks) + 6


def _draw_remarks(
    sheet: BoardSheet, place: Place, right: float, remarks: Sequence[tuple[str, Colour]]
) -> float:
    """Write remarks behind a title as far as they fit there, and beneath it."""
    (left, y), beneath = place, list(remarks)
    while beneath and left + measured(beneath[0][0], TEXT) <= right:
        remark, colour = beneath.pop(0)
        sheet.canvas.text((left, y + 22), remark, TEXT, colour)
        left += measured(remark, TEXT) + 16
    y += 27
    for remark, colour in beneath:
        y = sheet.paragraph((MARGIN + 13, y), remark, WIDTH - 13, colour)
    return y


def _draw_nothing(sheet: BoardSheet, y: float, row: BoardRow) -> None:
    """Say in place of the matches that there are none."""
    left, top, words = sheet.layout.column(0), y + 19, sheet.words
    why = "nothing_means" if row.part.nothing_similar else "nothing_to_compare"
    sheet.canvas.box((left, top, _RIGHT, top + sheet.layout.stack), LINE, 0.8, (4.0, 4.0))
    centre, middle = (left + _RIGHT) / 2, top + sheet.layout.stack / 2
    sheet.canvas.text(
        (centre, middle - 2), words.say("board.nothing"), 17, CAUTION, "ms", bold=True
    )
    sheet.canvas.text((centre, middle + 20), words.say(f"board.{why}"), TEXT, PLAIN, "ms")


def _draw_foot(sheet: BoardSheet, y: float, rows: Sequence[BoardRow]) -> float:
    """Say what all this is, and what it is not."""
    words = sheet.words
    sheet.canvas.bar((MARGIN, y, _RIGHT, y + 1), LINE)
    y += 6
    cases = [case for row in rows for case in row.matches]
    if not cases:
        return sheet.paragraph((MARGIN, y), words.say("board.no_diagnosis"), WIDTH, PLAIN) + 12
    y = sheet.paragraph((MARGIN, y), words.say("board.others"), WIDTH, PLAIN)
    if any(case.mirrored for case in cases):
        sheet.mirror((MARGIN, y + 12), CAUTION)
        means, indent = words.say("board.mirrored_means"), MIRROR + 7
        y = sheet.paragraph((MARGIN + indent, y), means, WIDTH - indent, PLAIN)
    scale = f"{words.say('board.score_means')} {_scale_words(words, rows)}"
    return sheet.paragraph((MARGIN, y), scale, WIDTH, DIM, 3) + 12


def _scale_words(words: Dictionary, rows: Sequence[BoardRow]) -> str:
    scaled = [row for row in rows if row.matches and row.cropped]
    unknown = any(row.unscaled(case) for row in scaled for case in (row.query, *row.matches))
    if unknown:
        return words.say("board.one_scale_by_wrist")
    return words.say("board.one_scale") if scaled else ""
