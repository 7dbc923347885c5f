"""A row of the picture board: which cases stand in it, and the one scale of their crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.close_up import Box, CloseUp, windowed
from pipeline.exam import Exam
from pipeline.request import Answer, Match, RegionAnswer
from pipeline.wording import case_labels

__all__ = ["BoardCase", "BoardRow", "board_rows"]

_AROUND: Final = 1.12
"""How much more than the largest bone of a row its crops show."""

_MARGIN: Final = 0.25
"""How far beyond the grey values of a bone the window of its crop goes: soft tissue, metal."""


@dataclass(frozen=True, eq=False)
class BoardCase:
    """One wrist on the board: the query, or a match.

    Parameters
    ----------
    exam
        What is indexed of it: boxes and spacing.
    grey
        Grey values, bone bright, shape (rows, columns), in the geometry of the stored image; None
        where the picture is not shared.
    picture
        The same in 8 bits, windowed by the wrist.
    label
        ``Query``, or the case's name in the report.
    match
        Of a match: rank and scores.
    """

    exam: Exam
    grey: NDArray[Any] | None
    picture: NDArray[np.uint8] | None
    label: str
    match: Match | None = None

    @property
    def mirrored(self) -> bool:
        """Whether it is of the other side, and shown mirrored."""
        return self.match is not None and self.match.mirrored

    def box(self, name: str) -> Box | None:
        """Return where the wrist or a bone is; the wrist of old exams is the whole picture."""
        if name == "wrist" and name not in self.exam.boxes and self.picture is not None:
            rows, columns = self.picture.shape
            return 0.0, 0.0, float(columns), float(rows)
        return self.exam.boxes.get(name)

    def wrist(self, size: tuple[int, int]) -> CloseUp | None:
        """Return the whole wrist as large as it fits; size is width and height in pixels."""
        box = self.box("wrist")
        if self.picture is None or box is None:
            return None
        fitted = CloseUp.fitted(self.picture, box, size, self._aspect)
        return replace(fitted, mirrored=self.mirrored)

    def bone(self, name: str, size: tuple[int, int], scale: float, in_mm: bool) -> CloseUp | None:
        """Return a bone in the middle, at a scale of `BoardRow.scale`, windowed by itself.

        The window of the whole wrist would leave it pale, above all beside metal.
        """
        box = self.box(name)
        if self.grey is None or box is None:
            return None
        across = scale * self._unit(in_mm)
        scales = (across, across * self._aspect)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        left = max(0, int(centre[0] - size[0] / scales[0] / 2) - 2)
        top = max(0, int(centre[1] - size[1] / scales[1] / 2) - 2)
        right = int(centre[0] + size[0] / scales[0] / 2) + 3
        bottom = int(centre[1] + size[1] / scales[1] / 2) + 3
        seen = windowed(
            self.grey[top:bottom, left:right],
            (box[0] - left, box[1] - top, box[2] - left, box[3] - top),
            _MARGIN,
        )
        return CloseUp(seen, (centre[0] - left, centre[1] - top), scales, size, self.mirrored)

    def extent(self, name: str, in_mm: bool) -> tuple[float, float]:
        """Return a box's width and height, in millimetres or in widths of the wrist."""
        x0, y0, x1, y1 = self.box(name) or (0.0, 0.0, 1.0, 1.0)
        unit = self._unit(in_mm)
        return (x1 - x0) * unit, (y1 - y0) * unit * self._aspect

    @property
    def _aspect(self) -> float:
        """Height of a pixel by its width."""
        spacing = self.exam.spacing_mm
        return spacing[0] / spacing[1] if spacing else 1.0

    def _unit(self, in_mm: bool) -> float:
        """Width of a pixel, in millimetres or in widths of the wrist."""
        if in_mm and self.exam.spacing_mm is not None:
            return self.exam.spacing_mm[1]
        x0, _, x1, _ = self.box("wrist") or (0.0, 0.0, 1.0, 1.0)
        return 1.0 / max(x1 - x0, 1.0)


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One asked bone (or the wrist as a whole): the query and the matches that are shown."""

    part: RegionAnswer
    query: BoardCase
    matches: tuple[BoardCase, ...]

    @property
    def cropped(self) -> bool:
        """Whether the crop of any bone is shown."""
        return self.part.region is not None and bool(self._shown)

    @property
    def in_mm(self) -> bool:
        """Whether crops are scaled by millimetres: every spacing is known."""
        return all(case.exam.spacing_mm is not None for case in self._shown)

    def scale(self, frame: tuple[int, int]) -> float:
        """Return the largest scale at which every bone fits a frame of width and height in pixels.

        Returns
        -------
        float
            Pixels per millimetre where ``in_mm``, else per width of the wrist; 1 where no bone is
            shown.
        """
        extents = [case.extent(self._name, self.in_mm) for case in self._shown]
        scales = [
            min(frame[0] / (_AROUND * width), frame[1] / (_AROUND * height))
            for width, height in extents
        ]
        return min(scales, default=1.0)

    @property
    def _name(self) -> str:
        return self.part.region.value if self.part.region else "wrist"

    @property
    def _shown(self) -> tuple[BoardCase, ...]:
        """The cases whose bone can be shown."""
        cases = (self.query, *self.matches)
        return tuple(case for case in cases if case.picture is not None and case.box(self._name))


def board_rows(
    answer: Answer, pictures: Mapping[str, NDArray[Any]], most: int
) -> tuple[BoardRow, ...]:
    """Return a row per asked bone.

    Parameters
    ----------
    answer
        What was found.
    pictures
        Grey values by SOP Instance UID, the query's among them.
    most
        How many matches a row shows at the most.
    """
    labels = case_labels(answer)
    query = _case(answer.query, pictures, "Query")
    priors = {uid: _case(exam, pictures, labels[uid]) for uid, exam in _by_uid(answer).items()}
    return tuple(
        BoardRow(
            part,
            query,
            tuple(replace(priors[m.exam.sop_instance_uid], match=m) for m in part.matches[:most]),
        )
        for part in answer.regions
    )


def _by_uid(answer: Answer) -> Mapping[str, Exam]:
    return {prior.sop_instance_uid: prior for prior in answer.priors}


def _case(exam: Exam, pictures: Mapping[str, NDArray[Any]], label: str) -> BoardCase:
    """Give every picture the same windowing, by the grey values of its wrist."""
    picture = pictures.get(exam.sop_instance_uid)
    if picture is None:
        return BoardCase(exam, None, None, label)
    rows, columns = picture.shape
    wrist = exam.boxes.get("wrist", (0.0, 0.0, float(columns), float(rows)))
    return BoardCase(exam, picture, windowed(picture, wrist), label)
