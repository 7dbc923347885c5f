"""The service as systemd runs it: what its signals do."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority, Identity

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as taken:
        return int(taken.getsockname()[1])


def shown(authority: Authority, client: Identity, port: int) -> str:
    """Return the fingerprint of the certificate that is shown on a port."""
    with (
        socket.create_connection((LOOPBACK, port), timeout=5) as plain,
        authority.client(client).wrap_socket(plain, server_hostname=LOOPBACK) as secure,
    ):
        encoded = secure.getpeercert(binary_form=True)
    assert encoded is not None
    return hashlib.sha256(encoded).digest().hex(":").upper()


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
