"""SIGKILL at any moment: nothing acknowledged is lost, nothing is done twice, nothing stays undone.

`make test` kills a few times; WRISTMIR_KILLS=100 (`make faults`) kills either service so often.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
from collections import defaultdict
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from plugin import STUDIES, free_port, tables
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE

from deploy.settings import SHIPPED_BUNDLE
from deploy.small_pacs import SmallPacs
from listener.errors import EchoError
from listener.file_meta import read_file_meta
from listener.job import INDEX, JobState
from listener.ledger import Ledger
from listener.receipt import InstanceState
from listener.sender import echo
from pipeline.bundle import MANIFEST_FILE
from pipeline.edge_index import EdgeIndex
from pipeline.outbox import Outbox
from pipeline.record import Records
from pipeline.result_set import referenced_instances
from pipeline.worker import ANSWER, MINE

KILLS = int(os.environ.get("WRISTMIR_KILLS", "3"))
SEED = int(os.environ.get("WRISTMIR_KILL_SEED", random.SystemRandom().randrange(10**6)))
SETTLE_SECONDS = 240.0
SENDERS = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800 + 20 * KILLS),
    # pynetdicom forgets to close the socket of a connection that nobody answers
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@dataclass
class Hospital:
    """A state folder, the processes that work on it, and the PACS beside them."""

    folder: Path
    commands: tuple[str, ...]
    pacs: CountingPacs
    port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = tables(self.state, self.pacs.port, lease_seconds=2.0)
        config["listener"]["port"] = self.port
        # the PACS says its word once, and to nobody where the receiver is just being killed
        config["listener"]["destinations"][0]["commitment_seconds"] = 5.0
        self.config.write_text("\n".join(f"{key} = {toml(value)}" for key, value in config.items()))

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def config(self) -> Path:
        return self.folder / "wristmir.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, command: str) -> None:
        with self.log.open("ab") as log:
            self.running[command] = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", command, "--config", str(self.config)],
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
            )

    def await_ready(self, command: str) -> None:
        """Wait until a process has begun to serve; one that gives up is a failure."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.running[command].poll() is None, self.log.read_text()[-2000:]
            if command == "work":
                time.sleep(2)
                return
            with suppress(EchoError):
                echo("127.0.0.1", self.port, "SMALLPACS", "WRISTMIR", 1)
                return
            time.sleep(0.05)
        pytest.fail(f"{command} does not answer: {self.log.read_text()[-2000:]}")

    def end(self, command: str, number: signal.Signals) -> int:
        process = self.running.pop(command)
        process.send_signal(number)
        return process.wait(60)

    def end_all(self) -> None:
        for command in tuple(self.running):
            self.end(command, signal.SIGKILL)


class CountingPacs(SmallPacs):
    """Remembers with which bytes each object came."""

    def __init__(self, folder: Path) -> None:
        self.contents: dict[str, set[str]] = defaultdict(set)
        super().__init__(folder)

    def _store(self, event: Any) -> int:
        digest = hashlib.sha256(event.request.DataSet.getvalue()).hexdigest()
        self.contents[str(event.request.AffectedSOPInstanceUID)].add(digest)
        return super()._store(event)

    def uids(self, sop_class: str) -> set[str]:
        return {path.stem for path in self.files(sop_class)}


