"""The receiver as a service: start, ready, watchdog, stop."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from listener.arrivals import Arrivals
from listener.audit import Audit
from listener.errors import AddressError, EchoError
from listener.event_reports import EventReports
from listener.holdings import Holdings, NoHoldings
from listener.inbox import Inbox
from listener.ledger import Ledger
from listener.listening_socket import ListeningSockets
from listener.places import Places
from listener.probe import Probe
from listener.procedure_step import StepTerms
from listener.receiver import Receiver
from listener.receiver_process import Share
from listener.receiver_processes import ReceiverProcesses
from listener.reports import Reports
from listener.retrieval import Terms
from listener.sender import echo
from listener.settings import ListenerSettings
from listener.step_watch import StepWatch
from listener.storage import Storage
from listener.tls import Credentials

__all__ = ["Listener", "echo", "notify", "serve"]

_log = logging.getLogger("wristmir.listener")

_HOUSEKEEPING_SECONDS = 3600.0
_LONGEST_PROBE_SECONDS = 10.0
_LOOK_UP_SECONDS = 1.0


def _is_never(_sop_instance_uid: str) -> bool:
    return False


def _is_ready() -> None:
    """Prepare nothing."""


class Listener:
    """Receives into the inbox and the ledger, in threads of the calling process or in others.

    Parameters
    ----------
    settings
        Where, whom and within which bounds.
    ledger
        Stays the caller's to close.
    site_key
        Key of the hashes that stand for patients; the same for every process of a site.
    is_own
        Recognises the SOP Instance UIDs of objects that were made here: where a destination sends
        them back, they are neither kept nor taken for a request.
    audit
        Is told of associations; stays the caller's to start and stop. None for no audit trail.
    handed_over
        Listening sockets by their ports, to be used in place of own ones; they stay the caller's.
    prepare
        Called first in each process that is started; `is_own`, this and `holdings` can then be
        pickled.
    holdings
        Finds what was made here and is kept for peers that ask for it; None for nothing.

    Raises
    ------
    ListenerError
        If the inbox folder cannot be made, or the files for TLS cannot be used.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        ledger: Ledger,
        *,
        site_key: bytes,
        is_own: Callable[[str], bool] = _is_never,
        audit: Audit | None = None,
        handed_over: Mapping[int, socket.socket] | None = None,
        prepare: Callable[[], object] = _is_ready,
        holdings: Holdings | None = None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._handed_over = handed_over or {}
        self._arrivals = Arrivals(ledger, settings.titles)
        self._event_reports = EventReports(ledger, settings.destinations, audit=audit)
        self._inbox = Inbox.of(settings)
        steps = StepTerms.of(settings)
        self._steps = StepWatch(
            ledger, steps.shelf, settings.destinations, settings.procedure_steps
        )
        held = holdings or NoHoldings()
        self._storage = Storage(
            ledger,
            self._inbox,
            self._arrivals,
            site_key=site_key,
            is_own=is_own,
            audit=audit,
            terms=Terms.of(settings, held),
            step_terms=steps,
        )
        self._reports = Reports(settings, ledger, self._storage, site_key=site_key)
        probe = Probe.of(settings)
        self._share = Share(settings, site_key, is_own, probe, prepare, held)
        tls = settings.tls
        self._credentials = Credentials(tls, probe.identity) if tls.is_on else None
        self._places: Places | None = None
        self._receiver: Receiver | ReceiverProcesses | None = None
        self._address: tuple[str, int] | None = None
        self._tls_address: tuple[str, int] | None = None
        self._stopping = threading.Event()
        self._housekeeper: threading.Thread | None = None

    def __enter__(self) -> Listener:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on; the TLS ones where nothing else is spoken.

        Raises
        ------
        AddressError
            If the listener was not started.
        """
        if self._address is None:
            msg = "It is not listening."
            raise AddressError(msg)
        return self._address

    @property
    def hl7_address(self) -> tuple[str, int] | None:
        """Host and port where HL7 is listened for; None where it is not enabled.

        Raises
        ------
        AddressError
            If the listener was not started.
        """
        return None if self._reports.server is None else self._reports.server.address

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port where TLS is spoken; None where it is not."""
        return self._tls_address

    def start(self) -> None:
        """Clear up after the last run, then accept.

        Raises
        ------
        AddressError
            If the address cannot be bound.
        """
        sockets = ListeningSockets.open(self._settings, self._handed_over)
        self._address, self._tls_address = sockets.address, sockets.tls_address
        try:
            # who connects meanwhile waits; what came in between would look like a leftover
            swept = self._inbox.sweep()
            self._storage.reconcile(self._settings.titles)
            self._steps.sweep()
            self._receive(sockets)
            self._reports.start(self._handed_over)
            self._arrivals.start()
            self._event_reports.start()
            self._steps.start()
        except BaseException:
            self._reports.stop()
            self._stop_receiving()
            sockets.close()
            raise
        self._stopping.clear()
        self._housekeeper = threading.Thread(
            target=self._keep_house, name="housekeeper", daemon=True
        )
        self._housekeeper.start()
        _log.info("listening on %s port %d; %d orphans swept", *self.address, swept)
        if self.tls_address is not None:
            _log.info("TLS is spoken on port %d", self.tls_address[1])
        if self._settings.admit_anyone:
            _log.warning("anybody may associate: listener.admit_anyone is set")

    def stop(self) -> None:
        """Stop within three seconds; what was acknowledged is on disk, the rest is sent again.

        Other processes that receive are given five seconds more.
        """
        self._reports.stop()
        self._stop_receiving()
        self._arrivals.stop()
        self._event_reports.stop()
        self._steps.stop()
        self._stopping.set()
        if self._housekeeper is not None:
            self._housekeeper.join()
            self._housekeeper = None

    def probe(self, timeout_seconds: float = 5.0) -> None:
        """Ask itself, over the network, whether it lives: every process that receives.

        Raises
        ------
        EchoError
            If it does not answer in time.
        """
        if self._receiver is None:
            msg = "It is not listening."
            raise EchoError(msg)
        self._receiver.probe(timeout_seconds)

    def reload(self) -> None:
        """Read the files for TLS anew; open associations go on with the old ones."""
        if self._receiver is not None:
            self._receiver.reload()

    def _receive(self, sockets: ListeningSockets) -> None:
        settings, share = self._settings, self._share
        self._places = Places(settings.max_associations)
        if settings.processes == 1:
            self._receiver = Receiver(
                settings, self._storage, self._places, share.probe, self._credentials
            )
        else:
            self._receiver = ReceiverProcesses(
                share, self._places, self._credentials, self._take_up
            )
        self._receiver.start(sockets)

    def _stop_receiving(self) -> None:
        if self._receiver is not None:
            self._receiver.stop()
        if self._places is not None:
            self._places.close()
        self._receiver = self._places = self._address = self._tls_address = None

    def _take_up(self, process_id: int) -> None:
        """See to what a receiver process has left behind."""
        try:
            self._inbox.sweep(process_id)
            self._arrivals.take_up()
        except (OSError, SQLAlchemyError) as error:  # the arrivals' caps, or the next start
            _log.error("what it left cannot be seen to: %s", type(error).__name__)

    def _keep_house(self) -> None:
        while True:
            try:
                self._steps.forget()
                self._expire()
            except (OSError, SQLAlchemyError) as error:
                _log.error("retention failed: %s", type(error).__name__)
            if self._stopping.wait(_HOUSEKEEPING_SECONDS):
                return

    def _expire(self) -> None:
        age = timedelta(days=self._settings.retention_days)
        if not age:  # 0 days keep everything
            return
        expired = self._ledger.expire(age)
        forgotten = self._ledger.forget_jobs(age)
        self._ledger.transactions.forget(age)
        _log.info("instances expired: %d; jobs forgotten: %d", expired, forgotten)


