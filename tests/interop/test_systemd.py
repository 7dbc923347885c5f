"""The units under a running systemd: started, killed, hung, reloaded and stopped by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
from archive import Archive, archive
from certificates import Authority, Identity, shown
from plugin import STUDIES, free_port
from pydicom import Dataset, dcmread
from pydicom.uid import ComprehensiveSRStorage
from station import LOOPBACK, eventually, radiograph
from systemd_machine import Machine, machine
from vllm_server import CONFIG as LANGUAGE_MODEL
from vllm_server import MODEL, tiny_gemma, vllm_packages, vllm_python

from deploy.small_pacs import SmallPacs
from listener.destination_settings import DestinationSettings
from listener.sender import echo, send
from pipeline.errors import LanguageModelUnavailableError
from pipeline.language_model import LanguageModel

pytestmark = [pytest.mark.peers, pytest.mark.slow]

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
LISTEN, WORK, WEB = "wristmir-listen", "wristmir-work", "wristmir-web"
READ = "wristmir-vllm"
ASKED = STUDIES / "TEST-0014-1"
PRIORS = ("TEST-0001-1", "TEST-0002-1")

CONFIG = """
state_dir = "/var/lib/wristmir"
[listener]
host = "127.0.0.1"
port = {port}
watermark_bytes = 0
[[listener.titles]]
ae_title = "WRISTMIR"
jobs = ["index"]
quiet_seconds = 0.3
[[listener.titles]]
ae_title = "WRISTMIR_Q_DR"
jobs = ["index", "answer"]
argument = {{ regions = ["distal_radius"] }}
quiet_seconds = 0.3
is_request = true
[listener.tls]
port = {tls_port}
certificate = "/etc/wristmir/receiver.pem"
private_key = "/run/credentials/wristmir-listen.service/receiver.key"
authorities = "/etc/wristmir/authority.pem"
[[listener.peers]]
ae_title = "SMALLPACS"
addresses = ["127.0.0.1"]
[[listener.destinations]]
name = "pacs"
ae_title = "SMALLPACS"
host = "127.0.0.1"
port = {pacs_port}
[[listener.destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive_port}
[listener.reconciliation]
destination = "archive"
[[listener.audit.destinations]]
name = "file"
kind = "file"
path = "/var/log/wristmir/audit.xml"
[pipeline]
destination = "pacs"
crosswalk_key = "/run/credentials/wristmir-work.service/crosswalk.key"
[web]
port = {web_port}
"""


@dataclass(frozen=True)
class Hospital:
    """A machine on which the units run, and what stands beside it."""

    machine: Machine
    pacs: SmallPacs
    archive: Archive
    authority: Authority
    receiver: Identity
    port: int
    tls_port: int
    web_port: int

    def send(self, *files: Path, title: str = "WRISTMIR") -> None:
        there = DestinationSettings(
            name="plugin", ae_title=title, host=LOOPBACK, port=self.port, timeout_seconds=60
        )
        send(there, files, "SMALLPACS")

    def is_heard(self) -> bool:
        try:
            echo(LOOPBACK, self.port, "SMALLPACS", "WRISTMIR", timeout_seconds=5)
        except Exception:  # noqa: BLE001 - however it fails, it was not heard
            return False
        return True

    def override(self, unit: str, *lines: str) -> None:
        """Write what an administrator would by `systemctl edit`."""
        kind = "Socket" if unit.endswith(".socket") else "Service"
        text = "\n".join([f"[{kind}]", *lines, ""])
        self.machine.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
        self.machine.run("systemctl", "daemon-reload")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("machine")
    (folder / "root").mkdir()
    authority = Authority(folder / "tls")
    receiver = authority.issue("receiver", LOOPBACK)
    ports = [free_port() for _ in range(3)]
    with (
        machine(folder / "root", vllm_packages()) as there,
        SmallPacs(folder / "pacs") as pacs,
        archive("ARCHIVE") as (holding, _),
    ):
        it = Hospital(there, pacs, holding, authority, receiver, *ports)
        installed(it)
        there.run("systemctl", "enable", "--now", LISTEN, WORK, WEB)
        yield it


def installed(hospital: Hospital) -> None:
    """Do what README says, with keys that the account itself may not read."""
    there = hospital.machine
    sysusers = (UNITS / "wristmir.sysusers.conf").read_text(encoding="utf-8")
    there.write("/etc/sysusers.d/wristmir.conf", sysusers)
    there.run("systemd-sysusers")
    for unit in UNITS.iterdir():
        if unit.suffix in (".service", ".socket", ".timer"):
            there.write(f"/etc/systemd/system/{unit.name}", unit.read_text(encoding="utf-8"))
    config = CONFIG.format(
        port=hospital.port,
        tls_port=hospital.tls_port,
        pacs_port=hospital.pacs.port,
        archive_port=hospital.archive.port,
        web_port=hospital.web_port,
    )
    there.write("/etc/wristmir/wristmir.toml", config)
    there.write("/etc/wristmir/authority.pem", hospital.authority.file.read_text())
    there.write("/etc/wristmir/receiver.pem", hospital.receiver.certificate.read_text())
    key = hospital.receiver.private_key.read_text()
    there.write("/etc/ssl/private/wristmir.key", key, mode=0o600)
    there.run("openssl", "rand", "-out", "/etc/wristmir/crosswalk.key", "32")
    there.run("chmod", "600", "/etc/wristmir/crosswalk.key")
    hospital.override(
        f"{LISTEN}.service", "LoadCredential=receiver.key:/etc/ssl/private/wristmir.key"
    )
    hospital.override(f"{WORK}.service", "LoadCredential=crosswalk.key:/etc/wristmir/crosswalk.key")


def files_of(study: str) -> list[Path]:
    return sorted((STUDIES / study).glob("*.dcm"))


def reports(hospital: Hospital) -> list[Dataset]:
    return [dcmread(file) for file in hospital.pacs.files(ComprehensiveSRStorage)]


def test_a_study_goes_in_and_its_answer_comes_back_through_units_as_they_are_installed(
    hospital: Hospital,
) -> None:
    for study in PRIORS:
        hospital.send(*files_of(study))
    hospital.send(*files_of(ASKED.name), title="WRISTMIR_Q_DR")
    assert eventually(lambda: reports(hospital), seconds=90), hospital.machine.said(WORK)
    for unit in (LISTEN, WORK, WEB):
        assert hospital.machine.property(unit, "ActiveState") == "active"
        assert hospital.machine.property(unit, "NRestarts") == "0"


def test_nothing_of_it_runs_as_root_and_its_folders_are_its_own(hospital: Hospital) -> None:
    accounts = hospital.machine.run("ps", "-eo", "user:20,args").splitlines()
    ours = [line.split()[0] for line in accounts if "/opt/wristmir/bin" in line]
    assert len(ours) >= 3
    assert set(ours) == {"wristmir"}
    state = hospital.machine.run("stat", "-c", "%U %a", "/var/lib/wristmir")
    assert state == "wristmir 700\n"
    log = hospital.machine.run("stat", "-c", "%U %a", "/var/log/wristmir")
    assert log == "wristmir 750\n"
    assert "<AuditMessage>" in hospital.machine.run("cat", "/var/log/wristmir/audit.xml")


def test_keys_that_only_root_may_read_are_handed_over(hospital: Hospital) -> None:
    client = hospital.authority.issue("pacs")
    assert shown(hospital.authority, client, hospital.tls_port) == hospital.receiver.fingerprint
    kept = hospital.machine.run("find", "/var/lib/wristmir", "-name", "*.key").split()
    assert [Path(file).name for file in kept] == ["site.key"]


def test_the_pages_answer(hospital: Hospital) -> None:
    with closing(HTTPConnection(LOOPBACK, hospital.web_port, timeout=20)) as pages:
        pages.request("GET", "/login")
        assert pages.getresponse().status == 200


def test_doctor_is_content_as_the_units_account(hospital: Hospital) -> None:
    said = hospital.machine.run(
        "runuser", "-u", "wristmir", "--", "/opt/wristmir/bin/wristmir", "doctor"
    )
    assert "✔" in said
    assert "✘" not in said


def test_the_reconciliation_ends_well(hospital: Hospital) -> None:
    hospital.machine.run("systemctl", "start", "wristmir-reconcile")
    assert hospital.machine.property("wristmir-reconcile", "Result") == "success"
    assert hospital.archive.asked


@pytest.mark.parametrize("unit", [LISTEN, WORK, WEB])
def test_one_that_is_killed_is_started_again(hospital: Hospital, unit: str) -> None:
    before = int(hospital.machine.property(unit, "NRestarts"))
    hospital.machine.run("systemctl", "kill", "--signal=KILL", unit)
    assert eventually(lambda: int(hospital.machine.property(unit, "NRestarts")) > before)
    assert eventually(
        lambda: hospital.machine.property(unit, "ActiveState") == "active", seconds=60
    )
    assert unit != LISTEN or eventually(hospital.is_heard)


def test_a_reload_ends_nothing(hospital: Hospital) -> None:
    before = hospital.machine.property(LISTEN, "MainPID")
    hospital.machine.run("systemctl", "reload", LISTEN)
    assert hospital.is_heard()
    assert hospital.machine.property(LISTEN, "MainPID") == before


def test_a_receiver_that_hangs_is_noticed_by_the_watchdog(hospital: Hospital) -> None:
    hospital.override(
        f"{LISTEN}.service",
        "LoadCredential=receiver.key:/etc/ssl/private/wristmir.key",
        "WatchdogSec=10",
    )
    hospital.machine.run("systemctl", "restart", LISTEN)
    time.sleep(12)
    assert hospital.machine.property(LISTEN, "NRestarts") == "0"  # it feeds the watchdog
    hospital.machine.run("systemctl", "kill", "--signal=STOP", LISTEN)
    assert eventually(lambda: hospital.machine.property(LISTEN, "NRestarts") == "1", seconds=120)
    assert eventually(hospital.is_heard, seconds=60)


def test_a_port_that_systemd_holds_turns_nobody_away_while_the_receiver_restarts(
    hospital: Hospital, tmp_path: Path
) -> None:
    there = hospital.machine
    hospital.override(
        f"{LISTEN}.socket", "ListenStream=", f"ListenStream={LOOPBACK}:{hospital.port}"
    )
    there.run("systemctl", "stop", LISTEN)
    there.run("systemctl", "enable", "--now", f"{LISTEN}.socket")
    assert there.property(LISTEN, "ActiveState") == "inactive"
    assert hospital.is_heard()  # who connects first starts it
    there.run("systemctl", "restart", "--no-block", LISTEN)
    file = tmp_path / "sent.dcm"
    for _ in range(5):
        radiograph().save_as(file, enforce_file_format=True)
        hospital.send(file)
    assert eventually(lambda: there.property(LISTEN, "ActiveState") == "active")


@pytest.mark.timeout(600)
def test_a_language_model_writes_a_word_in_its_unit(hospital: Hospital, tmp_path: Path) -> None:
    vllm_python()  # it is there, or this is skipped
    there, port = hospital.machine, free_port()
    config = LANGUAGE_MODEL.read_text(encoding="utf-8")
    folder = next(line.split()[1] for line in config.splitlines() if line.startswith("model:"))
    there.copy(tiny_gemma(tmp_path / "gemma"), folder)
    config = config.replace("port: 8000", f"port: {port}").replace("-seqs: 32", "-seqs: 16")
    there.write("/etc/wristmir/vllm.yaml", f"{config}enforce-eager: true\n")
    # of the build for processors alone
    hospital.override(
        f"{READ}.service",
        "Environment=VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind",
    )
    there.run("systemctl", "start", READ)

    def has_written() -> bool:
        with LanguageModel(f"http://{LOOPBACK}:{port}/v1", MODEL, probe_seconds=20) as model:
            try:
                model.probe()
            except LanguageModelUnavailableError:
                return False
        return True

    assert eventually(has_written, seconds=300), there.said(READ)[-5000:]
    assert there.property(READ, "NRestarts") == "0"
    there.run("systemctl", "stop", READ)
    assert there.property(READ, "Result") == "success"


def test_all_of_it_stops_as_it_is_told(hospital: Hospital) -> None:
    there = hospital.machine
    there.run("systemctl", "stop", f"{LISTEN}.socket", LISTEN, WORK, WEB)
    for unit in (LISTEN, WORK, WEB):
        assert there.property(unit, "Result") == "success"
        assert there.property(unit, "ExecMainStatus") == "0"