@dataclass
class Sender(threading.Thread):
    """Sends one study after the other, each again and again until all of it is acknowledged."""

    port: int
    dice: random.Random
    priors: list[str]
    acknowledged: dict[str, Path] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    refusals: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(name="sender", daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        by_study = study_files("prior") | study_files("lateral")
        for number in itertools.count():
            if number >= len(self.priors) and self.enough.is_set():
                return
            fresh = number < len(self.priors)
            study = self.priors[number] if fresh else self.dice.choice(self.priors)
            if number % 4 == 3 or not fresh:
                self._insist(by_study[study], "WRISTMIR_Q_DR")
                self.asked.append(study)
            else:
                self._insist(by_study[study], "WRISTMIR")
            self.sent.add(study)
            time.sleep(0.1 if fresh else 1.5 * SENDERS)

    def _insist(self, files: list[Path], title: str) -> None:
        while not self._store(files, title):
            time.sleep(0.2)

    def _store(self, files: list[Path], title: str) -> bool:
        entity = AE("SMALLPACS")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
        headers = [dcmread(file, stop_before_pixels=True) for file in files]
        for context in {(h.SOPClassUID, h.file_meta.TransferSyntaxUID) for h in headers}:
            entity.add_requested_context(*context)
        association = entity.associate("127.0.0.1", self.port, ae_title=title)
        try:
            for file, header in zip(files, headers, strict=True):
                if not association.is_established:
                    return False
                status = association.send_c_store(file).get("Status")
                if status == 0x0000:
                    self.acknowledged[str(header.SOPInstanceUID)] = file
                elif status is None:
                    return False
                else:
                    self.refusals.append(status)
            return True
        except RuntimeError:  # the other side died between two calls
            return False
        finally:
            if association.is_established:
                association.release()


class Senders:
    """Several senders, each with studies of its own, and what they came to together."""

    def __init__(self, port: int, dice: random.Random, studies: int) -> None:
        priors = list(study_files("prior") | study_files("lateral"))[:studies]
        self._senders = [Sender(port, dice, priors[n::SENDERS]) for n in range(SENDERS)]

    def start(self) -> None:
        for sender in self._senders:
            sender.start()

    def finish(self, seconds: float) -> bool:
        """Let them send what they began; False where that takes too long."""
        deadline = time.monotonic() + seconds
        for sender in self._senders:
            sender.enough.set()
        for sender in self._senders:
            sender.join(max(0.0, deadline - time.monotonic()))
        return not any(sender.is_alive() for sender in self._senders)

    @property
    def acknowledged(self) -> dict[str, Path]:
        return {uid: path for s in self._senders for uid, path in s.acknowledged.items()}

    @property
    def sent(self) -> set[str]:
        return {study for sender in self._senders for study in sender.sent}

    @property
    def asked(self) -> list[str]:
        return [study for sender in self._senders for study in sender.asked]

    @property
    def refusals(self) -> list[int]:
        return [status for sender in self._senders for status in sender.refusals]


def study_files(role: str) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["role"] == role:
                files.setdefault(row["study_uid"], []).append(STUDIES / row["file"])
    return files


def toml(value: Any) -> str:
    """Write a value on one line; JSON and TOML spell strings, numbers and booleans alike."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize("commands", [("serve",), ("listen", "work")], ids="+".join)
def test_a_service_that_is_killed_at_random_moments_loses_and_doubles_nothing(
    tmp_path: Path, commands: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "pynetdicom")
    dice = random.Random(SEED)  # noqa: S311 - moments of kills, and a seed to find them again
    with ExitStack() as stack:
        pacs = stack.enter_context(CountingPacs(tmp_path / "pacs"))
        hospital = Hospital(tmp_path, commands, pacs)
        stack.callback(hospital.end_all)
        senders = Senders(hospital.port, dice, studies=min(6 + KILLS, 33))
        for command in commands:
            hospital.start(command)
        senders.start()
        began = time.monotonic()
        kill(hospital, dice)
        seconds = time.monotonic() - began
        settle(hospital, senders)
        for command in commands:
            assert hospital.end(command, signal.SIGTERM) == 0, hospital.log.read_text()[-2000:]
        print(  # noqa: T201 - what a long run has come to
            f"seed {SEED}: {KILLS} kills in {seconds:.0f} s, "
            f"{len(senders.acknowledged)} instances, {len(senders.asked)} questions"
        )
        check(hospital, senders)


def kill(hospital: Hospital, dice: random.Random) -> None:
    for number in range(KILLS):
        command = hospital.commands[number % len(hospital.commands)]
        if number % 4 == 3:
            time.sleep(dice.uniform(0, 4))  # also while it starts
        else:
            hospital.await_ready(command)
            time.sleep(dice.uniform(0, 3))
        spare_the_unlucky(hospital)
        hospital.end(command, signal.SIGKILL)
        hospital.start(command)


def spare_the_unlucky(hospital: Hospital) -> None:
    """Wait while a job has seen so many workers die that it would soon be taken for the cause.

    After eight it is dead, rightly; on a slow machine chance alone can strike one so often.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    with Ledger(ledger_url(hospital)) as ledger:
        while time.monotonic() < deadline:
            unfinished = [*ledger.jobs(JobState.READY), *ledger.jobs(JobState.LEASED)]
            if all(job.attempts < 6 for job in unfinished):
                return
            time.sleep(0.2)


def settle(hospital: Hospital, senders: Senders) -> None:
    """Wait until everything is sent, indexed, answered and delivered, for a second on end."""
    deadline = time.monotonic() + SETTLE_SECONDS
    assert senders.finish(SETTLE_SECONDS / 2), hospital.log.read_text()[-2000:]
    quiet = 0
    with Ledger(ledger_url(hospital)) as ledger:
        while quiet < 10 and time.monotonic() < deadline:
            time.sleep(0.15)
            quiet = quiet + 1 if is_settled(ledger, senders) else 0
        assert quiet == 10, (ledger.counts(), hospital.log.read_text()[-2000:])


def is_settled(ledger: Ledger, senders: Senders) -> bool:
    studies = [ledger.study(uid) for uid in senders.sent]
    unfinished = {JobState.READY, JobState.LEASED}
    return (
        all(study.indexed_generation == study.generation for study in studies)
        and all(ledger.jobs(kind=ANSWER, subject=uid) for uid in senders.asked)
        and not any(state in unfinished for _, state in ledger.counts())
    )


def check(hospital: Hospital, senders: Senders) -> None:
    assert senders.refusals == []
    assert "Traceback" not in hospital.log.read_text()
    for database in hospital.state.glob("*.sqlite3"):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Ledger(ledger_url(hospital)) as ledger:
        check_inbox(hospital, senders, ledger)
        assert ledger.jobs(JobState.DEAD) == ()
        check_index(hospital, senders, ledger)
        check_results(hospital, senders, ledger)


def check_inbox(hospital: Hospital, senders: Senders, ledger: Ledger) -> None:
    """Every acknowledged instance is kept once, with the bytes that were sent, and nothing else."""
    for uid, source in senders.acknowledged.items():
        (row,) = ledger.receipt(uid)
        assert row.state is InstanceState.STORED
        assert row.path is not None
        assert data_set(row.path) == data_set(source)
    inbox = hospital.state / "inbox"
    assert set(inbox.glob("??/*.dcm")) == set(ledger.files())
    assert list(inbox.glob("incoming/*")) == []


def check_index(hospital: Hospital, senders: Senders, ledger: Ledger) -> None:
    """Every study is indexed once, and its exams know their report."""
    bundle = manifest_id()
    records = Records(f"sqlite:///{hospital.state / 'records.sqlite3'}")
    with EdgeIndex(hospital.state / "index", bundle) as index:
        wanted = 0
        for study in senders.sent:
            outcome = last_outcome(ledger, study)
            exams = index.exams(study)
            assert len(exams) == outcome["exams"], study
            assert {exam.sop_instance_uid for exam in exams} <= set(senders.acknowledged)
            wanted += len(exams)
            if outcome["reports"]:
                assert records.of(study) is not None
                assert ledger.jobs(kind=MINE, subject=study)
                assert all(exam.findings_known for exam in exams)
        assert index.count() == wanted
        assert wanted >= len(senders.sent) // 2
    records.close()


def check_results(hospital: Hospital, senders: Senders, ledger: Ledger) -> None:
    """Every answer's report and board are in the PACS once, always with the same bytes."""
    pacs = hospital.pacs
    wanted = [
        name
        for job in ledger.jobs(kind=ANSWER, limit=10_000)
        for name in (job.outcome or {}).get("results", ())
    ]
    assert len(wanted) == len(set(wanted)) > 0
    outbox = Outbox(hospital.state / "outbox", f"sqlite:///{hospital.state / 'outbox.sqlite3'}")
    assert all(outbox.is_delivered(name) for name in wanted)
    outbox.close()
    assert {path.name for path in (hospital.state / "outbox").iterdir()} == set(wanted)  # kept
    with closing(sqlite3.connect(hospital.state / "outbox.sqlite3")) as connection:
        known = dict(connection.execute("SELECT result_id, sop_instance_uid FROM result"))
        companions = dict(connection.execute("SELECT result_id, sop_instance_uid FROM companion"))
    assert set(companions) == set(wanted)
    assert pacs.uids(ComprehensiveSRStorage) == {*known.values(), *companions.values()}
    assert len(pacs.uids(SecondaryCaptureImageStorage)) == len(known)
    assert {uid for uid, contents in pacs.contents.items() if len(contents) > 1} == set()
    for path in pacs.files(ComprehensiveSRStorage):
        report = dcmread(path)
        assert str(report.StudyInstanceUID) in senders.asked
        assert referenced_instances(report) <= set(pacs.contents) | set(senders.acknowledged)


def last_outcome(ledger: Ledger, study: str) -> dict[str, Any]:
    """Return how the latest indexing ended; an answer's own indexing leaves no job."""
    (job, *_) = ledger.jobs(kind=INDEX, subject=study)
    while "merged_into" in (job.outcome or {}):  # the same work, put back under its elder's id
        job = ledger.job((job.outcome or {})["merged_into"])
    assert job.state is JobState.DONE
    return job.outcome or {}


def ledger_url(hospital: Hospital) -> str:
    return f"sqlite:///{hospital.state / 'ledger.sqlite3'}"


def data_set(path: Path) -> bytes:
    with path.open("rb") as stream:
        read_file_meta(stream)
        return stream.read()


def manifest_id() -> str:
    manifest = tomllib.loads((SHIPPED_BUNDLE / MANIFEST_FILE).read_text(encoding="utf-8"))
    return str(manifest["id"])
