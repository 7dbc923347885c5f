"""TLS as peers meet it: on the wire, with certificates of invented authorities."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Identity
from pynetdicom import AE
from pynetdicom.sop_class import ComputedRadiographyImageStorage, Verification
from station import (
    LOOPBACK,
    Station,
    descriptors,
    eventually,
    listener_threads,
    radiograph,
    station,
)
from wire import CR, EXPLICIT, VERIFICATION, association_request, command

from listener.destination_settings import DestinationSettings
from listener.errors import CredentialsError, DeliveryError, EchoError
from listener.sender import echo, send
from listener.settings import PeerSettings
from listener.tls import Credentials, client_context


@dataclass(frozen=True)
class Site:
    """An authority, the receiver's certificate and a peer's."""

    authority: Authority
    server: Identity
    pacs: Identity


@pytest.fixture
def site(tmp_path: Path) -> Site:
    authority = Authority(tmp_path / "tls")
    server = authority.issue("receiver", "localhost", LOOPBACK)
    return Site(authority, server, authority.issue("pacs", "pacs.hospital.example"))


@contextmanager
def secure_station(folder: Path, site: Site, **changes: Any) -> Iterator[Station]:
    """Run a listener that speaks TLS, besides the plain port."""
    tls = site.authority.settings(site.server, **changes.pop("tls", {}))
    with station(folder / "state", tls=tls, **changes) as link:
        yield link


def tls_port(link: Station) -> int:
    address = link.listener.tls_address
    assert address is not None
    return address[1]


def peer(**changes: Any) -> tuple[PeerSettings, ...]:
    return (PeerSettings(ae_title="PACS", addresses=(f"{LOOPBACK}/32",), **changes),)


class Refused(Exception):  # noqa: N818 - it is no error that a test meets it
    """The peer was refused; by a result, source and reason where by an A-ASSOCIATE-RJ."""


def ask(
    link: Station,
    context: ssl.SSLContext,
    calling: str = "PACS",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    """Associate over TLS by hand; return the connection once the association is accepted.

    Raises
    ------
    Refused
        With the three numbers of the rejection, or with what TLS said.
    """
    plain = socket.create_connection((LOOPBACK, tls_port(link)), timeout=5)
    try:
        secure = context.wrap_socket(plain, server_hostname=LOOPBACK, session=session)
    except OSError as error:
        plain.close()
        raise Refused(error) from None
    try:
        request = association_request(calling.encode(), b"WRISTMIR", CR, EXPLICIT)
        secure.sendall(struct.pack(">BBI", 1, 0, len(request)) + request)
        kind, body = read_pdu(secure)
        if kind == 2:
            return secure
        raise Refused(*body[1:])
    except OSError as error:
        secure.close()
        raise Refused(error) from None
    except Refused:
        secure.close()
        raise


def read_pdu(connection: ssl.SSLSocket) -> tuple[int, bytes]:
    """Read one PDU; type 0 where the connection was closed."""
    start = connection.recv(6)
    if len(start) < 6:
        return 0, b""
    body = b""
    while len(body) < int.from_bytes(start[2:], "big"):
        body += connection.recv(int.from_bytes(start[2:], "big") - len(body))
    return start[0], body


def tls_1_2(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context that is told in its handshake why it was refused; TLS 1.3 says it later."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def refusal(link: Station, context: ssl.SSLContext, calling: str = "PACS") -> tuple[Any, ...]:
    with pytest.raises(Refused) as caught:
        ask(link, context, calling)
    return caught.value.args


def is_served(link: Station, context: ssl.SSLContext, calling: str = "PACS") -> bool:
    """Tell whether a peer gets an object through over TLS, by another's library."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    ae.add_requested_context(ComputedRadiographyImageStorage)
    ae.add_requested_context(Verification)
    association = ae.associate(
        LOOPBACK, tls_port(link), ae_title="WRISTMIR", tls_args=(context, LOOPBACK)
    )
    if not association.is_established:
        return False
    status = association.send_c_store(radiograph()).get("Status")
    association.release()
    return bool(status == 0x0000)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_peer_with_a_certificate_of_the_authority_is_served(
    tmp_path: Path, site: Site, version: ssl.TLSVersion
) -> None:
    context = site.authority.client(site.pacs)
    context.minimum_version = context.maximum_version = version
    with secure_station(tmp_path, site) as link:
        assert is_served(link, context)
        with ask(link, context) as connection:
            agreed = connection.cipher()
            assert connection.version() == version.name.replace("_", ".")
            assert connection.compression() is None
        assert agreed is not None
        assert "GCM" in agreed[0] or "CHACHA20" in agreed[0]
        assert len(link.inbox_files()) == 1


