"""A listener on a free loopback port, an invented PACS that sends to it, and small objects."""

from __future__ import annotations

import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage,
    Verification,
)

from listener.audit import Audit
from listener.holdings import Holdings
from listener.ledger import Ledger
from listener.service import Listener
from listener.settings import ListenerSettings, PeerSettings, TitleSettings

SITE_KEY = b"a key of an invented site, 32 b."
LOOPBACK = "127.0.0.1"

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"


def radiograph(
    *,
    study: str | None = None,
    instance: str | None = None,
    patient: str = "INVENTED-1",
    issuer: str = "",
    side: int = 16,
    seed: int = 0,
    sop_class: str = ComputedRadiographyImageStorage,
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> Dataset:
    """Return a small CR object of an invented patient."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = instance or generate_uid()
    ds.StudyDate = "20240101"
    ds.Modality = "CR"
    ds.PatientName = "Invented^Ines"
    ds.PatientID = patient
    if issuer:
        ds.IssuerOfPatientID = issuer
    ds.StudyInstanceUID = study or generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.InstanceNumber = 1
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = side
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    noise = np.random.default_rng(seed).integers(0, 65535, (side, side), dtype=np.uint16)
    ds.PixelData = noise.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def encoded(ds: Dataset, syntax: str) -> bytes:
    """Encode a data set as it goes over the network."""
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax == IMPLICIT
    stream.is_little_endian = syntax != BIG_ENDIAN
    write_dataset(stream, ds)
    data = stream.getvalue()
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    return data


def secondary_capture(**given: Any) -> Dataset:
    """Return an object of a class that the plugin has no use for."""
    return radiograph(sop_class=SecondaryCaptureImageStorage, **given)


@dataclass(frozen=True)
class Station:
    """A running listener with its ledger and settings."""

    listener: Listener
    ledger: Ledger
    settings: ListenerSettings

    @property
    def port(self) -> int:
        return self.listener.address[1]

    def associate(
        self,
        *contexts: str,
        called: str = "WRISTMIR",
        calling: str = "PACS",
        syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        max_pdu: int = 16382,
    ) -> Association:
        """Associate as the invented PACS; C-ECHO and CR by default."""
        ae = _Peer(calling)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        for context in contexts or (Verification, ComputedRadiographyImageStorage):
            ae.add_requested_context(context, list(syntaxes))
        association = ae.associate(LOOPBACK, self.port, ae_title=called, max_pdu=max_pdu)
        if not association.is_established:
            association.dul.join(timeout=5)
            ae.connection.close()
        return association

    def send(
        self, *datasets: Dataset, called: str = "WRISTMIR", calling: str = "PACS"
    ) -> list[int]:
        """Send objects over one association and return their statuses."""
        classes = sorted({str(ds.SOPClassUID) for ds in datasets})
        association = self.associate(*classes, called=called, calling=calling)
        assert association.is_established
        statuses = [int(association.send_c_store(ds).Status) for ds in datasets]
        association.release()
        return statuses

    def connect(self) -> socket.socket:
        """Open a plain TCP connection."""
        return socket.create_connection((LOOPBACK, self.port), timeout=5)

    def inbox_files(self) -> list[Path]:
        """Return the files that are kept."""
        return sorted(self.settings.inbox_dir.glob("??/*.dcm"))

    def partial_files(self) -> list[Path]:
        """Return the temporary files."""
        return sorted(self.settings.inbox_dir.glob("incoming/*"))


class _Peer(AE):
    """An entity whose socket can be closed: pynetdicom leaves one open that was turned away."""

    connection: socket.socket

    def _create_socket(self, *given: Any) -> Any:
        wrapped = super()._create_socket(*given)
        self.connection = wrapped.socket
        return wrapped


def settings(folder: Path, **changes: Any) -> ListenerSettings:
    """Return settings for a station: two known peers, short times, no watermark."""
    given: dict[str, Any] = {
        "state_dir": folder,
        "host": LOOPBACK,
        "port": 0,
        "peers": (
            PeerSettings(ae_title="PACS", addresses=(f"{LOOPBACK}/32",)),
            PeerSettings(ae_title="OTHERPACS", addresses=("192.0.2.0/24",)),
        ),
        "titles": (
            TitleSettings(ae_title="WRISTMIR", quiet_seconds=0.3, cap_seconds=5),
            TitleSettings(
                ae_title="WRISTMIR_Q_DR",
                jobs=("index", "answer"),
                argument={"regions": ["distal_radius"]},
                quiet_seconds=0.3,
                is_request=True,
            ),
        ),
        "pdu_seconds": 1.0,
        "idle_seconds": 2.0,
        "watermark_bytes": 0,
    }
    return ListenerSettings(**(given | changes))


@contextmanager
def station(
    folder: Path,
    *,
    is_own: Callable[[str], bool] | None = None,
    clock: Callable[[], datetime] | None = None,
    handed_over: Mapping[int, socket.socket] | None = None,
    prepare: Callable[[], object] | None = None,
    holdings: Holdings | None = None,
    **changes: Any,
) -> Iterator[Station]:
    """Run a listener in this process until the block ends, with the audit trail it is to keep."""
    chosen = settings(folder, **changes)
    # what is not given can be handed to another process
    given: dict[str, Any] = {"is_own": is_own, "prepare": prepare, "holdings": holdings}
    given = {name: value for name, value in given.items() if value is not None}
    with (
        Ledger(chosen.ledger_url, clock, steady=time.monotonic) as ledger,
        Audit(chosen, site_key=SITE_KEY) as audit,
        Listener(
            chosen, ledger, site_key=SITE_KEY, audit=audit, handed_over=handed_over, **given
        ) as it,
    ):
        yield Station(it, ledger, chosen)


def descriptors() -> list[str]:
    """Return what this process holds open, but the ledger: its pool of connections may grow."""
    opened = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            opened.append(os.readlink(link))  # noqa: PTH115 - a socket is no path
    return sorted(name for name in opened if "ledger.sqlite3" not in name)


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """Wait until a condition holds; False where it does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def listener_threads() -> list[str]:
    """Return the names of threads besides pytest's own."""
    return [t.name for t in threading.enumerate() if t is not threading.main_thread()]
