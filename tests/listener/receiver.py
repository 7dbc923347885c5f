"""A receiver in a process of its own, over a folder that outlives it, with what it costs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from station import LOOPBACK

_PROGRAM = """
import json, logging, sys, threading
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from station import station
form = "%(levelname)s %(message)s"
log = partial(logging.basicConfig, level=logging.INFO, filename=sys.argv[4], format=form)
log()
with station(Path(sys.argv[1]), prepare=log, **json.loads(sys.argv[2])) as link:
    print(link.port, flush=True)
    sys.stdin.read()
"""
_HERE = Path(__file__).parent
TITLES = (
    {"ae_title": "WRISTMIR", "quiet_seconds": 0.2},
    {
        "ae_title": "WRISTMIR_Q_DR",
        "jobs": ["index", "answer"],
        "quiet_seconds": 0.2,
        "is_request": True,
    },
)


class Receiver:
    """A running receiver; its log, and its temporary files, lie in or beside the folder.

    Parameters
    ----------
    before
        A command that is to run it.
    changes
        Settings that differ from a station's.
    """

    def __init__(self, folder: Path, *, before: Sequence[str] = (), **changes: Any) -> None:
        self.folder = folder
        self.log = folder.with_name(f"{folder.name}.log")
        given = json.dumps({"titles": TITLES} | changes)
        program = [sys.executable, "-W", "error", "-c", _PROGRAM]
        self.process = subprocess.Popen(
            [*before, *program, str(folder), given, str(_HERE), str(self.log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        assert told, self.said()
        self.port = int(told)

    def connect(self) -> socket.socket:
        """Open a plain TCP connection."""
        return socket.create_connection((LOOPBACK, self.port), timeout=5)

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text() if self.log.exists() else ""

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an administrator does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._end()

    def children(self) -> list[int]:
        """Return the process ids of the receiver processes that it has started."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def resident_bytes(self) -> int:
        """Return the memory that it holds."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """Return the most memory that it has held since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak be what is held now (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def descriptors(self) -> int:
        """Return how many files and sockets it holds open, the ledger's pool left out."""
        links = []
        for name in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                links.append(os.readlink(name))  # noqa: PTH115 - a socket is no path
            except FileNotFoundError:
                continue
        return sum("ledger.sqlite3" not in link for link in links)

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(name))
        return int(line.split()[1]) * 1024

    def _end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return code
