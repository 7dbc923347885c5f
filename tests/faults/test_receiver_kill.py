"""kill -9 at any moment: nothing that was acknowledged is missing, and nothing is there twice."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import ComputedRadiographyImageStorage
from station import LOOPBACK, eventually, radiograph, station

from listener.job import JobState
from listener.receipt import InstanceState

_RECEIVER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from station import station
with station(Path(sys.argv[1]), titles=TITLES, ledger=sys.argv[3]) as link:
    print(link.port, flush=True)
    threading.Event().wait()
"""
_TITLES = '({"ae_title": "WRISTMIR", "quiet_seconds": 0.2}, {"ae_title": "WRISTMIR_Q_DR", '
_TITLES += '"jobs": ["index", "answer"], "quiet_seconds": 0.2, "is_request": True})'
_HELPERS = Path(__file__).parents[1] / "listener"


class Receiver:
    """A receiver in a process of its own, over a folder that outlives it."""

    def __init__(self, folder: Path, ledger: str) -> None:
        code = _RECEIVER.replace("TITLES", _TITLES)
        command = [sys.executable, "-W", "error", "-c", code, str(folder), str(_HELPERS), ledger]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Sender(threading.Thread):
    """Streams objects until its receiver is gone, and remembers what was acknowledged."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__()
        self._port = port
        self._random = random.Random(seed)  # noqa: S311 - reproducible sizes
        self.acknowledged: dict[str, str] = {}
        self.unacknowledged: set[str] = set()
        self.sent: list[Dataset] = []

    def run(self) -> None:
        ae = AE("PACS")
        ae.acse_timeout = ae.network_timeout = 5
        ae.dimse_timeout = 1.5
        ae.add_requested_context(ComputedRadiographyImageStorage, "1.2.840.10008.1.2.1")
        association = ae.associate(LOOPBACK, self._port, ae_title="WRISTMIR_Q_DR")
        connection = association.dul.socket.socket
        while association.is_established:
            ds = radiograph(side=self._random.choice([4, 64, 600]), seed=1)
            uid = str(ds.SOPInstanceUID)
            self.unacknowledged.add(uid)
            self.sent.append(ds)
            try:
                status = association.send_c_store(ds)
            except (RuntimeError, ValueError):
                break
            if status.get("Status") == 0x0000:
                self.acknowledged[uid] = hashlib.sha256(ds.PixelData).hexdigest()
                self.unacknowledged.discard(uid)
        connection.close()


def after_kills(folder: Path, ledger: str, moments: list[float]) -> None:
    """Kill a receiver at each moment while three senders stream; then look at what is left."""
    acknowledged: dict[str, str] = {}
    interrupted: set[str] = set()
    for n, moment in enumerate(moments):
        receiver = Receiver(folder, ledger)
        senders = [Sender(receiver.port, 10 * n + m) for m in range(3)]
        for sender in senders:
            sender.start()
        assert eventually(lambda s=senders: any(x.acknowledged for x in s), 20)
        time.sleep(moment)
        receiver.kill()
        for sender in senders:
            sender.join()
            acknowledged |= sender.acknowledged
            interrupted |= sender.unacknowledged
    with station(folder, ledger=ledger) as link:
        rows = link.ledger.receipts(limit=100_000)
        stored = {row.sop_instance_uid: row for row in rows}
        assert len(stored) == len(rows), "an instance is there twice"
        assert {row.state for row in rows} == {InstanceState.STORED}
        assert acknowledged.keys() <= stored.keys(), "an acknowledged instance is missing"
        assert stored.keys() <= acknowledged.keys() | interrupted
        for uid, digest in acknowledged.items():
            path = stored[uid].path
            assert path is not None
            assert hashlib.sha256(dcmread(path).PixelData).hexdigest() == digest
        assert {row.path for row in rows} == set(link.inbox_files())
        assert link.partial_files() == []
        studies = {row.study_uid for row in rows}
        assert eventually(
            lambda: len(link.ledger.jobs(JobState.READY, limit=10**6)) == 2 * len(studies), 20
        )
        for kind in ("index", "answer"):
            jobs = link.ledger.jobs(JobState.READY, kind, limit=10**6)
            assert sorted(job.subject for job in jobs) == sorted(studies)


@pytest.mark.slow
def test_three_kills_lose_nothing_and_double_nothing(tmp_path: Path, ledger_url: str) -> None:
    after_kills(tmp_path, ledger_url, [0.02, 0.2, 0.1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path, ledger_url: str) -> None:
    moments = random.Random(7)  # noqa: S311 - reproducible moments
    after_kills(tmp_path, ledger_url, [moments.uniform(0.0, 0.6) for _ in range(20)])


def test_what_is_sent_again_after_a_kill_is_there_once(tmp_path: Path, ledger_url: str) -> None:
    receiver = Receiver(tmp_path, ledger_url)
    sender = Sender(receiver.port, 1)
    sender.start()
    assert eventually(lambda: len(sender.acknowledged) > 3, 20)
    receiver.kill()
    sender.join()
    with station(tmp_path, ledger=ledger_url) as link:
        statuses = link.send(*sender.sent, called="WRISTMIR_Q_DR")
        assert set(statuses) == {0x0000}
        for ds in sender.sent:
            assert len(link.ledger.receipt(ds.SOPInstanceUID)) == 1
        assert len(link.inbox_files()) == len(sender.sent)
