"""The picture board: query and matches side by side, as a secondary capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from pipeline.canvas import UNITS, Canvas, Colour, Place
from pipeline.close_up import Box, CloseUp, windowed
from pipeline.deidentify import withheld_reason
from pipeline.exam import Exam, RegionFindings
from pipeline.identity import adopt_identity
from pipeline.match_report import BundleWords, content_time
from pipeline.region import Laterality, Region
from pipeline.request import Answer, Match, RegionAnswer
from pipeline.uid import KeyedUids
from pipeline.wording import (
    DEMONSTRATION,
    case_labels,
    finding_words,
    findings_words,
    side_words,
)

__all__ = ["board_dataset", "match_board"]

Picture = NDArray[Any]

_BLACK: Final[Colour] = (0, 0, 0)
_BRIGHT: Final[Colour] = (224, 224, 224)
_PLAIN: Final[Colour] = (176, 176, 176)
_DIM: Final[Colour] = (122, 122, 122)
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

# the layout, in units of which 1024 make the width
_MARGIN: Final = 20.0
_COLUMNS: Final = 5
_CELL: Final = 150.0
_GAP: Final = 13.0
_QUERY_GAP: Final = 32.0
_TITLE: Final = 20.0
_THUMBNAIL: Final = 146.0
_CROP: Final = 146.0
_BETWEEN: Final = 4.0
_SCORE: Final = 20.0
_WORDS: Final = 80.0
_ROW_TITLE: Final = 34.0
_SMALL: Final = 11.5


@dataclass(frozen=True, eq=False)
class _Case:
    """One wrist on the board: the query, or a match."""

    exam: Exam
    picture: NDArray[np.uint8] | None
    label: str
    match: Match | None = None

    @property
    def mirrored(self) -> bool:
        return self.match is not None and self.match.mirrored

    def box(self, name: str) -> Box | None:
        if name == "wrist" and name not in self.exam.boxes and self.picture is not None:
            rows, columns = self.picture.shape
            return 0.0, 0.0, float(columns), float(rows)
        return self.exam.boxes.get(name)

    @property
    def aspect(self) -> float:
        """Height of a pixel by its width."""
        spacing = self.exam.spacing_mm
        return spacing[0] / spacing[1] if spacing else 1.0

    def unit(self, in_mm: bool) -> float:
        """Width of a pixel, in millimetres or in wrist widths."""
        if in_mm and self.exam.spacing_mm is not None:
            return self.exam.spacing_mm[1]
        x0, _, x1, _ = self.box("wrist") or (0.0, 0.0, 1.0, 1.0)
        return 1.0 / max(x1 - x0, 1.0)


@dataclass(frozen=True, eq=False)
class _Row:
    """One asked bone: the query and its matches, and the scale at which crops are drawn."""

    part: RegionAnswer
    query: _Case
    matches: tuple[_Case, ...]

    @property
    def lines(self) -> int:
        return -(-len(self.matches) // _COLUMNS)

    @property
    def height(self) -> float:
        if not self.matches:
            return _ROW_TITLE + 34.0
        return _ROW_TITLE + self.lines * self.line_height

    @property
    def line_height(self) -> float:
        return self.pictures_height + _WORDS + 2 * _SCORE

    @property
    def pictures_height(self) -> float:
        return _TITLE + _THUMBNAIL + (_CROP + _BETWEEN if self.part.region else 0.0)

    @property
    def shown(self) -> tuple[_Case, ...]:
        """The cases whose bone can be shown."""
        name = self.part.region.value if self.part.region else ""
        cases = (self.query, *self.matches)
        return tuple(case for case in cases if case.picture is not None and case.box(name))

    @property
    def in_mm(self) -> bool:
        return all(case.exam.spacing_mm is not None for case in self.shown)

    def scale(self, frame: tuple[int, int]) -> float:
        """Pixels of the board per millimetre, or per wrist width: the largest that suits all."""
        name = self.part.region.value if self.part.region else ""
        scales = [1e6]
        for case in self.shown:
            x0, y0, x1, y1 = case.box(name) or (0.0, 0.0, 1.0, 1.0)
            unit = case.unit(self.in_mm)
            width, height = (x1 - x0) * unit, (y1 - y0) * unit * case.aspect
            scales.append(min(frame[0] / (1.12 * width), frame[1] / (1.12 * height)))
        return min(scales)


def match_board(
    answer: Answer,
    query_picture: Picture,
    prior_pictures: Mapping[str, Picture],
    *,
    bundle: BundleWords,
    width: int = 2048,
) -> NDArray[np.uint8]:
    """Draw the board: a row per asked bone, the query on the left, its matches by rank.

    Each case shows its wrist with the bones' boxes, beneath it the asked bone's crop (one scale in
    a row: millimetres where every spacing is known, else the wrist's width), the similarity
    indices as bars, and the findings in words. A prior of the other side is shown mirrored, and
    marked so. Nothing of any patient is written but the side, and of priors the age band.

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
    rows = _rows(answer, pictures)
    top = 66.0 + 16.0 * len(answer.warnings)
    height = top + sum(row.height for row in rows) + 46.0
    canvas = Canvas(width, height)
    _draw_head(canvas, answer, bundle)
    for number, row in enumerate(rows):
        _draw_row(canvas, top, row, with_legend=number == 0)
        top += row.height
    _draw_foot(canvas, height, rows)
    return canvas.pixels


def board_dataset(
    board: NDArray[np.uint8],
    query_header: Dataset,
    *,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
) -> Dataset:
    """Put a board into a Secondary Capture Image (PS3.3 A.8.1) of the query's study.

    Parameters
    ----------
    board
        uint8, shape (rows, columns, 3), RGB.
    query_header
        The query image: patient and study are taken from it.
    uids, result_id
        Together they give the UIDs: the same result again is the same object.
    created_at
        Timezone-aware time of the answer.
    """
    image = Dataset()
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = uids.make("board", result_id)
    image.SeriesInstanceUID = uids.make("board series", result_id)
    local = content_time(created_at, query_header)
    for moment in ("ContentDate", "InstanceCreationDate", "DateOfSecondaryCapture"):
        setattr(image, moment, f"{local:%Y%m%d}")
    for moment in ("ContentTime", "InstanceCreationTime", "TimeOfSecondaryCapture"):
        setattr(image, moment, f"{local:%H%M%S}")
    image.Modality = "OT"
    image.ConversionType = "WSD"
    image.SeriesNumber, image.InstanceNumber = 9002, 1
    image.SeriesDescription = "WristMIR similar prior wrists, pictures"
    image.Manufacturer = "WristMIR project"
    image.ManufacturerModelName = "WristMIR"
    image.SoftwareVersions = version("wristmir")
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.PatientOrientation = ""
    side = str(query_header.get("ImageLaterality") or query_header.get("Laterality") or "")
    image.Laterality = side if side in ("L", "R") else ""
    if withheld_reason(query_header):  # what the query's picture carries, the board carries too
        image.BurnedInAnnotation = "YES"
    elif query_header.get("BurnedInAnnotation") == "NO":
        image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"
    image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
    image.PhotometricInterpretation = "RGB"
    image.Rows, image.Columns = board.shape[:2]
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelRepresentation = 0
    data = np.ascontiguousarray(board).tobytes()
    image.add_new("PixelData", "OB", data + b"\0" * (len(data) % 2))
    image.file_meta = _file_meta(image)
    adopt_identity(image, query_header)
    return image


def _file_meta(image: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return meta


def _rows(answer: Answer, pictures: Mapping[str, Picture]) -> list[_Row]:
    labels = case_labels(answer)
    most = 2 * _COLUMNS if len(answer.regions) == 1 else _COLUMNS
    query = _case(answer.query, pictures, "Query")
    cases = {uid: _case(prior, pictures, labels[uid]) for uid, prior in _priors(answer).items()}
    return [
        _Row(
            part,
            query,
            tuple(replace(cases[m.exam.sop_instance_uid], match=m) for m in part.matches[:most]),
        )
        for part in answer.regions
    ]


def _priors(answer: Answer) -> Mapping[str, Exam]:
    return {prior.sop_instance_uid: prior for prior in answer.priors}


def _case(exam: Exam, pictures: Mapping[str, Picture], label: str) -> _Case:
    """Give every picture the same windowing, by the grey values of its wrist."""
    picture = pictures.get(exam.sop_instance_uid)
    if picture is None:
        return _Case(exam, None, label)
    rows, columns = picture.shape
    wrist = exam.boxes.get("wrist", (0.0, 0.0, float(columns), float(rows)))
    return _Case(exam, windowed(picture, wrist), label)


def _draw_head(canvas: Canvas, answer: Answer, bundle: BundleWords) -> None:
    canvas.text((_MARGIN, 34), "Similar prior wrists", 21, _BRIGHT)
    asked = f"Query: {side_words(answer.query.laterality)}, {answer.query.view.value.upper()} view"
    about = f"{asked}  ·  {answer.pool_size} priors compared  ·  {bundle.id}"
    canvas.text((_MARGIN, 53), about, _SMALL, _DIM)
    if bundle.demonstration:
        words = DEMONSTRATION.upper()
        right, length = UNITS - _MARGIN, canvas.length(words, 12)
        canvas.box((right - length - 20, 17, right, 41), _CAUTION)
        canvas.text((right - 10, 33.5), words, 12, _CAUTION, "rs")
    for number, warning in enumerate(answer.warnings):
        line = canvas.wrapped(warning, UNITS - 2 * _MARGIN, 12, 1)[0]
        canvas.text((_MARGIN, 71 + 16 * number), line, 12, _CAUTION)


def _draw_foot(canvas: Canvas, height: float, rows: list[_Row]) -> None:
    cropped = [row for row in rows if row.matches and row.part.region]
    scale = " Crops of one row are at one scale." if cropped else ""
    if not all(row.in_mm for row in cropped):
        scale = f"{scale[:-1]} (by the width of the wrist, for not every pixel spacing is known)."
    canvas.bar((_MARGIN, height - 40, UNITS - _MARGIN, height - 40), _LINE)
    first = "Matches are other patients, and so are the findings beneath them. No diagnosis."
    second = f"The similarity index (0-100) ranks likeness; it is no probability.{scale}"
    canvas.text((_MARGIN, height - 25), first, _SMALL, _PLAIN)
    canvas.text((_MARGIN, height - 10), second, _SMALL, _DIM)


def _draw_row(canvas: Canvas, top: float, row: _Row, *, with_legend: bool) -> None:
    _draw_row_title(canvas, top, row)
    top += _ROW_TITLE
    if not row.matches:
        canvas.text((_MARGIN, top + 12), "No sufficiently similar case.", 14, _PLAIN)
        return
    _draw_case(canvas, (_MARGIN, top), row, row.query)
    below = top + row.pictures_height
    if with_legend:
        below = _draw_legend(canvas, below, row.query)
    if row.part.region and row.in_mm and row.shown:
        _draw_centimetre(canvas, below + 14, row)
    for number, case in enumerate(row.matches):
        line, column = divmod(number, _COLUMNS)
        x = _MARGIN + _CELL + _QUERY_GAP + column * (_CELL + _GAP)
        place = (x, top + line * row.line_height)
        _draw_case(canvas, place, row, case)
        _draw_words(canvas, place, row, case)
    middle = _MARGIN + _CELL + _QUERY_GAP / 2
    canvas.bar((middle, top, middle, top + row.lines * row.line_height - 14), _LINE)


def _draw_row_title(canvas: Canvas, top: float, row: _Row) -> None:
    region = row.part.region
    title = region.words.capitalize() if region else "Wrist as a whole"
    canvas.bar((_MARGIN, top + 3, UNITS - _MARGIN, top + 3), _LINE)
    canvas.bar((_MARGIN, top + 12, _MARGIN + 4, top + 26), _colour(region))
    canvas.text((_MARGIN + 12, top + 24), title, 16, _BRIGHT)
    notes = [words.rstrip(".") for words in row.part.fallbacks]
    if row.part.nothing_similar and row.matches:
        notes.insert(0, "no sufficiently similar case: the nearest are shown all the same")
    if len(row.part.matches) > len(row.matches):
        notes.append(f"{len(row.matches)} of {len(row.part.matches)} shown, the rest in the report")
    left = _MARGIN + 26 + canvas.length(title, 16)
    line = canvas.wrapped("; ".join(notes), UNITS - _MARGIN - left, 12, 1)[0]
    canvas.text((left, top + 24), line, 12, _PLAIN)


def _draw_case(canvas: Canvas, place: Place, row: _Row, case: _Case) -> None:
    """Draw a title, the wrist with its boxes and, beneath, the asked bone."""
    x, y = place
    _draw_case_title(canvas, (x, y + 12), case)
    wrist, bone = (x, y + _TITLE), (x, y + _TITLE + _THUMBNAIL + _BETWEEN)
    if case.picture is None:
        _draw_empty(canvas, wrist, _THUMBNAIL, "picture not shared")
        if row.part.region:
            _draw_empty(canvas, bone, _CROP, "")
        return
    _draw_wrist(canvas, wrist, row.part.region, case)
    if row.part.region:
        _draw_bone(canvas, bone, row, case)


def _draw_case_title(canvas: Canvas, place: Place, case: _Case) -> None:
    x, y = place
    letters = {Laterality.LEFT: "L", Laterality.RIGHT: "R", Laterality.UNKNOWN: "L or R"}
    canvas.text((x + _CELL, y), letters[case.exam.laterality], 12.5, _BRIGHT, "rs")
    if case.match is None:
        canvas.text((x, y), case.label, 13.5, _BRIGHT)
        return
    rank = f"#{case.match.rank}"
    canvas.text((x, y), rank, 13.5, _BRIGHT)
    canvas.text((x + 6 + canvas.length(rank, 13.5), y), case.label, 12, _PLAIN)
    right = x + _CELL - 7 - canvas.length(letters[case.exam.laterality], 12.5)
    age = case.exam.age_band.replace(" years", " y")
    canvas.text((right, y), age, _SMALL, _DIM, "rs")


def _draw_wrist(canvas: Canvas, place: Place, asked: Region | None, case: _Case) -> None:
    x, y = place
    size = canvas.size_in_pixels(_CELL, _THUMBNAIL)
    picture, wrist = case.picture, case.box("wrist")
    if picture is None or wrist is None:
        return
    view = replace(CloseUp.fitted(picture, wrist, size, case.aspect), mirrored=case.mirrored)
    canvas.picture(place, view.pixels())
    unit = _CELL / size[0]
    for region in sorted(Region, key=lambda one: one is asked):
        box = case.box(region.value)
        if box is not None:
            x0, y0, x1, y1 = (value * unit for value in view.shown(box))
            strong = asked is None or region is asked
            colour = _colour(region) if strong else _faded(_colour(region))
            canvas.box((x + x0, y + y0, x + x1, y + y1), colour, 1.4 if strong else 0.7)
    _draw_frame(canvas, place, _THUMBNAIL, case, _LINE)
    if case.mirrored:
        canvas.bar((x, y, x + _CELL, y + 15), _BLACK)
        words = f"{case.exam.laterality.value} wrist, shown mirrored"
        canvas.text((x + _CELL / 2, y + 11), words, _SMALL, _CAUTION, "ms")


def _draw_bone(canvas: Canvas, place: Place, row: _Row, case: _Case) -> None:
    region, picture = row.part.region, case.picture
    box = case.box(region.value) if region else None
    if picture is None or box is None:
        _draw_empty(canvas, place, _CROP, "bone not found")
        return
    size = canvas.size_in_pixels(_CELL, _CROP)
    scale = row.scale(size) * case.unit(row.in_mm)
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    view = CloseUp(picture, centre, (scale, scale * case.aspect), size, case.mirrored)
    canvas.picture(place, view.pixels())
    _draw_frame(canvas, place, _CROP, case, _faded(_colour(region)))


def _draw_frame(canvas: Canvas, place: Place, height: float, case: _Case, colour: Colour) -> None:
    """Frame a picture; the query's frame stands out."""
    x, y = place
    colour = _PLAIN if case.match is None else colour
    canvas.box((x, y, x + _CELL, y + height), colour, 0.7)


def _draw_empty(canvas: Canvas, place: Place, height: float, words: str) -> None:
    x, y = place
    canvas.box((x, y, x + _CELL, y + height), _LINE, 0.7)
    canvas.text((x + _CELL / 2, y + height / 2 + 4), words, 12, _DIM, "ms")


def _draw_words(canvas: Canvas, place: Place, row: _Row, case: _Case) -> None:
    x, y = place[0], place[1] + row.pictures_height
    region, match = row.part.region, case.match
    if match is None:
        return
    if region is not None:
        _draw_score(canvas, (x, y), region, match.region_index)
        y += _SCORE
    _draw_score(canvas, (x, y), None, match.global_index)
    _draw_findings(canvas, (x, y + _SCORE + 17), case.exam, region)


def _draw_score(canvas: Canvas, place: Place, region: Region | None, index: float | None) -> None:
    x, y = place[0], place[1] + 14
    canvas.text((x, y), region.words if region else "whole wrist", _SMALL, _PLAIN)
    shown = "-" if index is None else f"{index:.0f}"
    canvas.text((x + _CELL, y), shown, 12.5, _BRIGHT, "rs")
    canvas.bar((x, y + 3.5, x + _CELL, y + 5), _LINE)
    if index:
        canvas.bar((x, y + 3.5, x + _CELL * min(index, 100.0) / 100, y + 5), _colour(region))


def _draw_findings(canvas: Canvas, place: Place, exam: Exam, region: Region | None) -> None:
    """Write what the prior's report says, marked by a full, half or open disc."""
    x, y = place
    findings = exam.findings.get(region, RegionFindings()) if region else RegionFindings()
    words = finding_words(findings) if region else findings_words(exam, None)
    fill = {"present": 1.0, "possible": 0.5, "absent": 0.0}.get(findings.fracture)
    if not exam.findings_known:
        words, fill = "no report yet", None
    colour, indent = _DIM, 0.0
    if fill is not None:
        canvas.disc((x + 4.5, y - 4), 3.5, _BRIGHT, fill)
        colour, indent = _BRIGHT, 13.0
    for number, line in enumerate(canvas.wrapped(words, _CELL - indent, 12, 4 if region else 5)):
        canvas.text((x + indent, y + 14.5 * number), line, 12, colour)


def _draw_legend(canvas: Canvas, y: float, query: _Case) -> float:
    """Name the colours of the boxes; return where the next line may begin."""
    for region in Region:
        y += 16
        found = region.value in query.exam.boxes
        canvas.box((_MARGIN, y - 8, _MARGIN + 9, y), _colour(region), 1.4)
        words = region.words if found else f"{region.words}: not found"
        canvas.text((_MARGIN + 16, y), words, _SMALL, _PLAIN if found else _DIM)
    return y + 4


def _draw_centimetre(canvas: Canvas, y: float, row: _Row) -> None:
    size = canvas.size_in_pixels(_CELL, _CROP)
    length = 10 * row.scale(size) * _CELL / size[0]
    canvas.bar((_MARGIN, y - 4.5, _MARGIN + length, y - 3), _PLAIN)
    canvas.text((_MARGIN + length + 7, y), "1 cm in the crops", _SMALL, _DIM)


def _colour(region: Region | None) -> Colour:
    return _COLOURS[region] if region else _WRIST_COLOUR


def _faded(colour: Colour) -> Colour:
    return (colour[0] // 2, colour[1] // 2, colour[2] // 2)
