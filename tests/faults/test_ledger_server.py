"""PostgreSQL under the ledger: workers that are killed or hang, a server that is restarted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from postgresql import PostgreSQL, server
from station import eventually, radiograph, station

from listener.job import Job, JobState
from listener.ledger import Ledger
from listener.receipt import InstanceState

pytestmark = [pytest.mark.peers, pytest.mark.slow]

LEASE = 2.0
OUT_OF_RESOURCES = 0xA700

# a worker as it is, but for its one step: it notes when it begins and ends, and takes its time
_WORKER = """
import os, sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from listener.ledger import Ledger
from pipeline.worker import MINE, Delivery, Worker

notes = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(what, subject):
    os.write(notes, f"{what} {subject} {os.getpid()} {time.monotonic()}\\n".encode())

class Indexer:
    def mine(self, subject, images, told, by_rules):
        note("begin", subject)
        slowly = Path(sys.argv[2] + "." + subject)
        if slowly.exists():
            seconds = float(slowly.read_text())
            slowly.unlink()
            time.sleep(seconds)
        time.sleep(0.05)
        note("end", subject)
        return SimpleNamespace(as_json=lambda: {"by": os.getpid()})

with Ledger(sys.argv[1]) as ledger:
    note("ready", "-")
    outbox = SimpleNamespace(expire=lambda _: 0)
    worker = Worker(
        ledger, Indexer(), None, outbox, Delivery(None, None, "X"), Path("/nowhere"),
        lease_seconds=float(sys.argv[3]), kinds=(MINE,),
    )
    worker.run(threading.Event())