def serve(listener: Listener, stop: threading.Event) -> None:
    """Run until ``stop`` is set, telling systemd what it wants to know.

    The watchdog is fed only after the listener has answered a real C-ECHO.
    """
    period = _watchdog_seconds()
    probe_seconds = min(_LONGEST_PROBE_SECONDS, (period or 60.0) / 3)
    with listener:
        notify("READY=1", f"STATUS=listening on port {listener.address[1]}")
        while not _is_over(stop, period / 3 if period else None):
            try:
                listener.probe(probe_seconds)
            except EchoError as error:
                _log.error("the watchdog is not fed: %s", error)
            else:
                notify("WATCHDOG=1")
        notify("STOPPING=1")


def _is_over(stop: threading.Event, seconds: float | None) -> bool:
    """Wait for the end, at most so long; looking up at times.

    Python runs a signal's handler in this thread, once it runs; a signal that comes on the way
    into a wait does not end it, and the service would be told to stop in vain.
    """
    until = time.monotonic() + seconds if seconds is not None else float("inf")
    while not stop.wait(max(0.0, min(_LOOK_UP_SECONDS, until - time.monotonic()))):
        if time.monotonic() >= until:
            return False
    return True


def notify(*lines: str) -> bool:
    """Send state to systemd (sd_notify(3)); False where nobody wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.sendall("\n".join(lines).encode())
        except OSError as error:
            _log.warning("systemd cannot be told: %s", type(error).__name__)
            return False
    return True


def _watchdog_seconds() -> float | None:
    """Return the watchdog's period where it is meant for this process (sd_watchdog_enabled(3))."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        period = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return None
    return period if period > 0 else None
