"""What was read in many reports, one row a report, as Parquet or CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from deploy.errors import InputError
from deploy.private_file import private_file
from pipeline.findings import WristReport
from pipeline.mining import mine_json
from pipeline.region import Laterality, Region

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COLUMNS", "Row", "check_ending", "findings_row", "unread_row", "write_table"]

Row = Mapping[str, Any]
"""One report: every name of `COLUMNS` and its value, None where there is none."""

_OF_A_BONE = ("fracture", "type", "healing", "displacement", "angulation_deg", "evidence")

COLUMNS: tuple[str, ...] = (
    "file",
    "text_sha256",
    "miner",
    "language",
    "laterality",
    *(f"{region}_{name}" for region in Region for name in _OF_A_BONE),
    "other",
    "dropped",
    "disputed",
    "sides",
    "reason",
)
"""Names of the columns. ``laterality`` is left, right, both or unknown; a bone's columns are
collapsed over both sides, so that a report on both has ``sides``, JSON with what is said of each
(`pipeline.findings.SideFindings`). ``reason`` says why a file was not read."""


def check_ending(out: Path) -> None:
    """Refuse a name that says neither Parquet nor CSV.

    Raises
    ------
    InputError
        It names both endings.
    """
    if out.suffix.lower() not in _WRITERS:
        text = f"{out}: the result's name has to end in .parquet or .csv"
        raise InputError(text)


def findings_row(file: str, text: str, report: WristReport, miner: str) -> Row:
    """Return one report as a row."""
    read = mine_json(file, report, miner)
    both = {Laterality.LEFT, Laterality.RIGHT} <= set(report.sides)
    return _row(
        file=file,
        text_sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        miner=miner,
        language=report.language,
        laterality="both" if both else report.laterality.value,
        other=read["other"],
        dropped=report.dropped,
        disputed=len(report.disputed),
        sides=json.dumps(read["sides"], ensure_ascii=False) if both else None,
        **{
            f"{region}_{name}": found[name]
            for region, found in read["regions"].items()
            for name in _OF_A_BONE
        },
    )


def unread_row(file: str, miner: str, reason: str) -> Row:
    """Return a file that could not be read as a row."""
    return _row(file=file, miner=miner, reason=reason)


def write_table(out: Path, rows: Iterable[Row]) -> None:
    """Write rows by the ending of `out`, as a whole, mode 0600: it holds words of reports.

    Raises
    ------
    InputError
        Where the ending is neither .parquet nor .csv.
    OSError
        Where the disk refuses.
    """
    check_ending(out)
    with private_file(out) as stream:
        _WRITERS[out.suffix.lower()](stream, rows)


def _row(**values: Any) -> Row:
    return {name: values.get(name) for name in COLUMNS}


def _write_csv(stream: BinaryIO, rows: Iterable[Row]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    text.detach()


def _cell(value: Any) -> Any:
    """Return a value for CSV; words that a spreadsheet would take for a formula are quoted."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ";".join(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


_ROWS_AT_ONCE = 5000


def _write_parquet(stream: BinaryIO, rows: Iterable[Row]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - slow to load, and only a Parquet file needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = _schema(pa)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for some in _pieces(iter(rows)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some


def _schema(pa: Any) -> pa.Schema:
    kinds = {"other": pa.list_(pa.string()), "dropped": pa.int32(), "disputed": pa.int32()}
    kinds |= {f"{region}_angulation_deg": pa.float64() for region in Region}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}