"""


@dataclass(frozen=True)
class Note:
    what: str
    subject: str
    process: int
    at: float


class Workers:
    """Several worker processes at one ledger, and what they noted of their work."""

    def __init__(self, folder: Path, url: str, number: int) -> None:
        self.notes_file, self.log = folder / "notes", folder / "workers.log"
        command = [sys.executable, "-W", "error", "-c", _WORKER, url, str(self.notes_file)]
        with self.log.open("ab") as log:
            self.processes = {
                process.pid: process
                for process in (
                    subprocess.Popen([*command, str(LEASE)], stderr=log) for _ in range(number)
                )
            }

    def slow_down(self, subject: str, seconds: float) -> None:
        """Let whoever works on a subject next, and nobody after it, take so long."""
        Path(f"{self.notes_file}.{subject}").write_text(str(seconds), encoding="ascii")

    def notes(self, what: str = "", subject: str = "") -> list[Note]:
        if not self.notes_file.exists():
            return []
        words = [line.split() for line in self.notes_file.read_text().splitlines()]
        notes = [Note(w[0], w[1], int(w[2]), float(w[3])) for w in words]
        return [n for n in notes if what in ("", n.what) and subject in ("", n.subject)]

    def __enter__(self) -> Workers:
        """Wait until all of them are there."""
        try:
            all_there = eventually(lambda: len(self.notes("ready")) == len(self.processes), 60)
            assert all_there, self.log.read_text()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def durable() -> Iterator[PostgreSQL]:
    with server(durable=True) as it:
        yield it


def spans(notes: list[Note], cut: dict[int, float]) -> dict[str, list[tuple[float, float]]]:
    """Return when each subject was worked on; a process that was cut short ended then."""
    ended = {(n.subject, n.process): n.at for n in notes if n.what == "end"}
    found: dict[str, list[tuple[float, float]]] = {}
    for n in notes:
        if n.what == "begin":
            end = ended.get((n.subject, n.process), cut.get(n.process, float("inf")))
            found.setdefault(n.subject, []).append((n.at, end))
    return found


def is_one_after_the_other(spans: list[tuple[float, float]]) -> bool:
    ordered = sorted(spans)
    return all(one[1] <= other[0] for one, other in pairwise(ordered))


def unfinished(ledger: Ledger) -> list[Job]:
    return [job for job in ledger.jobs(limit=10_000) if job.state is not JobState.DONE]


def test_a_worker_that_is_killed_with_a_lease_in_hand_loses_and_doubles_nothing(
    durable: PostgreSQL, tmp_path: Path
) -> None:
    url = durable.database()
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(url))
        workers = stack.enter_context(Workers(tmp_path, url, 4))
        workers.slow_down("1.40", 600)
        for n in range(80):
            ledger.enqueue("mine", f"1.{n}")
        assert eventually(lambda: workers.notes("begin", "1.40"), 60)
        (begun,) = workers.notes("begin", "1.40")
        victim = workers.processes[begun.process]
        time.sleep(1.5 * LEASE)  # it lives, and its lease with it
        assert len(workers.notes("begin", "1.40")) == 1
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        killed_at = time.monotonic()
        assert eventually(lambda: not unfinished(ledger), 60), workers.log.read_text()[-2000:]
        notes = workers.notes()
        jobs = ledger.jobs(limit=10_000)
    assert len(jobs) == 80
    again = [n for n in notes if n.what == "begin" and n.subject == "1.40"]
    assert len(again) == 2
    assert again[1].process != victim.pid
    assert LEASE / 2 < again[1].at - killed_at < LEASE + 2
    assert {job.subject: job.attempts for job in jobs if job.attempts > 1} == {"1.40": 2}
    assert all(map(is_one_after_the_other, spans(notes, {victim.pid: killed_at}).values()))
    assert len({n.process for n in notes}) == 4  # all of them worked
    assert workers.log.read_text() == ""


def test_a_worker_that_comes_back_late_changes_nothing(durable: PostgreSQL, tmp_path: Path) -> None:
    url = durable.database()
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(url))
        workers = stack.enter_context(Workers(tmp_path, url, 2))
        workers.slow_down("1.1", 1)
        number = ledger.enqueue("mine", "1.1")
        assert eventually(lambda: workers.notes("begin", "1.1"), 60)
        (begun,) = workers.notes("begin", "1.1")
        sleeper = workers.processes[begun.process]
        sleeper.send_signal(signal.SIGSTOP)
        assert eventually(lambda: ledger.job(number).state is JobState.DONE, 20)
        sleeper.send_signal(signal.SIGCONT)
        assert eventually(lambda: len(workers.notes("end", "1.1")) == 2)
        assert eventually(lambda: "another worker has it" in workers.log.read_text())
        job = ledger.job(number)
    assert job.attempts == 2
    assert (job.outcome or {})["by"] != sleeper.pid


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_workers_go_on_when_the_server_comes_back(
    durable: PostgreSQL, tmp_path: Path, how: signal.Signals
) -> None:
    url = durable.database()
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(url))
        workers = stack.enter_context(Workers(tmp_path, url, 3))
        for n in range(200):
            ledger.enqueue("mine", f"1.{n}")
        assert eventually(lambda: len(workers.notes("end")) > 20, 60)
        durable.stop(how)
        time.sleep(1)
        durable.start()
        before = len(workers.notes("end"))
        assert before < 200
        assert eventually(lambda: not unfinished(ledger), 60), workers.log.read_text()[-2000:]
        assert all(p.poll() is None for p in workers.processes.values()), workers.log.read_text()
        jobs = ledger.jobs(limit=10_000)
        notes = workers.notes()
    assert len(jobs) == 200
    assert {n.subject for n in notes if n.what == "end"} == {f"1.{n}" for n in range(200)}
    # what was in hand when the server went away is done once more, and nothing else
    assert len([n for n in notes if n.what == "end"]) <= 200 + 3
    assert "Traceback" not in workers.log.read_text()
    assert not re.search(r"\b1\.\d+\b", workers.log.read_text())  # nor does it name a study


def test_what_comes_while_the_server_is_away_is_refused_and_leaves_nothing(
    durable: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.arrivals._PAUSE_SECONDS", 0.2)
    first, second, third = radiograph(), radiograph(), radiograph()
    with station(tmp_path, ledger=durable.database()) as link:
        association = link.associate(called="WRISTMIR_Q_DR")
        assert association.send_c_store(first).Status == 0
        kept = link.inbox_files()
        durable.stop()
        assert association.send_c_store(second).Status == OUT_OF_RESOURCES
        assert association.send_c_store(third).Status == OUT_OF_RESOURCES
        assert (link.inbox_files(), link.partial_files()) == (kept, [])
        association.release()  # that it is over cannot be noted now
        durable.start()
        assert link.send(second, third) == [0, 0]
        assert eventually(lambda: len(link.ledger.jobs(JobState.READY)) == 4)
        rows = link.ledger.receipts()
        assert Counter(row.state for row in rows) == {InstanceState.STORED: 3}
        assert {row.path for row in rows} == set(link.inbox_files())


def test_everything_that_was_acknowledged_survives_crashes_of_the_server(
    durable: PostgreSQL, tmp_path: Path
) -> None:
    acknowledged: set[str] = set()
    refused: set[int] = set()
    enough = threading.Event()
    with station(tmp_path, ledger=durable.database()) as link:

        def send() -> None:
            while not enough.is_set():
                ds = radiograph()
                (status,) = link.send(ds)
                if status == 0:
                    acknowledged.add(str(ds.SOPInstanceUID))
                else:
                    refused.add(status)

        senders = [threading.Thread(target=send) for _ in range(2)]
        for sender in senders:
            sender.start()
        for _ in range(3):
            known = len(acknowledged)
            assert eventually(lambda known=known: len(acknowledged) > known + 5, 30)
            durable.stop(signal.SIGQUIT)
            time.sleep(0.3)
            durable.start()
        enough.set()
        for sender in senders:
            sender.join()
    assert refused <= {OUT_OF_RESOURCES}
    with station(tmp_path, ledger=link.settings.ledger_url) as link:  # inbox and ledger meet again
        rows = link.ledger.receipts(limit=10_000)
        assert acknowledged <= {row.sop_instance_uid for row in rows}
        assert Counter(row.state for row in rows) == {InstanceState.STORED: len(rows)}
        assert {row.path for row in rows} == set(link.inbox_files())
