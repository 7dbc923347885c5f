"""Tables of exams from the command line.

``python -m training.exams phantoms|grazpedwri|hospital|summary|sheet --help``
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console

from pipeline.bundle import Bundle, Preprocessing
from pipeline.errors import PipelineError
from training.contact_sheet import contact_sheet, spread
from training.errors import TrainingError
from training.exam_import import Imported, import_exams, progress
from training.exam_table import ExamTable, Split
from training.grazpedwri_folder import GrazpedwriExams, pa_rows
from training.hospital_export import HospitalStudies, studies, study_of
from training.phantom_exams import PhantomExams
from training.private_file import open_private
from training.processes import each
from training.pseudonym import Pseudonyms, key_in
from training.settings import TrainingSettings
from training.skipped import SKIPPED_FILE, Skipped, skipped_table
from training.split import PatientSplit, patients_in
from training.table_summary import markdown, summary, summary_table

__all__ = ["app", "main"]

app = typer.Typer(
    name="training.exams",
    help="Make a table of exams to learn from, and look at it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SUMMARY_FILE, SHEET_FILE = "summary.md", "contact_sheet.png"
_SHEET_EXAMS = 12
_HELD_OUT = Path(__file__).with_name("held_out_patients.txt")


class _Prevalence(StrEnum):
    TABLE3 = "table3"
    GRAZPEDWRI = "grazpedwri"


Out = Annotated[Path, typer.Option(help="The table's folder; a table in it is replaced.")]
Given = Annotated[Path, typer.Argument(help="The table's folder.", file_okay=False)]
Processes = Annotated[int, typer.Option(min=1, help="Processes that work at once.")]
Test = Annotated[float, typer.Option(min=0, max=1, help="Share of patients for testing.")]
Validation = Annotated[float, typer.Option(min=0, max=1, help="Share of patients for validation.")]
BundleFolder = Annotated[Path | None, typer.Option(help="A bundle's folder: how crops are cut.")]
Number = Annotated[int, typer.Option(min=1, help="Exams on the contact sheet.")]
Part = Annotated[Split | None, typer.Option(help="Only exams of this split.")]


def main() -> None:
    """Run the command; an expected refusal is one line on stderr and exit status 1."""
    try:
        app()
    except (TrainingError, PipelineError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error


@app.command()
def phantoms(
    out: Out,
    exams: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first one.")] = 0,
    prevalence: Annotated[_Prevalence, typer.Option(help="As in which data.")] = _Prevalence.TABLE3,
    exact: Annotated[bool, typer.Option(help="Cut along the true boxes.")] = False,
    bundle: BundleFolder = None,
    processes: Processes = 2,
    test: Test = PatientSplit.test,
    validation: Validation = PatientSplit.validation,
) -> None:
    """Draw invented patients, who come again while a fracture heals."""
    preprocessing = _preprocessing(bundle)
    split = PatientSplit(test, validation)
    work = PhantomExams(prevalence.value, preprocessing, split, jitter=not exact)
    seeds = range(first, first + exams)
    _finish(out, preprocessing, each(work, seeds, processes), exams)


@app.command()
def grazpedwri(
    folder: Annotated[Path, typer.Argument(help="Data set as published.", file_okay=False)],
    out: Out,
    boxes: Annotated[Path | None, typer.Option(help="Folder of drawn boxes of the bones.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle that finds other bones.")] = None,
    held_out: Annotated[Path, typer.Option(help="Patients for testing, a line each.")] = _HELD_OUT,
    processes: Processes = 2,
    test: Test = 0.0,
    validation: Validation = PatientSplit.validation,
) -> None:
    """Take in the PA images of GRAZPEDWRI-DX; findings are its AO codes."""
    preprocessing = _preprocessing(bundle)
    split = PatientSplit(test, validation, fixed=dict.fromkeys(patients_in(held_out), Split.TEST))
    work = GrazpedwriExams(folder, out, preprocessing, split, bundle, boxes)
    rows, skipped = pa_rows(folder)
    imported = each(work, rows, processes)
    _finish(out, preprocessing, imported, len(rows), skipped=skipped)


@app.command()
def hospital(
    folder: Annotated[Path, typer.Argument(help="Export: DICOM files.", file_okay=False)],
    out: Out,
    bundle: Annotated[Path, typer.Option(help="Bundle that finds views, wrists and bones.")],
    key: Annotated[Path, typer.Option(help="Secret of the pseudonyms; made where missing.")],
    site_key: Annotated[Path | None, typer.Option(help="The service's key: knows its copies.")] = (
        None
    ),
    held_out: Annotated[Path | None, typer.Option(help="PatientIDs for testing, a line each.")] = (
        None
    ),
    processes: Processes = 2,
    test: Test = PatientSplit.test,
    validation: Validation = PatientSplit.validation,
) -> None:
    """Take in a hospital's own studies with their reports, under pseudonyms."""
    preprocessing = _preprocessing(bundle)
    secret = key_in(key, out)
    names = Pseudonyms(secret)
    listed = patients_in(held_out) if held_out else ()
    fixed = {names.patient_of_id(patient): Split.TEST for patient in listed}
    split = PatientSplit(test, validation, secret, fixed)
    own = site_key.read_bytes() if site_key else None
    work = HospitalStudies(folder, out, bundle, secret, split, own)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with progress() as bar:
        read = bar.track(each(study_of, files, processes), total=len(files), description="files")
        found, skipped = studies(folder, read)
    imported = each(work, found, processes)
    _finish(out, preprocessing, imported, len(found), skipped=skipped, names=False)


