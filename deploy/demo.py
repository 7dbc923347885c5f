"""The main job, played on one machine: a small PACS, real wrists, a question, the answer."""

from __future__ import annotations

import csv
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.errors import InputError, ServiceUnavailableError, WaitError
from deploy.query import QueryOutcome
from deploy.service_process import service_process
from deploy.small_pacs import SmallPacs
from listener.destination_settings import DestinationSettings
from listener.job import INDEX, JobState
from listener.ledger import Ledger
from listener.sender import send
from pipeline.match_report import readable
from pipeline.terms import TITLE
from pipeline.worker import ANSWER, DELIVER, MINE
from training.phantom import dicom_study, phantom

__all__ = ["DATA", "PHANTOM_STUDIES", "demo_files", "run_demo"]

DATA = Path(__file__).parent.parent / "tests" / "data" / "studies"
"""The real wrists that come with the source: see tests/data/ATTRIBUTION.md."""

PHANTOM_STUDIES = 24
"""Synthetic studies that are added, so that there is something to choose from."""

_PATIENCE_SECONDS = 170.0
_TEXT_WIDTH = 100


@dataclass(frozen=True)
class _Service:
    """The running plugin: where it listens and where its ledger is."""

    port: int
    ledger: Ledger

    def title(self, ae_title: str) -> DestinationSettings:
        return DestinationSettings(
            name="plugin", ae_title=ae_title, host="127.0.0.1", port=self.port
        )


def run_demo(output: Path, data: Path | None = None, console: Console | None = None) -> None:
    """Play the demonstration and leave its results in a folder.

    Parameters
    ----------
    output
        Emptied of earlier results; then holds the result objects, the report as text, the board
        as PNG.
    data
        Folder with ``manifest.csv`` and its studies.
    console
        Where to show it.

    Raises
    ------
    InputError
        Where the demo's studies are not there.
    ServiceUnavailableError, WaitError
        Where the service did not start, or did not answer in time.
    """
    console = console or Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wristmir-demo-") as name:
        folder = Path(name)
        priors, query = demo_files(data or DATA, folder / "phantoms")
        with SmallPacs(folder / "pacs") as pacs, _plugin(folder, pacs) as service:
            console.print(f"Plugin on port {service.port}, PACS on port {pacs.port}.")
            _send_priors(service, priors, console)
            _wait_until_indexed(service, len(priors), console)
            asked = time.monotonic()
            send(service.title("WRISTMIR_Q"), query, "SMALLPACS")
            outcome = _await_answer(service, pacs)
            seconds = time.monotonic() - asked
            _leave_results(pacs, output)
    console.print(outcome.as_table())
    console.print(
        f"Answer in the PACS {seconds:.1f} s after the query was sent "
        f"(3 s of them the quiet time); the whole demo took {time.monotonic() - started:.0f} s."
    )
    console.print(f"Results in {output}/: report.txt, board.png and the DICOM objects.")
    console.print("[bold]Demonstration only, not for clinical use.[/]")


def demo_files(data: Path, phantoms: Path) -> tuple[list[list[Path]], list[Path]]:
    """Return the files of each prior study, and those of the first query study.

    Parameters
    ----------
    data
        Folder with ``manifest.csv``: a row per file with its study and role.
    phantoms
        Folder to write synthetic studies to.
    """
    manifest = data / "manifest.csv"
    if not manifest.is_file():
        text = (
            f"{data}: no studies there; the demo's wrists come with the source, name them by --data"
        )
        raise InputError(text)
    studies: dict[str, list[Path]] = {}
    queries: dict[str, list[Path]] = {}
    with manifest.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            file = data / row["file"]
            kept = queries if row["role"] == "query" else studies
            kept.setdefault(row["study_uid"], []).append(file)
    query = next(iter(queries.values()))
    return [*studies.values(), *_phantom_studies(phantoms)], query


def _phantom_studies(folder: Path) -> Iterator[list[Path]]:
    folder.mkdir(parents=True)
    for seed in range(1, PHANTOM_STUDIES + 1):
        files = []
        for number, dataset in enumerate(dicom_study([phantom(seed)])):
            file = folder / f"{seed:03d}-{number}.dcm"
            dataset.save_as(file, enforce_file_format=True)
            files.append(file)
        yield files


_CONFIGURATION = """
state_dir = "{state}"

[listener]
host = "127.0.0.1"
port = {port}

[[listener.peers]]
ae_title = "SMALLPACS"
addresses = ["127.0.0.1"]

[[listener.destinations]]
name = "pacs"
ae_title = "{ae_title}"
host = "127.0.0.1"
port = {pacs_port}

{titles}
[pipeline]
destination = "pacs"
"""

