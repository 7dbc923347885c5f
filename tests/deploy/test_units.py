"""The systemd units: accepted by systemd itself, and tight."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from peers import peer

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))


def test_both_halves_have_a_unit() -> None:
    assert [unit.name for unit in UNITS] == ["wristmir-listen.service", "wristmir-work.service"]


@pytest.mark.peers
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_verifies_the_unit(unit: Path, tmp_path: Path) -> None:
    # the installed command is not at its place on a test machine: any executable stands in
    text = unit.read_text(encoding="utf-8").replace("/opt/wristmir/bin/wristmir", "/bin/true")
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
    assert float(exposure[1]) <= 1.5


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_runs_a_command_that_exists(unit: Path) -> None:
    command = re.search(r"ExecStart=\S+ (\w+)", unit.read_text(encoding="utf-8"))
    assert command is not None
    assert command[1] in ("listen", "work")
