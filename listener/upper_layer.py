"""The network thread of an association (DICOM PS3.8), without polling and without copies.

pynetdicom 3.0.4 reads 4 KiB at a time, decodes every PDU into objects that hold its bytes three
times over, and sleeps a millisecond whenever there is nothing to do. These parts subclass its own
and keep its state machine: what comes while data are transferred (state 6) is passed on fragment
by fragment as it leaves the socket, everything else is decoded as ever.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.timer import Timer
from pynetdicom.transport import AssociationSocket

from listener.errors import PeerConnectionError
from listener.tls import SecureSocket

__all__ = [
    "BUFFER_BYTES",
    "BoundedSocket",
    "Checkpoint",
    "FragmentSink",
    "SteadyTimer",
    "UpperLayer",
]

_log = logging.getLogger("wristmir.listener")

BUFFER_BYTES = 256 * 1024
"""What is read at once at the most."""

_LONGEST_WAIT_SECONDS = 0.25  # timers are looked at so often
_PUNCTUAL = 0.9  # of the time for a PDU: so exactly is a deadline kept
_DATA_TRANSFER = "Sta6"
_ENDED = frozenset({"Sta1", "Sta13"})
_P_DATA_TF = 0x04


class FragmentSink(Protocol):
    """Takes message fragments (DICOM PS3.8 annex E) as they come."""

    def take(self, context_id: int, control: int, piece: memoryview, *, is_end: bool) -> None:
        """Take a piece of a fragment; the memory is used again afterwards.

        Raises
        ------
        PeerConnectionError
            If the peer broke a rule: the association is aborted.
        """


class BoundedSocket(AssociationSocket):
    """Reads with a bound and a deadline, through a buffer of its own."""

    most_bytes: int
    seconds: float
    has_received = False
    _buffer: memoryview
    _start: int
    _end: int

    def prepare(self, most_bytes: int, seconds: float) -> None:
        """Set what a plain socket does not have."""
        self.most_bytes = most_bytes
        self.seconds = seconds
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0

    @property
    def buffered(self) -> int:
        """Bytes that came and were not read yet."""
        return self._end - self._start

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        if self.buffered:
            return True
        ready = bool(super().ready)
        return ready and (not isinstance(self.socket, SecureSocket) or self.socket.has_data())

    @property
    def holds_data(self) -> bool:
        """Whether there is something to read of which the kernel knows nothing any more."""
        return bool(self.buffered) or (isinstance(self.socket, SecureSocket) and self.ready)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or what came before the peer closed.

        Raises
        ------
        PeerConnectionError
            If the peer declares too large a PDU or does not complete it in time.
        """
        self.check(nr_bytes)
        deadline = time.monotonic() + self.seconds
        received = bytearray()
        while len(received) < nr_bytes:
            piece = self.piece(nr_bytes - len(received), deadline)
            if not piece:
                break
            received += piece
        return received

    def exactly(self, size: int, deadline: float) -> bytes:
        """Read so few bytes that they fit the buffer.

        Raises
        ------
        PeerConnectionError
            If they do not come in time, or the peer closed before.
        """
        while self.buffered < size:
            if not self._fill(deadline):
                msg = "It closed within a PDU."
                raise _broken(msg)
        start, self._start = self._start, self._start + size
        return bytes(self._buffer[start : self._start])

    def piece(self, most: int, deadline: float) -> memoryview:
        """Return what has come, up to so many bytes; empty where the peer closed.

        The memory is used again by the next call.

        Raises
        ------
        PeerConnectionError
            If nothing comes in time.
        """
        if not self.buffered and not self._fill(deadline):
            return self._buffer[:0]
        start, self._start = self._start, min(self._end, self._start + most)
        return self._buffer[start : self._start]

    def peek(self) -> int | None:
        """Return the next byte without taking it; None where the peer closed.

        Raises
        ------
        PeerConnectionError
            If none comes in time.
        """
        if not self.buffered and not self._fill(time.monotonic() + self.seconds):
            return None
        return self._buffer[self._start]

    def check(self, declared: int) -> None:
        """Refuse a PDU that is declared too long.

        Raises
        ------
        PeerConnectionError
            If it is.
        """
        if declared > self.most_bytes:
            msg = f"It declared a PDU of {declared} bytes."
            raise _broken(msg)

    def _fill(self, deadline: float) -> bool:
        """Wait for more; False where the peer closed."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == BUFFER_BYTES:
            rest = self.buffered
            self._buffer[:rest] = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, rest
        count = self._received_by(deadline)
        self._end += count
        self.has_received = self.has_received or count > 0
        return count > 0

    def _received_by(self, deadline: float) -> int:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or self.socket is None:
                msg = "It did not complete a PDU in time."
                raise _broken(msg)
            # the socket's own time is this one, also for sending to a peer that does not read: it
            # is changed, by two calls of the kernel, for what is late alone
            is_late = left < _PUNCTUAL * self.seconds
            if is_late:
                self.socket.settimeout(left)
            try:
                count: int = self.socket.recv_into(self._buffer[self._end :])
            except TimeoutError:
                continue
            if is_late:
                self.socket.settimeout(self.seconds)
            return count

    def _shutdown_socket(self) -> None:
        if isinstance(self.socket, SecureSocket):
            self.socket.take_leave()
        super()._shutdown_socket()


def _broken(rule: str) -> PeerConnectionError:
    """Return the error for a peer that broke a rule, and say it: the library drops it."""
    error = PeerConnectionError(rule)
    _log.warning("a connection is cut: %s", error)
    return error


class SteadyTimer(Timer):
    """Runs on the clock that never jumps; by the library's a jump ends, or keeps, all there is."""

    _start_time: float | None
    _end_time: float | None

    @property
    def remaining(self) -> float:
        """Return the seconds until it expires; 1 where it never does."""
        if self.timeout is None:
            return 1.0
        if self._start_time is None:
            return float(self.timeout)
        until = time.monotonic() if self._end_time is None else self._end_time
        return float(self.timeout - (until - self._start_time))

    def start(self) -> None:
        """Begin anew."""
        self._start_time = time.monotonic()
        self._end_time = None

    def stop(self) -> None:
        """Stand still."""
        self._end_time = time.monotonic()


