"""C-STORE of files to a destination, and C-ECHO."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pynetdicom import build_role, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification

from listener.commitment import Reference
from listener.destination_settings import DestinationSettings
from listener.errors import (
    CannotUnderstandError,
    DeliveryError,
    EchoError,
    ListenerError,
    NoContextError,
)
from listener.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    FileMeta,
    read_file_meta,
)
from listener.tls import SecureSocket, client_context
from listener.turnstile import Turnstile

__all__ = [
    "SentInstance",
    "associate",
    "associated",
    "close",
    "echo",
    "next_message",
    "paused",
    "reference",
    "release",
    "send",
    "send_each",
]

_log = logging.getLogger("wristmir.listener")

_PAUSE_SECONDS = 0.2
_MOST_CONTEXTS = 128  # presentation context ids are the odd numbers of a byte
WARNINGS = frozenset({0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007})


@dataclass(frozen=True)
class SentInstance:
    """One delivered object; a status other than 0x0000 is one of the warnings."""

    sop_instance_uid: str
    sop_class_uid: str
    status: int


def send(
    destination: DestinationSettings, paths: Sequence[Path], calling_ae: str
) -> tuple[SentInstance, ...]:
    """Send files in their order and return what became of each.

    Bytes go out as they lie in the file, in its own transfer syntax. Sending the same files again
    is harmless: a destination that has them answers with success.

    Raises
    ------
    DeliveryError
        If a file is no DICOM file, the destination cannot be reached, does not accept an object's
        class and syntax, or refuses an object; names destination and status only.
    """
    sent: list[SentInstance] = []
    for batch in _batches([_read(path) for path in paths]):
        try:
            association = associate(destination, calling_ae, {o.context for o in batch})
        except ListenerError as error:
            msg = f"Destination {destination.name}: {error.detail}"
            raise DeliveryError(msg) from None
        try:
            sent += [_store(association, destination, o, n) for n, o in enumerate(batch, 1)]
            association.release()
        finally:
            close(association)
    _log.info("%d objects delivered to %s", len(sent), destination.name)
    return tuple(sent)


def send_each(
    destination: DestinationSettings,
    paths: Sequence[Path],
    calling_ae: str,
    originator: tuple[str, int],
) -> Iterator[tuple[Path, int | None]]:
    """Send files and yield what each was answered with; None where it was with nothing.

    What cannot be read comes first. Whoever stops listening ends it.

    Parameters
    ----------
    originator
        AE title and Message ID of the C-MOVE that has it done (DICOM PS3.7 section 9.3.1.1).
    """
    objects: list[_Object] = []
    for path in paths:
        try:
            objects.append(_read(path))
        except DeliveryError:
            yield path, None
    for batch in _batches(objects):
        try:
            association = associate(destination, calling_ae, {o.context for o in batch})
        except ListenerError as error:
            _log.warning("destination %s: %s", destination.name, error.detail)
            yield from ((item.path, None) for item in batch)
            continue
        try:
            for number, item in enumerate(batch, 1):
                yield item.path, _status(association, item, number, originator)
        finally:
            release(association)
            close(association)


def reference(path: Path) -> Reference:
    """Return how a storage commitment transaction names a file that was sent.

    Raises
    ------
    DeliveryError
        If it cannot be read.
    """
    meta = _read(path).meta
    return Reference(meta.sop_class_uid, meta.sop_instance_uid)


def echo(
    host: str,
    port: int,
    calling: str,
    called: str,
    timeout_seconds: float = 5.0,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Ask a DICOM service whether it lives (C-ECHO), over TLS where there is a context for it.

    Raises
    ------
    EchoError
        If it cannot be reached, rejects the association or does not answer with success.
    """
    there = DestinationSettings(
        name="echo", ae_title=called, host=host, port=port, timeout_seconds=timeout_seconds
    )
    try:
        association = associate(there, calling, {(str(Verification), _IMPLICIT)}, tls=tls)
    except ListenerError as error:
        raise EchoError(error.detail[:1].upper() + error.detail[1:]) from None
    try:
        status = association.send_c_echo()
        if status.get("Status") != 0x0000:
            msg = f"{host} port {port} did not answer with success."
            raise EchoError(msg)
        association.release()
    finally:
        close(association)


