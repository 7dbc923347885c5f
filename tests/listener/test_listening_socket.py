from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from station import LOOPBACK, radiograph, settings, station

from listener.errors import AddressError
from listener.listening_socket import ListeningSockets, listening, take_over

# systemd's side of sd_listen_fds(3): descriptors from 3 on, and variables meant for this process
_UNDER_SYSTEMD = """
import os, sys
given = [int(number) for number in sys.argv[1].split(",")]
for wanted, fd in enumerate(given, 3):
    os.dup2(fd, wanted)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given))}
from listener.errors import AddressError
from listener.listening_socket import take_over
try:
    print(sorted(take_over()), sorted(name for name in os.environ if name.startswith("LISTEN_")))
except AddressError as error:
    print(error)
"""


def under_systemd(*handed_over: socket.socket) -> str:
    """Return what a process says that systemd has handed these sockets."""
    numbers = [one.fileno() for one in handed_over]
    told = [sys.executable, "-c", _UNDER_SYSTEMD, ",".join(map(str, numbers))]
    done = subprocess.run(told, pass_fds=numbers, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_free_port_is_bound_and_listened_on() -> None:
    with listening(LOOPBACK, 0) as bound, socket.create_connection(bound.getsockname()) as peer:
        assert bound.accept()[0].close() is None
        assert peer.getpeername() == bound.getsockname()


def test_every_address_of_both_families_is_listened_on() -> None:
    with listening("::", 0) as bound:
        port = bound.getsockname()[1]
        for here in ("::1", LOOPBACK):
            socket.create_connection((here, port)).close()


def test_a_busy_port_is_an_error_that_names_it() -> None:
    with listening(LOOPBACK, 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(AddressError, match=f"{LOOPBACK} port {port}: Address already in use"):
            listening(LOOPBACK, port)


def test_a_port_that_is_about_to_be_free_is_waited_for() -> None:
    bound = listening(LOOPBACK, 0)
    port = bound.getsockname()[1]
    threading.Timer(0.3, bound.close).start()
    listening(LOOPBACK, port, patience_seconds=5).close()


def test_a_name_that_is_nobodys_is_an_error_that_names_it() -> None:
    with pytest.raises(AddressError, match=r"nobody\.invalid port 0: "):
        listening("nobody.invalid", 0)


@pytest.mark.slow
def test_sockets_of_systemds_are_found_by_their_ports_and_taken_once() -> None:
    with listening(LOOPBACK, 0) as one, listening("::1", 0) as other:
        ports = sorted(bound.getsockname()[1] for bound in (one, other))
        assert under_systemd(one, other) == f"{ports} []"


def test_what_is_meant_for_another_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert take_over() == {}
    assert os.environ["LISTEN_FDS"] == "1"


@pytest.mark.slow
def test_a_descriptor_that_is_no_listening_socket_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as unbound, listening(LOOPBACK, 0) as bound:
        said = under_systemd(bound, unbound)
    assert "Descriptor 4 of systemd's is no listening TCP socket" in said
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "here"))
        local.listen()
        assert "Descriptor 3" in under_systemd(local)


def test_a_socket_that_was_handed_over_is_used_in_place_of_a_new_one(tmp_path: Path) -> None:
    with listening(LOOPBACK, 0) as given:
        port = given.getsockname()[1]
        chosen = settings(tmp_path, port=port)
        used = ListeningSockets.open(chosen, {port: given})
        assert used.address == (LOOPBACK, port)
        used.close()
        # it is the caller's, and who connects while nobody serves it waits
        with station(tmp_path, port=port, handed_over={port: given}) as link:
            assert link.send(radiograph()) == [0x0000]
        with socket.create_connection((LOOPBACK, port)) as waiting:
            with station(tmp_path, port=port, handed_over={port: given}) as link:
                assert link.send(radiograph()) == [0x0000]
            waiting.settimeout(5)
            assert waiting.recv(1) == b"\x07"  # it was served, and ended by an A-ABORT
