"""The exam table: every exam to learn from or to measure on, in one Parquet file beside its crops.

A table is a folder: ``exams.parquet`` with one row an exam, and ``crops/<name>.u8``, one raw file
for the whole wrist and one a bone, in which exam *n* is crop *n* (all zero where it has none).
Crops are mapped into memory, so a table may be larger than that.

A hospital's table holds the words of its reports: it is patient data, though under pseudonyms, and
its folder is readable by its owner alone (0700, files 0600).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.anatomy import as_left
from pipeline.bundle import VECTOR_NAMES
from pipeline.exam import RegionFindings
from pipeline.region import GLOBAL, Laterality, Region, View
from training.dataset import BOX_NAMES, Corners, Pair
from training.errors import DataError
from training.private_file import make_private_folder, open_private

__all__ = ["EXAMS_FILE", "ExamRow", "ExamTable", "ExamTableWriter", "Split"]


EXAMS_FILE = "exams.parquet"
"""The table itself; where it stands, the folder is whole."""


class Split(StrEnum):
    """To what end an exam is used; all exams of a patient share one."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class ExamRow:
    """One exam of the table.

    Parameters
    ----------
    exam
        Its id, unique in the table.
    source
        Where it came from: ``phantom``, ``grazpedwri`` or ``hospital``.
    patient, study
        Pseudonyms; a patient is in one split only.
    image
        The picture that the crops were cut from, for `training.exam_picture`: a path relative to
        the table's folder, or ``phantom:<prevalence>:<seed>``.
    report
        The report's text, or None where there is none. A hospital's has the names and numbers of
        its own file's header taken out, as far as they stand there as they are spelt in it.
    findings
        By region; empty where nothing is known.
    captions
        By crop name; empty where nothing is known.
    boxes
        Corners ``(x0, y0, x1, y1)`` in pixels of the picture, by `training.dataset.BOX_NAMES`.
    fractures
        Corners around fractures, where somebody has drawn them.
    """

    exam: str
    source: str
    patient: str
    study: str
    split: Split
    view: View
    laterality: Laterality
    image: str
    age_years: float | None = None
    sex: str | None = None
    report: str | None = None
    other: tuple[str, ...] = ()
    findings: Mapping[Region, RegionFindings] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    boxes: Mapping[str, Corners] = field(default_factory=dict)
    fractures: tuple[Corners, ...] = ()


