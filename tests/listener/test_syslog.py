"""Syslog as collectors get it: real sockets, certificates of invented authorities."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Identity
from collector import Received, TlsCollector, UdpCollector
from station import LOOPBACK, eventually

from listener.audit_settings import AuditDestinationSettings
from listener.audit_spool import SpooledMessage
from listener.errors import AuditError
from listener.syslog import SyslogTls, SyslogUdp, syslog_message

NOW = datetime(2026, 3, 1, 9, 30, 0, 1500, tzinfo=UTC)


def message(number: int = 1, xml: str = "<AuditMessage />", bad: bool = False) -> SpooledMessage:
    return SpooledMessage(number, NOW, 4711, bad, xml)


def udp(port: int) -> SyslogUdp:
    there = AuditDestinationSettings(name="collector", kind="udp", host=LOOPBACK, port=port)
    return SyslogUdp(there, "plugin.invalid")


@dataclass(frozen=True)
class Site:
    authority: Authority
    collector: Identity
    plugin: Identity

    def tls(self, port: int, **changes: Any) -> SyslogTls:
        given = {
            "name": "collector",
            "kind": "tls",
            "host": LOOPBACK,
            "port": port,
            "authorities": self.authority.file,
            "certificate": self.plugin.certificate,
            "private_key": self.plugin.private_key,
            "timeout_seconds": 3,
        }
        there = AuditDestinationSettings.model_validate(given | changes)
        return SyslogTls(there, "plugin.invalid")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    authority = Authority(tmp_path / "tls")
    collector = authority.issue("collector", "localhost", LOOPBACK)
    return Site(authority, collector, authority.issue("plugin", "plugin.invalid"))


@pytest.fixture
def unused_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as held:
        held.bind((LOOPBACK, 0))
        return int(held.getsockname()[1])


def test_a_message_has_the_header_that_dicom_asks_for() -> None:
    head = "<85>1 2026-03-01T09:30:00.001500Z plugin.invalid wristmir 4711 DICOM+RFC3881 "
    assert syslog_message(message(7), "plugin.invalid").decode() == (
        head + '[meta sequenceId="7"] <AuditMessage />'
    )


def test_what_did_not_end_well_is_a_warning() -> None:
    assert syslog_message(message(bad=True), "h").startswith(b"<84>1 ")


def test_a_host_name_that_is_no_token_breaks_no_header() -> None:
    assert Received(syslog_message(message(), "a host\n")).xml == "<AuditMessage />"
    assert b" - wristmir " in syslog_message(message(), "")


def test_numbers_begin_anew_where_the_standard_ends_them() -> None:
    assert Received(syslog_message(message(2**31 - 1), "h")).number == 2**31 - 1
    assert Received(syslog_message(message(2**31), "h")).number == 1


def test_a_datagram_is_one_message() -> None:
    with UdpCollector() as there, closing(udp(there.port)) as here:
        assert here.send([message(1), message(2, "x" * 5000)]) == 0
        assert eventually(lambda: len(there.received) == 2)
    assert [len(one.xml) for one in there.received] == [16, 5000]
    assert {(one.priority, one.id, one.app) for one in there.received} == {
        (85, "DICOM+RFC3881", "wristmir")
    }


def test_a_datagram_where_nobody_listens_is_an_error(unused_port: int) -> None:
    with closing(udp(unused_port)) as here, pytest.raises(AuditError, match="collector"):
        here.send([message()])


def test_a_message_that_no_datagram_can_hold_is_counted_and_holds_up_none() -> None:
    with UdpCollector() as there, closing(udp(there.port)) as here:
        assert here.send([message(1, "x" * 66000), message(2)]) == 1
        assert eventually(lambda: len(there.received) == 1)


def test_messages_come_over_tls_with_their_octets_counted(site: Site) -> None:
    with (
        TlsCollector(site.authority, site.collector) as there,
        closing(site.tls(there.port)) as here,
    ):
        here.send([message(n, "x" * n * 100) for n in range(1, 30)])
        here.send([message(30)])
        assert eventually(lambda: len(there.received) == 30)
    assert [one.number for one in there.received] == list(range(1, 31))
    assert there.connections == 1


def test_a_collector_that_is_down_is_an_error_and_one_that_is_back_gets_the_next(
    site: Site,
) -> None:
    with TlsCollector(site.authority, site.collector) as first:
        here = site.tls(first.port)
        here.send([message(1)])
        assert eventually(lambda: len(first.received) == 1)
    with pytest.raises(AuditError, match="collector"):
        here.send([message(2)])
    with TlsCollector(site.authority, site.collector, first.port) as second, closing(here):
        here.send([message(2)])
        assert eventually(lambda: [one.number for one in second.received] == [2])


def test_a_connection_that_the_collector_closed_loses_nothing(site: Site) -> None:
    with TlsCollector(site.authority, site.collector) as first:
        here = site.tls(first.port)
        here.send([message(1)])
    with TlsCollector(site.authority, site.collector, first.port) as second, closing(here):
        here.send([message(2)])
        assert eventually(lambda: [one.number for one in second.received] == [2])


def test_a_certificate_that_the_collector_does_not_trust_is_noticed(
    site: Site, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other").issue("stranger")
    with TlsCollector(site.authority, site.collector) as there:
        here = site.tls(
            there.port, certificate=stranger.certificate, private_key=stranger.private_key
        )
        with closing(here), pytest.raises(AuditError, match="TLS failed"):
            here.send([message()])
        with closing(here), pytest.raises(AuditError, match="TLS failed"):
            here.probe()
        bare = site.tls(there.port, certificate=None, private_key=None)
        with closing(bare), pytest.raises(AuditError, match="TLS failed"):
            bare.send([message()])
    assert there.received == []


def test_a_collector_of_another_authority_or_name_gets_nothing(site: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with (
        TlsCollector(site.authority, other.issue("collector", LOOPBACK)) as there,
        closing(site.tls(there.port)) as here,
        pytest.raises(AuditError, match="not accepted"),
    ):
        here.send([message()])
    elsewhere = site.authority.issue("elsewhere", "elsewhere.invalid")
    with TlsCollector(site.authority, elsewhere) as there:
        with closing(site.tls(there.port)) as here, pytest.raises(AuditError, match="not accepted"):
            here.send([message()])
        with closing(site.tls(there.port, check_host_name=False)) as here:
            here.send([message()])
            assert eventually(lambda: len(there.received) == 1)


def test_one_that_answers_is_told_from_one_that_does_not(site: Site, unused_port: int) -> None:
    with TlsCollector(site.authority, site.collector) as there:
        assert "answers, TLSv1.3" in site.tls(there.port).probe()
    with pytest.raises(AuditError, match="refused"):
        site.tls(unused_port).probe()
    assert "nobody says" in udp(unused_port).probe()


def test_a_name_that_no_host_can_have_is_an_error(site: Site) -> None:
    host = "x" * 64 + ".invalid"
    there = AuditDestinationSettings(name="collector", kind="udp", host=host)
    for here in (SyslogUdp(there, "plugin.invalid"), site.tls(6514, host=host)):
        with pytest.raises(AuditError, match="Destination collector: "):
            here.probe()
        with pytest.raises(AuditError, match="Destination collector: "):
            here.send([message()])
