"""Where the ledger lies, as services and commands find it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ledger_parts import record
from plugin import STUDIES, free_port, plugin
from postgresql import server
from simple_bundle import simple_bundle

from deploy.doctor import Check, examine
from deploy.errors import ConfigurationError, ServiceUnavailableError
from deploy.settings import load, parse
from deploy.state import key_of_site, open_ledger
from listener import schema
from listener.database import Database
from listener.errors import LedgerError
from listener.job import JobState
from listener.ledger import Ledger
from listener.tables import TABLES

WHOSE = ["TEST-0001-1", "TEST-0002-1"]


def written(folder: Path, url: str | None) -> Path:
    """Write a configuration with its state folder, and return it."""
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    file = folder / "wristmir.toml"
    lines = [f'state_dir = "{folder / "state"}"', "[listener]", 'host = "127.0.0.1"']
    lines += [f"port = {free_port()}", "watermark_bytes = 0"]
    lines += [f'ledger = "{url}"'] if url else []
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def looked(config: Path) -> list[Check]:
    return [check for check in examine(config) if check.name == "ledger"]


def test_receiver_worker_and_commands_agree_on_the_ledger(tmp_path: Path, ledger_url: str) -> None:
    settings = load(written(tmp_path, ledger_url))
    assert settings.ledger_url == settings.listener.ledger_url == ledger_url
    assert "ledger_" not in repr(settings)
    with Ledger(settings.ledger_url) as ledger:
        number = ledger.enqueue("index", "1.2.3")
    with open_ledger(settings) as ledger:
        assert ledger.job(number).state is JobState.READY


def test_a_bad_url_is_refused_without_being_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"listener\.ledger: .*postgresql://") as caught:
        load(written(tmp_path, "oracle://wristmir:s3cret@db/wristmir"))
    assert "s3cret" not in str(caught.value)


def test_doctor_names_the_kind_of_ledger_and_its_schema(tmp_path: Path, ledger_url: str) -> None:
    config = written(tmp_path, ledger_url)
    Ledger(ledger_url).close()
    check = looked(config)[0]
    kind = "PostgreSQL 1" if "postgresql" in ledger_url else "SQLite"
    assert check.verdict == "ok"
    assert check.detail.startswith(kind)
    assert f"schema {schema.HEAD} is up to date; 0 jobs" in check.detail


def test_doctor_only_looks_at_a_schema_that_is_behind(tmp_path: Path) -> None:
    config = written(tmp_path, None)
    database = Database(load(config).ledger_url)
    with database.writing() as connection:
        TABLES.create_all(connection)  # from before there were revisions
    (check,) = looked(config)
    assert (check.verdict, check.detail[:27]) == ("warning", "SQLite, schema not made yet")
    with database.reading() as connection:
        assert schema.revision(connection) is None
    database.close()


@pytest.mark.peers
def test_doctor_warns_of_a_server_that_forgets_what_it_committed(
    tmp_path: Path, postgresql_url: str
) -> None:
    Ledger(postgresql_url).close()
    (_, check) = looked(written(tmp_path, postgresql_url))  # the tests' server is such a one
    assert check.verdict == "error"
    assert "fsync and full_page_writes off" in check.detail


def test_doctor_says_that_a_server_cannot_be_reached(tmp_path: Path) -> None:
    (check,) = looked(written(tmp_path, "postgresql://wristmir:s3cret@127.0.0.1:1/wristmir"))
    assert check.verdict == "error"
    assert "cannot be reached" in check.detail
    assert "s3cret" not in check.detail


def test_a_command_before_any_service_is_told_to_start_one(tmp_path: Path) -> None:
    settings = parse({"state_dir": str(tmp_path / "none"), "listener": {"ledger": None}})
    with pytest.raises(ServiceUnavailableError, match="start `wristmir serve` first"):
        open_ledger(settings)


def test_a_new_key_is_not_made_beside_a_ledger_that_was_made_with_another(
    tmp_path: Path, ledger_url: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings = load(written(elsewhere, ledger_url))
    with Ledger(ledger_url) as ledger:
        record(ledger)
    with pytest.raises(ConfigurationError, match=r"made with a site\.key; restore that"):
        key_of_site(settings)
    assert list(settings.state_dir.iterdir()) == []


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    simple = SimpleNamespace(load=lambda *_, **__: simple_bundle())
    monkeypatch.setattr("deploy.assembly.Bundle", simple)


@pytest.mark.peers
@pytest.mark.usefixtures("models")
def test_a_study_is_indexed_answered_and_delivered_with_its_ledger_on_a_server(
    tmp_path: Path, postgresql_url: str
) -> None:
    with plugin(tmp_path, ledger=postgresql_url) as running:
        for study in WHOSE:
            running.send(sorted((STUDIES / study).glob("*.dcm")))
        running.settle()
        running.send(sorted((STUDIES / WHOSE[0]).glob("*.dcm")), "WRISTMIR_Q_DR")
        running.settle()
        assert len(running.reports()) == 1
        assert {state for _, state in running.ledger.counts()} == {JobState.DONE}
        assert not (running.settings.state_dir / "ledger.sqlite3").exists()


@pytest.mark.peers
@pytest.mark.usefixtures("models")
def test_a_second_embedded_index_at_one_ledger_is_refused(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.ledger._CLAIM_SECONDS", 0.2)
    with plugin(tmp_path / "one", ledger=postgresql_url) as running:
        number = running.ledger.enqueue("mine", "1.2.3")
        held = running.ledger.lease(["mine"], 60)
        assert held is not None
        with (
            pytest.raises(LedgerError, match="several workers need a Qdrant server"),
            plugin(tmp_path / "two", ledger=postgresql_url),
        ):
            pass
        assert running.ledger.job(number).lease_until == held.lease_until  # nor was it ended


@pytest.mark.peers
@pytest.mark.slow
def test_a_service_waits_for_the_server_of_its_ledger(tmp_path: Path) -> None:
    with server(durable=True) as it:
        config = written(tmp_path, it.database())
        it.stop()
        log = tmp_path / "listen.log"
        with log.open("wb") as stream:
            command = [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]
            service = subprocess.Popen(command, stderr=stream)
        try:
            assert came(lambda: "cannot be reached" in log.read_text())
            it.start()
            assert came(lambda: "listening on" in log.read_text())
            it.stop()
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == 0
        finally:
            service.kill()
            service.wait()
    assert "Traceback" not in log.read_text()


def came(condition: Callable[[], bool], seconds: float = 40) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()
