"""A PACS small enough for a demonstration: it stores what it is sent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

__all__ = ["SmallPacs"]


class SmallPacs:
    """A storage SCP on a free loopback port that writes each object to a folder.

    Parameters
    ----------
    folder
        Where the files go, named by SOP Instance UID.
    ae_title
        The title it answers to.
    """

    def __init__(self, folder: Path, ae_title: str = "SMALLPACS") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ae_title = ae_title
        self._lock = threading.Lock()
        self._by_class: dict[str, list[Path]] = {}
        entity = AE(ae_title)
        entity.maximum_pdu_size = 131072
        for context in AllStoragePresentationContexts[:]:
            entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        entity.add_supported_context(Verification)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, lambda _: 0x0000)]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.socket.getsockname()[1])

    def files(self, sop_class_uid: str = "") -> tuple[Path, ...]:
        """Return every file, or those of one SOP class, in the order of arrival."""
        with self._lock:
            wanted = [sop_class_uid] if sop_class_uid else list(self._by_class)
            return tuple(path for name in wanted for path in self._by_class.get(name, ()))

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self, event: Any) -> int:
        path = self._folder / f"{event.request.AffectedSOPInstanceUID}.dcm"
        path.write_bytes(event.encoded_dataset())
        with self._lock:
            kept = self._by_class.setdefault(str(event.request.AffectedSOPClassUID), [])
            if path not in kept:
                kept.append(path)
        return 0x0000
