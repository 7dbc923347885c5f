from __future__ import annotations

import time
from pathlib import Path

import pytest
from ledger_parts import REQUEST_TITLE, STUDY, kinds, record
from pynetdicom.sop_class import ComputedRadiographyImageStorage
from sqlalchemy.exc import OperationalError
from station import EXPLICIT, Station, encoded, eventually, radiograph, secondary_capture, station
from wire import CR, Wire

from listener.arrivals import Arrivals
from listener.job import JobState
from listener.ledger import Ledger
from listener.settings import TitleSettings


def ready(link: Station) -> list[str]:
    return [job.kind for job in reversed(link.ledger.jobs(JobState.READY))]


def test_a_study_is_enqueued_once_it_is_quiet(tmp_path: Path, ledger_url: str) -> None:
    ds = radiograph()
    with station(tmp_path, ledger=ledger_url) as link:
        link.send(ds)
        assert ready(link) == []
        assert eventually(lambda: ready(link) == ["index"], 3)
        (job,) = link.ledger.jobs()
        assert (job.subject, job.argument) == (ds.StudyInstanceUID, {})


@pytest.mark.slow
def test_a_request_is_enqueued_after_its_association_and_not_before(
    tmp_path: Path, ledger_url: str
) -> None:
    ds = radiograph()
    with station(tmp_path, ledger=ledger_url) as link:
        association = link.associate(ComputedRadiographyImageStorage, called="WRISTMIR_Q_DR")
        association.send_c_store(ds)
        time.sleep(0.8)  # more than the quiet time
        assert ready(link) == []
        association.release()
        assert eventually(lambda: ready(link) == ["index", "answer"], 3)
        answer = link.ledger.jobs(kind="answer")[0]
        assert answer.argument == {"regions": ["distal_radius"]}


def test_a_request_whose_sender_aborts_is_answered_with_what_came(
    tmp_path: Path, ledger_url: str
) -> None:
    with station(tmp_path, ledger=ledger_url) as link:
        association = link.associate(ComputedRadiographyImageStorage, called="WRISTMIR_Q_DR")
        association.send_c_store(radiograph())
        association.abort()
        assert eventually(lambda: ready(link) == ["index", "answer"], 3)


def test_a_request_for_an_indexed_study_is_enqueued_at_once(
    tmp_path: Path, ledger_url: str
) -> None:
    ds = radiograph()
    slow = TitleSettings(
        ae_title="WRISTMIR_Q_DR",
        jobs=("index", "answer"),
        quiet_seconds=60,
        is_request=True,
    )
    with station(
        tmp_path, ledger=ledger_url, titles=(TitleSettings(ae_title="WRISTMIR"), slow)
    ) as link:
        link.send(ds)
        link.ledger.indices.mark_indexed(ds.StudyInstanceUID, 1)
        link.send(ds, called="WRISTMIR_Q_DR")
        assert eventually(lambda: ready(link) == ["answer"], 3)


def test_a_request_of_objects_that_are_not_used_is_answered_too(
    tmp_path: Path, ledger_url: str
) -> None:
    with station(tmp_path, ledger=ledger_url) as link:
        link.send(secondary_capture(), called="WRISTMIR_Q_DR")
        assert eventually(lambda: ready(link) == ["answer"], 3)


@pytest.mark.slow
def test_objects_that_are_not_used_set_nothing_in_motion_without_a_request(
    tmp_path: Path, ledger_url: str
) -> None:
    with station(tmp_path, ledger=ledger_url) as link:
        link.send(secondary_capture())
        time.sleep(0.8)
        assert ready(link) == []


@pytest.mark.slow
def test_a_late_object_opens_the_study_again(tmp_path: Path, ledger_url: str) -> None:
    first = radiograph()
    late = radiograph(study=first.StudyInstanceUID)
    with station(tmp_path, ledger=ledger_url) as link:
        link.send(first)
        assert eventually(lambda: ready(link) == ["index"], 3)
        job = link.ledger.lease(["index"], 60)
        assert job is not None
        link.ledger.finish(job)
        link.send(late)
        assert eventually(lambda: ready(link) == ["index"], 3)


