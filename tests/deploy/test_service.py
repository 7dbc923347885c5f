"""The service as systemd runs it: what its signals do."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority, shown
from peers import peer
from plugin import saved
from station import eventually, radiograph

from listener.destination_settings import DestinationSettings
from listener.sender import echo, send

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def listening(folder: Path, tables: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `wristmir listen` until the block ends; it must then stop as if told by systemd."""
    config = folder / "wristmir.toml"
    config.write_text(f'state_dir = "{folder / "state"}"\n{tables}', encoding="utf-8")
    command = [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    socket.create_connection((LOOPBACK, port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert process.returncode == 0


@pytest.mark.slow
def test_sighup_has_the_files_for_tls_read_anew_and_ends_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    server, client = authority.issue("receiver", LOOPBACK), authority.issue("pacs")
    port = free_port()
    tables = f"""
[listener]
host = "{LOOPBACK}"
[listener.tls]
port = {port}
only = true
certificate = "{server.certificate}"
private_key = "{server.private_key}"
authorities = "{authority.file}"
"""
    with listening(tmp_path, tables, port) as process:
        assert shown(authority, client, port) == server.fingerprint
        renewed = authority.issue("receiver", LOOPBACK)
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while b"read anew" not in (tmp_path / "log").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert b"read anew" in (tmp_path / "log").read_bytes()
        assert shown(authority, client, port) == renewed.fingerprint
        assert process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_receiver_stays_small_while_large_objects_come_over_several_associations(
    tmp_path: Path, processes: int
) -> None:
    port = free_port()
    tables = f"""
[listener]
host = "{LOOPBACK}"
port = {port}
processes = {processes}
[[listener.peers]]
ae_title = "PACS"
addresses = ["{LOOPBACK}"]
"""
    large = saved(radiograph(side=2048), tmp_path / "large.dcm")  # 8 MB
    with listening(tmp_path, tables, port) as process:
        echo(LOOPBACK, port, "PACS", "WRISTMIR", timeout_seconds=60)
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        others = [int(pid) for path in tasks for pid in path.read_text().split()]
        assert len(others) == (0 if processes == 1 else processes)
        plugin = DestinationSettings(name="plugin", ae_title="WRISTMIR", host=LOOPBACK, port=port)
        with ThreadPoolExecutor(4) as associations:
            for sent in [associations.submit(send, plugin, [large] * 12, "PACS") for _ in range(4)]:
                sent.result()
        for pid in (process.pid, *others):
            status = Path(f"/proc/{pid}/status").read_text()
            (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
            assert int(kib) < 120 * 1000


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("processes", [1, 2])
def test_systemd_may_hold_the_port_and_who_connects_first_is_served(
    tmp_path: Path, processes: int
) -> None:
    port = free_port()
    config = tmp_path / "wristmir.toml"
    config.write_text(
        f"""
state_dir = "{tmp_path / "state"}"
[listener]
host = "192.0.2.1"
port = {port}
processes = {processes}
[[listener.peers]]
ae_title = "PACS"
addresses = ["{LOOPBACK}"]
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]
    activated = [peer("systemd-socket-activate"), f"--listen={LOOPBACK}:{port}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*activated, *command], stderr=log)
        try:
            assert eventually(lambda: _is_open(port), 20)  # this starts it, and waits for it
            for _ in range(4):
                echo(LOOPBACK, port, "PACS", "WRISTMIR", timeout_seconds=60)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
    assert code == 0, (tmp_path / "log").read_text()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.peers
def test_a_port_of_systemds_that_no_setting_names_is_said_in_one_line(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "wristmir.toml"
    config.write_text(f'state_dir = "{tmp_path / "state"}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]
    activated = [peer("systemd-socket-activate"), f"--listen={LOOPBACK}:{port}", *command]
    process = subprocess.Popen(activated, stderr=subprocess.PIPE, text=True)
    assert eventually(lambda: _is_open(port), 20)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"systemd has handed over port {port}; [listener] names another one." in said
    assert "Traceback" not in said
