"""kill -9 between the answer to a request for commitment and the report: the report still comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commitment_parts import CR, Told, ask, asking, listening, reference, soon
from commitment_parts import receiver as started
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from station import radiograph, settings

from listener.commitment import Reference
from listener.job import EVENT_REPORT, JobState
from listener.ledger import Ledger

_RECEIVER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from commitment_parts import receiver
there = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": int(sys.argv[3])}
with receiver(Path(sys.argv[1]), destinations=(there,)) as link:
    print(link.port, flush=True)
    threading.Event().wait()
"""
_HELPERS = Path(__file__).parents[1] / "listener"


class Receiver:
    """A receiver in a process of its own; its peer listens for reports on a port."""

    def __init__(self, folder: Path, peer_port: int) -> None:
        command = [sys.executable, "-W", "error", "-c", _RECEIVER, str(folder), str(_HELPERS)]
        self.process = subprocess.Popen(
            [*command, str(peer_port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def stored(association: Association) -> Dataset:
    ds = radiograph()
    assert association.send_c_store(ds).Status == 0x0000
    return ds


@pytest.mark.slow
@pytest.mark.parametrize("released", [False, True], ids=["while it waits", "after its release"])
def test_a_receiver_killed_before_its_report_sends_it_after_the_restart(
    tmp_path: Path, released: bool
) -> None:
    with listening() as peer:
        peer_port = peer.port
        there = peer.destination
    receiver = Receiver(tmp_path, peer_port)  # the peer is away: no report can get through
    with asking(receiver.port) as association:
        ds = stored(association)
        uid, status = ask(association, [reference(ds), Reference(CR, "1.2.3.4")])
        if not released:
            receiver.kill()
        association.abort()
    assert status == 0x0000
    if released:
        with Ledger(settings(tmp_path).ledger_url) as ledger:
            assert soon(lambda: ledger.jobs(kind=EVENT_REPORT)[0].attempts > 0)
        receiver.kill()
    with (
        listening(peer_port) as peer,
        started(tmp_path, destinations=(there,)) as restarted,
    ):
        assert soon(lambda: peer.told)
        jobs = restarted.ledger.jobs
        assert soon(lambda: jobs(JobState.DONE, EVENT_REPORT))
    (told,) = peer.told
    assert told == Told(uid, 2, [ds.SOPInstanceUID], {"1.2.3.4": 0x0112}, "WRISTMIR")


@pytest.mark.slow
def test_kills_at_any_moment_leave_no_request_without_its_report(tmp_path: Path) -> None:
    answered: set[str] = set()
    with listening() as peer:
        for moment in (0.0, 0.01, 0.05, 0.2, 0.6):
            receiver = Receiver(tmp_path, peer.port)
            for _ in range(3):
                with asking(receiver.port) as association:
                    ds = stored(association)
                    uid, status = ask(association, [reference(ds)])
                    assert status == 0x0000
                    answered.add(uid)
            time.sleep(moment)
            receiver.kill()
        with started(tmp_path, destinations=(peer.destination,)):
            assert soon(lambda: {told.transaction_uid for told in peer.told} == answered)
    assert {told.event_type for told in peer.told} == {1}
