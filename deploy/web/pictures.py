"""Pictures of an answer's cases, made on demand from the received files while these are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from deploy.errors import PictureGoneError
from listener.ledger import Ledger
from listener.milestone import PLACED
from listener.receipt import InstanceRow, InstanceState
from pipeline.answer_record import AnswerRecord, CaseRecord, PartRecord
from pipeline.board_row import BoardCase, BoardRow
from pipeline.burned_in_text import has_text
from pipeline.close_up import Box, CloseUp
from pipeline.decoder import Decoder
from pipeline.deidentify import withheld_reason
from pipeline.errors import DecodeError, DecoderUnavailableError
from pipeline.exam import Exam
from pipeline.radiograph import radiograph
from pipeline.region import Region
from pipeline.request import Match, RegionAnswer

__all__ = ["SIZES", "Identity", "Pictures", "boxes_seen"]

SIZES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "small": {"wrist": (480, 600), "bone": (480, 384)},
    "large": {"wrist": (1200, 1500), "bone": (1200, 960)},
}
"""Width and height in pixels."""

_DECODED: Final = 6  # radiographs of some 15 MB, since wrist and bone of one are asked in turn
_DRAWN: Final = 240
_HEADERS: Final = 5000
_NOT_SHARED: Final = "pages.not_shared"
_NOT_KEPT: Final = "pages.not_kept"
_HOLDING: Final = (InstanceState.STORED, InstanceState.SUPERSEDED)
_NOTHING: Final = np.zeros((1, 1), np.uint16)


@dataclass(frozen=True)
class Identity:
    """Whose image the query is, as its file says; never kept."""

    name: str
    patient_id: str
    born: str
    study_date: str
    accession: str


class Pictures:
    """Makes pictures; may be asked by several threads.

    Parameters
    ----------
    decoder
        The child process that reads files.
    ledger
        Knows where they are.
    """

    def __init__(self, decoder: Decoder, ledger: Ledger) -> None:
        self._decoder = decoder
        self._ledger = ledger
        self._lock = threading.Lock()
        self._decoded: OrderedDict[tuple[str, int, bool], NDArray[np.uint16]] = OrderedDict()
        self._drawn: OrderedDict[tuple[str, int, str, str], bytes] = OrderedDict()
        self._withheld: OrderedDict[tuple[str, int], bool] = OrderedDict()

    def identity(self, record: AnswerRecord) -> Identity | None:
        """Return whose image the query is, read from its file now; None where that is gone."""
        try:
            header = self._decoder.header(self._row(record, record.query)[1])
        except (PictureGoneError, DecodeError, DecoderUnavailableError):
            return None
        names = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber")
        name, patient_id, born, taken, accession = (_text(header, one) for one in names)
        spoken = " ".join(name.partition("=")[0].replace("^", " ").split())
        return Identity(spoken, patient_id, _day(born), _day(taken), accession)

    def png(self, record: AnswerRecord, number: int, what: str, size: str) -> bytes:
        """Return a picture of a case as PNG.

        Parameters
        ----------
        number
            Of the case; 0 for the query.
        what
            ``wrist``, or a bone.
        size
            See `SIZES`.

        Raises
        ------
        PictureGoneError
            Where there is none to show.
        """
        case = record.case(number)
        if case is None or size not in SIZES or not (what == "wrist" or what in set(Region)):
            raise PictureGoneError
        # first: what was withdrawn since is not shown from memory either
        version, path = self._row(record, case)
        drawn_as = (f"{record.result_id}-{number}", version, what, size)
        with self._lock:
            if drawn_as in self._drawn:
                self._drawn.move_to_end(drawn_as)
                return self._drawn[drawn_as]
            view = _view(record, case, what, SIZES[size], self._grey(case, version, path))
        if view is None:
            raise PictureGoneError
        drawn = BytesIO()
        Image.fromarray(view.pixels()).save(drawn, "PNG", compress_level=3)
        with self._lock:
            _remember(self._drawn, drawn_as, drawn.getvalue(), _DRAWN)
        return drawn.getvalue()

    def lack(self, record: AnswerRecord, case: CaseRecord) -> str:
        """Say why a case has no picture, by a key of the dictionary; empty where it has one."""
        try:
            version, path = self._row(record, case)
        except PictureGoneError:
            was_seen = case.version > 0 and not case.pictured
            return _NOT_SHARED if was_seen else _NOT_KEPT
        if case.number and self._is_withheld(case, version, path):
            return _NOT_SHARED
        return ""

    def _is_withheld(self, case: CaseRecord, version: int, path: Path) -> bool:
        known = (case.sop_instance_uid, version)
        with self._lock:
            if known in self._withheld:
                return self._withheld[known]
        try:
            withheld = bool(withheld_reason(self._decoder.header(path)))
        except (DecodeError, DecoderUnavailableError):
            return True
        with self._lock:
            if known not in self._withheld:  # meanwhile text may have been found in it
                _remember(self._withheld, known, withheld, _HEADERS)
            return self._withheld[known]

    def _row(self, record: AnswerRecord, case: CaseRecord) -> tuple[int, Path]:
        """Return version and file that the answer rests on, while it is kept and counts."""
        if not case.pictured and not case.further:
            raise PictureGoneError
        rows = self._ledger.receipt(case.sop_instance_uid)
        if case.further:  # the latest that the index can have known
            counts = (r for r in rows if r.state in _HOLDING and r.received_at <= record.asked_at)
            row = max(counts, key=lambda one: one.version, default=None)
        else:
            row = next((one for one in rows if one.version == case.version), None)
        if row is None or row.path is None or row.state not in _HOLDING or self._withdrawn(row):
            raise PictureGoneError
        return row.version, row.path

    def _withdrawn(self, row: InstanceRow) -> bool:
        """Whether it is of no use to the index any more: a rejection note may have come."""
        serving = self._ledger.indices.serving()
        return any(
            one.kind == PLACED
            and one.index == serving
            and (one.sop_instance_uid, one.version) == (row.sop_instance_uid, row.version)
            and one.detail.get("used_as") != "exam"
            for one in self._ledger.milestones(row.study_uid)
        )

    def _grey(self, case: CaseRecord, version: int, path: Path) -> NDArray[np.uint16]:
        is_prior = case.number > 0  # a query's own picture may bear its patient's name
        known = (case.sop_instance_uid, version, is_prior)
        if known in self._decoded:
            self._decoded.move_to_end(known)
            return self._decoded[known]
        if is_prior and self._withheld.get((case.sop_instance_uid, version)):
            raise PictureGoneError
        try:
            header = self._decoder.header(path)
            if is_prior and withheld_reason(header):
                raise PictureGoneError
            stored = self._decoder.pixels(path)
            pixels = radiograph(self._decoder, path, header, stored).pixels
        except (DecodeError, DecoderUnavailableError):
            raise PictureGoneError from None
        # each prior's, for an answer of an earlier release has not looked into it
        if is_prior and has_text(pixels, stored.array):
            _remember(self._withheld, (case.sop_instance_uid, version), True, _HEADERS)
            raise PictureGoneError
        grey = np.asarray(np.rint(pixels * 65535), np.uint16)
        _remember(self._decoded, known, grey, _DECODED)
        return grey


def boxes_seen(
    record: AnswerRecord, part: PartRecord, case: CaseRecord
) -> tuple[tuple[Region, Box], ...]:
    """Return where the bones are in the small picture of a wrist; nothing is read for it."""
    if "wrist" not in case.boxes:
        return ()
    view = _board_case(record, case, part, _NOTHING).wrist(SIZES["small"]["wrist"])
    if view is None:
        return ()
    return tuple(
        (region, view.shown(case.boxes[region.value]))
        for region in Region
        if region.value in case.boxes
    )


def _view(
    record: AnswerRecord,
    case: CaseRecord,
    what: str,
    sizes: Mapping[str, tuple[int, int]],
    grey: NDArray[np.uint16],
) -> CloseUp | None:
    """Return what is seen: a wrist, or a bone at the one scale of all that are compared by it."""
    if what == "wrist":
        part = _part_of(record, case)
        return None if part is None else _board_case(record, case, part, grey).wrist(sizes["wrist"])
    part = record.part(what)
    if part is None or part.region is None or part.region.value != what:
        return None
    if case.number and all(one.case != case.number for one in part.ranked):
        return None
    # a candidate behind the matches is shown at the matches' scale
    row = _board_row(record, part, case.number, grey)
    return row.bone(_board_case(record, case, part, grey), sizes["bone"])


def _part_of(record: AnswerRecord, case: CaseRecord) -> PartRecord | None:
    found = (p for p in record.parts if any(m.case == case.number for m in p.ranked))
    return next(found, record.parts[0] if record.parts and case.number == 0 else None)


def _board_row(
    record: AnswerRecord, part: PartRecord, number: int, grey: NDArray[np.uint16]
) -> BoardRow:
    """Return the board's row for a bone; of the other cases it is enough where the bone lies."""

    def case(one: CaseRecord) -> BoardCase:
        return _board_case(record, one, part, grey if one.number == number else _NOTHING)

    others = (found for match in part.matches if (found := record.case(match.case)))
    return BoardRow(RegionAnswer(part.region, ()), case(record.query), tuple(map(case, others)))