class ExamTable(Sequence[Pair]):
    """A table on disk, opened for reading: a sequence of pairs of crops and captions.

    Parameters
    ----------
    rows
        The exams.
    crops
        By crop name, uint8, shape (exams in the file, size, size), mapped into memory.
    places
        Where each exam's crops stand in those files.
    """

    def __init__(
        self,
        rows: Sequence[ExamRow],
        crops: Mapping[str, NDArray[np.uint8]],
        present: Mapping[str, NDArray[np.bool_]],
        places: NDArray[np.int64],
        *,
        one_sided: bool = False,
    ) -> None:
        self.rows = tuple(rows)
        self._crops = crops
        self._present = present
        self._places = places
        self._one_sided = one_sided

    @classmethod
    def open(cls, folder: Path) -> ExamTable:
        """Open a table.

        Raises
        ------
        DataError
            Where a file is missing or is no part of an exam table.
        """
        try:
            table = pq.read_table(folder / EXAMS_FILE, schema=None)
        except (OSError, pa.ArrowException) as error:
            detail = f"{folder / EXAMS_FILE} is no exam table ({type(error).__name__})."
            raise DataError(detail) from error
        missing = set(_SCHEMA.names) - set(table.column_names)
        if missing:
            detail = f"{folder / EXAMS_FILE} lacks the column {min(missing)}."
            raise DataError(detail)
        side = int((table.schema.metadata or {}).get(_SIDE, b"0"))
        rows = [_row(values) for values in table.select(_SCHEMA.names).to_pylist()]
        crops = {name: _mapped(folder, name, len(rows), side) for name in VECTOR_NAMES}
        present = {
            name: np.array(table.column(_HAS + name).to_pylist(), bool) for name in VECTOR_NAMES
        }
        return cls(rows, crops, present, np.arange(len(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Pair:  # type: ignore[override]  # no slices
        row, place = self.rows[number], self._places[number]
        crops = {
            name: np.asarray(self._crops[name][place])
            for name in VECTOR_NAMES
            if self._present[name][place]
        }
        if self._one_sided:
            crops = as_left(crops, row.laterality)
        return Pair(crops, row.captions, row.findings)

    def __iter__(self) -> Iterator[Pair]:
        return (self[number] for number in range(len(self)))

    def where(self, keep: Callable[[ExamRow], bool]) -> ExamTable:
        """Return the part of the table whose rows are kept, in the same order."""
        chosen = [number for number, row in enumerate(self.rows) if keep(row)]
        return ExamTable(
            [self.rows[number] for number in chosen],
            self._crops,
            self._present,
            self._places[np.array(chosen, np.int64)],
            one_sided=self._one_sided,
        )

    def one_sided(self) -> ExamTable:
        """Return the table as a bundle sees it that mirrors right wrists.

        Crops of right wrists are mirrored, and no caption says which side it was.
        """
        rows = [replace(row, captions=_sideless(row)) for row in self.rows]
        return ExamTable(rows, self._crops, self._present, self._places, one_sided=True)

    def part(self, split: Split) -> ExamTable:
        """Return the exams of one split."""
        return self.where(lambda row: row.split is split)


class ExamTableWriter:
    """Writes a table exam by exam; the Parquet file appears when all is well.

    Parameters
    ----------
    folder
        The table's folder; made where missing, a table in it is replaced. Only its owner may read
        it.
    side
        Side of the crops in pixels.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self._folder = folder
        self._side = side
        self._rows: list[dict[str, object]] = []
        self._known: set[str] = set()
        self._split: dict[tuple[str, str], Split] = {}
        self._files: dict[str, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin a table.

        Raises
        ------
        DataError
            Where the folder holds other things than a table.
        """
        _refuse_another_folder(self._folder)
        make_private_folder(self._folder)
        make_private_folder(self._folder / _CROPS)
        (self._folder / EXAMS_FILE).unlink(missing_ok=True)
        for name in VECTOR_NAMES:
            file = open_private(self._folder / _CROPS / f"{name}.u8")
            self._files[name] = self._stack.enter_context(file)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if kind is None:
            schema = _FULL_SCHEMA.with_metadata({_SIDE: str(self._side)})
            table = pa.Table.from_pylist(self._rows, schema=schema)
            draft = self._folder / f"{EXAMS_FILE}.part"
            with open_private(draft) as file:
                pq.write_table(table, file)
            draft.replace(self._folder / EXAMS_FILE)

    def add(self, row: ExamRow, crops: Mapping[str, NDArray[np.uint8]]) -> None:
        """Add an exam with its crops, uint8 (side, side) by crop name.

        Raises
        ------
        DataError
            Where the id is taken, or the patient stands in another split already.
        """
        if row.exam in self._known:
            detail = f"Two exams of the source {row.source} have one id."
            raise DataError(detail)
        who = (row.source, row.patient)
        if self._split.setdefault(who, row.split) is not row.split:
            detail = f"A patient of the source {row.source} stands in two splits."
            raise DataError(detail)
        self._known.add(row.exam)
        blank = np.zeros((self._side, self._side), np.uint8)
        for name, file in self._files.items():
            crop = crops.get(name, blank)
            if crop.shape != blank.shape or crop.dtype != np.uint8:
                detail = f"A crop is {crop.dtype} {crop.shape}, not uint8 {blank.shape}."
                raise DataError(detail)
            file.write(np.ascontiguousarray(crop).tobytes())
        held = {_HAS + name: name in crops for name in VECTOR_NAMES}
        self._rows.append({**_columns(row), **held})


_CROPS = "crops"
_SIDE = b"crop_side"
_HAS, _CAPTION, _BOX = "has_", "caption_", "box_"
_FINDING = pa.struct(
    [(f.name, pa.float32() if f.name == "angulation_deg" else pa.string())
     for f in fields(RegionFindings)]
)  # fmt: skip
_TEXT = ("exam", "source", "patient", "study", "split", "view", "laterality", "image")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXT),
        ("age_years", pa.float32()),
        ("sex", pa.string()),
        ("report", pa.string()),
        ("other", pa.list_(pa.string())),
        *((region.value, _FINDING) for region in Region),
        *((_CAPTION + name, pa.string()) for name in VECTOR_NAMES),
        *((_BOX + name, pa.list_(pa.float32())) for name in BOX_NAMES),
        ("fractures", pa.list_(pa.list_(pa.float32()))),
    ]
)
_FULL_SCHEMA = pa.schema([*_SCHEMA, *((_HAS + name, pa.bool_()) for name in VECTOR_NAMES)])


