"""A real syslog collector takes the audit trail: syslog-ng, over UDP and mutual TLS."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from audit_parts import BEGIN, STARTS, TRANSFERRED, kind, parsed
from certificates import Authority, Identity
from peers import peer
from plugin import free_port
from station import LOOPBACK, eventually, radiograph, station

from listener.audit_settings import AuditDestinationSettings, AuditSettings

pytestmark = [pytest.mark.peers, pytest.mark.slow]

_CONFIG = """
@version: current
options {{ stats-freq(0); }};
source s_udp {{
    network(ip("{host}") port({udp}) transport("udp") flags(syslog-protocol));
}};
source s_tls {{
    syslog(ip("{host}") port({tls}) transport("tls") tls(
        key-file("{key}") cert-file("{certificate}") ca-file("{authority}")
        peer-verify(required-trusted)));
}};
destination d_udp {{ file("{folder}/udp.log" template("$PRI $MSGID $SDATA $MSG\\n")); }};
destination d_tls {{ file("{folder}/tls.log" template("$PRI $MSGID $SDATA $MSG\\n")); }};
log {{ source(s_udp); destination(d_udp); }};
log {{ source(s_tls); destination(d_tls); }};
"""


@contextmanager
def syslog_ng(folder: Path, config: Path, port: int) -> Iterator[None]:
    """Run syslog-ng in the foreground until the block ends."""
    command = [peer("syslog-ng"), "-F", "--no-caps", "-f", str(config)]
    for option, name in (("-R", "persist"), ("-c", "control"), ("-p", "pid")):
        command += [option, str(folder / name)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: _listens(port), 15)
        yield
    finally:
        process.terminate()
        process.wait(timeout=15)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def destinations(
    udp: int, tls: int, authority: Authority, shown: Identity
) -> tuple[AuditDestinationSettings, ...]:
    return (
        AuditDestinationSettings(name="udp", kind="udp", host=LOOPBACK, port=udp),
        AuditDestinationSettings(
            name="tls",
            kind="tls",
            host=LOOPBACK,
            port=tls,
            authorities=authority.file,
            certificate=shown.certificate,
            private_key=shown.private_key,
        ),
    )


def test_a_collector_gets_the_trail_whole_and_what_came_while_it_was_down(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    collector = authority.issue("collector", LOOPBACK)
    udp, tls = free_port(), free_port()
    config = tmp_path / "syslog-ng.conf"
    config.write_text(
        _CONFIG.format(
            host=LOOPBACK,
            udp=udp,
            tls=tls,
            key=collector.private_key,
            certificate=collector.certificate,
            authority=authority.file,
            folder=tmp_path,
        ),
        encoding="utf-8",
    )
    there = destinations(udp, tls, authority, authority.issue("plugin"))
    with station(tmp_path / "state", audit=AuditSettings(destinations=there)) as link:
        link.send(radiograph())  # nobody listens yet
        with syslog_ng(tmp_path, config, tls):
            for name in ("udp", "tls"):
                file = tmp_path / f"{name}.log"
                assert eventually(lambda f=file: len(lines(f)) == 3, 20), name
        link.send(radiograph())
        with syslog_ng(tmp_path, config, tls):
            for name in ("udp", "tls"):
                file = tmp_path / f"{name}.log"
                assert eventually(lambda f=file: len(lines(f)) == 5, 20), name
    expected = [STARTS, BEGIN, TRANSFERRED, BEGIN, TRANSFERRED]
    for name in ("udp", "tls"):
        parts = [line.split(" ", 2) for line in lines(tmp_path / f"{name}.log")]
        assert {(priority, known) for priority, known, _ in parts} == {("85", "DICOM+RFC3881")}
        assert [f'sequenceId="{n}"' in rest for n, (_, _, rest) in enumerate(parts, 1)] == [
            True
        ] * 5
        messages = [parsed(rest[rest.index("<?xml") :]) for _, _, rest in parts]
        assert [kind(message) for message in messages] == expected