_TITLE = """
[[listener.titles]]
ae_title = "{ae_title}"
jobs = {jobs}
quiet_seconds = {quiet}
is_request = {is_request}
"""


@contextmanager
def _plugin(folder: Path, pacs: SmallPacs) -> Iterator[_Service]:
    """Run `wristmir serve` as an administrator would, on a configuration file."""
    port = _free_port()
    titles = _TITLE.format(
        ae_title="WRISTMIR", jobs='["index"]', quiet=1.0, is_request="false"
    ) + _TITLE.format(ae_title="WRISTMIR_Q", jobs='["answer"]', quiet=3.0, is_request="true")
    configuration = _CONFIGURATION.format(
        state=folder / "state",
        port=port,
        ae_title=pacs.ae_title,
        pacs_port=pacs.port,
        titles=titles,
    )
    config = folder / "wristmir.toml"
    config.write_text(configuration, encoding="utf-8")
    with (
        service_process(config, folder / "serve.log") as settings,
        Ledger(settings.ledger_url) as ledger,
    ):
        yield _Service(port, ledger)


def _send_priors(service: _Service, studies: Sequence[Sequence[Path]], console: Console) -> None:
    with _progress(console) as progress:
        task = progress.add_task("sending studies and reports", total=len(studies))
        for files in studies:
            send(service.title("WRISTMIR"), files, "SMALLPACS")
            progress.advance(task)


def _wait_until_indexed(service: _Service, number: int, console: Console) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with _progress(console) as progress:
        task = progress.add_task("indexing", total=number)
        while True:
            counts = service.ledger.counts()
            done = counts.get((INDEX, JobState.DONE), 0) + counts.get((INDEX, JobState.DEAD), 0)
            progress.update(task, completed=min(done, number))
            busy = any(
                counts.get((kind, state), 0)
                for kind in (INDEX, MINE)
                for state in (JobState.READY, JobState.LEASED)
            )
            if done >= number and not busy:
                return
            if time.monotonic() > deadline:
                text = f"only {done} of {number} studies were indexed in time"
                raise WaitError(text)
            time.sleep(0.1)


def _await_answer(service: _Service, pacs: SmallPacs) -> QueryOutcome:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        done = service.ledger.jobs(kind=DELIVER, state=JobState.DONE, limit=1)
        if done and pacs.files(ComprehensiveSRStorage):
            return _asked_again(service)
        dead = service.ledger.jobs(state=JobState.DEAD, limit=1)
        if dead:
            text = f"the answer failed: {dead[0].last_error}"
            raise ServiceUnavailableError(text)
        answered = service.ledger.jobs(kind=ANSWER, state=JobState.DONE, limit=1)
        if answered and not (answered[0].outcome or {}).get("answered"):
            text = f"no answer: {(answered[0].outcome or {}).get('reason')}"
            raise ServiceUnavailableError(text)
        time.sleep(0.05)
    text = "no answer came in time"
    raise WaitError(text)


def _asked_again(service: _Service) -> QueryOutcome:
    """Ask the same by the command line's road, for the table of matches."""
    answered = service.ledger.jobs(kind=ANSWER, state=JobState.DONE, limit=1)[0]
    number = service.ledger.enqueue("query", answered.subject, {"k": 3})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job = service.ledger.job(number)
        if job.state is JobState.DONE:
            outcome = job.outcome or {}
            return QueryOutcome(tuple(outcome.get("answers", ())), str(outcome.get("reason", "")))
        time.sleep(0.05)
    text = "the table of matches did not come in time"
    raise WaitError(text)


def _leave_results(pacs: SmallPacs, output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    documents = {file: _title(file) for file in pacs.files(ComprehensiveSRStorage)}
    reports = [file for file, title in documents.items() if title == TITLE.value]
    measurements = [file for file in documents if file not in reports]
    boards = pacs.files(SecondaryCaptureImageStorage)
    for number, file in enumerate(reports, 1):
        name = "report" if len(reports) == 1 else f"report-{number}"
        shutil.copyfile(file, output / f"{name}.dcm")
        (output / f"{name}.txt").write_text(readable(dcmread(file), _TEXT_WIDTH), encoding="utf-8")
    for number, file in enumerate(measurements, 1):
        name = "measurements" if len(measurements) == 1 else f"measurements-{number}"
        shutil.copyfile(file, output / f"{name}.dcm")
    for number, file in enumerate(boards, 1):
        name = "board" if len(boards) == 1 else f"board-{number}"
        shutil.copyfile(file, output / f"{name}.dcm")
        rgb = dcmread(file).pixel_array
        cv2.imwrite(str(output / f"{name}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def _title(file: Path) -> str:
    """Return the code of a structured document's title."""
    return str(dcmread(file).ConceptNameCodeSequence[0].CodeValue)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
