"""An invented archive that answers C-FIND and C-MOVE, and misbehaves when told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from station import LOOPBACK

from listener.destination_settings import DestinationSettings

__all__ = ["Archive", "archive"]

Answers = Iterator[tuple[int, Dataset | None]]


class Archive:
    """Holds data sets; ``port`` is where it listens."""

    def __init__(self) -> None:
        self.port = 0
        self.reset()

    def reset(self) -> None:
        """Hold nothing, and behave."""
        self.holdings: list[Dataset] = []
        self.asked: list[Dataset] = []
        self.moved: list[tuple[str, str]] = []
        self.limit = 10_000
        self.limit_status = 0x0000
        self.heeds_time = True
        self.behaves: Callable[[Any, Answers], Answers] = lambda _, answers: answers
        self.moves_to: dict[str, int] = {}
        self.pauses = 0.0

    def find(self, event: Any) -> Answers:
        asked = event.identifier
        self.asked.append(asked)
        yield from self.behaves(event, self._found(asked))

    def _found(self, asked: Dataset) -> Answers:
        key = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
        named = key.get(asked.QueryRetrieveLevel, "SOPInstanceUID")
        found: dict[str, Dataset] = {}
        for held in self.holdings:
            if self._matches(held, asked):
                found.setdefault(held[named].value, self._listed(held, asked))
        for number, one in enumerate(found.values()):
            if number == self.limit:
                if self.limit_status:
                    yield self.limit_status, None
                return
            yield 0xFF00, one

    def _matches(self, held: Dataset, asked: Dataset) -> bool:
        for key in ("StudyInstanceUID", "SeriesInstanceUID", "StudyDate"):
            if asked.get(key) and asked[key].value != held.get(key):
                return False
        if asked.get("StudyTime") and self.heeds_time:
            first, last = str(asked.StudyTime).split("-")
            if not first <= str(held.get("StudyTime", "")) <= last:
                return False
        wanted = asked.get("ModalitiesInStudy")
        return not wanted or wanted in self._modalities(held.StudyInstanceUID)

    def _modalities(self, study: str) -> list[str]:
        return sorted({one.Modality for one in self.holdings if one.StudyInstanceUID == study})

    def _listed(self, held: Dataset, asked: Dataset) -> Dataset:
        listed = Dataset()
        for element in asked:
            if element.keyword == "ModalitiesInStudy":
                listed.ModalitiesInStudy = self._modalities(held.StudyInstanceUID)
            elif element.keyword == "QueryRetrieveLevel":
                listed.QueryRetrieveLevel = element.value
            else:
                setattr(listed, element.keyword, held.get(element.keyword, ""))
        return listed

    def move(self, event: Any) -> Iterator[Any]:
        asked = event.identifier
        self.moved.append((asked.StudyInstanceUID, asked.SeriesInstanceUID))
        time.sleep(self.pauses)
        port = self.moves_to.get(event.move_destination)
        if port is None or self.pauses:
            yield None, None
            return
        held = [one for one in self.holdings if self._matches(one, asked)]
        yield LOOPBACK, port, {"ae_title": event.move_destination}
        yield len(held)
        for one in held:
            yield 0xFF00, one


@contextmanager
def archive(title: str = "PACS") -> Iterator[tuple[Archive, DestinationSettings]]:
    """Run an archive until the block ends."""
    it, ae = Archive(), AE(title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 5
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    ae.add_supported_context(Verification)
    ae.requested_contexts = StoragePresentationContexts
    sockets: list[Any] = []  # pynetdicom leaves one open whose peer was quicker

    def opened(event: Any) -> None:
        sockets.append(event.assoc.dul.socket.socket)

    handlers: list[Any] = [
        (evt.EVT_C_FIND, it.find),
        (evt.EVT_C_MOVE, it.move),
        (evt.EVT_CONN_OPEN, opened),
    ]
    server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=handlers)
    it.port = server.server_address[1]
    there = DestinationSettings(
        name="pacs", ae_title=title, host=LOOPBACK, port=it.port, timeout_seconds=3
    )
    try:
        yield it, there
    finally:
        server.shutdown()
        for one in sockets:
            one.close()
