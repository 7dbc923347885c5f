"""One case on the picture board: heading, pictures, similarity, findings."""

from __future__ import annotations

from typing import Final

from pipeline.board_row import BoardCase, BoardRow
from pipeline.board_sheet import LEADING, MIRROR, SMALL, TEXT, BoardSheet
from pipeline.canvas import Corners, Place
from pipeline.close_up import CloseUp
from pipeline.exam import RegionFindings
from pipeline.palette import BRIGHT, CAUTION, DASHES, DIM, GROUND, LINE, MUTED, PLAIN, bone_colour
from pipeline.region import Laterality, Region
from pipeline.typeface import measured
from pipeline.wording import age_words, bone_words, finding_words, findings_words, other_words

__all__ = ["draw_match", "draw_query"]

_RANK: Final = 15.0
_HEAD: Final = 19.0
_HEAD_LINE: Final = 15.0
_SCORE: Final = 19.0
_NUMBER: Final = 25.0  # room of a similarity index
_LINES: Final = 7  # the longest finding of a bone, in the longest language
_LINES_OF_ALL: Final = 20
_MILLIMETRES: Final = (50, 20, 10, 5, 2, 1)


def draw_query(sheet: BoardSheet, place: Place, row: BoardRow) -> float:
    """Draw the query, the scale of its crop and what was found; return where that ends."""
    x, y = place
    _draw_heading(sheet, (x, y), row, row.query)
    y = _draw_pictures(sheet, (x, y + _heading(sheet, row)), row, row.query)
    left = x + (sheet.layout.bone_offset(row)[0] if row.part.region else 0.0)
    if row.cropped:
        y = _draw_scale(sheet, (left, y), row)
    return y if sheet.layout.beside else _draw_legend(sheet, (x, y + 4), row)


def draw_match(sheet: BoardSheet, place: Place, row: BoardRow, case: BoardCase) -> float:
    """Draw a match with its similarity and its report's findings; return where that ends."""
    x, y = place
    _draw_heading(sheet, (x, y), row, case)
    y = _draw_pictures(sheet, (x, y + _heading(sheet, row)), row, case)
    y = _draw_scores(sheet, (x, y), row, case)
    y = _draw_findings(sheet, (x, y + 5), sheet.layout.cell, case, row.part.region)
    beside = [age_words(case.exam, sheet.words)]
    if row.in_mm and row.unscaled(case):
        beside.append(sheet.words.say("board.scale_unknown"))
    if row.part.region and case.exam.findings_known:  # of a whole wrist, the findings have it
        beside += other_words(case.exam, sheet.words)
    return sheet.paragraph((x, y), ", ".join(beside), sheet.layout.cell, DIM, _LINES)


def _draw_heading(sheet: BoardSheet, place: Place, row: BoardRow, case: BoardCase) -> None:
    """Write rank, name and side; a mirrored case is said to be one."""
    (x, y), right = (place[0], place[1] + 14), place[0] + sheet.layout.cell
    side, colour = _side(sheet, case), CAUTION if case.mirrored else BRIGHT
    sheet.canvas.text((right, y), side, 12.5, colour, "rs", bold=True)
    if case.match is None:
        sheet.canvas.text((x, y), sheet.words.say("board.query"), 13.5, BRIGHT, bold=True)
        return
    rank = str(case.match.rank)
    sheet.canvas.text((x, y), rank, _RANK, BRIGHT, bold=True)
    indent = 7 + measured(rank, _RANK, bold=True)
    sheet.canvas.text((x + indent, y), case.label, TEXT, PLAIN)
    along = right - 8 - measured(side, 12.5, bold=True)
    if _two_lines(sheet, row):
        along, y = right, y + _HEAD_LINE
    if case.mirrored:
        mirrored = sheet.words.say("board.mirrored")
        sheet.canvas.text((along, y), mirrored, SMALL, CAUTION, "rs")
        along -= measured(mirrored, SMALL) + MIRROR + 5
        sheet.mirror((along, y - 0.5), CAUTION)


def _heading(sheet: BoardSheet, row: BoardRow) -> float:
    return _HEAD + (_HEAD_LINE if _two_lines(sheet, row) else 0.0)


def _two_lines(sheet: BoardSheet, row: BoardRow) -> bool:
    return any(_one_line(sheet, case) > sheet.layout.cell for case in row.matches)


