from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_parts import BEGIN, STARTS, STOPS, TRANSFERRED, audit_file, kind, trail
from certificates import Authority
from receiver import Receiver
from station import LOOPBACK, Station, eventually, radiograph, station
from wire import rejection

from listener.errors import EchoError, ReceiverProcessError
from listener.receiver_processes import ReceiverProcesses
from listener.sender import echo
from listener.settings import PeerSettings

pytestmark = pytest.mark.slow

PEERS = (PeerSettings(ae_title="PACS", addresses=(f"{LOOPBACK}/32",)),)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path / "state", processes=2, pdu_seconds=10.0, idle_seconds=30.0) as it:
        yield it


def processes(link: Station) -> ReceiverProcesses:
    found = link.listener._receiver
    assert isinstance(found, ReceiverProcesses)
    return found


def connections(link: Station) -> dict[int, int]:
    """Return how many connections each process has."""
    assert link.listener._places is not None
    return link.listener._places.announced()


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_what_comes_by_any_of_them_is_acknowledged_kept_and_completed(link: Station) -> None:
    held = [link.associate() for _ in range(4)]
    assert all(connections(link)[pid] for pid in processes(link).pids)
    sent = [radiograph() for _ in held]
    for association, ds in zip(held, sent, strict=True):
        assert association.send_c_store(ds).Status == 0x0000
        association.release()
    assert len(link.inbox_files()) == 4
    studies = sorted(str(ds.StudyInstanceUID) for ds in sent)
    assert eventually(lambda: sorted(job.subject for job in link.ledger.jobs()) == studies)


def test_associations_go_to_those_that_have_fewest(link: Station) -> None:
    held = [link.associate() for _ in range(10)]
    assert all(association.is_established for association in held)
    # five each, but for the one or two that a busy machine lets the wrong one take
    assert min(connections(link).values()) >= 4
    for association in held:
        association.release()
    assert eventually(lambda: set(connections(link).values()) == {0})


def test_limits_hold_over_all_of_them(tmp_path: Path) -> None:
    with station(tmp_path, processes=3, max_associations_per_peer=4) as link:
        held = [link.associate() for _ in range(4)]
        assert all(association.is_established for association in held)
        assert [rejection(link) for _ in range(4)] == [(2, 3, 2)] * 4
        held.pop().release()
        assert eventually(lambda: link.associate().is_established)


def test_one_that_is_killed_is_replaced_and_its_places_are_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path, processes=2, max_associations=2, idle_seconds=30.0) as link:
        held = [link.associate() for _ in range(2)]
        assert rejection(link) == (2, 3, 2)
        before = processes(link).pids
        os.kill(before[0], signal.SIGKILL)
        assert eventually(lambda: len(set(processes(link).pids) - {before[0]}) == 2, 20)
        assert eventually(lambda: [a.is_established for a in held].count(True) == 1)
        link.associate().release()
        assert rejection(link, called="STORESCP") == (1, 1, 7)
        assert f"receiver process {before[0]} ended (signal 9)" in caplog.text
        assert "associations that ended with it: 1" in caplog.text
        assert eventually(lambda: _is_answering(link), 20)


def _is_answering(link: Station) -> bool:
    try:
        link.listener.probe()
    except EchoError:
        return False
    return True


def test_what_a_killed_one_leaves_half_written_is_swept_and_its_requests_come_due(
    link: Station,
) -> None:
    association = link.associate(called="WRISTMIR_Q_DR")
    (pid,) = [pid for pid, count in connections(link).items() if count]
    asked = radiograph()
    assert association.send_c_store(asked).Status == 0x0000
    incoming = link.settings.inbox_dir / "incoming"
    (incoming / f"{pid}-half.part").write_bytes(b"half")
    (incoming / "1-others.part").write_bytes(b"half")
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: [path.name for path in link.partial_files()] == ["1-others.part"])
    kinds = {"answer", "index"}
    assert eventually(lambda: {job.kind for job in link.ledger.jobs()} == kinds, 10)


def test_one_that_does_not_answer_is_told_of_and_replaced(
    link: Station, caplog: pytest.LogCaptureFixture
) -> None:
    link.listener.probe()
    stuck, *others = processes(link).pids
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(EchoError, match="1 receiver processes did not answer; 1 did"):
        link.listener.probe(1.0)
    assert eventually(lambda: len(set(processes(link).pids) - {stuck}) == 2, 20)
    assert set(others) <= set(processes(link).pids)
    assert f"receiver process {stuck} does not answer" in caplog.text
    assert eventually(lambda: _is_answering(link), 20)