class UpperLayer(DULServiceProvider):
    """The network thread; its failures end one association and print nothing.

    It sleeps in the kernel until the peer or the association's own thread has something for it.
    """

    sink: FragmentSink
    activity: threading.Event
    _wake: int
    _wake_lock: threading.Lock
    _busy: bool
    _deadline: float

    def prepare(self, sink: FragmentSink) -> None:
        """Set what a plain provider does not have."""
        self.sink = sink
        self.activity = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_lock = threading.Lock()
        self._busy = False
        self.to_provider_queue = _SignallingQueue(self.wake)
        self.to_user_queue = _SignallingQueue(self.activity.set)

    def run(self) -> None:
        """Run until the association is over."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - the one place where a network thread ends
            _log.warning("a connection failed: %s", type(error).__name__)
            self.say_abort()
            self._kill_thread = True
        finally:
            self.activity.set()

    def say_abort(self) -> None:
        """Tell the peer, past the state machine, that this is the end (DICOM PS3.8 section 9.3.8).

        For what failed in a way that the library does not foresee, before the connection is cut.
        """
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00  # the provider; no reason
        if self.socket is not None:
            self.socket.send(abort.encode())

    def kill_dul(self) -> None:
        """Have the thread end."""
        super().kill_dul()
        self.wake()

    def wake(self) -> None:
        """Have the thread look what there is to do."""
        with self._wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def dispose(self) -> None:
        """Give back what it held, once the thread has ended."""
        with self._wake_lock, suppress(OSError):
            wake, self._wake = self._wake, -1
            if wake >= 0:
                os.close(wake)

    def idle_timer_expired(self) -> bool:
        """Tell whether the peer has been silent for too long; not while we keep it waiting."""
        expired: bool = self._idle_timer.expired
        return expired and not self._busy

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """Return the next primitive; waiting ends with the connection, not with the timeout."""
        primitive = super().receive_pdu(wait=False)
        if not wait or timeout is None:
            return primitive
        deadline = time.monotonic() + timeout
        connected = False
        while primitive is None and time.monotonic() < deadline and self.is_alive():
            primitive = super().receive_pdu(wait=True, timeout=0.02)
            idle = self.state_machine.current_state == "Sta1"
            if connected and idle and primitive is None:
                break
            connected = connected or not idle
        return primitive or super().receive_pdu(wait=False)

    @property
    def _run_loop_delay(self) -> float:
        """How long to sleep where there is nothing to do: pynetdicom's loop asks before each look.

        The waiting is done here, until there is something, and none is left.
        """
        is_own = threading.current_thread() is self
        if not is_own or self._kill_thread or self.state_machine.current_state in _ENDED:
            return 0.001
        connection = None if self.socket is None else self.socket.socket
        if connection is None or self.socket.holds_data:
            return 0.0
        try:
            select.select([connection, self._wake], [], [], _LONGEST_WAIT_SECONDS)
        except (OSError, ValueError):  # it was closed meanwhile; the loop will see
            return 0.001
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        return 0.0

    def _read_pdu_data(self) -> None:
        """Read what the peer sent; data go on as they come, one PDU or as many as are here."""
        while self.state_machine.current_state == _DATA_TRANSFER and self._sees_data():
            try:
                is_sound = self._pass_on()
                self._idle_timer.restart()
            except OSError:
                self.event_queue.put("Evt17")
                return
            if not is_sound:
                self.event_queue.put("Evt19")  # A-ABORT, DICOM PS3.8 table 9-10
                return
            is_more = self.socket.buffered >= _HEADER_BYTES
            if not is_more or self.to_provider_queue.qsize() or self._kill_thread:
                return
        super()._read_pdu_data()

    def _sees_data(self) -> bool:
        """Tell whether a P-DATA-TF begins here; what is no PDU at all is pynetdicom's to refuse."""
        with suppress(OSError):
            return bool(self.socket.peek() == _P_DATA_TF)
        return False

    def _pass_on(self) -> bool:
        """Pass the fragments of a P-DATA-TF on (DICOM PS3.8 section 9.3.5); False: it is none.

        Raises
        ------
        PeerConnectionError
            If it is too long, or not complete in time.
        """
        incoming = self.socket
        self._deadline = time.monotonic() + incoming.seconds
        left = int.from_bytes(incoming.exactly(_HEADER_BYTES, self._deadline)[2:], "big")
        incoming.check(left)
        while left:
            if left < _ITEM.size:
                return False
            head = incoming.exactly(_ITEM.size, self._deadline)
            length, context_id, control = _ITEM.unpack(head)
            left -= _ITEM.size
            size = length - 2  # context and control are counted
            if not 0 <= size <= left:
                return False
            left -= size
            if not self._take(context_id, control, size):
                return False
        return True

    def _take(self, context_id: int, control: int, size: int) -> bool:
        """Give the sink one fragment, in pieces as they come; False where it refuses it."""
        while True:
            piece = self.socket.piece(size, self._deadline) if size else memoryview(b"")
            if size and not piece:
                msg = "It closed within a PDU."
                raise _broken(msg)
            size -= len(piece)
            self._busy, began = True, time.monotonic()
            try:
                self.sink.take(context_id, control, piece, is_end=not size)
            except PeerConnectionError as error:
                _log.warning("an association is aborted: %s", error)
                return False
            finally:
                self._busy = False
                self._deadline += time.monotonic() - began  # that was our time, not the peer's
            if not size:
                return True


class Checkpoint(threading.Event):
    """Where an association's own thread waits for something to do, instead of looking every ms.

    It stands in for the event at which pynetdicom's loop can be held up.

    Parameters
    ----------
    activity
        Set where there is something.
    """

    def __init__(self, activity: threading.Event) -> None:
        super().__init__()
        self._activity = activity
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is something, and nobody holds the loop up."""
        self._activity.wait(_LONGEST_WAIT_SECONDS)
        self._activity.clear()
        return super().wait(timeout)


_HEADER_BYTES = 6
_ITEM = struct.Struct(">IBB")  # length, presentation context, message control header


class _SignallingQueue(queue.Queue[Any]):
    """A queue that says when something was put in."""

    def __init__(self, signal: Callable[[], None]) -> None:
        super().__init__()
        self._signal = signal

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._signal()
