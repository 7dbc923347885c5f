from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from oru import TEXT, deliver, oru
from station import eventually, listener_threads, radiograph, station

from listener.drop_folder import DONE
from listener.linkage import LinkState
from listener.report_settings import DropFolderSettings, Hl7Settings

HL7 = Hl7Settings(enabled=True, port=0, addresses=("127.0.0.1/32",))


def test_a_folder_that_fails_is_said_once_and_hl7_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = DropFolderSettings(path=tmp_path / "drop", settle_seconds=0, poll_seconds=0.02)
    with station(tmp_path / "state", hl7=HL7, drop_folder=folder) as link:
        shutil.rmtree(tmp_path / "drop")
        assert eventually(lambda: "cannot be used" in caplog.text)
        address = link.listener.hl7_address
        assert address is not None
        assert deliver(address[1], oru(TEXT)) == ["AA"]
        (tmp_path / "drop" / DONE).mkdir(parents=True)
        (tmp_path / "drop" / "a.hl7").write_bytes(oru(TEXT, control_id="2"))
        assert eventually(lambda: len(link.ledger.reports.latest()) == 2)
    assert caplog.text.count("cannot be used") == 1


def test_reports_that_missed_their_studies_are_linked_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.reports._LINK_SECONDS", 0.1)
    folder = DropFolderSettings(path=tmp_path / "drop", poll_seconds=0.02)
    with station(tmp_path / "state", hl7=HL7, drop_folder=folder) as link:
        with monkeypatch.context() as blind:  # as two transactions that do not see each other
            blind.setattr("listener.linkage.study_came", lambda *_: None)
            address = link.listener.hl7_address
            assert address is not None
            deliver(address[1], oru(TEXT, study="1.2.3"))
            link.send(radiograph(study="1.2.3"))
        assert eventually(lambda: link.ledger.reports.latest([LinkState.LINKED]))
        assert eventually(lambda: link.ledger.jobs(kind="index", subject="1.2.3"))


def test_it_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    with station(tmp_path, hl7=HL7) as link:
        link.listener.stop()
        assert eventually(lambda: not {"mllp", "reports"} & set(listener_threads()))
        link.listener.start()
        address = link.listener.hl7_address
        assert address is not None
        assert deliver(address[1], oru(TEXT)) == ["AA"]
