"""The systemd units: accepted by systemd itself, and tight."""

from __future__ import annotations

import re
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest
from peers import peer

from listener.settings import ListenerSettings
from pipeline.settings import MiningSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SOCKET = DEPLOY / "systemd" / "wristmir-listen.socket"
OWN = [unit for unit in UNITS if unit.stem != "wristmir-vllm"]
CONFIGS = sorted((DEPLOY / "vllm").glob("*.yaml"))
_FLAG = re.compile(r"^([a-z-]+): '?(.*?)'?$", re.MULTILINE)


def test_both_halves_the_language_model_the_reconciliation_and_the_pages_have_a_unit() -> None:
    names = ["wristmir-listen", "wristmir-reconcile", "wristmir-vllm"]
    names += ["wristmir-web", "wristmir-work"]
    assert [unit.stem for unit in UNITS] == names


@pytest.mark.peers
def test_the_reconciliation_comes_every_night_and_fetches_nothing_by_itself(
    tmp_path: Path,
) -> None:
    service = UNITS[0].parent / "wristmir-reconcile.service"
    timer = service.with_suffix(".timer")
    text = service.read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert "--fetch" not in command
    when = timer.read_text(encoding="utf-8")
    assert "RandomizedDelaySec=" in when
    (tmp_path / timer.name).write_text(when, encoding="utf-8")
    (tmp_path / service.name).write_text(
        re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8"
    )
    verified = subprocess.run(
        [peer("systemd-analyze"), "verify", "--man=no", str(tmp_path / timer.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr.strip()) == (0, "")
    (calendar,) = re.findall(r"OnCalendar=(.*)", when)
    said = subprocess.run(
        [peer("systemd-analyze"), "calendar", "--iterations=2", calendar],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    first, second = (date.fromisoformat(day) for day in re.findall(r"(\S+) 02:00:00 ", said))
    assert second - first == timedelta(days=1)


@pytest.mark.peers
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_verifies_the_unit(unit: Path, tmp_path: Path) -> None:
    # the installed command is not at its place on a test machine: any executable stands in
    text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"))
    copy = tmp_path / unit.name
    copy.write_text(text, encoding="utf-8")
    verified = subprocess.run(
        [peer("systemd-analyze"), "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr.strip()) == (0, "")


@pytest.mark.peers
def test_systemd_verifies_the_socket_whose_ports_are_the_plain_settings(tmp_path: Path) -> None:
    text = SOCKET.read_text(encoding="utf-8")
    service = UNITS[0].read_text(encoding="utf-8")
    (tmp_path / SOCKET.name).write_text(text, encoding="utf-8")
    (tmp_path / UNITS[0].name).write_text(
        re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", service), encoding="utf-8"
    )
    verified = subprocess.run(
        [peer("systemd-analyze"), "verify", "--man=no", str(tmp_path / SOCKET.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr.strip()) == (0, "")
    plain = ListenerSettings(state_dir=tmp_path)
    hosts_and_ports = re.findall(r"ListenStream=(\S+):(\d+)", text)
    assert hosts_and_ports == [
        (plain.host, str(port)) for port in (plain.port, plain.tls.port, plain.hl7.port)
    ]


@pytest.mark.peers
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_is_tighter_than_most(unit: Path) -> None:
    said = subprocess.run(
        [peer("systemd-analyze"), "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= 1.6


@pytest.mark.parametrize("unit", OWN, ids=lambda unit: unit.stem)
def test_the_unit_runs_a_command_that_exists(unit: Path) -> None:
    command = re.search(r"ExecStart=\S+ (\w+)", unit.read_text(encoding="utf-8"))
    assert command is not None
    assert command[1] in ("listen", "reconcile", "web", "work")


def test_the_language_model_hears_this_machine_alone_and_fetches_nothing() -> None:
    text = (UNITS[0].parent / "wristmir-vllm.service").read_text(encoding="utf-8")
    assert "IPAddressDeny=any\nIPAddressAllow=localhost\n" in text
    assert "HF_HUB_OFFLINE=1" in text


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_the_language_model_is_served_as_the_plugin_expects(config: Path) -> None:
    flags = dict(_FLAG.findall(config.read_text(encoding="utf-8")))
    plain = MiningSettings()
    assert plain.url == f"http://{flags['host']}:{flags['port']}/v1"
    assert flags["served-model-name"] == plain.model
    assert '"backend": "guidance"' in flags["structured-outputs-config"]
    assert int(flags["max-model-len"]) == 8192
