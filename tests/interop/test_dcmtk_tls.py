"""DCMTK talks to the receiver over TLS, and is sent to: by another implementation's rules."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority, Identity
from dcmtk import call
from peers import peer
from station import LOOPBACK, Station, eventually, radiograph, station

from listener.destination_settings import DestinationSettings
from listener.sender import echo, send
from listener.settings import PeerSettings
from listener.tls import client_context

pytestmark = [pytest.mark.slow, pytest.mark.peers]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def pacs(authority: Authority) -> Identity:
    return authority.issue("pacs", LOOPBACK, "localhost")


@pytest.fixture
def receiver(tmp_path: Path, authority: Authority, pacs: Identity) -> Iterator[Station]:
    """A listener that knows the peer PACS by its certificate."""
    addresses = (f"{LOOPBACK}/32",)
    bound = PeerSettings(ae_title="PACS", addresses=addresses, certificates=(pacs.fingerprint,))
    tls = authority.settings(authority.issue("receiver", LOOPBACK))
    with station(tmp_path / "state", peers=(bound,), tls=tls, idle_seconds=10) as running:
        yield running


def port_of(receiver: Station) -> str:
    address = receiver.listener.tls_address
    assert address is not None
    return str(address[1])


def secured(shown: Identity, authority: Authority, *profile: str) -> list[str]:
    """Return the options by which a tool speaks TLS."""
    pair = [str(shown.private_key), str(shown.certificate)]
    return ["+tls", *pair, "+cf", str(authority.file), *profile]


def stored(folder: Path) -> Path:
    path = folder / "one.dcm"
    radiograph().save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_storescu_delivers_by_each_of_its_bcp_195_profiles(
    tmp_path: Path, receiver: Station, authority: Authority, pacs: Identity, profile: str
) -> None:
    titles = ["-aet", "PACS", "-aec", "WRISTMIR", LOOPBACK, port_of(receiver)]
    options = secured(pacs, authority, profile)
    done = call("storescu", "-v", *options, *titles, str(stored(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert len(receiver.inbox_files()) == 1


def test_storescu_of_an_older_profile_is_not_let_in(
    tmp_path: Path, receiver: Station, authority: Authority, pacs: Identity
) -> None:
    titles = ["-aet", "PACS", "-aec", "WRISTMIR", LOOPBACK, port_of(receiver)]
    options = secured(pacs, authority, "+pa")  # AES in CBC, retired
    done = call("storescu", *options, *titles, str(stored(tmp_path)))
    assert done.returncode != 0
    assert receiver.inbox_files() == []


def test_echoscu_with_the_certificate_of_another_peer_is_rejected(
    receiver: Station, authority: Authority, pacs: Identity
) -> None:
    titles = ["-aet", "PACS", "-aec", "WRISTMIR", LOOPBACK, port_of(receiver)]
    other = authority.issue("other")
    assert call("echoscu", *secured(pacs, authority), *titles).returncode == 0
    done = call("echoscu", "-v", *secured(other, authority), *titles)
    assert done.returncode != 0
    assert "Rejected Permanent" in done.stdout + done.stderr
    assert "No Reason" in done.stdout + done.stderr


@contextmanager
def storescp(folder: Path, identity: Identity, authority: Authority) -> Iterator[int]:
    """Run storescp with mutual TLS; yield its port."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = int(taken.getsockname()[1])
    folder.mkdir()
    command = [peer("storescp"), *secured(identity, authority), "-od", str(folder), str(port)]
    process = subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"})
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_storescp_is_sent_to_over_tls(tmp_path: Path, authority: Authority, pacs: Identity) -> None:
    client = authority.issue("client")
    with storescp(tmp_path / "archive", pacs, authority) as port:
        there = DestinationSettings(
            name="archive",
            ae_title="ARCHIVE",
            host=LOOPBACK,
            port=port,
            tls=True,
            authorities=authority.file,
            certificate=client.certificate,
            private_key=client.private_key,
        )
        assert eventually(lambda: _answers(there), 20)
        (sent,) = send(there, [stored(tmp_path)], "WRISTMIR")
        assert sent.status == 0x0000
        assert len(list((tmp_path / "archive").iterdir())) == 1


def _answers(there: DestinationSettings) -> bool:
    from listener.errors import EchoError

    try:
        echo(there.host, there.port, "WRISTMIR", there.ae_title, tls=client_context(there))
    except EchoError:
        return False
    return True