def _one_line(sheet: BoardSheet, case: BoardCase) -> float:
    """Return how long a heading is on one line."""
    rank = str(case.match.rank) if case.match else ""
    parts = [measured(rank, _RANK, bold=True), measured(case.label, TEXT)]
    parts.append(measured(_side(sheet, case), 12.5, bold=True))
    if case.mirrored:
        parts.append(measured(sheet.words.say("board.mirrored"), SMALL) + MIRROR + 5)
    return sum(parts) + 8 * (len(parts) - 1)


def _side(sheet: BoardSheet, case: BoardCase) -> str:
    letters = {Laterality.LEFT: "left", Laterality.RIGHT: "right"}
    return sheet.words.say(f"board.{letters.get(case.exam.laterality, 'side_unknown')}")


def _draw_pictures(sheet: BoardSheet, place: Place, row: BoardRow, case: BoardCase) -> float:
    """Draw the wrist with its boxes and the asked bone beneath or beside it."""
    x, y = place
    if not sheet.layout.stack:
        return y
    size = sheet.layout.wrist_size(row)
    _draw_wrist(sheet, (x, y, x + size[0], y + size[1]), row, case)
    if row.part.region is not None:
        right, down = sheet.layout.bone_offset(row)
        width, height = sheet.layout.bone_size(row)
        corners = (x + right, y + down, x + right + width, y + down + height)
        view = row.bone(case, sheet.canvas.size_in_pixels(width, height))
        without = "" if case.grey is None else sheet.words.say("board.not_located")
        _draw_view(sheet, corners, case, view, without)
    return y + sheet.layout.stack


def _draw_wrist(sheet: BoardSheet, corners: Corners, row: BoardRow, case: BoardCase) -> None:
    x, y, right, bottom = corners
    size = sheet.canvas.size_in_pixels(right - x, bottom - y)
    view = case.wrist(size)
    _draw_view(sheet, corners, case, view, sheet.words.say("board.not_shared"))
    if view is None:
        return
    unit, asked = (right - x) / size[0], row.part.region
    # the others only where a legend names them, or where the whole wrist was asked about
    every = asked is None or (case.match is None and not sheet.layout.beside)
    for region in sorted(Region, key=lambda one: one is asked):
        box = case.box(region.value)
        if box is not None and (every or region is asked):
            x0, y0, x1, y1 = (value * unit for value in view.shown(box))
            around = (max(x, x + x0), max(y, y + y0), min(right, x + x1), min(bottom, y + y1))
            _draw_bone_box(sheet, around, region, asked)


def _draw_bone_box(
    sheet: BoardSheet, around: Corners, region: Region, asked: Region | None
) -> None:
    """Draw a box; the asked bone's has a dark edge, to stand out from bright bone in grey, too."""
    if region is not asked:
        sheet.canvas.box(around, bone_colour(region), 0.9, DASHES[region])
        return
    x0, y0, x1, y1 = around
    sheet.canvas.box((x0 - 0.6, y0 - 0.6, x1 + 0.6, y1 + 0.6), GROUND, 2.7)
    sheet.canvas.box(around, bone_colour(region), 1.5)


def _draw_view(
    sheet: BoardSheet, corners: Corners, case: BoardCase, view: CloseUp | None, without: str
) -> None:
    """Lay a picture into its frame, or say why there is none; the query's frame stands out."""
    x, y, right, bottom = corners
    if view is None:
        sheet.canvas.box(corners, LINE, 0.8, (4.0, 4.0))
        lines = sheet.canvas.wrapped(without, right - x - 4, TEXT, 3)
        for number, line in enumerate(lines):
            down = (y + bottom) / 2 + 4 + LEADING * (number - (len(lines) - 1) / 2)
            sheet.canvas.text(((x + right) / 2, down), line, TEXT, DIM, "ms")
        return
    sheet.canvas.picture((x, y), view.pixels())
    if case.mirrored:
        sheet.canvas.box(corners, MUTED, 1.0, (5.0, 3.0))
    else:
        sheet.canvas.box(corners, PLAIN if case.match is None else LINE, 0.8)


