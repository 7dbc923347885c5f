"""Receiving in one process: what lets associations in, at sockets that others may share."""

from __future__ import annotations

import socket
from ssl import SSLContext

from listener.acceptor import Acceptor, Door
from listener.guard import Guard
from listener.heap import share_heap
from listener.listening_socket import ListeningSockets
from listener.peers import Peers
from listener.places import Places
from listener.probe import Probe
from listener.sender import echo
from listener.settings import ListenerSettings
from listener.storage import Storage
from listener.tls import Credentials

__all__ = ["Receiver"]


class Receiver:
    """Serves associations in threads of this process.

    Parameters
    ----------
    settings
        Whom, and within which bounds.
    storage
        Keeps what comes.
    places
        Counts associations.
    probe
        Gets through, however full the house is.
    credentials
        What TLS is spoken with; None for no TLS.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        storage: Storage,
        places: Places,
        probe: Probe,
        credentials: Credentials | None = None,
    ) -> None:
        self._settings = settings
        self._probe = probe
        self._credentials = credentials
        self._guard = Guard(settings, Peers(settings, probe.title), storage, places)
        self._acceptor = Acceptor(self._guard)
        self._probed: tuple[Door, ...] = ()

    @property
    def is_accepting(self) -> bool:
        """Whether every door is attended to."""
        return self._acceptor.is_accepting

    def start(self, sockets: ListeningSockets, private: socket.socket | None = None) -> None:
        """Begin to accept; the sockets are closed when it stops.

        Parameters
        ----------
        sockets
            What peers connect to.
        private
            What only the service itself connects to, where other processes share the sockets; None
            where none do.
        """
        share_heap()  # before there is a thread for each association
        doors = []
        if sockets.plain is not None:
            doors.append(Door(sockets.plain))
        if sockets.secure is not None:
            doors.append(Door(sockets.secure, self._credentials))
        self._probed = tuple(doors)
        if private is not None:
            self._probed = (Door(private, self._credentials, only_for_probes=True),)
            doors += self._probed
        self._acceptor.start(*doors)

    def stop(self) -> None:
        """Stop accepting, abort what is open and wait until its threads are gone."""
        self._acceptor.stop()

    def probe(self, timeout_seconds: float) -> None:
        """Ask itself at every door whether it lives.

        Raises
        ------
        EchoError
            If it does not answer in time.
        """
        for door in self._probed:
            host, port = door.address
            here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a comparison
            title = self._settings.titles[0].ae_title
            echo(here, port, self._probe.title, title, timeout_seconds, self._tls(door))

    def reload(self) -> None:
        """Read the files for TLS anew; open associations go on with the old ones."""
        if self._credentials is not None:
            self._credentials.reload()

    def _tls(self, door: Door) -> SSLContext | None:
        return None if door.credentials is None else door.credentials.probe_context()
