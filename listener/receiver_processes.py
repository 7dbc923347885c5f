"""Several receiver processes that share their sockets: started, watched, replaced and ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from listener.errors import EchoError, ReceiverProcessError
from listener.listening_socket import ListeningSockets
from listener.places import Places
from listener.receiver_process import ReceiverProcess, Share
from listener.sender import echo
from listener.tls import Credentials

__all__ = ["ReceiverProcesses"]

_log = logging.getLogger("wristmir.listener")

_START_SECONDS = 60.0
_STOP_SECONDS = 8.0
_LOOK_SECONDS = 0.1
_SETTLED_SECONDS = 60.0  # one that lives so long has not failed at its start
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class ReceiverProcesses:
    """Receives in as many processes as the settings say.

    One that ends by itself, or does not answer a probe, is replaced; what its associations had
    acknowledged is on disk, and their places are free again.

    Parameters
    ----------
    share
        What each process is told.
    places
        Counts associations, over all of them.
    credentials
        What the probe speaks TLS with; None for no TLS.
    bereaved
        Called with the process id of one that has ended by itself; its places are free again.
    """

    def __init__(
        self,
        share: Share,
        places: Places,
        credentials: Credentials | None,
        bereaved: Callable[[int], None],
    ) -> None:
        self._share = share
        self._places = places
        self._credentials = credentials
        self._bereaved = bereaved
        self._lock = threading.Lock()
        self._members: list[_Member] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of those that run."""
        with self._lock:
            running = (member.process for member in self._members)
            return tuple(one.pid for one in running if one is not None and one.ended is None)

    def start(self, sockets: ListeningSockets) -> None:
        """Start them, and return when all are ready; the sockets are closed when they stop.

        Raises
        ------
        ReceiverProcessError
            If one of them does not become ready.
        """
        self._sockets = sockets
        self._stopping.clear()
        try:
            for _ in range(self._share.settings.processes):
                member = _Member()
                self._members.append(member)
                member.process = self._started()
            until = time.monotonic() + _START_SECONDS
            for member in self._members:
                _await_ready(member, until)
        except ReceiverProcessError:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="processes", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Have them stop, and kill what does not."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        running = [member.process for member in self._members if member.process is not None]
        for process in running:
            process.dismiss()
        until = time.monotonic() + _STOP_SECONDS
        for process in running:
            process.end(max(0.0, until - time.monotonic()))
        self._members = []
        self._sockets.close()

    def probe(self, timeout_seconds: float) -> None:
        """Ask each of them, over the network, whether it lives; one that does not is replaced.

        Raises
        ------
        EchoError
            If one does not answer in time, none is ready, or nobody would replace them.
        """
        if self._watcher is None or not self._watcher.is_alive():
            msg = "The receiver processes are not watched."
            raise EchoError(msg)
        with self._lock:
            running = [member.process for member in self._members if member.process is not None]
        failures = 0
        ready = 0
        for process in running:
            address = process.address()
            if address is None:
                continue
            ready += 1
            try:
                self._ask(address, timeout_seconds)
            except EchoError as error:
                failures += 1
                _log.error("receiver process %d does not answer: %s", process.pid, error)
                process.kill()
        if failures or not ready:
            msg = f"{failures} receiver processes did not answer; {ready - failures} did."
            raise EchoError(msg)

    def reload(self) -> None:
        """Have them read the files for TLS anew."""
        if self._credentials is not None:
            self._credentials.reload()
        with self._lock:
            for member in self._members:
                if member.process is not None:
                    member.process.reload()

    def _ask(self, address: tuple[str, int], timeout_seconds: float) -> None:
        title = self._share.settings.titles[0].ae_title
        tls = None if self._credentials is None else self._credentials.probe_context()
        echo(*address, self._share.probe.title, title, timeout_seconds, tls)

    def _started(self) -> ReceiverProcess:
        return ReceiverProcess(self._share, self._sockets, self._places)

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for member in self._members:
                if member.process is None:
                    self._replace(member)
                elif member.process.ended is not None:
                    self._bury(member, member.process)
                elif member.is_stuck:
                    member.process.kill()

    def _bury(self, member: _Member, process: ReceiverProcess) -> None:
        _log.error(
            "receiver process %d ended (%s); another one is started", process.pid, _how(process)
        )
        process.end(0)
        freed = self._places.vacate(process.pid)
        if freed:
            _log.error("associations that ended with it: %d", freed)
        with self._lock:
            member.lost()
        self._bereaved(process.pid)

    def _replace(self, member: _Member) -> None:
        if time.monotonic() < member.not_before:
            return
        try:
            process = self._started()
        except ReceiverProcessError as error:
            _log.error("%s", error)
            member.lost()
            return
        with self._lock:
            member.process, member.since = process, time.monotonic()


class _Member:
    """A receiver process, or the gap that one has left."""

    def __init__(self) -> None:
        self.process: ReceiverProcess | None = None
        self.since = time.monotonic()
        self.not_before = 0.0
        self._pause = _FIRST_PAUSE_SECONDS

    @property
    def is_stuck(self) -> bool:
        """Whether it should have become ready by now."""
        late = time.monotonic() - self.since > _START_SECONDS
        return late and self.process is not None and self.process.address() is None

    def lost(self) -> None:
        """Leave a gap; the sooner it was lost after its start, the longer."""
        if time.monotonic() - self.since > _SETTLED_SECONDS:
            self._pause = _FIRST_PAUSE_SECONDS
        self.process, self.not_before = None, time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)


def _await_ready(member: _Member, until: float) -> None:
    process = member.process
    while process is not None and process.ended is None and time.monotonic() < until:
        if process.address(_LOOK_SECONDS) is not None:
            return
    msg = "It did not become ready; the log says why."
    raise ReceiverProcessError(msg)


def _how(process: ReceiverProcess) -> str:
    status = process.ended or 0
    return f"signal {-status}" if status < 0 else f"status {status}"