def test_nobody_but_the_probe_is_admitted_where_one_is_probed(link: Station) -> None:
    ports = {address[1] for address in _probed(link)}
    assert link.port not in ports
    for port in ports:
        with pytest.raises(EchoError, match="reason 3"):
            echo(LOOPBACK, port, "PACS", "WRISTMIR")


def _probed(link: Station) -> list[tuple[str, int]]:
    members = processes(link)._members
    found = [member.process.address() for member in members if member.process is not None]
    return [address for address in found if address is not None]


def test_they_end_with_the_service_however_it_ends(tmp_path: Path) -> None:
    for end in ("stop", "kill"):
        receiver = Receiver(tmp_path / end, processes=2)
        pids = receiver.children()
        assert len(pids) == 2
        if end == "stop":
            assert receiver.stop() == 0
        else:
            receiver.kill()
        assert eventually(lambda these=pids: not any(map(is_running, these)), 10)


def test_stopping_aborts_what_is_open_and_is_prompt(tmp_path: Path) -> None:
    with station(tmp_path, processes=2, idle_seconds=30.0) as link:
        held = [link.associate() for _ in range(2)]
        pids = processes(link).pids
        began = time.monotonic()
        link.listener.stop()
        assert time.monotonic() - began < 8
        assert not any(map(is_running, pids))
    assert eventually(lambda: not any(association.is_alive() for association in held))


def test_a_service_whose_processes_cannot_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with (
        pytest.raises(ReceiverProcessError, match="did not become ready"),
        station(tmp_path, processes=2),
    ):
        pass


def test_one_that_cannot_start_is_tried_again_with_growing_pauses(
    link: Station, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = processes(link).pids
    monkeypatch.setattr("sys.executable", "/bin/false")
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: caplog.text.count("ended (status 1)") >= 2, 10)
    link.listener.probe()  # the other one serves on
    with socket.create_connection((LOOPBACK, link.port)):
        pass
    assert second in processes(link).pids
    monkeypatch.undo()
    assert eventually(lambda: len(processes(link).pids) == 2, 20)
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) < 20


def test_the_ports_of_one_that_was_killed_are_had_again_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    for _ in range(2):
        receiver = Receiver(tmp_path / "state", processes=2, port=port)
        echo(LOOPBACK, port, "PACS", "WRISTMIR")
        receiver.kill()
    with station(tmp_path / "state", processes=2, port=port) as link:
        link.listener.probe()


def test_tls_is_spoken_by_each_of_them_and_its_files_are_read_anew(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    server, client = authority.issue("receiver", LOOPBACK), authority.issue("pacs")
    tls = authority.settings(server, only=True)
    with station(tmp_path / "state", processes=2, tls=tls, peers=PEERS) as link:
        link.listener.probe()
        context = authority.client(client)
        shown = {_shown(link, context) for _ in range(6)}
        assert shown == {server.fingerprint}
        renewed = authority.issue("receiver", LOOPBACK)
        link.listener.reload()
        assert eventually(
            lambda: {_shown(link, context) for _ in range(6)} == {renewed.fingerprint}
        )
        echo(LOOPBACK, link.port, "PACS", "WRISTMIR", tls=context)


def _shown(link: Station, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection((LOOPBACK, link.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=LOOPBACK) as secure,
    ):
        encoded = secure.getpeercert(binary_form=True)
    assert encoded is not None
    return hashlib.sha256(encoded).digest().hex(":").upper()


def test_the_audit_trail_tells_once_of_the_start_and_of_what_each_of_them_took(
    tmp_path: Path,
) -> None:
    told = tmp_path / "audit.xml"
    with station(tmp_path / "state", processes=2, audit=audit_file(told)) as link:
        held = [link.associate() for _ in range(4)]
        for association in held:
            assert association.send_c_store(radiograph()).Status == 0x0000
            association.release()
    kinds = Counter(kind(message) for message in trail(told))
    assert kinds == {STARTS: 1, BEGIN: 4, TRANSFERRED: 4, STOPS: 1}
