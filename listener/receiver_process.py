"""One of several receiver processes: started, spoken with and ended over a socket pair.

It is a program of its own (``python -m listener.receiver_process``), so that it holds what
receiving needs and nothing else. It ends when the line to the service that started it is closed,
by whatever.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from listener.arrivals import Arrivals
from listener.audit import Audit
from listener.errors import ListenerError, ReceiverProcessError
from listener.holdings import Holdings
from listener.inbox import Inbox
from listener.ledger import Ledger
from listener.listening_socket import ListeningSockets, listening
from listener.places import Places
from listener.probe import Probe
from listener.procedure_step import StepTerms
from listener.receiver import Receiver
from listener.retrieval import Terms
from listener.settings import ListenerSettings
from listener.storage import Storage
from listener.tls import Credentials

__all__ = ["ReceiverProcess", "Share", "main"]

_log = logging.getLogger("wristmir.listener")

_LOOPBACK = "127.0.0.1"
_MOST_DESCRIPTORS = 3
_LENGTH = struct.Struct("!Q")
_PORT = struct.Struct("!H")
_RELOAD = b"r"
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Share:
    """What a receiver process is told of its work; everything in it can be pickled.

    ``prepare`` is called first there: it sets up the log.
    """

    settings: ListenerSettings
    site_key: bytes
    is_own: Callable[[str], bool]
    probe: Probe
    prepare: Callable[[], object]
    holdings: Holdings


class ReceiverProcess:
    """A receiver process, as the service sees it that starts it.

    Parameters
    ----------
    share
        What it is told.
    sockets, places
        What it shares with the others.

    Raises
    ------
    ReceiverProcessError
        If it cannot be started.
    """

    def __init__(self, share: Share, sockets: ListeningSockets, places: Places) -> None:
        self._line, theirs = socket.socketpair()
        self._port: int | None = None
        self._hearing = threading.Lock()
        with theirs:
            command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
            try:
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
                _hand_over(self._line, share, sockets, places)
            except OSError as error:
                self._line.close()
                msg = f"It cannot be started: {type(error).__name__}."
                raise ReceiverProcessError(msg) from None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit status, less than 0 for a signal; None while it runs."""
        return self._process.poll()

    def address(self, timeout_seconds: float = 0.0) -> tuple[str, int] | None:
        """Return where it can be probed; None where it is not ready in time."""
        with self._hearing, suppress(OSError, ValueError):  # the line may be closed by now
            if self._port is None and select.select([self._line], [], [], timeout_seconds)[0]:
                said = self._line.recv(_PORT.size, socket.MSG_WAITALL)
                if len(said) == _PORT.size:
                    self._port = _PORT.unpack(said)[0]
        return None if self._port is None else (_LOOPBACK, self._port)

    def reload(self) -> None:
        """Have it read the files for TLS anew."""
        with suppress(OSError):  # one that is gone is started anew, and reads them then
            self._line.send(_RELOAD, socket.MSG_DONTWAIT)

    def dismiss(self) -> None:
        """Tell it to stop; see `end`."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def end(self, seconds: float) -> None:
        """Wait so long for it to stop, then kill it."""
        self.dismiss()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._line.close()

    def kill(self) -> None:
        """End it at once; what it has acknowledged is on disk."""
        self._process.kill()


def main(descriptor: int) -> int:
    """Be a receiver process; return the exit status.

    Parameters
    ----------
    descriptor
        The line to the service that has started it.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the service hears them, and passes them on
    try:
        with socket.socket(fileno=descriptor) as line:
            return _serve(line)
    except ListenerError as error:
        _log.error("a receiver process cannot go on: %s", error)
        return 1


def _hand_over(
    line: socket.socket, share: Share, sockets: ListeningSockets, places: Places
) -> None:
    kinds = (sockets.plain is not None, sockets.secure is not None)
    told = pickle.dumps((share, kinds))
    listened = (one.fileno() for one in (sockets.plain, sockets.secure) if one is not None)
    socket.send_fds(line, [_LENGTH.pack(len(told))], [places.fileno(), *listened])
    line.sendall(told)


def _taken_up(line: socket.socket) -> tuple[Share, ListeningSockets, Places]:
    length, descriptors, _, _ = socket.recv_fds(line, _LENGTH.size, _MOST_DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    told = line.recv(_LENGTH.unpack(length)[0], socket.MSG_WAITALL)
    # it comes from the process that started this one, over a line that nobody else has
    share, (is_plain, is_secure) = pickle.loads(told)  # noqa: S301
    places, *rest = descriptors
    listened = iter([socket.socket(fileno=descriptor) for descriptor in rest])
    sockets = ListeningSockets(
        next(listened) if is_plain else None, next(listened) if is_secure else None
    )
    return share, sockets, Places(share.settings.max_associations, places)


def _serve(line: socket.socket) -> int:
    """Receive until the line is closed; return the exit status."""
    share, sockets, places = _taken_up(line)
    share.prepare()
    settings = share.settings
    credentials = Credentials(settings.tls, share.probe.identity) if settings.tls.is_on else None
    with (
        closing(places),
        Ledger(settings.ledger_url) as ledger,
        Audit(settings, site_key=share.site_key, tells_of_life=False) as audit,
    ):
        arrivals = Arrivals(ledger, settings.titles)
        storage = Storage(
            ledger,
            Inbox.of(settings),
            arrivals,
            site_key=share.site_key,
            is_own=share.is_own,
            audit=audit,
            terms=Terms.of(settings, share.holdings),
            step_terms=StepTerms.of(settings),
        )
        receiver = Receiver(settings, storage, places, share.probe, credentials)
        private = listening(_LOOPBACK, 0)
        receiver.start(sockets, private)
        try:
            line.sendall(_PORT.pack(private.getsockname()[1]))
            return _until_dismissed(line, receiver, arrivals)
        except OSError:  # the service is gone already
            return 0
        finally:
            receiver.stop()


def _until_dismissed(line: socket.socket, receiver: Receiver, arrivals: Arrivals) -> int:
    while True:
        if select.select([line], [], [], _LOOK_SECONDS)[0]:
            if line.recv(1) != _RELOAD:
                return 0
            receiver.reload()
        if not receiver.is_accepting:
            _log.error("a receiver process no longer accepts connections")
            return 1
        try:
            arrivals.tell_again()
        except SQLAlchemyError as error:
            _log.error("the ledger cannot be written: %s", type(error).__name__)


if __name__ == "__main__":
    # what was handed over names this module, and not the program that it also is
    from listener.receiver_process import main

    sys.exit(main(int(sys.argv[1])))