@contextmanager
def associated(
    there: DestinationSettings, calling_ae: str, contexts: set[tuple[str, str]]
) -> Iterator[Association]:
    """Hold an association as requestor until the block ends, then release it.

    Parameters
    ----------
    contexts
        Abstract and transfer syntax of each presentation context.

    Raises
    ------
    ListenerError
        If there is none to be had; names no more than the reason.
    """
    association = associate(there, calling_ae, contexts)
    try:
        yield association
        if association.is_established:
            association.release()
    finally:
        close(association)


_IMPLICIT = "1.2.840.10008.1.2"


class _Entity(ApplicationEntity):
    """An application entity that sends at once, and whose socket can be closed."""

    connection: socket.socket
    host: str
    tls: ssl.SSLContext | None

    def _create_socket(self, *given: Any) -> Any:
        wrapped = super()._create_socket(*given)
        # Nagle's algorithm costs 40 ms an object with a peer that delays its ACKs
        wrapped.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:  # the handshake is made when it connects
            wrapped.socket = self.tls.wrap_socket(wrapped.socket, server_hostname=self.host)
        self.connection = wrapped.socket
        return wrapped


@dataclass(frozen=True)
class _Object:
    path: Path
    offset: int
    meta: FileMeta

    @property
    def context(self) -> tuple[str, str]:
        return self.meta.sop_class_uid, self.meta.transfer_syntax


def _read(path: Path) -> _Object:
    try:
        with path.open("rb") as stream:
            meta = read_file_meta(stream)
            return _Object(path, stream.tell(), meta)
    except (OSError, CannotUnderstandError) as error:
        msg = f"A file to be sent cannot be read: {type(error).__name__}."
        raise DeliveryError(msg) from None


def _batches(objects: Sequence[_Object]) -> Iterator[list[_Object]]:
    """Yield runs of objects that fit into one association's presentation contexts."""
    batch: list[_Object] = []
    contexts: set[tuple[str, str]] = set()
    for item in objects:
        if item.context not in contexts and len(contexts) == _MOST_CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(item)
        contexts.add(item.context)
    if batch:
        yield batch


def associate(
    there: DestinationSettings,
    calling: str,
    contexts: set[tuple[str, str]],
    *,
    tls: ssl.SSLContext | None = None,
    as_scp: str | None = None,
    on_event_report: Callable[[evt.Event], tuple[int, None]] | None = None,
) -> Association:
    """Open an association, which the caller closes.

    Parameters
    ----------
    contexts
        Pairs of SOP class and transfer syntax.
    tls
        What TLS is spoken with; None for what the destination's own settings say.
    as_scp
        A SOP class whose SCP role is asked for by role selection (DICOM PS3.7 annex D.3.3.4).
    on_event_report
        Answers an N-EVENT-REPORT, in a thread of its own.

    Raises
    ------
    NoContextError
        If the peer accepts none of the contexts.
    ListenerError
        If it cannot be reached or rejects the association; names no host.
    """
    ae = _Entity(calling)
    ae.host, ae.tls = there.host, tls or client_context(there)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = there.timeout_seconds
    ae.connection_timeout = there.timeout_seconds
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    proposed = []
    for sop_class_uid, transfer_syntax in sorted(contexts):
        context = PresentationContext()
        context.abstract_syntax = sop_class_uid
        context.transfer_syntax = [transfer_syntax]
        proposed.append(context)
    roles: list[Any] = [] if as_scp is None else [build_role(as_scp, scp_role=True)]
    handlers: list[Any] = []
    if on_event_report is not None:
        handlers = [(evt.EVT_N_EVENT_REPORT, on_event_report)]
    try:
        association = ae.associate(
            there.host,
            there.port,
            contexts=proposed,
            ae_title=there.ae_title,
            ext_neg=roles,
            evt_handlers=handlers,
        )
    except OSError as error:  # the name is not known
        msg = f"its host cannot be resolved ({type(error).__name__})."
        raise ListenerError(msg) from None
    if not association.is_established:
        reason = _why_not(association)
        close(association)
        raise reason
    association._reactor_checkpoint = cast("threading.Event", Turnstile(association))
    return association


