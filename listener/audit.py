"""The audit trail: what happened, told as messages of DICOM PS3.15 section A.5 to who keeps them.

What is promised: when a method returns, its messages outlive the process, a kill -9 included, and
a second later the machine. They are delivered in order and at least once; a destination that is
down holds up nobody. Where the spool itself fails (a full disk) they wait in memory, and are lost
with the process. An association that a kill interrupts has its beginnings told and no end.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from listener.audit_delivery import AuditDelivery, open_destination
from listener.audit_event import (
    End,
    Peer,
    Reporter,
    StudyPart,
    application_activity,
    begin_transferring,
    data_export,
    instances_accessed,
    instances_transferred,
)
from listener.audit_message import Action, AuditMessage, AuditSource, Indicator
from listener.audit_spool import AuditSpool
from listener.destination_settings import DestinationSettings
from listener.errors import AuditError, CannotUnderstandError, DeliveryError
from listener.file_meta import read_file_meta
from listener.header import Header, read_header
from listener.instance import patient_keys
from listener.reception import Reception, Receptions
from listener.refusals import Refusal, Refusals
from listener.settings import ListenerSettings

__all__ = ["Audit"]

_log = logging.getLogger("wristmir.audit")

_TICK_SECONDS = 1.0
_STOP_SECONDS = 2.0
_MOST_IN_MEMORY = 10000


class Audit:
    """The audit trail of one process; several may write one at the same time.

    Without a destination every method does nothing, and no file is made.

    Parameters
    ----------
    settings
        Names the destinations and the AE titles.
    site_key
        Key of the hashes that stand for patients.
    tells_of_life
        Whether the start and the stop of this process are told: not of a command that
        somebody gives, nor of each of several processes that are one service.

    Raises
    ------
    AuditError
        If what waits cannot be kept.
    """

    def __init__(
        self, settings: ListenerSettings, *, site_key: bytes, tells_of_life: bool = True
    ) -> None:
        self._tells_of_life = tells_of_life
        chosen = settings.audit
        titles = dict.fromkeys([*(t.ae_title for t in settings.titles), settings.calling_ae_title])
        source = AuditSource(chosen.source_id, chosen.site_id)
        self._own = Reporter(source, socket.gethostname(), tuple(titles))
        self._site_key = site_key
        self._receptions = Receptions(self.patient_key, self._began, self._ended)
        self._refusals = Refusals()
        self._unspooled: deque[AuditMessage] = deque()
        self._stopping = threading.Event()
        self._is_unsynced = threading.Event()
        self._keeper: threading.Thread | None = None
        self._spool: AuditSpool | None = None
        self._deliveries: tuple[AuditDelivery, ...] = ()
        if chosen.destinations:
            path = settings.audit_spool
            names = [destination.name for destination in chosen.destinations]
            self._spool = AuditSpool(path, names, chosen.max_waiting)
            self._deliveries = tuple(
                AuditDelivery(
                    one.name,
                    open_destination(one, self._own.host),
                    self._spool,
                    path.with_name(f"{one.name}.lock"),
                )
                for one in chosen.destinations
            )

    @classmethod
    def off(cls) -> Audit:
        """Return an audit trail that is not kept."""
        return cls(ListenerSettings(state_dir=Path()), site_key=b"")

    @property
    def is_kept(self) -> bool:
        """Whether there is an audit trail at all."""
        return self._spool is not None

    def __enter__(self) -> Audit:
        """Begin to deliver, and tell that the application starts."""
        if self._spool is not None:
            for delivery in self._deliveries:
                delivery.start()
            self._keeper = threading.Thread(target=self._keep, name="audit", daemon=True)
            self._keeper.start()
            self._tell_activity(started=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell that the application stops; deliver for two seconds at the most."""
        if self._spool is None or self._keeper is None:
            return
        self._tell_refusals(at_once=True)
        self._tell_activity(started=False)
        self._stopping.set()
        self._keeper.join()
        for delivery in self._deliveries:
            delivery.stop(_STOP_SECONDS)
        for delivery in self._deliveries:
            delivery.join(2 * _STOP_SECONDS)
        if not any(delivery.is_alive() for delivery in self._deliveries):
            self._spool.close()

    def refused(self, calling: str, address: str, words: str) -> None:
        """Tell that a node was turned away: its association, or its TLS connection.

        Parameters
        ----------
        calling
            The AE title that it gave, or an empty string.
        words
            Why, in words of our own.
        """
        self.turned_away(Refusal(Peer(calling.strip(" ")[:16], address), words))

    def turned_away(self, refusal: Refusal) -> None:
        """Tell of a refusal, at once or in the number of those like it: see `listener.refusals`."""
        if self._spool is None:
            return
        told = self._refusals.note(refusal)
        if told is not None:
            self._put(told.message(self._own, _now()))

    def tell(self, event: Callable[[Reporter, datetime], AuditMessage]) -> None:
        """Tell an event that is described elsewhere; it is made only where a trail is kept.

        Parameters
        ----------
        event
            Makes the message, given who reports and the time.
        """
        if self._spool is not None:
            self._put(event(self._own, _now()))

    def patient_key(self, header: Header) -> str:
        """Return the keyed hash that stands for a header's patient."""
        return patient_keys(self._site_key, header)[0]

    def reception(
        self, calling: str, address: str, called: str, *, encrypted: bool | None = None
    ) -> Reception:
        """Return what tells of one association that stores."""
        return Reception(self._receptions, Peer(calling, address, encrypted), called)

    @contextmanager
    def sending(
        self, destination: DestinationSettings, paths: Sequence[Path], title: str
    ) -> Iterator[None]:
        """Tell of files that are sent in the block: that it begins, and how it ends.

        Parameters
        ----------
        title
            The AE title that they are sent under.
        """
        peer = Peer(destination.ae_title, destination.host, destination.tls)
        parts = self.parts(paths)
        for part in parts:
            self._put(begin_transferring(self._own, _now(), peer, title, part, sends=True))
        end = _INTERRUPTED
        try:
            yield
            end = End(Action.READ)
        except DeliveryError as error:
            end = End(Action.READ, Indicator.SERIOUS_FAILURE, str(error))
            raise
        finally:
            for part in parts:
                told = instances_transferred(self._own, _now(), peer, title, part, end, sends=True)
                self._put(told)

    @contextmanager
    def exporting(
        self, destination: DestinationSettings, paths: Sequence[Path], title: str
    ) -> Iterator[None]:
        """Tell of library copies that leave in the block; see `sending`."""
        peer = Peer(destination.ae_title, destination.host, destination.tls)
        parts = self.parts(paths)
        end = _INTERRUPTED
        try:
            yield
            end = End(Action.READ)
        except DeliveryError as error:
            end = End(Action.READ, Indicator.SERIOUS_FAILURE, str(error))
            raise
        finally:
            if parts:
                port = destination.port
                self._put(data_export(self._own, _now(), peer, port, title, parts, end))

    def parts(self, paths: Sequence[Path]) -> tuple[StudyPart, ...]:
        """Return the studies that files are of; one that cannot be read is left to its sender.

        Without an audit trail there are none to be told.
        """
        if self._spool is None:
            return ()
        parts: dict[tuple[str, str], Counter[str]] = {}
        for path in paths:
            try:
                with path.open("rb") as stream:
                    header = read_header(stream, read_file_meta(stream).transfer_syntax)
            except (OSError, CannotUnderstandError):
                continue
            whose = (header.study_uid, self.patient_key(header))
            parts.setdefault(whose, Counter())[header.sop_class_uid] += 1
        return tuple(StudyPart(*whose, by_class) for whose, by_class in parts.items())

    def looked_up(self, copy_uid: str, study_uid: str | None, patient_key: str) -> None:
        """Tell that somebody asked what a library copy was made of.

        Parameters
        ----------
        study_uid
            The study that the answer names; None where there is no such copy.
        patient_key
            What stands for its patient; may be empty.
        """
        if self._spool is None:
            return
        source = None if study_uid is None else StudyPart(study_uid, patient_key)
        self._put(instances_accessed(self._own, _now(), copy_uid, source))

    def _began(self, peer: Peer, title: str, part: StudyPart) -> None:
        if self._spool is not None:
            self._put(begin_transferring(self._own, _now(), peer, title, part, sends=False))

    def _ended(self, peer: Peer, title: str, part: StudyPart, end: End) -> None:
        if self._spool is not None:
            told = instances_transferred(self._own, _now(), peer, title, part, end, sends=False)
            self._put(told)

    def _put(self, message: AuditMessage) -> None:
        """Spool a message; whatever becomes of that, nobody is held up."""
        if self._spool is None:
            return
        try:
            if self._unspooled:
                raise AuditError  # in order: it goes behind those that wait in memory
            self._spool_one(self._spool, message)
        except AuditError as error:
            self._keep_in_memory(message, error)
        for delivery in self._deliveries:
            delivery.wake()

    def _spool_one(self, spool: AuditSpool, message: AuditMessage) -> None:
        ended_well = message.event.indicator is Indicator.SUCCESS
        spool.put(message.event.at, message.xml(), is_warning=not ended_well)
        self._is_unsynced.set()

    def _keep_in_memory(self, message: AuditMessage, error: AuditError) -> None:
        if not self._unspooled:
            _log.error("audit messages wait in memory: %s", error.detail)
        if len(self._unspooled) < _MOST_IN_MEMORY:
            self._unspooled.append(message)
        else:
            _log.error("an audit message is lost: too many wait in memory")

    def _keep(self) -> None:
        """Once a second, bring to the disk what was put, and tell what is due."""
        while not self._stopping.wait(_TICK_SECONDS):
            self._tell_refusals()
            self._settle()
        until = time.monotonic() + _STOP_SECONDS
        self._settle()
        while self._unspooled and time.monotonic() < until:  # another process has the spool in hand
            time.sleep(0.05)
            self._settle()

    def _tell_activity(self, *, started: bool) -> None:
        if self._tells_of_life:
            self._put(application_activity(self._own, _now(), started=started))

    def _settle(self) -> None:
        if self._spool is None:
            return
        try:
            while self._unspooled:  # nobody else takes from it
                self._spool_one(self._spool, self._unspooled[0])
                self._unspooled.popleft()
            if self._is_unsynced.is_set():
                self._is_unsynced.clear()
                self._spool.sync()
        except AuditError as error:
            self._is_unsynced.set()
            _log.warning("audit messages are not on the disk yet: %s", error.detail)

    def _tell_refusals(self, *, at_once: bool = False) -> None:
        for refusal in self._refusals.due(at_once=at_once):
            self._put(refusal.message(self._own, _now()))


_INTERRUPTED = End(Action.READ, Indicator.SERIOUS_FAILURE, "interrupted")


def _now() -> datetime:
    return datetime.now(UTC)