def _sideless(row: ExamRow) -> Mapping[str, str]:
    """Return a row's captions without the side, with which the global one begins (Appendix H.1)."""
    said = row.captions.get(GLOBAL, "")
    first, _, rest = said.partition(" ")
    if not rest or first.lower() != row.laterality.value:
        return row.captions
    return {**row.captions, GLOBAL: rest[0].upper() + rest[1:]}


def _refuse_another_folder(folder: Path) -> None:
    """Refuse to make somebody's folder of other things private, or to write into it."""
    if not folder.exists():
        return
    known = any((folder / name).exists() for name in (EXAMS_FILE, _CROPS))
    if not folder.is_dir() or (not known and any(folder.iterdir())):
        detail = f"{folder} holds other things than a table of exams; name a folder of its own."
        raise DataError(detail)


def _columns(row: ExamRow) -> dict[str, object]:
    def finding(region: Region) -> dict[str, object] | None:
        found = row.findings.get(region)
        return None if found is None else asdict(found)

    return {
        **{name: str(getattr(row, name)) for name in _TEXT},
        "age_years": row.age_years,
        "sex": row.sex,
        "report": row.report,
        "other": list(row.other),
        **{region.value: finding(region) for region in Region},
        **{_CAPTION + name: row.captions.get(name) for name in VECTOR_NAMES},
        **{_BOX + name: row.boxes.get(name) for name in BOX_NAMES},
        "fractures": row.fractures,
    }


def _row(values: Mapping[str, Any]) -> ExamRow:
    def held(prefix: str, names: Sequence[str]) -> dict[str, Any]:
        return {name: values[prefix + name] for name in names if values[prefix + name] is not None}

    given = {name: values[name] for name in (*_TEXT, "age_years", "sex", "report")}
    kinds = {"split": Split, "view": View, "laterality": Laterality}
    given |= {name: kind(given[name]) for name, kind in kinds.items()}
    return ExamRow(
        **given,
        other=tuple(values["other"] or ()),
        findings={
            region: RegionFindings(**values[region.value])
            for region in Region
            if values[region.value] is not None
        },
        captions=held(_CAPTION, VECTOR_NAMES),
        boxes={name: tuple(box) for name, box in held(_BOX, BOX_NAMES).items()},
        fractures=tuple(tuple(box) for box in values["fractures"] or ()),
    )


def _mapped(folder: Path, name: str, exams: int, side: int) -> NDArray[np.uint8]:
    path = folder / _CROPS / f"{name}.u8"
    shape = (exams, side, side)
    if not path.is_file() or path.stat().st_size != exams * side * side:
        detail = f"{path} does not hold {exams} crops of {side} × {side} pixels."
        raise DataError(detail)
    if exams == 0:
        return np.zeros(shape, np.uint8)
    return np.memmap(path, np.uint8, "r", shape=shape)
