"""A hospital on one machine: Orthanc as its PACS, and `wristmir serve` as IT would run it."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcmtk import storescu
from orthanc import ARCHIVE, EMERGENCY, TITLE, Orthanc, orthanc
from plugin import STUDIES, free_port
from pydicom import Dataset
from station import eventually

from deploy.service_process import service_process
from deploy.settings import Settings
from listener.job import Job, JobState
from listener.ledger import Ledger

__all__ = ["Hospital", "hospital", "study_files"]

_CALM_SECONDS = 1.0  # longer than a forward and the plugin's quiet time together


@dataclass(frozen=True, eq=False)
class Hospital:
    """The PACS, and a view into the plugin's ledger."""

    pacs: Orthanc
    ledger: Ledger
    log: Path
    settings: Settings

    def store(self, files: Sequence[Path], sender: str) -> None:
        """Store files into the PACS by DCMTK, as a modality does."""
        storescu(files, self.pacs.dicom_port, calling=sender, called=TITLE)

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until a condition holds; a job that fails ends the waiting, and the test."""
        eventually(lambda: condition() or self.complaints(), seconds)
        assert self.complaints() == ()
        assert condition(), "it did not happen in time"

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until the router has forwarded what it will, and the plugin is done with it."""
        deadline = time.monotonic() + seconds
        self.until(self._is_quiet, seconds)
        time.sleep(_CALM_SECONDS)
        while not self._is_quiet():
            self.until(self._is_quiet, deadline - time.monotonic())
            time.sleep(_CALM_SECONDS)

    def complaints(self) -> tuple[str, ...]:
        """Return why jobs failed; none should, not even once."""
        jobs = self.ledger.jobs(limit=500)
        return tuple(f"{job.kind}: {job.last_error}" for job in jobs if job.last_error)

    def _is_quiet(self) -> bool:
        counts = self.ledger.counts()
        busy = any(count for (_, state), count in counts.items() if state in _UNFINISHED)
        return not busy and all(series["IsStable"] for series in self.pacs.find("Series"))

    def jobs(self, study_uid: str, kind: str) -> tuple[Job, ...]:
        """Return a study's jobs of one kind, the latest first."""
        return self.ledger.jobs(kind=kind, subject=study_uid)

    def study(self, study_uid: str) -> str:
        """Return the PACS's own identifier of a study."""
        (found,) = self.pacs.find("Study", StudyInstanceUID=study_uid)
        return str(found["ID"])

    def results(self, study_uid: str, sop_class_uid: str) -> tuple[Dataset, ...]:
        """Return what stands in a study of one SOP class, the earliest first."""
        found = self.pacs.find("Instance", StudyInstanceUID=study_uid, SOPClassUID=sop_class_uid)
        uids = [one["MainDicomTags"]["SOPInstanceUID"] for one in found]
        datasets = [self.pacs.fetch(uid) for uid in uids]
        return tuple(
            sorted(datasets, key=lambda d: (d.InstanceCreationDate, d.InstanceCreationTime))
        )


@contextmanager
def hospital(folder: Path, plugins: Sequence[str] = (), more: str = "") -> Iterator[Hospital]:
    """Run PACS and plugin until the block ends.

    Parameters
    ----------
    folder
        For what both of them keep.
    plugins
        Of the PACS, as in `orthanc.DICOMWEB`.
    more
        Lines at the end of the plugin's configuration.
    """
    port = free_port()
    modalities = {
        "archive": (ARCHIVE, 104),
        "emergency": (EMERGENCY, 104),
        "wristmir": ("WRISTMIR", port),
        "wristmir_q": ("WRISTMIR_Q", port),
    }
    with ExitStack() as stack:
        pacs = stack.enter_context(orthanc(folder / "orthanc", modalities, plugins))
        config = folder / "wristmir.toml"
        config.write_text(
            CONFIGURATION.format(
                state=folder / "state", port=port, title=TITLE, pacs_port=pacs.dicom_port
            )
            + more,
            encoding="utf-8",
        )
        settings = stack.enter_context(service_process(config, folder / "serve.log"))
        ledger = stack.enter_context(Ledger(settings.ledger_url))
        yield Hospital(pacs, ledger, folder / "serve.log", settings)


def study_files(study_uid: str, kind: str | None = None) -> list[Path]:
    """Return the test data's files of a study: all, or those of a kind (image, report)."""
    with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return [
            STUDIES / row["file"]
            for row in csv.DictReader(stream)
            if row["study_uid"] == study_uid and kind in (None, row["kind"])
        ]


CONFIGURATION = """
state_dir = "{state}"

[listener]
host = "127.0.0.1"
port = {port}
watermark_bytes = 0

[[listener.titles]]
ae_title = "WRISTMIR"
quiet_seconds = 0.3

[[listener.titles]]
ae_title = "WRISTMIR_Q"
jobs = ["index", "answer"]
argument = {{ regions = ["distal_radius", "distal_ulna", "ulnar_styloid"] }}
quiet_seconds = 0.3
is_request = true

[[listener.peers]]
ae_title = "{title}"
addresses = ["127.0.0.1"]

[[listener.destinations]]
name = "pacs"
ae_title = "{title}"
host = "127.0.0.1"
port = {pacs_port}

[pipeline]
destination = "pacs"

[pipeline.results]
measurements = "comprehensive_3d"
presentation_state = true
key_objects = true
document = true
"""

_UNFINISHED = (JobState.READY, JobState.LEASED)
