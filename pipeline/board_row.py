"""A row of the picture board: which cases stand in it, and the one scale of their crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from numpy.typing import NDArray

from pipeline.close_up import Box, CloseUp, grey_window
from pipeline.dictionary import ENGLISH, Dictionary
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
    label
        The case's name in the report; empty for the query.
    match
        Of a match: rank and scores.
    """

    exam: Exam
    grey: NDArray[Any] | None
    label: str
    match: Match | None = None

    @property
    def mirrored(self) -> bool:
        """Whether it is of the other side, and shown mirrored."""
        return self.match is not None and self.match.mirrored

    def box(self, name: str) -> Box | None:
        """Return where the wrist or a bone is; the wrist of old exams is the whole picture."""
        if name == "wrist" and name not in self.exam.boxes and self.grey is not None:
            rows, columns = self.grey.shape
            return 0.0, 0.0, float(columns), float(rows)
        return self.exam.boxes.get(name)

    @property
    def wrist_width(self) -> float:
        """Width of the wrist, in pixels."""
        x0, _, x1, _ = self.box("wrist") or (0.0, 0.0, 1.0, 1.0)
        return max(x1 - x0, 1.0)

    @property
    def aspect(self) -> float:
        """Height of a pixel by its width."""
        spacing = self.exam.spacing_mm
        return spacing[0] / spacing[1] if spacing else 1.0

    def wrist(self, size: tuple[int, int]) -> CloseUp | None:
        """Return the whole wrist as large as it fits; size is width and height in pixels."""
        box = self.box("wrist")
        if self.grey is None or box is None:
            return None
        fitted = CloseUp.fitted(self.grey, grey_window(self.grey, box), box, size, self.aspect)
        return replace(fitted, mirrored=self.mirrored)

    def bone(self, name: str, size: tuple[int, int], across: float) -> CloseUp | None:
        """Return a bone in the middle, windowed by itself.

        The window of the whole wrist would leave it pale, above all beside metal.

        Parameters
        ----------
        name
            Of its box.
        size
            Width and height, in pixels.
        across
            Pixels shown per pixel of the picture, along columns.
        """
        box = self.box(name)
        if self.grey is None or box is None:
            return None
        window = grey_window(self.grey, box, _MARGIN)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        scales = (across, across * self.aspect)
        return CloseUp(self.grey, window, centre, scales, size, self.mirrored)


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One asked bone (or the wrist as a whole): the query and the matches that are shown.

    The crops of a row have one scale. It is in millimetres where the query's spacing is known;
    a prior without spacing is then taken to have a wrist as wide as the query's. Where the
    query's is not known, the wrists of all cases are taken to be equally wide.
    """

    part: RegionAnswer
    query: BoardCase
    matches: tuple[BoardCase, ...]

    @property
    def in_mm(self) -> bool:
        """Whether crops are scaled by millimetres."""
        return self.query.exam.spacing_mm is not None

    def unscaled(self, case: BoardCase) -> bool:
        """Whether the crop of a case is sized by its wrist, for want of its spacing."""
        return self._croppable(case) and (not self.in_mm or case.exam.spacing_mm is None)

    @property
    def cropped(self) -> bool:
        """Whether the crop of any bone is shown."""
        return bool(self._shown)

    def bone(self, case: BoardCase, size: tuple[int, int]) -> CloseUp | None:
        """Return the crop of a case; size is width and height in pixels."""
        if self.part.region is None:
            return None
        return case.bone(self.part.region.value, size, self.scale(size) * self._unit(case))

    def scale(self, frame: tuple[int, int]) -> float:
        """Return the largest scale at which every bone fits a frame of width and height in pixels.

        Returns
        -------
        float
            Pixels per millimetre where ``in_mm``, else per width of the wrist; 1 where no bone is
            shown.
        """
        scales = []
        for case in self._shown:
            x0, y0, x1, y1 = case.box(self._name) or (0.0, 0.0, 1.0, 1.0)
            unit = self._unit(case)
            width, height = max(x1 - x0, 1.0) * unit, max(y1 - y0, 1.0) * unit * case.aspect
            scales.append(min(frame[0] / (_AROUND * width), frame[1] / (_AROUND * height)))
        return min(scales, default=1.0)

    def _unit(self, case: BoardCase) -> float:
        """Width of a pixel, in millimetres or in widths of the wrist."""
        if self.query.exam.spacing_mm is None:
            return 1.0 / case.wrist_width
        if case.exam.spacing_mm is not None:
            return case.exam.spacing_mm[1]
        return self.query.exam.spacing_mm[1] * self.query.wrist_width / case.wrist_width

    @property
    def _name(self) -> str:
        return self.part.region.value if self.part.region else ""

    def _croppable(self, case: BoardCase) -> bool:
        return case.grey is not None and bool(self._name) and case.box(self._name) is not None

    @property
    def _shown(self) -> tuple[BoardCase, ...]:
        """The cases whose bone can be shown."""
        return tuple(case for case in (self.query, *self.matches) if self._croppable(case))


def board_rows(
    answer: Answer, pictures: Mapping[str, NDArray[Any]], most: int, words: Dictionary = ENGLISH
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
    words
        The language of the cases' names.
    """
    labels = case_labels(answer, words)
    query = BoardCase(answer.query, pictures.get(answer.query.sop_instance_uid), "")
    return tuple(
        BoardRow(
            part,
            query,
            tuple(_case(match, pictures, labels) for match in part.matches[:most]),
        )
        for part in answer.regions
    )


def _case(
    match: Match, pictures: Mapping[str, NDArray[Any]], labels: Mapping[str, str]
) -> BoardCase:
    uid = match.exam.sop_instance_uid
    return BoardCase(match.exam, pictures.get(uid), labels[uid], match)