def _draw_scores(sheet: BoardSheet, place: Place, row: BoardRow, case: BoardCase) -> float:
    """Draw the indices as bars on one scale; beside each other where the pictures are."""
    (x, y), match, region = place, case.match, row.part.region
    if match is None:
        return y
    say, width = sheet.words.say, sheet.layout.cell
    if sheet.layout.beside:
        right, width = x + sheet.layout.bone_offset(row)[0], sheet.layout.frame
        _draw_score(sheet, (x, y), width, None, say("board.wrist"), match.global_index)
        _draw_score(sheet, (right, y), width, region, say("board.bone"), match.region_index)
        return y + _SCORE
    if region is not None:
        name = bone_words(region, sheet.words)
        if measured(name, SMALL) > width - _NUMBER:
            name = say("board.bone")  # the row's title has its name
        _draw_score(sheet, (x, y), width, region, name, match.region_index)
        y += _SCORE
    _draw_score(sheet, (x, y), width, None, say("board.wrist_score"), match.global_index)
    return y + _SCORE


def _draw_score(
    sheet: BoardSheet,
    place: Place,
    width: float,
    region: Region | None,
    name: str,
    index: float | None,
) -> None:
    x, y = place[0], place[1] + 13.5
    number = "" if index is None else f"{index:.0f}"
    words, colour = (name, PLAIN) if number else (sheet.words.say("board.no_score"), DIM)
    room = width - (_NUMBER if number else 0.0)
    sheet.canvas.text((x, y), sheet.canvas.wrapped(words, room, SMALL, 1)[0], SMALL, colour)
    sheet.canvas.text((x + width, y), number, 12.5, BRIGHT, "rs", bold=True)
    sheet.canvas.bar((x, y + 3.5, x + width, y + 5.5), LINE)
    if index:
        end = x + width * min(index, 100.0) / 100
        sheet.canvas.bar((x, y + 3.5, end, y + 5.5), bone_colour(region))


def _draw_findings(
    sheet: BoardSheet, place: Place, width: float, case: BoardCase, region: Region | None
) -> float:
    """Write what the prior's report says, marked by a full, half or open disc."""
    (x, y), exam = place, case.exam
    if not exam.findings_known:
        return sheet.lines(place, [sheet.words.say("finding.no_report")], DIM)
    if region is None:
        return sheet.paragraph(
            place, findings_words(exam, None, sheet.words), width, BRIGHT, _LINES_OF_ALL
        )
    findings = exam.findings.get(region, RegionFindings())
    fill = {"present": 1.0, "possible": 0.5, "absent": 0.0}.get(findings.fracture)
    colour, indent = DIM, 0.0
    if fill is not None:
        sheet.canvas.disc((x + 4.5, y + LEADING - 7.2), 4, BRIGHT, fill)
        colour, indent = BRIGHT, 14.0
    told = finding_words(findings, sheet.words)
    return sheet.paragraph((x + indent, y), told, width - indent, colour, _LINES)


def _draw_scale(sheet: BoardSheet, place: Place, row: BoardRow) -> float:
    """Draw a length that all crops of the row share, or say that it is not known."""
    x, y = place
    width, height = sheet.layout.bone_size(row)
    if not row.in_mm:
        return sheet.paragraph((x, y + 1), sheet.words.say("board.scale_unknown"), width, DIM)
    size = sheet.canvas.size_in_pixels(width, height)
    unit = row.scale(size) * width / size[0]
    longest = next((mm for mm in _MILLIMETRES if mm * unit < 0.4 * width), _MILLIMETRES[-1])
    end = x + longest * unit
    sheet.canvas.bar((x, y + 8, end, y + 9.5), PLAIN)
    for tick in (x, end - 1.2):
        sheet.canvas.bar((tick, y + 5, tick + 1.2, y + 12.5), PLAIN)
    sheet.canvas.text((end + 6, y + 12.5), f"{longest} mm", SMALL, PLAIN)
    return y + LEADING


def _draw_legend(sheet: BoardSheet, place: Place, row: BoardRow) -> float:
    """Name the query's boxes."""
    x, y = place
    for region in Region:
        found = row.query.box(region.value) is not None
        if found:
            _draw_bone_box(sheet, (x, y + 7, x + 12, y + 16), region, row.part.region)
        name = bone_words(region, sheet.words)
        if not found:
            name = sheet.words.say("board.bone_not_located", bone=region)
        for line in sheet.canvas.wrapped(name, sheet.layout.cell - 19, SMALL, 3):
            y += 16
            sheet.canvas.text((x + 19, y), line, SMALL, PLAIN if found else DIM)
    return y + 4
