"""Receiver and worker as services, until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from deploy.errors import ServiceUnavailableError
from deploy.kept_results import KeptResults
from deploy.settings import Settings
from deploy.state import key_of_site
from listener.audit import Audit
from listener.errors import AddressError, LedgerUnavailableError
from listener.ledger import Ledger
from listener.listening_socket import take_over
from listener.service import Listener, notify
from listener.service import serve as serve_listener
from listener.settings import ListenerSettings
from pipeline.errors import PipelineError
from pipeline.uid import KeyedUids

if TYPE_CHECKING:
    from pipeline.worker import Worker

__all__ = ["log_to_stderr", "receiver", "serve"]

_LOG = logging.getLogger("wristmir.service")
_WATCHDOG_SECONDS = 10.0
_CHANGE_AGAIN_SECONDS = 60.0
_LEDGER_PAUSE_SECONDS = 5.0
_PATIENCE = 60_000_000  # microseconds that systemd is asked for, each time


def serve(settings: Settings, *, receive: bool, work: bool) -> None:
    """Run until SIGTERM or SIGINT; a job in hand is finished, an association is ended.

    SIGHUP has a receiver read its files for TLS anew.

    Tells systemd when it is ready. A receiver feeds the watchdog only after it has answered its
    own C-ECHO, a worker only while no job takes longer than a lease.

    Parameters
    ----------
    settings
        The configuration.
    receive, work
        Which halves run in this process: both for ``wristmir serve``.
    """
    log_to_stderr(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _on_hangup(lambda: None)  # a worker reads its destinations' files for every delivery
    handed_over = take_over() if receive else {}
    with ExitStack() as stack:
        for one in handed_over.values():
            stack.enter_context(one)
        opened = _opened(settings, stop)
        if opened is None:
            return
        key, ledger = opened[0], stack.enter_context(opened[1])
        audit = stack.enter_context(Audit(settings.listener, site_key=key))
        if work:
            # the receiver alone needs no models: it stays small and starts at once
            from deploy.assembly import open_worker  # noqa: PLC0415

            thread = _WorkerThread(
                lambda: open_worker(settings, ledger, key, audit), lambda: settings.bundle, stop
            )
            stack.callback(thread.ended)
            thread.start()
        if receive and work:
            _LOG.info("the pages are a service of their own: `wristmir web`, wristmir-web.service")
        if receive:
            listener = receiver(settings, ledger, key, audit, handed_over)
            _on_hangup(listener.reload)
            serve_listener(listener, stop)
        else:
            _LOG.info("working")
            notify("READY=1", "STATUS=working")
            while not stop.wait(_WATCHDOG_SECONDS):
                if thread.silent_seconds < settings.pipeline.lease_seconds:
                    notify("WATCHDOG=1")
            notify("STOPPING=1")
    _LOG.info("stopped")


def _opened(settings: Settings, stop: threading.Event) -> tuple[bytes, Ledger] | None:
    """Return the site's key and its ledger; None where it was told to stop before there was one.

    A server that cannot be reached yet, after a start of the machine or a change of the network,
    is waited for.
    """
    while True:
        try:
            return key_of_site(settings), Ledger(settings.ledger_url)
        except LedgerUnavailableError as error:
            _LOG.error("%s", error)
            notify("STATUS=waiting for the ledger's server", f"EXTEND_TIMEOUT_USEC={_PATIENCE}")
        if stop.wait(_LEDGER_PAUSE_SECONDS):
            return None


def receiver(
    settings: Settings,
    ledger: Ledger,
    key: bytes,
    audit: Audit | None = None,
    handed_over: Mapping[int, socket.socket] | None = None,
) -> Listener:
    """Build a receiver that recognises what the plugin itself has made; it is not started yet.

    Parameters
    ----------
    handed_over
        Listening sockets by their ports, to be used in place of own ones.

    Raises
    ------
    AddressError
        If one is at a port that no setting names.
    """
    unnamed = set(handed_over or {}) - _ports(settings.listener)
    if unnamed:
        ports = ", ".join(map(str, sorted(unnamed)))
        message = f"systemd has handed over port {ports}; [listener] names another one."
        raise AddressError(message)
    return Listener(
        settings.receiving,
        ledger,
        site_key=key,
        is_own=KeyedUids(key).is_own,
        audit=audit,
        handed_over=handed_over,
        prepare=partial(log_to_stderr, settings.log_level),
        holdings=KeptResults(settings.state_dir, settings.pipeline.keep_results_days),
    )


def _ports(settings: ListenerSettings) -> set[int]:
    ports = set() if settings.tls.is_on and settings.tls.only else {settings.port}
    if settings.tls.is_on:
        ports.add(settings.tls.port)
    if settings.hl7.enabled:
        ports.add(settings.hl7.port)
    return ports


def _on_hangup(reload: Callable[[], None]) -> None:
    """Reload at SIGHUP, in a thread: the one that is interrupted may hold a lock it needs."""
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload, daemon=True).start())


class _WorkerThread(threading.Thread):
    """Runs the worker; if it ends by itself, everything ends, so that systemd starts it anew.

    When another bundle is taken into use, the worker makes way for one with that bundle; what is
    received meanwhile waits in the ledger.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Worker]],
        bundle: Callable[[], Path],
        stop: threading.Event,
    ) -> None:
        super().__init__(name="worker")
        self._opened = opened
        self._bundle = bundle
        self._told_to_stop = stop
        self._finished = False
        self._seen_alive = time.monotonic()
        self._not_before = 0.0
        self._parts = ExitStack()

    def start(self) -> None:
        """Build the first worker here, so that what it lacks stops the caller, then run it."""
        self._begin()
        super().start()

    @property
    def silent_seconds(self) -> float:
        """How long the job in hand has been taking."""
        return time.monotonic() - self._seen_alive

    def run(self) -> None:
        """Work until told to stop."""
        try:
            self._work()
            while not self._told_to_stop.is_set():
                self._change()
                self._work()
            self._finished = True
        finally:
            self._told_to_stop.set()

    def ended(self) -> None:
        """Wait for the job in hand; refuse to call an accident a clean stop."""
        self._told_to_stop.set()
        if self.ident is not None:
            self.join()
        self._parts.close()
        if self.ident is not None and not self._finished:
            message = "the worker ended by itself; the log says why"
            raise ServiceUnavailableError(message)

    def _begin(self) -> None:
        self._in_use = self._bundle().name
        self._worker = self._parts.enter_context(self._opened())

    def _change(self) -> None:
        """Put a worker with the new bundle in the old one's place, which goes on where it fails."""
        parts, wanted = ExitStack(), self._bundle().name
        try:
            worker = parts.enter_context(self._opened())
        except (PipelineError, SQLAlchemyError) as error:
            parts.close()
            self._not_before = time.monotonic() + _CHANGE_AGAIN_SECONDS
            words = str(error) if isinstance(error, PipelineError) else type(error).__name__
            _LOG.error(
                "bundle %s cannot be taken into use, %s stays: %s", wanted, self._in_use, words
            )
            return
        self._parts.close()
        self._parts, self._worker, self._in_use = parts, worker, wanted

    def _work(self) -> None:
        make_way = threading.Event()

        def between_jobs() -> None:
            self._seen_alive = time.monotonic()
            changed = self._seen_alive >= self._not_before and self._bundle().name != self._in_use
            if changed or self._told_to_stop.is_set():
                make_way.set()

        self._worker.run(make_way, alive=between_jobs)


def log_to_stderr(level: str) -> None:
    """Log plain lines in UTC; systemd's journal adds its own time, so none is doubled there."""
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)sZ "
    handler = logging.StreamHandler()
    formatter = logging.Formatter(f"{stamp}%(levelname)s %(name)s %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger("wristmir").addHandler(handler)
    logging.getLogger("wristmir").setLevel(level.upper())