def _why_not(association: Association) -> ListenerError:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        msg = (
            f"it rejected the association (result {answer.result}, source "
            f"{answer.result_source}, reason {answer.diagnostic})."
        )
        return ListenerError(msg)
    if association.is_aborted and answer is not None:
        return NoContextError("it accepts none of the presentation contexts.")
    connection = association.ae.connection
    if isinstance(connection, SecureSocket) and connection.failure is not None:
        return ListenerError(f"TLS: {connection.failure}.")
    return ListenerError("it cannot be reached or does not answer.")


def _store(
    association: Association, destination: DestinationSettings, item: _Object, message_id: int
) -> SentInstance:
    status = _status(association, item, message_id)
    if status is None:
        msg = f"Destination {destination.name} accepts no object of this class and syntax."
        if association.is_established:
            raise DeliveryError(msg)
        msg = f"Destination {destination.name} did not answer."
        raise DeliveryError(msg)
    if status != 0x0000 and status not in WARNINGS:
        msg = f"Destination {destination.name} refused an object with status 0x{status:04X}."
        raise DeliveryError(msg)
    return SentInstance(item.meta.sop_instance_uid, item.meta.sop_class_uid, status)


def _status(
    association: Association,
    item: _Object,
    message_id: int,
    originator: tuple[str, int] | None = None,
) -> int | None:
    """Send one object and return the destination's status; None where there is none.

    pynetdicom's own `send_c_store` decodes and encodes the data set again, unless a setting of
    the whole process says otherwise; so its request is made here.
    """
    ids = [
        c.context_id
        for c in association.accepted_contexts
        if (str(c.abstract_syntax), str(c.transfer_syntax[0])) == item.context
    ]
    if not ids or not association.is_established:
        return None
    request = C_STORE()
    request.MessageID = message_id % 65536
    request.Priority = 0x0000
    request.AffectedSOPClassUID = item.meta.sop_class_uid
    request.AffectedSOPInstanceUID = item.meta.sop_instance_uid
    if originator is not None:
        request.MoveOriginatorApplicationEntityTitle = originator[0]
        request.MoveOriginatorMessageID = originator[1]
    request._dataset_path = (item.path, item.offset)
    with paused(association):
        association.dimse.send_msg(request, ids[0])
        response = next_message(association, association.dimse_timeout)
    if response is None:
        association.abort()
        return None
    return int(response.Status) if response.is_valid_response else None


@contextmanager
def paused(association: Association) -> Iterator[None]:
    """Keep the association's own thread from taking messages.

    A thread that has answered an N-EVENT-REPORT says that this one runs on, though it is paused:
    waiting for it would never end, so it is let run and paused again.
    """
    tries_until = time.monotonic() + _PAUSE_SECONDS
    association._reactor_checkpoint.clear()
    try:
        while not association._is_paused and association.is_alive():
            time.sleep(0.0001)
            if time.monotonic() > tries_until:
                tries_until += _PAUSE_SECONDS
                association._reactor_checkpoint.set()
                time.sleep(0.01)
                association._reactor_checkpoint.clear()
        yield
    finally:
        association._reactor_checkpoint.set()


def release(association: Association) -> None:
    """Release an association on which an N-EVENT-REPORT may just have been answered."""
    if association.is_established:
        with paused(association):
            association.acse.negotiate_release()


def next_message(association: Association, seconds: float) -> Any:
    """Wait for a message as long as there is a connection; pynetdicom would wait on without."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _, message = association.dimse.get_msg(block=False)
        if message is not None or association.acse.is_aborted():
            return message
        time.sleep(0.0005)
    return None


def close(association: Association) -> None:
    """End an association in whatever state it is, with its threads and its socket."""
    if association.is_established:
        association.abort()
    for thread in (association, association.dul):
        if thread.is_alive():
            thread.join(timeout=5)
    association.ae.connection.close()  # one that never was connected is left open otherwise