def test_what_was_open_when_the_service_stopped_is_taken_up(
    tmp_path: Path, ledger_url: str
) -> None:
    with station(tmp_path, ledger=ledger_url) as link:
        link.send(radiograph(), called="WRISTMIR_Q_DR")
    with station(tmp_path, ledger=ledger_url) as link:
        assert eventually(lambda: ready(link) == ["index", "answer"], 3)


def test_a_ledger_that_is_busy_for_a_while_does_not_end_the_watch(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[int] = []
    close = Ledger.close_due_arrivals

    def locked_once(self: Ledger) -> int:
        if not failed:
            failed.append(1)
            words = "database is locked"
            raise OperationalError(words, {}, Exception(words))
        return close(self)

    monkeypatch.setattr(Ledger, "close_due_arrivals", locked_once)
    monkeypatch.setattr("listener.arrivals._PAUSE_SECONDS", 0.05)
    with Ledger(ledger_url) as ledger:
        arrivals = Arrivals(ledger, (), period_seconds=0.01)
        arrivals.start()
        time.sleep(0.3)
        assert arrivals._thread is not None
        assert arrivals._thread.is_alive()
        arrivals.stop()
    assert "OperationalError" in caplog.text


def test_an_association_that_ended_while_the_ledger_was_away_is_told_of_later(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Ledger, *_: object) -> None:
        words = "the server closed the connection"
        raise OperationalError(words, {}, Exception(words))

    request = REQUEST_TITLE.model_copy(update={"quiet_seconds": 0.05})
    monkeypatch.setattr("listener.arrivals._PAUSE_SECONDS", 0.05)
    with Ledger(ledger_url) as ledger:
        arrivals = Arrivals(ledger, (request,), period_seconds=0.01)
        arrivals.start()
        record(ledger, title=request)  # its association is open: only the cap would end it
        with monkeypatch.context() as away:
            away.setattr(Ledger, "end_association", gone)
            with pytest.raises(OperationalError):
                arrivals.association_ended([STUDY], request)
        assert eventually(lambda: kinds(ledger) == ["index", "answer"], 3)
        arrivals.stop()


@pytest.mark.slow
def test_a_study_that_never_goes_quiet_is_enqueued_after_the_cap(tmp_path: Path) -> None:
    first = radiograph()
    busy = TitleSettings(ae_title="WRISTMIR", quiet_seconds=0.8, cap_seconds=1.5)
    with station(tmp_path, titles=(busy,)) as link:
        began = time.monotonic()
        while not ready(link) and time.monotonic() - began < 10:
            link.send(radiograph(study=first.StudyInstanceUID))
            time.sleep(0.1)
        assert 1.3 < time.monotonic() - began < 5
        assert ready(link) == ["index"]


@pytest.mark.slow
def test_what_was_acknowledged_before_an_association_was_cut_stays_and_the_rest_comes_again(
    tmp_path: Path,
) -> None:
    first = radiograph()
    study = [first, *(radiograph(study=first.StudyInstanceUID) for _ in range(2))]
    with station(tmp_path) as link:
        with Wire(link) as wire:
            assert wire.associate(called=b"WRISTMIR_Q_DR") == 2
            for ds in study[:2]:
                assert wire.store(CR, ds.SOPInstanceUID, encoded(ds, EXPLICIT)) == 0x0000
            wire.begin_store(CR, study[2].SOPInstanceUID, encoded(study[2], EXPLICIT)[:300])
        assert eventually(lambda: ready(link) == ["index", "answer"], 3)
        assert len(link.ledger.instances(first.StudyInstanceUID)) == 2
        assert link.partial_files() == []
        for kind in ("index", "answer"):
            job = link.ledger.lease([kind], 60)
            assert job is not None
            link.ledger.indices.mark_indexed(first.StudyInstanceUID, 2)
            link.ledger.finish(job)
        assert link.send(*study, called="WRISTMIR_Q_DR") == [0x0000] * 3
        assert link.ledger.study(first.StudyInstanceUID).generation == 3
        assert eventually(lambda: ready(link) == ["index", "answer"], 3)  # of the whole, once
        assert len(link.inbox_files()) == 3
