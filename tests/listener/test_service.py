from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from station import (
    SITE_KEY,
    eventually,
    listener_threads,
    radiograph,
    secondary_capture,
    settings,
    station,
)

from listener.errors import EchoError
from listener.ledger import Ledger
from listener.receipt import InstanceState
from listener.service import Listener, echo, notify, serve


def three_days_later() -> datetime:
    return datetime.now(UTC) + timedelta(days=3)


def index_one_study(folder: Path) -> None:
    with station(folder) as link:
        link.send(radiograph())
        assert eventually(link.ledger.jobs)
        job = link.ledger.lease(["index"], 60)
        assert job is not None
        link.ledger.finish(job)


def test_the_service_answers_its_own_probe_without_being_listed(tmp_path: Path) -> None:
    with station(tmp_path, peers=()) as link:
        link.listener.probe()
        with pytest.raises(EchoError, match="reason 3"):
            echo(*link.listener.address, "PACS", "WRISTMIR")


def test_the_probe_works_where_every_address_is_listened_on(tmp_path: Path) -> None:
    with station(tmp_path, host="0.0.0.0") as link:  # noqa: S104 - that is the point
        link.listener.probe()


def test_a_stopped_service_does_not_answer_and_can_be_started_again(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with Ledger(chosen.ledger_url) as ledger:
        listener = Listener(chosen, ledger, site_key=SITE_KEY)
        listener.start()
        host, port = listener.address
        listener.stop()
        with pytest.raises(EchoError):
            echo(host, port, "PACS", "WRISTMIR", 1)
        listener.start()
        listener.probe()
        listener.stop()
        listener.stop()  # twice is as good as once


def test_starting_and_stopping_leaves_no_thread_and_is_prompt(tmp_path: Path) -> None:
    before = set(listener_threads())
    with station(tmp_path, retention_days=1) as link:
        link.send(radiograph())
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert eventually(lambda: set(listener_threads()) <= before)


@pytest.mark.slow
def test_what_is_older_than_the_retention_time_is_deleted_at_the_start(tmp_path: Path) -> None:
    chosen = settings(tmp_path, retention_days=2)
    with Ledger(chosen.ledger_url) as ledger, Listener(chosen, ledger, site_key=SITE_KEY):
        pass
    index_one_study(tmp_path)
    with (
        Ledger(chosen.ledger_url, three_days_later) as ledger,
        Listener(chosen, ledger, site_key=SITE_KEY),
    ):
        assert eventually(lambda: ledger.receipts([InstanceState.EXPIRED]))
        assert eventually(lambda: not ledger.jobs())
    assert list((tmp_path / "inbox").glob("??/*.dcm")) == []


def test_nothing_is_deleted_without_a_retention_time(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    index_one_study(tmp_path)
    with (
        Ledger(chosen.ledger_url, three_days_later) as ledger,
        Listener(chosen, ledger, site_key=SITE_KEY) as listener,
    ):
        kept_house = threading.Event()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ledger.steps, "forget", lambda _: (kept_house.set(), ())[1])
            listener.stop()
            listener.start()
            assert kept_house.wait(5)
        assert len(ledger.jobs()) == len(ledger.receipts([InstanceState.STORED])) == 1


def test_no_log_line_names_a_patient_or_a_uid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, changed = radiograph(), radiograph(patient="INVENTED-2")
    changed.StudyInstanceUID = good.StudyInstanceUID
    with caplog.at_level(logging.DEBUG), station(tmp_path) as link:
        link.send(good, changed, secondary_capture())
        link.associate(calling="NOBODY")
    assert "quarantined" in caplog.text
    for secret in (good.PatientID, "INVENTED", "Ines", good.SOPInstanceUID, good.StudyInstanceUID):
        assert secret not in caplog.text


def test_the_libraries_stay_silent_about_values_that_are_wrong() -> None:
    code = """
import logging, io
logging.basicConfig(level=logging.DEBUG)
import listener
from pydicom.dataset import Dataset
ds = Dataset()
ds.StudyDate = "Secret^Name"
logging.getLogger("pynetdicom.dul").error("Secret^Name")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Secret" not in done.stdout + done.stderr


def test_systemd_is_told_when_it_is_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        stop = threading.Event()
        with Ledger(chosen.ledger_url) as ledger:
            listener = Listener(chosen, ledger, site_key=SITE_KEY)
            service = threading.Thread(target=serve, args=(listener, stop))
            service.start()
            told = [channel.recv(1000).decode(), channel.recv(1000).decode()]
            stop.set()
            while "STOPPING=1" not in told[-1]:
                told.append(channel.recv(1000).decode())
            service.join()
    assert told[0].startswith("READY=1\nSTATUS=listening on port")
    assert told[1] == "WATCHDOG=1"


def test_a_service_that_does_not_answer_does_not_feed_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    stop = threading.Event()

    def deaf(self: Listener, timeout_seconds: float) -> None:
        stop.set()
        raise EchoError("deaf")  # noqa: EM101 - its message does not matter

    monkeypatch.setattr("listener.service.notify", lambda *lines: told.extend(lines))
    monkeypatch.setattr(Listener, "probe", deaf)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    chosen = settings(tmp_path)
    with Ledger(chosen.ledger_url) as ledger:
        serve(Listener(chosen, ledger, site_key=SITE_KEY), stop)
    assert "WATCHDOG=1" not in told
    assert "STOPPING=1" in told
    assert "not fed" in caplog.text


@pytest.mark.slow
def test_a_stop_that_wakes_nobody_is_noticed_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("listener.service.notify", lambda *lines: told.extend(lines))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    chosen, stop = settings(tmp_path), threading.Event()
    with Ledger(chosen.ledger_url) as ledger:
        listener = Listener(chosen, ledger, site_key=SITE_KEY)
        service = threading.Thread(target=serve, args=(listener, stop), daemon=True)
        service.start()
        assert eventually(lambda: "READY=1" in told)
        time.sleep(0.3)  # it waits by now
        stop._flag = True  # type: ignore[attr-defined]  # set, as by a handler that ran too late
        service.join(10)
        assert not service.is_alive()


def test_an_abstract_socket_is_spoken_to_and_none_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    name = f"wristmir-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify("READY=1")
        assert channel.recv(100) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("variables", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdogs_period_is_systemds(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], period: float | None
) -> None:
    from listener.service import _watchdog_seconds

    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _watchdog_seconds() == period
