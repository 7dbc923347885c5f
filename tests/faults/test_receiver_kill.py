"""kill -9 at any moment: nothing that was acknowledged is missing, and nothing is there twice.

WRISTMIR_KILLS=200 (`make faults`) kills as often as it says.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import ComputedRadiographyImageStorage
from receiver import Receiver
from station import LOOPBACK, eventually, radiograph, station

from listener.job import JobState
from listener.ledger import Ledger
from listener.receipt import InstanceRow, InstanceState

KILLS = int(os.environ.get("WRISTMIR_KILLS", "10"))
SEED = int(os.environ.get("WRISTMIR_KILL_SEED", random.SystemRandom().randrange(10**6)))


class Sender(threading.Thread):
    """Streams objects until its receiver is gone, and remembers what was acknowledged.

    Some come again as they were, and some with other content under their UID.
    """

    def __init__(self, port: int, seed: int) -> None:
        super().__init__()
        self._port = port
        self._random = random.Random(seed)  # noqa: S311 - reproducible sizes
        self._number = 0
        self.acknowledged: dict[str, list[bytes]] = {}
        self.interrupted: dict[str, bytes] = {}
        self.sent: list[Dataset] = []

    def run(self) -> None:
        ae = AE("PACS")
        ae.acse_timeout = ae.network_timeout = 5
        ae.dimse_timeout = 1.5
        ae.add_requested_context(ComputedRadiographyImageStorage, "1.2.840.10008.1.2.1")
        association = ae.associate(LOOPBACK, self._port, ae_title="WRISTMIR_Q_DR")
        connection = association.dul.socket.socket
        while association.is_established:
            ds = self._next()
            uid = str(ds.SOPInstanceUID)
            self.interrupted = {uid: ds.PixelData}
            self.sent.append(ds)
            try:
                status = association.send_c_store(ds)
            except (RuntimeError, ValueError):
                break
            if status.get("Status") != 0x0000:
                break
            self.interrupted = {}
            contents = self.acknowledged.setdefault(uid, [])
            if contents[-1:] != [ds.PixelData]:
                contents.append(ds.PixelData)
        connection.close()

    def _next(self) -> Dataset:
        which = self._random.random()
        if self.sent and which < 0.1:
            return self.sent[-1]
        self._number += 1
        given = {"side": self._random.choice([4, 64, 600]), "seed": self._number}
        if self.sent and which < 0.3:
            known = self._random.choice(self.sent)
            given |= {"study": known.StudyInstanceUID, "instance": known.SOPInstanceUID}
        return radiograph(**given)


def after_kills(folder: Path, ledger: str, moments: list[float], processes: int = 1) -> None:
    """Kill a receiver at each moment while three senders stream; then look at what is left.

    Where it is several processes, one of them is killed at the moment, and a little later the
    service, which ends the others.
    """
    senders: list[Sender] = []
    orphans = 0
    began = time.monotonic()
    for number, moment in enumerate(moments):
        receiver = Receiver(folder, ledger=ledger, processes=processes)
        these = [Sender(receiver.port, SEED + 10 * number + m) for m in range(3)]
        for sender in these:
            sender.start()
        assert eventually(lambda s=these: any(x.acknowledged for x in s), 20)
        time.sleep(moment)
        if processes > 1:
            os.kill(receiver.children()[number % processes], signal.SIGKILL)
            time.sleep(moment / 2)
        receiver.kill()
        orphans += len(list(folder.glob("inbox/incoming/*")))
        for sender in these:
            sender.join()
        senders += these
    contents = {uid: seen for sender in senders for uid, seen in sender.acknowledged.items()}
    last = {uid: seen for sender in senders for uid, seen in sender.interrupted.items()}
    print(  # noqa: T201 - what a long run has come to
        f"seed {SEED}: {len(moments)} kills in {time.monotonic() - began:.0f} s, "
        f"{sum(map(len, contents.values()))} contents under {len(contents)} UIDs, "
        f"{orphans} orphans"
    )
    check(folder, ledger, contents, last)


def check(
    folder: Path, ledger: str, contents: dict[str, list[bytes]], last: dict[str, bytes]
) -> None:
    """Every acknowledged content is a version, in its order; the last, cut off, may be one."""
    with station(folder, ledger=ledger) as link:
        versions: dict[str, list[InstanceRow]] = {}
        rows = sorted(link.ledger.receipts(limit=10**6), key=lambda row: row.version)
        for row in rows:
            versions.setdefault(row.sop_instance_uid, []).append(row)
        assert contents.keys() <= versions.keys(), "an acknowledged instance is missing"
        assert versions.keys() <= contents.keys() | last.keys()
        for uid, kept in versions.items():
            assert [row.version for row in kept] == list(range(1, len(kept) + 1))
            states = [InstanceState.SUPERSEDED] * (len(kept) - 1) + [InstanceState.STORED]
            assert [row.state for row in kept] == states
            found = [dcmread(row.path).PixelData for row in kept if row.path]
            wanted = contents.get(uid, [])
            assert found in (wanted, [*wanted, last.get(uid)]), "a content is missing or twice"
        assert {row.path for row in rows} == set(link.inbox_files())
        assert link.partial_files() == []
        studies = {row.study_uid for row in rows}
        for kind in ("index", "answer"):
            assert eventually(lambda k=kind: subjects(link.ledger, k) == sorted(studies), 30)


def subjects(ledger: Ledger, kind: str) -> list[str]:
    jobs = ledger.jobs(JobState.READY, kind, limit=10**6)
    return sorted(job.subject for job in jobs)


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * KILLS)
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, ledger_url: str) -> None:
    moments = random.Random(SEED)  # noqa: S311 - reproducible moments
    after_kills(tmp_path / "state", ledger_url, [moments.uniform(0.0, 0.6) for _ in range(KILLS)])


@pytest.mark.slow
@pytest.mark.timeout(60 + 15 * KILLS)
def test_kills_of_one_process_of_several_lose_and_double_nothing_either(
    tmp_path: Path, ledger_url: str
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - reproducible moments
    moments = [dice.uniform(0.0, 0.6) for _ in range(max(3, KILLS // 4))]
    after_kills(tmp_path / "state", ledger_url, moments, processes=2)


@pytest.mark.slow
def test_what_is_sent_again_after_a_kill_is_there_once(tmp_path: Path, ledger_url: str) -> None:
    folder = tmp_path / "state"
    receiver = Receiver(folder, ledger=ledger_url)
    sender = Sender(receiver.port, 1)
    sender.start()
    assert eventually(lambda: len(sender.acknowledged) > 3, 20)
    receiver.kill()
    sender.join()
    (cut_off,) = sender.interrupted or {sender.sent[-1].SOPInstanceUID}
    again = [ds for ds in sender.sent if ds.SOPInstanceUID == cut_off][-1]
    with station(folder, ledger=ledger_url) as link:
        before = {uid: len(link.ledger.receipt(uid)) for uid in sender.acknowledged}
        assert link.send(again, again, called="WRISTMIR_Q_DR") == [0x0000, 0x0000]
        for uid, versions in before.items():
            more = 1 if uid == cut_off else 0
            assert versions <= len(link.ledger.receipt(uid)) <= versions + more
        (*_, current) = link.ledger.receipt(cut_off)
        assert current.path is not None
        assert dcmread(current.path).PixelData == again.PixelData
