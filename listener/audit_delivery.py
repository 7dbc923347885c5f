"""Takes audit messages from the spool to one destination, in order, until they are there."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from listener.audit_file import AuditFile
from listener.audit_settings import AuditDestinationSettings
from listener.audit_spool import AuditSpool, SpooledMessage
from listener.errors import AuditError
from listener.syslog import SyslogTls, SyslogUdp

__all__ = ["AuditDelivery", "AuditDestination", "open_destination"]

_log = logging.getLogger("wristmir.audit")

_IDLE_SECONDS = 0.5  # another process may have put something
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class AuditDestination(Protocol):
    """Where audit messages go."""

    most_at_once: int

    def send(self, messages: Sequence[SpooledMessage]) -> int:
        """Deliver messages; return how many it can never take. Raise AuditError to get them again.

        Those that it had before it raised come again, too.
        """

    def probe(self) -> str:
        """Say in words that it answers; raise AuditError where it does not."""

    def close(self) -> None:
        """Let the connection or file go; the next message opens it again."""


def open_destination(settings: AuditDestinationSettings, host: str) -> AuditDestination:
    """Return what the settings name; nothing is opened before it is used.

    Parameters
    ----------
    host
        Host name that syslog messages bear.
    """
    if settings.kind == "tls":
        return SyslogTls(settings, host)
    if settings.kind == "udp":
        return SyslogUdp(settings, host)
    return AuditFile(settings.path or Path())


class AuditDelivery(threading.Thread):
    """A thread that delivers to one destination.

    Of several processes with one spool only one delivers: the one that holds the destination's
    lock. A message is delivered at least once: a crash between delivery and its record repeats
    what was sent together.

    Parameters
    ----------
    name
        The destination's name.
    destination
        Where messages go.
    spool
        Where they come from.
    lock
        File whose lock says that somebody delivers.
    """

    def __init__(
        self, name: str, destination: AuditDestination, spool: AuditSpool, lock: Path
    ) -> None:
        super().__init__(name=f"audit-{name}", daemon=True)
        self._destination_name = name
        self._destination = destination
        self._spool = spool
        self._lock = lock
        self._awake = threading.Event()
        self._until: float | None = None
        self._is_down = False

    def wake(self) -> None:
        """Say that there is something to deliver."""
        self._awake.set()

    def stop(self, seconds: float) -> None:
        """Have it end once nothing waits, but no later than in so many seconds; see `join`."""
        self._until = time.monotonic() + seconds
        self._awake.set()

    def run(self) -> None:
        """Deliver until told to stop."""
        fd = self._held()
        if fd is None:
            return
        try:
            self._deliver()
        finally:
            self._destination.close()
            os.close(fd)

    def _held(self) -> int | None:
        """Wait for the destination's lock; None where it was told to stop before."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._until is not None:
                    os.close(fd)
                    return None
                self._rest(_IDLE_SECONDS)
            else:
                return fd

    def _deliver(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while self._until is None or time.monotonic() < self._until:
            try:
                delivered = self._deliver_some()
            except AuditError as error:
                self._note_down(error)
                if self._until is not None:
                    return
                self._rest(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            if not delivered:
                if self._until is not None:
                    return
                self._rest(_IDLE_SECONDS)

    def _deliver_some(self) -> bool:
        messages, missed = self._spool.waiting(
            self._destination_name, self._destination.most_at_once
        )
        if not messages:
            return False
        refused = self._destination.send(messages)
        self._spool.taken(self._destination_name, messages[-1].number, missed + refused)
        if missed:
            _log.error(
                "audit messages dropped, too many waited for %s: %d", self._destination_name, missed
            )
        if refused:
            _log.error("audit messages too long for %s: %d", self._destination_name, refused)
        if self._is_down:
            self._is_down = False
            _log.warning("the audit destination %s takes messages again", self._destination_name)
        return True

    def _note_down(self, error: AuditError) -> None:
        if not self._is_down:
            self._is_down = True
            _log.error("audit messages wait for %s: %s", self._destination_name, error.detail)

    def _rest(self, seconds: float) -> None:
        """Sleep; a new message wakes it, but not where the destination is down."""
        if self._is_down:
            deadline = time.monotonic() + seconds
            while self._until is None and time.monotonic() < deadline:
                time.sleep(min(0.1, seconds))
            return
        self._awake.wait(seconds)
        self._awake.clear()
