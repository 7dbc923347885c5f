"""Orthanc as the PACS: asked what it holds, and told to send what never came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hospital import Hospital, hospital, study_files
from orthanc import ARCHIVE
from plugin import saved
from pydicom import dcmread

from deploy.receipts import life_lines
from deploy.reconcile import reconcile
from deploy.reconciliation import Reconciliation, Standing
from deploy.settings import Settings, load
from listener.job import INDEX
from pipeline.worker import MINE

pytestmark = [pytest.mark.slow, pytest.mark.peers]

UNSEEN = (
    "2.25.155370661776745148804775341793768734002",
    "2.25.96708980814390255767363845916776592781",
)
SEEN = "2.25.311032543929764786982694726806454405179"
NOT_FORWARDED = "WRISTMIR"
"""As whom something is stored that the router leaves alone."""


@dataclass(frozen=True, eq=False)
class Night:
    """A hospital at the end of a day on which the router slept now and then."""

    hospital: Hospital
    settings: Settings
    images: tuple[str, ...]
    reports: tuple[str, ...]

    def compare(self, *, fetching: bool = False) -> Reconciliation:
        return reconcile(self.settings, fetching=fetching)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    with hospital(folder / "hospital") as running:
        unseen = [file for study in UNSEEN for file in of_today(study, folder)]
        running.store(unseen, NOT_FORWARDED)
        running.store(of_today(SEEN, folder), ARCHIVE)
        running.until(lambda: running.jobs(SEEN, MINE), 120)
        running.settle(120)
        headers = [dcmread(file, stop_before_pixels=True) for file in unseen]
        yield Night(
            running,
            load(folder / "hospital" / "wristmir.toml"),
            tuple(h.SOPInstanceUID for h in headers if h.Modality != "SR"),
            tuple(h.SOPInstanceUID for h in headers if h.Modality == "SR"),
        )


def of_today(study: str, folder: Path) -> list[Path]:
    """Return copies of a study's files that were taken today."""
    copies = []
    for number, file in enumerate(study_files(study)):
        dataset = dcmread(file)
        dataset.StudyDate = f"{datetime.now(UTC):%Y%m%d}"
        copies.append(saved(dataset, folder / f"{study}-{number}.dcm"))
    return copies


def test_what_the_router_missed_is_found_fetched_indexed_and_then_no_gap(night: Night) -> None:
    found = night.compare()
    assert (found.complete, found.warnings, found.studies) == (True, (), 3)
    missing = {uid for gap in found.gaps for uid in gap.sop_instance_uids}
    assert missing == {*night.images, *night.reports}
    assert {gap.standing for gap in found.gaps} == {Standing.MISSING}

    fetched = night.compare(fetching=True).fetched
    assert fetched is not None
    assert (fetched.arrived, fetched.failures) == (len(missing), ())
    running = night.hospital
    running.until(lambda: all(running.jobs(study, INDEX) for study in UNSEEN), 120)
    running.settle(120)

    again = night.compare()
    assert (again.gaps, again.withdrawn) == ((), ())
    assert again.standings.get(Standing.WAITING) is None
    assert again.standings[Standing.INDEXED] >= len(night.reports) + 1
    told = {line.row.sop_instance_uid: line for line in life_lines(night.settings, UNSEEN)}
    assert {told[uid].row.called_ae for uid in missing} == {"WRISTMIR"}
    assert {told[uid].indexed.used_as for uid in night.reports} == {"report"}


def test_what_the_pacs_has_given_away_is_a_possible_withdrawal(night: Night) -> None:
    lines = list(life_lines(night.settings, [SEEN]))
    report = next(line.row for line in lines if line.indexed.used_as == "report")
    night.hospital.pacs.delete(report.sop_instance_uid)
    found = night.compare()
    assert [one.sop_instance_uids for one in found.withdrawn] == [(report.sop_instance_uid,)]
    assert all(line.file_there for line in life_lines(night.settings, [SEEN]))
