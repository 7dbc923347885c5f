"""The whole plugin on loopback: receiver, worker, embedded index, and a small PACS beside it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from deploy.assembly import open_worker
from deploy.service import receiver
from deploy.settings import Settings, parse, site_key
from deploy.small_pacs import SmallPacs
from listener.destination_settings import DestinationSettings
from listener.job import Job, JobState
from listener.ledger import Ledger
from listener.sender import send
from pipeline.index import ExamIndex
from pipeline.terms import TITLE
from pipeline.worker import Worker

STUDIES = Path(__file__).parent / "data" / "studies"
REGIONS = ("distal_radius", "distal_ulna", "ulnar_styloid")

_LOOKS = 25
_BETWEEN_LOOKS = 0.02  # seconds


@dataclass(frozen=True, eq=False)
class Plugin:
    """The plugin with everything around it; `settle` does the waiting work in the test's thread."""

    settings: Settings
    ledger: Ledger
    worker: Worker
    pacs: SmallPacs
    port: int
    hl7_port: int

    def send(self, files: Sequence[Path], title: str = "WRISTMIR") -> None:
        """Send files in one association, as the PACS."""
        there = DestinationSettings(name="plugin", ae_title=title, host="127.0.0.1", port=self.port)
        send(there, files, "SMALLPACS")

    def settle(self, seconds: float = 60.0) -> None:
        """Work until nothing is left to do, or becomes due, in so many looks in a row.

        Looks are counted, not seconds: a machine that stands still for a while has not looked.
        """
        deadline = time.monotonic() + seconds
        looks = 0
        while looks < _LOOKS:
            if time.monotonic() > deadline:
                msg = "the plugin did not settle"
                raise TimeoutError(msg)
            self.ledger.close_due_arrivals()
            if self.worker.work_once():
                looks = 0
                continue
            looks += 1
            time.sleep(_BETWEEN_LOOKS)

    @property
    def index(self) -> ExamIndex:
        """The index behind the worker."""
        return self.worker.answerer.index

    def jobs(self, study_uid: str, kind: str) -> tuple[Job, ...]:
        """Return a study's jobs of one kind, the latest first."""
        return self.ledger.jobs(kind=kind, subject=study_uid)

    def outcome(self, study_uid: str, kind: str) -> dict[str, Any]:
        """Return how a study's latest job of one kind ended; it must have ended well."""
        (job, *_) = self.jobs(study_uid, kind)
        assert job.state is JobState.DONE, (job.state, job.last_error)
        return job.outcome or {}

    def reports(self) -> tuple[Dataset, ...]:
        """Return the readable reports that the PACS got."""
        return tuple(one for one in self._documents() if _title(one) == TITLE.value)

    def measurements(self) -> tuple[Dataset, ...]:
        """Return the reports' companions that the PACS got, with boxes and scores."""
        return tuple(one for one in self._documents() if _title(one) != TITLE.value)

    def _documents(self) -> tuple[Dataset, ...]:
        return tuple(dcmread(file) for file in self.pacs.files(ComprehensiveSRStorage))

    def boards(self) -> tuple[Dataset, ...]:
        """Return the picture boards that the PACS got."""
        return tuple(dcmread(file) for file in self.pacs.files(SecondaryCaptureImageStorage))


def _title(document: Dataset) -> str:
    return str(document.ConceptNameCodeSequence[0].CodeValue)


def tables(state: Path, pacs_port: int, **pipeline: Any) -> dict[str, Any]:
    """Return a configuration with short quiet times and one peer."""

    def title(name: str, *regions: str, jobs: tuple[str, ...] = ()) -> dict[str, Any]:
        return {
            "ae_title": name,
            "jobs": jobs or (("index", "answer") if regions else ("index",)),
            "argument": {"regions": list(regions)} if regions else {},
            "quiet_seconds": 0.3,
            "is_request": bool(regions),
        }

    return {
        "state_dir": str(state),
        "listener": {
            "host": "127.0.0.1",
            "port": 0,
            "watermark_bytes": 0,
            "titles": [
                title("WRISTMIR"),
                title("WRISTMIR_Q", *REGIONS),
                title("WRISTMIR_Q_DR", "distal_radius"),
                title("WRISTMIR_Q_US", "ulnar_styloid", jobs=("answer",)),
            ],
            "peers": [{"ae_title": "SMALLPACS", "addresses": ["127.0.0.1"]}],
            "hl7": {"enabled": True, "port": 0, "addresses": ["127.0.0.1"]},
            "destinations": [
                {"name": "pacs", "ae_title": "SMALLPACS", "host": "127.0.0.1", "port": pacs_port}
            ],
        },
        "pipeline": {"destination": "pacs", **pipeline},
    }


@contextmanager
def plugin(
    folder: Path,
    *,
    ledger: str | None = None,
    destinations: Sequence[DestinationSettings] = (),
    **pipeline: Any,
) -> Iterator[Plugin]:
    """Run the plugin in a folder; `pipeline` are keys of the table of that name.

    `destinations` are known beside the PACS.
    """
    with ExitStack() as stack:
        pacs = stack.enter_context(SmallPacs(folder / "pacs"))
        given = tables(folder / "state", pacs.port, **pipeline)
        given["listener"]["ledger"] = ledger
        others = [one.model_dump(exclude_unset=True) for one in destinations]
        given["listener"]["destinations"] += others
        settings = parse(given)
        key = site_key(settings.state_dir)
        opened = stack.enter_context(Ledger(settings.ledger_url))
        worker = stack.enter_context(open_worker(settings, opened, key))
        listener = stack.enter_context(receiver(settings, opened, key))
        assert listener.hl7_address is not None
        ports = listener.address[1], listener.hl7_address[1]
        yield Plugin(settings, opened, worker, pacs, *ports)


def free_port() -> int:
    """Return a loopback port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def saved(dataset: Dataset, path: Path) -> Path:
    """Write a data set as a DICOM file."""
    dataset.save_as(path, enforce_file_format=True)
    return path