@app.command("summary")
def summarise(table: Given, split: Part = None) -> None:
    """Print what a table is made of, beside the paper's Table 3."""
    opened = _opened(table, split)
    Console().print(summary_table(summary(opened.rows), _title(opened)))


@app.command()
def sheet(table: Given, number: Number = _SHEET_EXAMS, split: Part = None) -> None:
    """Draw a contact sheet of exams from all over a table."""
    _draw_sheet(table, _opened(table, split), number)
    Console().print(f"{table / SHEET_FILE}")


def _preprocessing(bundle: Path | None) -> Preprocessing:
    if bundle is None:
        return TrainingSettings().preprocessing
    return Bundle.load(bundle).manifest.preprocessing


def _opened(folder: Path, split: Split | None) -> ExamTable:
    table = ExamTable.open(folder)
    return table if split is None else table.part(split)


def _finish(
    out: Path,
    preprocessing: Preprocessing,
    imported: Iterable[Imported],
    total: int,
    *,
    skipped: Iterable[Skipped] = (),
    names: bool = True,
) -> None:
    """Write the table, its summary and its contact sheet, and print what came of it."""
    made = import_exams(out, preprocessing.size, imported, total, skipped=skipped)
    table = ExamTable.open(out)
    lines = summary(made.rows)
    with open_private(out / SUMMARY_FILE) as file:
        file.write(markdown(lines, _title(table)).encode())
    _draw_sheet(out, table, _SHEET_EXAMS)
    console = Console()
    if made.skipped:
        console.print(skipped_table(made.skipped, names=names))
        console.print(f"Each one is named in {out / SKIPPED_FILE}.\n")
    console.print(summary_table(lines, _title(table)))


def _title(table: ExamTable) -> str:
    sources = sorted({row.source for row in table.rows})
    return f"Exams: {', '.join(sources) or 'none'}"


def _draw_sheet(folder: Path, table: ExamTable, number: int) -> None:
    pixels = contact_sheet(folder, spread(table, number))
    _, encoded = cv2.imencode(".png", pixels[..., ::-1])
    with open_private(folder / SHEET_FILE) as file:
        file.write(encoded.tobytes())


if __name__ == "__main__":
    main()
