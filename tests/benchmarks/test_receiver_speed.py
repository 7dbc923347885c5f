"""How fast the receiver is beside DCMTK's storescp, Orthanc, and pynetdicom that keeps nothing.

One sender for all, that costs next to nothing, one run, ratios: the machine's own speed drops out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import create_connection

import pytest
from orthanc import program
from peers import peer
from plugin import free_port
from rich.console import Console
from rich.table import Table

pytestmark = [pytest.mark.benchmark, pytest.mark.peers]

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
CELLS = ((8 << 20, 200, 1), (8 << 20, 200, 4), (67_000, 2000, 1), (67_000, 2000, 4))
"""Bytes of an object, how many, and over how many associations at once."""

MANY = 1000
"""Files that are not deleted before the end: for minutes ext4 goes around the inodes of such as
were (fs/ext4/ialloc.c, ``recently_deleted``), which costs whoever makes files, and nobody else."""

OURS = "WristMIR"


def test_the_receiver_beside_others(tmp_path: Path) -> None:
    table = Table("objects", "associations", *RECEIVERS, title="acknowledged objects a second")
    memory = Table("objects", "associations", *RECEIVERS, title="peak memory, MiB")
    for size, count, associations in CELLS:
        cell = [f"{count} × {size / 1e6:.2g} MB", str(associations)]
        found = {name: measured(name, tmp_path, size, count, associations) for name in RECEIVERS}
        rates = {name: rate for name, (rate, _) in found.items()}
        table.add_row(*cell, *(f"{rate:.0f} ({rate / rates[OURS]:.2f})" for rate in rates.values()))
        memory.add_row(*cell, *(f"{peak:.0f}" for _, peak in found.values()))
    Console(width=160).print(table, memory, sep="\n")


def measured(
    name: str, folder: Path, size: int, count: int, associations: int
) -> tuple[float, float]:
    """Return objects a second, and the receiver's peak memory in MiB."""
    place, port = folder / f"{size} {associations} {name}", free_port()
    place.mkdir()
    title, command = RECEIVERS[name](place, port)
    with running(command, port) as process:
        asked = [str(HERE / "pinned_sender.py"), str(port), title]
        numbers = [str(size), str(count), str(associations)]
        sent = subprocess.run(
            [sys.executable, *asked, *numbers], capture_output=True, text=True, check=False
        )
        assert sent.returncode == 0, (name, sent.stderr)
        peak = max(peak_kib(pid) for pid in (process.pid, *children(process.pid)))
    if count < MANY:
        shutil.rmtree(place)
    return count / float(sent.stdout), peak / 1024


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, from whichever of its threads."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text(encoding="ascii").split()]


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    peaks = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peaks[0].split()[1]) if peaks else 0  # one that has ended is still listed


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    # DCMTK delays small packets by default, as nothing else here does
    environment = {**os.environ, "TCP_NODELAY": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        for _ in range(600):
            try:
                create_connection((LOOPBACK, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        rest(process.pid)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def rest(pid: int) -> None:
    """Wait until a receiver has started: a socket that processes share answers before they do."""
    before, since, deadline = -1, time.monotonic(), time.monotonic() + 30
    while time.monotonic() - since < 1 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = sum(busy_ticks(one) for one in (pid, *children(pid)))
        if now > before + 1:
            before, since = now, time.monotonic()


def busy_ticks(pid: int) -> int:
    try:
        figures = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:  # it has ended meanwhile
        return 0
    return int(figures[11]) + int(figures[12])


def ours(folder: Path, port: int, processes: int = 1) -> tuple[str, list[str]]:
    config = folder / "wristmir.toml"
    config.write_text(
        f'state_dir = "{folder / "state"}"\n'
        f'[listener]\nhost = "{LOOPBACK}"\nport = {port}\nwatermark_bytes = 0\n'
        f"processes = {processes}\n"
        f'[[listener.peers]]\nae_title = "RIG"\naddresses = ["{LOOPBACK}"]\n',
        encoding="utf-8",
    )
    return "WRISTMIR", [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]


def nothing(_: Path, port: int, processes: int = 1) -> tuple[str, list[str]]:
    program = [sys.executable, str(HERE / "discarding_scp.py")]
    return "DISCARD", [*program, str(port), str(processes)]


def storescp(folder: Path, port: int) -> tuple[str, list[str]]:
    options = ["--fork", "--max-pdu", "131072", "-od", str(folder)]
    return "ANY", [peer("storescp"), *options, str(port)]


def orthanc(folder: Path, port: int) -> tuple[str, list[str]]:
    configuration = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "SyncStorageArea": True,
        "DicomPort": port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "MaximumPduLength": 131072,
        "HttpServerEnabled": False,
        "Plugins": [],
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration), encoding="utf-8")
    return "ORTHANC", [program(), str(file)]


RECEIVERS: Mapping[str, Callable[[Path, int], tuple[str, list[str]]]] = {
    OURS: ours,
    "pynetdicom, keeping nothing": nothing,
    "WristMIR, two processes": partial(ours, processes=2),
    "pynetdicom, two processes": partial(nothing, processes=2),
    "Orthanc, fsync": orthanc,
    "storescp, no fsync": storescp,
}