def _board_case(
    record: AnswerRecord, case: CaseRecord, part: PartRecord, grey: NDArray[Any]
) -> BoardCase:
    exam = Exam(
        sop_instance_uid=case.sop_instance_uid,
        series_instance_uid="",
        study_instance_uid=case.study_uid,
        sop_class_uid="",
        patient_key="",
        laterality=case.laterality,
        view=case.view,
        age_years=None,
        sex=None,
        vectors={},
        boxes=case.boxes,
        bundle_id=record.bundle_id,
        runtime="",
        received_at=record.asked_at,
        indexed_at=record.asked_at,
        spacing_mm=case.spacing_mm,
    )
    found = next((one for one in part.ranked if one.case == case.number), None)
    if found is None:
        return BoardCase(exam, grey, "")
    match = Match(
        rank=found.rank,
        exam=exam,
        global_similarity=found.global_similarity,
        region_similarity=found.region_similarity,
        global_index=found.global_index,
        region_index=found.region_index,
        mirrored=found.mirrored,
    )
    return BoardCase(exam, grey, f"Case {case.number}", match)


def _remember(kept: OrderedDict[Any, Any], name: object, value: object, most: int) -> None:
    kept[name] = value
    while len(kept) > most:
        kept.popitem(last=False)


def _text(header: Dataset, name: str) -> str:
    return str(header.get(name) or "")[:64]


def _day(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) == 8 and value.isdecimal() else ""
