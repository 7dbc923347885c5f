"""Storage commitment with a real Orthanc: it asks us, and we ask it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commitment_parts import receiver, soon
from orthanc import TITLE, Orthanc, orthanc
from plugin import free_port, saved
from pydicom.dataset import Dataset
from pynetdicom.sop_class import ComputedRadiographyImageStorage
from station import LOOPBACK, Station, radiograph

from listener.commitment import Reference
from listener.committing import Committer, Parcel, Standing
from listener.destination_settings import DestinationSettings
from listener.job import COMMIT, EVENT_REPORT, JobState
from listener.sender import reference, send
from listener.settings import PeerSettings

pytestmark = [pytest.mark.slow, pytest.mark.peers]

CR = str(ComputedRadiographyImageStorage)
DX = "1.2.840.10008.5.1.4.1.1.1.1"
NOBODY = "1.2.826.0.1.3680043.8.498.9.9.9"


@dataclass(frozen=True)
class Pair:
    """Orthanc and the receiver, each known to the other."""

    pacs: Orthanc
    link: Station
    destination: DestinationSettings

    def asks(self, *named: tuple[str, str]) -> dict[str, Any]:
        """Let Orthanc ask about pairs of SOP class and instance; return what it was told."""
        order = {"DicomInstances": [list(pair) for pair in named]}
        path = self.pacs.post("/modalities/wristmir/storage-commitment", order)["Path"]
        soon(lambda: self.pacs.get(path)["Status"] != "Pending")
        return dict(self.pacs.get(path))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("commitment")
    port = free_port()
    with orthanc(folder / "orthanc", {"wristmir": ("WRISTMIR", port)}) as pacs:
        there = DestinationSettings(
            name="pacs", ae_title=TITLE, host=LOOPBACK, port=pacs.dicom_port, timeout_seconds=10
        )
        peers = tuple(
            PeerSettings(ae_title=title, addresses=(f"{LOOPBACK}/32",)) for title in ("PACS", TITLE)
        )
        with receiver(folder / "state", port=port, peers=peers, destinations=(there,)) as link:
            yield Pair(pacs, link, there)


def stored(pair: Pair, folder: Path, *datasets: Dataset) -> tuple[Reference, ...]:
    """Store objects into Orthanc as the plugin stores its results."""
    paths = [saved(ds, folder / f"{n}.dcm") for n, ds in enumerate(datasets)]
    send(pair.destination, paths, "WRISTMIR")
    return tuple(map(reference, paths))


def test_orthanc_is_told_that_everything_it_stored_is_kept(pair: Pair) -> None:
    one, other = radiograph(), radiograph()
    assert pair.link.send(one, other) == [0x0000, 0x0000]
    told = pair.asks((CR, one.SOPInstanceUID), (CR, other.SOPInstanceUID))
    assert told["Status"] == "Success"
    assert {s["SOPInstanceUID"] for s in told["Success"]} == {
        one.SOPInstanceUID,
        other.SOPInstanceUID,
    }
    assert soon(lambda: pair.link.ledger.jobs(JobState.DONE, EVENT_REPORT))


def test_orthanc_is_told_what_is_not_kept_and_why(pair: Pair) -> None:
    ds = radiograph()
    pair.link.send(ds)
    told = pair.asks((CR, NOBODY), (DX, ds.SOPInstanceUID))
    assert told["Status"] == "Failure"
    reasons = {f["SOPInstanceUID"]: f["FailureReason"] for f in told["Failures"]}
    assert reasons == {NOBODY: 0x0112, ds.SOPInstanceUID: 0x0119}


def test_what_orthanc_has_stored_it_commits_to_at_once(pair: Pair, tmp_path: Path) -> None:
    sent = stored(pair, tmp_path, radiograph(), radiograph())
    committer = Committer(pair.link.ledger.transactions, "WRISTMIR")
    step = committer.step("answer-1-1", [Parcel(pair.destination, sent)])
    assert (step.standing, step.committed) == (Standing.COMMITTED, 2)
    assert committer.committed("answer-1-1") == set(sent)
    assert [job.subject for job in pair.link.ledger.jobs(kind=COMMIT)] == ["answer-1-1"]


def test_what_orthanc_does_not_have_has_to_be_sent_again(pair: Pair, tmp_path: Path) -> None:
    sent = stored(pair, tmp_path, radiograph())
    missing = Reference(CR, NOBODY)
    committer = Committer(pair.link.ledger.transactions, "WRISTMIR")
    step = committer.step("answer-2-1", [Parcel(pair.destination, (*sent, missing))])
    assert step.standing is Standing.FAILED
    assert committer.committed("answer-2-1") == set(sent)
