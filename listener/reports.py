"""Reports by other roads than DICOM, as a service: shelf, desk, MLLP server and drop folder."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from listener.drop_folder import DropFolder
from listener.ledger import Ledger
from listener.mllp import MllpServer
from listener.report_audit import ReportAudit
from listener.report_desk import ReportDesk
from listener.report_shelf import ReportShelf
from listener.settings import ListenerSettings, TitleSettings
from listener.storage import Storage

__all__ = ["Reports"]

_log = logging.getLogger("wristmir.listener")

_LINK_SECONDS = 60.0


class Reports:
    """Takes in reports by every road that the settings open.

    Parameters
    ----------
    settings
        Of the listener.
    ledger
        Stays the caller's to close.
    storage
        Takes in DICOM files that are laid into the drop folder.
    site_key
        Key of the hashes that stand for patients.

    Raises
    ------
    ListenerError
        If a folder cannot be made.
    """

    def __init__(
        self, settings: ListenerSettings, ledger: Ledger, storage: Storage, *, site_key: bytes
    ) -> None:
        shelf = ReportShelf(settings.reports_dir, watermark_bytes=settings.watermark_bytes)
        self._desk = ReportDesk(ledger, shelf, settings.hl7, site_key=site_key)
        told = ReportAudit(storage.audit)
        self._server = MllpServer(settings.hl7, self._desk, told) if settings.hl7.enabled else None
        dropped = settings.drop_folder
        self._folder = None
        if dropped.path is not None:
            title = _indexing_title(settings)
            self._folder = DropFolder(dropped.path, dropped, self._desk, storage, title)
        self._poll_seconds = dropped.poll_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def server(self) -> MllpServer | None:
        """The MLLP server, where the settings enable it."""
        return self._server

    def start(self, handed_over: Mapping[int, socket.socket] | None = None) -> None:
        """Clear up after the last run, then take what comes.

        Parameters
        ----------
        handed_over
            Listening sockets by their ports, to be used in place of an own one.

        Raises
        ------
        AddressError
            If the address for HL7 cannot be bound.
        """
        self._desk.reconcile()
        if self._server is not None:
            self._server.start(handed_over)
        self._stopping.clear()
        if self._server is not None or self._folder is not None:
            self._thread = threading.Thread(target=self._watch, name="reports", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop within three seconds; what was acknowledged is on disk."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        linked_at, fails = time.monotonic(), False
        while not self._stopping.wait(self._poll_seconds):
            try:
                if self._folder is not None:
                    self._folder.look(self._stopping)
                if time.monotonic() - linked_at > _LINK_SECONDS:
                    linked_at = time.monotonic()
                    self._desk.link_waiting()
            except (OSError, SQLAlchemyError) as error:
                if not fails:  # once, not at every look
                    _log.error("drop folder or ledger cannot be used: %s", type(error).__name__)
                fails = True
            else:
                fails = False


def _indexing_title(settings: ListenerSettings) -> TitleSettings:
    """Return the title that a laid down file counts as sent to: no question is asked by that."""
    return next((t for t in settings.titles if not t.is_request), settings.titles[0])
