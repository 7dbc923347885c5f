"""The audit trail of the whole: services, commands, the doctor."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from audit_parts import (
    ACCESSED,
    BEGIN,
    STARTS,
    STOPS,
    TRANSFERRED,
    audit_file,
    ended,
    kind,
    objects,
    trail,
)
from plugin import free_port, tables
from station import LOOPBACK, eventually, radiograph

from deploy.assembly import open_worker
from deploy.doctor import examine
from deploy.folder import index_folder
from deploy.settings import Settings, load, parse, site_key
from listener.audit import Audit
from listener.audit_spool import AuditSpool
from listener.errors import EchoError
from listener.ledger import Ledger
from listener.sender import echo


def configured(folder: Path, audit: str) -> Path:
    """Write a configuration with an audit trail."""
    config = folder / "wristmir.toml"
    config.write_text(
        f'state_dir = "{folder / "state"}"\n[listener]\nhost = "{LOOPBACK}"\n'
        f"port = {free_port()}\nwatermark_bytes = 0\n"
        f'[[listener.peers]]\nae_title = "PACS"\naddresses = ["{LOOPBACK}"]\n{audit}',
        encoding="utf-8",
    )
    return config


def to_file(path: Path) -> str:
    return f'[[listener.audit.destinations]]\nname = "log"\nkind = "file"\npath = "{path}"\n'


def doctor(config: Path) -> list[tuple[str, str]]:
    return [(c.verdict, c.detail) for c in examine(config) if c.name == "audit"]


def answers(settings: Settings) -> bool:
    try:
        echo(LOOPBACK, settings.listener.port, "PACS", "WRISTMIR")
    except EchoError:
        return False
    return True


@pytest.mark.slow
def test_a_service_tells_of_its_start_and_its_stop(tmp_path: Path) -> None:
    config = configured(tmp_path, to_file(tmp_path / "audit.xml"))
    command = [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: answers(load(config)), 30)
        with pytest.raises(EchoError):
            echo(LOOPBACK, load(config).listener.port, "NOBODY", "WRISTMIR")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    kinds = [kind(message)[0] for message in trail(tmp_path / "audit.xml")]
    assert kinds == ["110100", "110113", "110100"]


def test_a_folder_that_is_taken_in_is_told_of_like_a_reception(tmp_path: Path) -> None:
    config = configured(tmp_path, to_file(tmp_path / "audit.xml"))
    ds = radiograph()
    (tmp_path / "study").mkdir()
    ds.save_as(tmp_path / "study" / "1.dcm", enforce_file_format=True)
    assert index_folder(load(config), tmp_path / "study")["accepted"] == 1
    messages = trail(tmp_path / "audit.xml")
    assert [kind(message) for message in messages] == [STARTS, BEGIN, TRANSFERRED, STOPS]
    assert objects(messages[2], "110180") == [ds.StudyInstanceUID]


def test_a_look_up_in_the_crosswalk_is_told_with_study_and_patient(tmp_path: Path) -> None:
    chosen = tables(tmp_path / "state", free_port())
    chosen["listener"]["audit"] = audit_file(tmp_path / "audit.xml").model_dump()
    settings = parse(chosen)
    key = site_key(settings.state_dir)
    ds = radiograph()
    (tmp_path / "study").mkdir()
    ds.save_as(tmp_path / "study" / "1.dcm", enforce_file_format=True)
    index_folder(settings, tmp_path / "study")
    with (
        Ledger(settings.ledger_url) as ledger,
        Audit(settings.listener, site_key=key) as audit,
        open_worker(settings, ledger, key, audit) as worker,
    ):
        (row,) = ledger.receipts()
        crosswalk = worker.answerer.library.crosswalk
        crosswalk.keep("2.25.1", ds.SOPInstanceUID, ds.StudyInstanceUID)
        crosswalk.of_copy("2.25.1")
        crosswalk.of_copy("2.25.2")
    found, lost = (m for m in trail(tmp_path / "audit.xml") if kind(m) == ACCESSED)
    assert objects(found, "110180") == [ds.StudyInstanceUID]
    assert objects(found, "2") == [row.patient_key]
    assert ended(lost)[1] == "4"


def test_the_doctor_says_that_none_is_kept(tmp_path: Path) -> None:
    ((verdict, detail),) = doctor(configured(tmp_path, ""))
    assert verdict == "ok"
    assert "no audit trail is kept" in detail


@pytest.mark.slow
def test_the_doctor_says_which_destinations_answer_and_how_many_messages_wait(
    tmp_path: Path,
) -> None:
    later = tmp_path / "later"
    udp = f'[[listener.audit.destinations]]\nname = "net"\nkind = "udp"\nhost = "{LOOPBACK}"\n'
    config = configured(tmp_path, to_file(later / "audit.xml") + udp)
    listener = load(config).listener
    spool = AuditSpool(listener.audit_spool, ("log", "net"), 100)
    for _ in range(103):
        spool.put(datetime.now(UTC), "<AuditMessage />", is_warning=False)
    spool.close()
    (log, dropped, net, _) = doctor(config)
    assert log[0] == "error"
    assert "is missing or cannot be written" in log[1]
    assert log[1].endswith("; 100 messages wait")
    assert dropped == ("warning", "log: 3 messages were dropped, too many waited")
    assert net[0] == "ok"
    assert "nobody says whether messages come" in net[1]
    later.mkdir()
    assert doctor(config)[0][0] == "ok"
