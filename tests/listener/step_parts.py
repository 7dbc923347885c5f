"""An invented peer that creates procedure steps, watches them, and hears of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepQuery,
    UnifiedProcedureStepWatch,
    Verification,
)
from station import LOOPBACK

from listener.destination_settings import DestinationSettings
from listener.step_terms import BONE_CONCEPT, COUNT_CONCEPT, GLOBAL, WORKITEM

PUSH, WATCH, PULL = UnifiedProcedureStepPush, UnifiedProcedureStepWatch, UnifiedProcedureStepPull
QUERY = UnifiedProcedureStepQuery
RADIUS = ("75129005", "SCT", "Distal radius")
STYLOID = ("91361004", "SCT", "Styloid process of ulna")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def bone(which: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [code(*BONE_CONCEPT)]
    item.ConceptCodeSequence = [code(*which)]
    return item


def count(number: str) -> Dataset:
    item = Dataset()
    item.ValueType = "NUMERIC"
    item.ConceptNameCodeSequence = [code(*COUNT_CONCEPT)]
    item.NumericValue = number
    item.MeasurementUnitsCodeSequence = [code("1", "UCUM", "no units")]
    return item


def step(study: str, *parameters: Dataset, instances: Sequence[str] = (), **given: Any) -> Dataset:
    """Return the attributes of an N-CREATE; `given` replaces some, None takes one away."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = "Invented^Ines"
    ds.PatientID = "INVENTED-1"
    ds.ProcedureStepState = "SCHEDULED"
    ds.ScheduledProcedureStepPriority = "MEDIUM"
    ds.ProcedureStepLabel = "Similar wrists"
    ds.WorklistLabel = "Wrists"
    ds.ScheduledProcedureStepStartDateTime = "20240101120000+0000"
    ds.InputReadinessState = "READY"
    ds.ScheduledWorkitemCodeSequence = [code(*WORKITEM)]
    ds.ScheduledProcessingParametersSequence = list(parameters)
    ds.TransactionUID = ""
    item = Dataset()
    item.TypeOfInstances = "DICOM"
    item.StudyInstanceUID = study
    item.SeriesInstanceUID = "1.2.3.1"
    item.ReferencedSOPSequence = [_reference(one) for one in instances]
    ds.InputInformationSequence = [item]
    ds.StudyInstanceUID = study
    for keyword, value in given.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    item.ReferencedSOPInstanceUID = uid
    return item


class Requester:
    """The service class user, on one association."""

    def __init__(self, association: Association) -> None:
        self.association = association

    def create(self, ds: Dataset, uid: str | None = None) -> tuple[str, int]:
        """Create a step; return its UID and the status."""
        uid = uid or str(generate_uid())
        status, _ = self.association.send_n_create(ds, PUSH, uid)
        return uid, int(status.Status)

    def get(self, uid: str, *tags: int) -> tuple[int, Dataset | None]:
        status, ds = self.association.send_n_get(list(tags), PUSH, uid, meta_uid=WATCH)
        return int(status.Status), ds

    def state(self, uid: str) -> str:
        _, ds = self.get(uid, 0x00741000)
        assert ds is not None
        return str(ds.ProcedureStepState)

    def act(self, uid: str, kind: int, meta: str = WATCH, **said: Any) -> int:
        ds = Dataset()
        for keyword, value in said.items():
            setattr(ds, keyword, value)
        status, _ = self.association.send_n_action(ds, kind, PUSH, uid, meta_uid=meta)
        return int(status.Status)

    def change(self, uid: str, state: str, transaction: str | None = "1.2.3") -> int:
        said = {"ProcedureStepState": state, "TransactionUID": transaction}
        return self.act(uid, 1, PULL, **said)

    def cancel(self, uid: str, reason: str = "") -> int:
        return self.act(uid, 2, ReasonForCancellation=reason)

    def subscribe(self, uid: str = GLOBAL, receiver: str = "PACS", lock: str = "FALSE") -> int:
        return self.act(uid, 3, ReceivingAE=receiver, DeletionLock=lock)

    def unsubscribe(self, uid: str = GLOBAL, receiver: str = "PACS") -> int:
        return self.act(uid, 4, ReceivingAE=receiver)

    def suspend(self, uid: str = GLOBAL, receiver: str = "PACS") -> int:
        return self.act(uid, 5, ReceivingAE=receiver)

    def find(self, model: str = PULL, **keys: Any) -> tuple[int, list[Dataset]]:
        """Ask which steps there are; return the final status and the answers."""
        ds = Dataset()
        for keyword, value in keys.items():
            setattr(ds, keyword, value)
        found, last = [], 0
        for status, answer in self.association.send_c_find(ds, model):
            last = int(status.Status)
            if answer is not None:
                found.append(answer)
        return last, found


@contextmanager
def requesting(port: int, called: str = "WRISTMIR", calling: str = "PACS") -> Iterator[Requester]:
    """Open an association that may do all that there is to do with steps."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for context in (PUSH, WATCH, PULL, QUERY):
        ae.add_requested_context(context)
    association = ae.associate(LOOPBACK, port, ae_title=called)
    assert association.is_established
    try:
        yield Requester(association)
    finally:
        if association.is_established:
            association.release()
        association.dul.join(timeout=5)


@dataclass
class Subscriber:
    """A peer that listens for events; ``statuses`` are its next answers, then success."""

    port: int = 0
    told: list[tuple[str, int, Dataset]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    callers: set[str] = field(default_factory=set)

    def hear(self, event: evt.Event) -> tuple[int, None]:
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if status == 0x0000:
            kind, about = event.request.EventTypeID, event.request.AffectedSOPInstanceUID
            self.told.append((str(about), int(kind), event.event_information))
            self.callers.add(str(event.assoc.requestor.ae_title))
        return status, None

    def states(self, uid: str) -> list[str]:
        """Return the states that it was told of a step, in order."""
        return [
            str(ds.ProcedureStepState) for one, kind, ds in self.told if (one, kind) == (uid, 1)
        ]

    def progress(self, uid: str) -> list[int]:
        """Return the progress that it was told of a step, in order."""
        return [
            int(ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress)
            for one, kind, ds in self.told
            if (one, kind) == (uid, 3)
        ]

    @property
    def destination(self) -> DestinationSettings:
        return DestinationSettings(
            name="pacs", ae_title="PACS", host=LOOPBACK, port=self.port, timeout_seconds=5
        )


@contextmanager
def subscriber(port: int = 0) -> Iterator[Subscriber]:
    """Run a peer of the AE title PACS that listens for events until the block ends."""
    it = Subscriber()
    ae = AE("PACS")
    ae.add_supported_context(Verification)
    ae.add_supported_context(UnifiedProcedureStepEvent, scu_role=False, scp_role=True)
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
        for connection in opened:
            connection.close()
