"""The sockets that are listened on: bound here, or handed over by systemd (sd_listen_fds(3)).

What is handed over stays open while the service is restarted: who connects meanwhile waits.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from listener.errors import AddressError
from listener.settings import ListenerSettings

__all__ = ["ListeningSockets", "listening", "take_over"]

# where it overflows the kernel drops a good peer's first packet, too, and it tries again only
# after a second; who is too many is turned away faster than that
_QUEUE = 1024
_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_PAUSE_SECONDS = 0.1
# the processes of a receiver that was killed let go of its port once they have noticed
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class ListeningSockets:
    """Where associations come in: ``plain``, and ``secure`` where TLS is spoken; one at least."""

    plain: socket.socket | None
    secure: socket.socket | None

    @classmethod
    def open(
        cls, settings: ListenerSettings, handed_over: Mapping[int, socket.socket]
    ) -> ListeningSockets:
        """Bind them, but for those whose ports were handed over.

        Raises
        ------
        AddressError
            If an address cannot be bound.
        """
        patience = _PATIENCE_SECONDS if settings.processes > 1 else 0.0

        def opened(port: int) -> socket.socket:
            return listening(settings.host, port, handed_over, patience_seconds=patience)

        tls = settings.tls
        plain = None if tls.is_on and tls.only else opened(settings.port)
        try:
            return cls(plain, opened(tls.port) if tls.is_on else None)
        except AddressError:
            if plain is not None:
                plain.close()
            raise

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on; the TLS ones where nothing else is spoken."""
        return next(_address(one) for one in (self.plain, self.secure) if one is not None)

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port where TLS is spoken; None where it is not."""
        return None if self.secure is None else _address(self.secure)

    def close(self) -> None:
        """Close them, in this process."""
        for one in (self.plain, self.secure):
            if one is not None:
                one.close()


def listening(
    host: str,
    port: int,
    handed_over: Mapping[int, socket.socket] | None = None,
    *,
    patience_seconds: float = 0.0,
) -> socket.socket:
    """Bind a TCP socket and listen on it.

    Parameters
    ----------
    host
        Address or name; ``::`` listens for IPv6 and IPv4.
    port
        0 takes a free one.
    handed_over
        Listening sockets by their ports: one of this port is used in place of a new one.
    patience_seconds
        How long one that is about to let go of the port is waited for.

    Raises
    ------
    AddressError
        If it cannot be bound.
    """
    given = (handed_over or {}).get(port)
    if given is not None:
        return given.dup()
    family = _family(host)
    both = family is socket.AF_INET6 and socket.has_dualstack_ipv6()
    until = time.monotonic() + patience_seconds
    while True:
        try:
            return socket.create_server(
                (host, port), family=family, backlog=_QUEUE, dualstack_ipv6=both
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(_PAUSE_SECONDS)
                continue
            msg = f"{host} port {port}: {_words(error)}."
            raise AddressError(msg) from None


def take_over() -> dict[int, socket.socket]:
    """Return the sockets that systemd has handed over, by their ports.

    They are meant for one process, and once: the variables that tell of them are taken away.

    Raises
    ------
    AddressError
        If one of them is not listening for TCP.
    """
    meant_for, number = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS", "")
    if meant_for != str(os.getpid()) or not number.isdigit():
        return {}
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    found: dict[int, socket.socket] = {}
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(number)):
        os.set_inheritable(descriptor, False)
        one = socket.socket(fileno=descriptor)
        if not _is_listening(one):
            one.close()
            for other in found.values():
                other.close()
            msg = f"Descriptor {descriptor} of systemd's is no listening TCP socket: ListenStream=."
            raise AddressError(msg)
        found[int(one.getsockname()[1])] = one
    return found


def _address(one: socket.socket) -> tuple[str, int]:
    host, port = one.getsockname()[:2]
    return str(host), int(port)


def _is_listening(one: socket.socket) -> bool:
    with suppress(OSError):
        is_tcp = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        return is_tcp and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def _words(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _family(host: str) -> socket.AddressFamily:
    with suppress(ValueError):
        is_v6 = isinstance(ip_address(host.partition("%")[0]), IPv6Address)
        return socket.AF_INET6 if is_v6 else socket.AF_INET
    with suppress(OSError):
        for family, *_ in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            return socket.AddressFamily(family)
    return socket.AF_INET
