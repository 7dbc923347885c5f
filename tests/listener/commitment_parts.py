"""An invented peer that asks for storage commitment, or gives it, and hears what comes of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)
from station import LOOPBACK, Station, eventually, station

from listener.commitment import Reference
from listener.destination_settings import DestinationSettings

CR = str(ComputedRadiographyImageStorage)
DX = "1.2.840.10008.5.1.4.1.1.1.1"
# Comprehensive SR, Secondary Capture, Key Object Selection
OTHERS = (
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.88.59",
)


def receiver(folder: Path, **changes: Any) -> AbstractContextManager[Station]:
    """Run a station that is patient with a slow machine."""
    return station(folder, **({"pdu_seconds": 20.0, "idle_seconds": 60.0} | changes))


def soon(condition: Callable[[], object]) -> bool:
    """Wait until a condition holds, however slow the machine is."""
    return eventually(condition, 40)


def reference(ds: Dataset, sop_class: str | None = None) -> Reference:
    """Return how a request names an object."""
    return Reference(sop_class or str(ds.SOPClassUID), str(ds.SOPInstanceUID))


def information(uid: str, references: Sequence[Reference]) -> Dataset:
    """Return the Action Information of a request."""
    ds = Dataset()
    ds.TransactionUID = uid
    ds.ReferencedSOPSequence = [item(one) for one in references]
    return ds


def item(one: Reference, reason: int | None = None) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID = one.sop_class_uid
    ds.ReferencedSOPInstanceUID = one.sop_instance_uid
    if reason is not None:
        ds.FailureReason = reason
    return ds


@dataclass(frozen=True)
class Told:
    """A report as the peer heard it."""

    transaction_uid: str
    event_type: int
    committed: list[str]
    failed: dict[str, int]
    called_ae: str


@dataclass
class Listening:
    """A peer that listens for reports; ``statuses`` are its next answers, then success."""

    port: int = 0
    told: list[Told] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def hear(self, event: evt.Event) -> tuple[int, None]:
        ds = event.event_information
        self.told.append(
            Told(
                str(ds.TransactionUID),
                int(event.request.EventTypeID),
                [str(i.ReferencedSOPInstanceUID) for i in ds.get("ReferencedSOPSequence", [])],
                {
                    str(i.ReferencedSOPInstanceUID): int(i.FailureReason)
                    for i in ds.get("FailedSOPSequence", [])
                },
                str(event.assoc.requestor.ae_title),
            )
        )
        return (self.statuses.pop(0) if self.statuses else 0x0000), None

    @property
    def destination(self) -> DestinationSettings:
        return DestinationSettings(
            name="pacs", ae_title="PACS", host=LOOPBACK, port=self.port, timeout_seconds=3
        )


@contextmanager
def listening(port: int = 0, *, roles: bool = True) -> Iterator[Listening]:
    """Run a peer of the AE title PACS that listens for reports until the block ends."""
    it = Listening()
    ae = AE("PACS")
    ae.add_supported_context(Verification)
    if roles:
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    else:
        ae.add_supported_context(StorageCommitmentPushModel)
    opened: list[socket.socket] = []
    handlers: list[Any] = [
        (evt.EVT_N_EVENT_REPORT, it.hear),
        (evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket)),
    ]
    server = ae.start_server((LOOPBACK, port), block=False, evt_handlers=handlers)
    it.port = int(server.server_address[1])
    try:
        yield it
    finally:
        server.shutdown()
        for connection in opened:  # one whose other end was killed is left open otherwise
            connection.close()


@contextmanager
def asking(
    port: int, hears: Listening | None = None, calling: str = "PACS", called: str = "WRISTMIR"
) -> Iterator[Association]:
    """Open an association that may store and ask; reports on it are heard by ``hears``."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context(ComputedRadiographyImageStorage)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, hears.hear)] if hears is not None else []
    association = ae.associate(LOOPBACK, port, ae_title=called, evt_handlers=handlers)
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        association.dul.join(timeout=5)


def ask(
    association: Association, references: Sequence[Reference], uid: str | None = None
) -> tuple[str, int]:
    """Ask for commitment; return the Transaction UID and the status."""
    uid = uid or str(generate_uid())
    status, _ = association.send_n_action(
        information(uid, references),
        1,
        StorageCommitmentPushModel,
        StorageCommitmentPushModelInstance,
    )
    return uid, int(status.Status)


class Archive:
    """An invented PACS that stores what it is sent, is asked to commit, and gives its word.

    Parameters
    ----------
    link_port
        Where it sends its word on a new association; None to give it on the same one.
    """

    def __init__(self, link_port: int | None = None, *, offers: bool = True) -> None:
        self.link_port = link_port
        self.stored: list[str] = []
        self.asked: list[tuple[str, list[Reference]]] = []
        self.losing: dict[str, int] = {}
        """Instances that it does not commit to, with the reason."""
        self.action_status = 0x0000
        self.is_silent = False
        self.answers: list[int] = []
        self._threads: list[threading.Thread] = []
        ae = AE("PACS")
        ae.add_supported_context(Verification)
        for sop_class in (CR, DX, *OTHERS):
            ae.add_supported_context(sop_class)
        if offers:
            ae.add_supported_context(StorageCommitmentPushModel)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._act),
        ]
        self._server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=handlers)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()
        self._server.shutdown()

    def destination(self, **said: Any) -> DestinationSettings:
        given = {"name": "pacs", "ae_title": "PACS", "host": LOOPBACK, "timeout_seconds": 5}
        return DestinationSettings(**(given | {"port": self.port} | said))

    def say(self, uid: str, references: Sequence[Reference]) -> int:
        """Give its word on a new association, as the SCP; return the status of the answer."""
        ae = AE("PACS")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        assert self.link_port is not None
        association = ae.associate(LOOPBACK, self.link_port, ae_title="WRISTMIR", ext_neg=[role])
        assert association.is_established
        status = self._tell(association, uid, references)
        association.release()
        association.dul.join(timeout=5)
        return status

    def _store(self, event: evt.Event) -> int:
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def _act(self, event: evt.Event) -> tuple[int, None]:
        ds = event.action_information
        references = [
            Reference(str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID))
            for i in ds.ReferencedSOPSequence
        ]
        uid = str(ds.TransactionUID)
        self.asked.append((uid, references))
        if self.action_status == 0x0000 and not self.is_silent:
            work = self._say_there if self.link_port is not None else self._say_here
            thread = threading.Thread(target=work, args=(event.assoc, uid, references))
            self._threads.append(thread)
            thread.start()
        return self.action_status, None

    def _say_there(self, _: Association, uid: str, references: Sequence[Reference]) -> None:
        self.answers.append(self.say(uid, references))

    def _say_here(
        self, association: Association, uid: str, references: Sequence[Reference]
    ) -> None:
        time.sleep(0.1)  # after the answer to the N-ACTION
        self.answers.append(self._tell(association, uid, references))

    def _tell(self, association: Association, uid: str, references: Sequence[Reference]) -> int:
        ds = Dataset()
        ds.TransactionUID = uid
        kept = [one for one in references if one.sop_instance_uid not in self.losing]
        lost = [one for one in references if one.sop_instance_uid in self.losing]
        if kept:
            ds.ReferencedSOPSequence = [item(one) for one in kept]
        if lost:
            ds.FailedSOPSequence = [item(one, self.losing[one.sop_instance_uid]) for one in lost]
        status, _ = association.send_n_event_report(
            ds,
            2 if lost else 1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        return int(status.get("Status", -1))