def test_plain_and_tls_are_spoken_side_by_side_while_peers_move(tmp_path: Path, site: Site) -> None:
    with secure_station(tmp_path, site) as link:
        assert link.send(radiograph()) == [0x0000]
        assert is_served(link, site.authority.client(site.pacs))
        assert link.port != tls_port(link)


def test_the_plain_port_stays_shut_where_only_tls_is_wanted(tmp_path: Path, site: Site) -> None:
    with secure_station(tmp_path, site, tls={"only": True}) as link:
        assert link.listener.address == link.listener.tls_address
        assert is_served(link, site.authority.client(site.pacs))
        with pytest.raises(EchoError):
            echo(LOOPBACK, link.port, "PACS", "WRISTMIR")
        link.listener.probe()


def test_a_peer_without_a_certificate_does_not_get_as_far_as_dicom(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with secure_station(tmp_path, site) as link:
        (error,) = refusal(link, tls_1_2(site.authority.client()))
        assert "handshake failure" in str(error)
        assert eventually(lambda: "it showed no certificate (127.0.0.1)" in caplog.text)
        (error,) = refusal(link, site.authority.client())
        assert isinstance(error, OSError)  # no A-ASSOCIATE-RJ
        assert eventually(lambda: caplog.text.count("it showed no certificate") == 2)


def test_a_certificate_of_another_authority_is_refused(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Authority(tmp_path / "other", "stranger").issue("stranger")
    with secure_station(tmp_path, site) as link:
        (error,) = refusal(link, tls_1_2(site.authority.client(stranger)))
        assert "unknown ca" in str(error)
        assert eventually(lambda: "unable to get local issuer" in caplog.text)


def test_an_expired_certificate_is_refused(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    old = site.authority.issue("old", days=-1)
    with secure_station(tmp_path, site) as link:
        (error,) = refusal(link, tls_1_2(site.authority.client(old)))
        assert "certificate expired" in str(error)
        assert eventually(lambda: "certificate has expired" in caplog.text)


def test_tls_1_1_is_refused(tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    context = site.authority.client(site.pacs)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with secure_station(tmp_path, site) as link:
        (error,) = refusal(link, context)
        assert "protocol version" in str(error)
        assert eventually(lambda: "its version of TLS is too old" in caplog.text)


def test_tls_1_2_is_refused_where_1_3_is_the_oldest_wanted(tmp_path: Path, site: Site) -> None:
    context = site.authority.client(site.pacs)
    with secure_station(tmp_path, site, tls={"minimum_version": "1.3"}) as link:
        assert is_served(link, context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        (error,) = refusal(link, context)
        assert "protocol version" in str(error)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256"])
def test_a_cipher_outside_bcp_195_is_refused(
    tmp_path: Path, site: Site, cipher: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = site.authority.client(site.pacs)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with secure_station(tmp_path, site) as link:
        (error,) = refusal(link, context)
        assert "handshake failure" in str(error)
        assert eventually(lambda: "no cipher of BCP 195" in caplog.text)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_outlives_the_files_that_it_was_agreed_under(
    tmp_path: Path, site: Site, version: ssl.TLSVersion
) -> None:
    context = site.authority.client(site.pacs)
    context.maximum_version = version
    with secure_station(tmp_path, site) as link:
        with ask(link, context) as first:
            session = first.session
            assert session is not None
            assert not session.has_ticket
            first.sendall(struct.pack(">BBII", 5, 0, 4, 0))
            assert read_pdu(first)[0] == 6
            first.unwrap()  # an orderly end is what makes a session fit to be resumed
        link.listener.reload()
        with ask(link, context, session=session) as second:
            assert not second.session_reused


def test_a_plain_client_on_the_tls_port_is_cut(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with secure_station(tmp_path, site) as link:
        with pytest.raises(EchoError):
            echo(LOOPBACK, tls_port(link), "PACS", "WRISTMIR", 3)
        assert eventually(lambda: "it does not speak TLS" in caplog.text)


def test_the_probe_needs_no_certificate_of_the_site_and_nobody_else_gets_by_so(
    tmp_path: Path, site: Site
) -> None:
    with secure_station(tmp_path, site, peers=()) as link:
        link.listener.probe()
        # with the service's own certificate, but not its secret title
        own = link.listener._credentials.probe_context()  # type: ignore[union-attr]
        assert refusal(link, own) == (1, 1, 3)


def test_the_probe_lives_on_with_an_expired_certificate(tmp_path: Path, site: Site) -> None:
    expired = Site(site.authority, site.authority.issue("expired", days=-1), site.pacs)
    with secure_station(tmp_path, expired) as link:
        link.listener.probe()  # a restart by systemd would help nobody


def test_the_probe_gets_through_a_full_house(tmp_path: Path, site: Site) -> None:
    context = site.authority.client(site.pacs)
    with secure_station(tmp_path, site, max_associations=2) as link:
        held = [ask(link, context) for _ in range(2)]
        assert refusal(link, context) == (2, 3, 2)
        link.listener.probe()
        for connection in held:
            connection.close()


def test_a_bound_peer_is_rejected_without_its_own_certificate_and_in_plain(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    other = site.authority.issue("other", "other.hospital.example")
    peers = peer(certificates=(site.pacs.fingerprint,))
    with secure_station(tmp_path, site, peers=peers) as link:
        assert is_served(link, site.authority.client(site.pacs))
        assert refusal(link, site.authority.client(other)) == (1, 1, 1)
        answer = link.associate().acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 1)
        lines = [r.getMessage() for r in caplog.records if "rejected" in r.getMessage()]
    said = "association rejected: it showed no certificate of this AE title (PACS at 127.0.0.1)"
    assert lines == [said, said]


def test_a_peer_may_be_bound_to_a_name_in_its_certificate(tmp_path: Path, site: Site) -> None:
    other = site.authority.issue("other", "other.hospital.example")
    peers = peer(certificate_names=("PACS.hospital.example",))
    with secure_station(tmp_path, site, peers=peers) as link:
        assert is_served(link, site.authority.client(site.pacs))
        assert refusal(link, site.authority.client(other)) == (1, 1, 1)


@pytest.mark.slow
def test_a_peers_certificate_rolls_over_without_a_gap(tmp_path: Path, site: Site) -> None:
    new = site.authority.issue("new")
    peers = peer(certificates=(site.pacs.fingerprint, new.fingerprint.replace(":", "")))
    with secure_station(tmp_path, site, peers=peers) as link:
        for shown in (site.pacs, new, site.pacs):
            assert is_served(link, site.authority.client(shown))


def test_client_certificates_can_be_left_to_the_peers_that_are_bound_to_one(
    tmp_path: Path, site: Site
) -> None:
    free = PeerSettings(ae_title="CR_ROOM_1", addresses=(f"{LOOPBACK}/32",))
    peers = (*peer(certificates=(site.pacs.fingerprint,)), free)
    tls = {"require_client_certificate": False}
    with secure_station(tmp_path, site, peers=peers, tls=tls) as link:
        assert is_served(link, site.authority.client(), "CR_ROOM_1")
        assert refusal(link, site.authority.client()) == (1, 1, 1)
        assert is_served(link, site.authority.client(site.pacs))
        stranger = Authority(tmp_path / "other", "stranger").issue("stranger")
        refusal(link, site.authority.client(stranger), "CR_ROOM_1")
        link.listener.probe()


def test_changed_files_serve_new_connections_while_open_associations_go_on(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    context = site.authority.client(site.pacs)
    with caplog.at_level(logging.INFO), secure_station(tmp_path, site) as link:
        with ask(link, context) as held:
            before = held.getpeercert(binary_form=True)
            site.authority.issue("receiver", "localhost", LOOPBACK)
            with ask(link, context) as fresh:
                assert fresh.getpeercert(binary_form=True) != before
            held.sendall(struct.pack(">BBII", 5, 0, 4, 0))
            assert read_pdu(held)[0] == 6  # A-RELEASE-RP
        assert "read anew" in caplog.text


def test_what_cannot_be_used_leaves_the_old_files_in_force_and_is_said_once(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    context = site.authority.client(site.pacs)
    with secure_station(tmp_path, site) as link:
        key = site.server.private_key.read_bytes()
        site.server.private_key.write_bytes(key[:100])
        for _ in range(3):
            assert is_served(link, context)
        site.server.private_key.write_bytes(site.pacs.private_key.read_bytes())
        assert is_served(link, context)
        said = [r.getMessage() for r in caplog.records if "TLS files" in r.getMessage()]
        assert len(said) == 2
        assert "the old ones stay" in said[0]
        assert "not that of the certificate" in said[1]
        assert "made together" in said[1]
        assert "BEGIN" not in caplog.text


def test_an_authority_that_is_taken_out_vouches_for_nobody_from_then_on(
    tmp_path: Path, site: Site
) -> None:
    with secure_station(tmp_path, site) as link:
        assert is_served(link, site.authority.client(site.pacs))
        another = Authority(tmp_path / "another", "another")
        client = tls_1_2(site.authority.client(site.pacs))
        site.authority.file.write_bytes(another.file.read_bytes())
        (error,) = refusal(link, client)
        assert "unknown ca" in str(error)


def test_a_peer_is_answered_while_it_has_sent_a_part_of_its_next_record_only(
    tmp_path: Path, site: Site
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = site.authority.client(site.pacs)
    secure = context.wrap_bio(incoming, outgoing, server_hostname=LOOPBACK)
    with secure_station(tmp_path, site, pdu_seconds=20.0, idle_seconds=20.0) as link:
        door = (LOOPBACK, tls_port(link))
        with socket.create_connection(door, timeout=10) as plain:

            def until(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                        incoming.write(plain.recv(65536))

            def pdu(kind: int, body: bytes) -> bytes:
                secure.write(struct.pack(">BBI", kind, 0, len(body)) + body)
                return outgoing.read()

            until(secure.do_handshake)
            request = association_request(b"PACS", b"WRISTMIR", VERIFICATION, EXPLICIT)
            plain.sendall(pdu(1, request))
            assert until(lambda: secure.read(65536))[0] == 2
            message = command(0x0030, VERIFICATION, data_set=0x0101)
            echo_request = struct.pack(">IBB", len(message) + 2, 1, 3) + message
            whole, part = pdu(4, echo_request), pdu(4, echo_request)[:7]
            began = time.monotonic()
            plain.sendall(whole + part)
            assert until(lambda: secure.read(65536))[0] == 4
            assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_reload_under_load_loses_no_association(tmp_path: Path, site: Site) -> None:
    context = site.authority.client(site.pacs)
    stop, failed, served = threading.Event(), [], []

    def keep_sending() -> None:
        while not stop.is_set():
            (served if is_served(link, context) else failed).append(1)

    with secure_station(tmp_path, site, idle_seconds=10.0, pdu_seconds=10.0) as link:
        senders = [threading.Thread(target=keep_sending) for _ in range(3)]
        for sender in senders:
            sender.start()
        for _ in range(10):
            site.authority.issue("receiver", "localhost", LOOPBACK)
            link.listener.reload()
            time.sleep(0.1)
        stop.set()
        for sender in senders:
            sender.join()
    assert failed == []
    assert len(served) >= 3


@pytest.mark.slow
def test_silent_slow_and_one_byte_clients_hold_nobody_up_and_are_cut(
    tmp_path: Path, site: Site
) -> None:
    context = site.authority.client(site.pacs)
    with secure_station(tmp_path, site, pdu_seconds=2.0) as link:
        bad = []
        for n in range(150):
            with suppress(OSError):
                bad.append(socket.create_connection((LOOPBACK, tls_port(link)), timeout=5))
                bad[-1].sendall((b"", b"\x16", b"\x16\x03\x01\x02\x00\x01")[n % 3])
        began = time.monotonic()
        assert is_served(link, context)
        assert time.monotonic() - began < 1
        assert len(listener_threads()) < 2 * (2 * 40 + 16)
        assert eventually(lambda: not link.listener._receiver._guard._living(), 4)
        for connection in bad:
            connection.close()


@pytest.mark.slow
def test_a_handshake_that_drips_is_cut_at_the_deadline_of_the_first_pdu(
    tmp_path: Path, site: Site
) -> None:
    with secure_station(tmp_path, site, pdu_seconds=1.0) as link:
        door = (LOOPBACK, tls_port(link))
        with socket.create_connection(door, timeout=5) as slow:
            slow.sendall(b"\x16\x03\x01\x02\x00")  # a record of 512 bytes
            began = time.monotonic()
            with suppress(OSError):
                while time.monotonic() - began < 5:
                    slow.sendall(b"\x01")
                    time.sleep(0.05)
            assert time.monotonic() - began < 3


@pytest.mark.slow
def test_who_shakes_hands_and_then_says_nothing_is_cut_at_the_same_deadline(
    tmp_path: Path, site: Site
) -> None:
    context = site.authority.client(site.pacs)
    with secure_station(tmp_path, site, pdu_seconds=1.0) as link:
        plain = socket.create_connection((LOOPBACK, tls_port(link)), timeout=5)
        began = time.monotonic()
        time.sleep(0.7)
        with context.wrap_socket(plain, server_hostname=LOOPBACK) as silent:
            with suppress(ConnectionError):
                assert silent.recv(1) == b""
            assert time.monotonic() - began < 1.6


@pytest.mark.slow
def test_connections_over_tls_leave_no_thread_and_no_descriptor(tmp_path: Path, site: Site) -> None:
    context = site.authority.client(site.pacs)
    with secure_station(tmp_path, site) as link:
        assert is_served(link, context)
        link.listener.probe()
        assert eventually(lambda: not link.listener._receiver._guard._living())
        before = len(descriptors())
        for _ in range(10):
            refusal(link, site.authority.client())
            refusal(link, context, "NOBODY")
            socket.create_connection((LOOPBACK, tls_port(link)), timeout=5).close()
            ask(link, context).close()
        assert eventually(lambda: not link.listener._receiver._guard._living())
        assert eventually(lambda: len(descriptors()) <= before)


def test_files_that_cannot_be_used_stop_the_start_with_the_way_out(
    tmp_path: Path, site: Site
) -> None:
    swapped = Identity(site.server.certificate, site.pacs.private_key)
    with pytest.raises(CredentialsError, match=r"receiver\.pem and .*pacs\.key: the key is not"):
        Credentials(site.authority.settings(swapped))
    missing = Identity(site.server.certificate, tmp_path / "none.key")
    with pytest.raises(CredentialsError, match=r"none\.key: No such file .*service's account"):
        Credentials(site.authority.settings(missing))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(site: Site) -> None:
    site.authority.lock(site.server, b"invented")
    with pytest.raises(CredentialsError, match="without a password"):
        Credentials(site.authority.settings(site.server))


def test_a_connection_that_is_reset_before_its_handshake_leaves_nothing_behind(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), secure_station(tmp_path, site) as link:
        before = len(listener_threads())
        for n in range(50):
            probe = socket.create_connection((LOOPBACK, tls_port(link)), timeout=5)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if n % 2:
                probe.sendall(b"\x16")
            probe.close()
        assert eventually(lambda: not link.listener._receiver._guard._living())
        assert eventually(lambda: len(listener_threads()) <= before)
        assert is_served(link, site.authority.client(site.pacs))
    assert "could not be set up" not in caplog.text
    assert "TLS connection is refused" not in caplog.text


def test_an_authorities_file_without_certificates_is_refused(tmp_path: Path, site: Site) -> None:
    site.authority.file.write_text("no certificate\n", encoding="ascii")
    with pytest.raises(CredentialsError, match=r"authority\.pem: .*in PEM"):
        Credentials(site.authority.settings(site.server))


def archive(link: Station, site: Site, **changes: Any) -> DestinationSettings:
    """Return the settings of a destination that is a station with TLS."""
    given: dict[str, Any] = {
        "name": "archive",
        "ae_title": "WRISTMIR",
        "host": LOOPBACK,
        "port": tls_port(link),
        "timeout_seconds": 5,
        "tls": True,
        "authorities": site.authority.file,
        "certificate": site.pacs.certificate,
        "private_key": site.pacs.private_key,
    }
    return DestinationSettings(**(given | changes))


def result(folder: Path) -> list[Path]:
    path = folder / "result.dcm"
    radiograph().save_as(path, enforce_file_format=True)
    return [path]


def test_results_are_sent_over_tls_and_a_destination_is_asked_by_c_echo(
    tmp_path: Path, site: Site
) -> None:
    with secure_station(tmp_path, site, tls={"only": True}) as link:
        there = archive(link, site)
        (sent,) = send(there, result(tmp_path), "PACS")
        assert sent.status == 0x0000
        assert len(link.inbox_files()) == 1
        echo(there.host, there.port, "PACS", "WRISTMIR", tls=client_context(there))


def test_a_destination_with_another_name_in_its_certificate_gets_nothing(
    tmp_path: Path, site: Site
) -> None:
    named = Site(site.authority, site.authority.issue("named", "pacs.example"), site.pacs)
    with secure_station(tmp_path, named) as link:
        with pytest.raises(DeliveryError, match=r"archive: TLS: .*IP address mismatch"):
            send(archive(link, site), result(tmp_path), "PACS")
        assert link.inbox_files() == []
        loose = archive(link, site, check_host_name=False)
        assert send(loose, result(tmp_path), "PACS")


def test_a_destination_of_another_authority_gets_nothing(tmp_path: Path, site: Site) -> None:
    other = Authority(tmp_path / "other", "other")
    with secure_station(tmp_path, site) as link:
        there = archive(link, site, authorities=other.file, check_host_name=False)
        with pytest.raises(DeliveryError, match="TLS: its certificate is not accepted"):
            send(there, result(tmp_path), "PACS")
        assert link.inbox_files() == []


def test_a_destination_that_wants_a_certificate_and_gets_none_is_said(
    tmp_path: Path, site: Site
) -> None:
    with secure_station(tmp_path, site) as link:
        there = archive(link, site, certificate=None, private_key=None)
        with pytest.raises(DeliveryError, match=r"archive: "):
            send(there, result(tmp_path), "PACS")
        assert link.inbox_files() == []


def test_a_destination_that_does_not_speak_tls_is_said(tmp_path: Path, site: Site) -> None:
    with secure_station(tmp_path, site) as link:
        there = archive(link, site, port=link.port)
        with pytest.raises(DeliveryError, match="TLS: it does not speak TLS"):
            send(there, result(tmp_path), "PACS")


@pytest.mark.slow
def test_a_destination_that_is_silent_within_its_handshake_is_given_up_in_time(
    tmp_path: Path, site: Site
) -> None:
    with secure_station(tmp_path, site) as link, socket.create_server((LOOPBACK, 0)) as silent:
        there = archive(link, site, port=silent.getsockname()[1], timeout_seconds=0.5)
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="did not complete the TLS handshake in time"):
            send(there, result(tmp_path), "PACS")
        assert time.monotonic() - began < 5


def test_a_destinations_files_that_cannot_be_used_are_said(tmp_path: Path, site: Site) -> None:
    with secure_station(tmp_path, site) as link:
        there = archive(link, site, authorities=tmp_path / "none.pem")
        with pytest.raises(DeliveryError, match=r"archive: .*none\.pem: No such file"):
            send(there, result(tmp_path), "PACS")
