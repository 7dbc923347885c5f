"""Reports on a new association: sent until they are taken, over restarts, then given up."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from commitment_parts import CR, ask, asking, listening, receiver, reference, soon
from ledger_parts import Clock
from plugin import free_port
from station import LOOPBACK, radiograph

from deploy.small_pacs import SmallPacs
from listener.commitment import Reference, new_request
from listener.destination_settings import DestinationSettings
from listener.event_reports import EventReports
from listener.job import EVENT_REPORT, Job, JobState
from listener.ledger import Ledger

ONE = Reference(CR, "1.2.3.4")


@contextmanager
def reports(ledger: Ledger, *destinations: DestinationSettings) -> Iterator[EventReports]:
    """Run what sends reports until the block ends."""
    it = EventReports(ledger, destinations, period_seconds=0.02)
    it.start()
    try:
        yield it
    finally:
        it.stop()


def pacs(port: int, **said: float) -> DestinationSettings:
    given = {"name": "pacs", "ae_title": "PACS", "host": LOOPBACK, "port": port} | said
    return DestinationSettings.model_validate(given)


def owing(ledger: Ledger, calling_ae: str = "PACS") -> str:
    """Take a request whose outcome nobody has been told; return its Transaction UID."""
    request = new_request([ONE])
    ledger.transactions.take(
        request, calling_ae=calling_ae, called_ae="WRISTMIR", delay=timedelta(0)
    )
    return request.transaction_uid


def job(ledger: Ledger) -> Job:
    (it,) = ledger.jobs(kind=EVENT_REPORT)
    return it


@pytest.mark.slow
def test_a_report_that_is_refused_is_sent_again_with_growing_pauses(
    ledger: Ledger, clock: Clock
) -> None:
    uid = owing(ledger)
    with listening() as peer:
        peer.statuses = [0x0110, 0x0110, 0x0110]
        pauses = []
        with reports(ledger, peer.destination):
            for tries in (1, 2, 3):
                assert soon(lambda n=tries: job(ledger).attempts == n and not leased(ledger))
                assert "refused the report with status 0x0110" in (job(ledger).last_error or "")
                pauses.append((job(ledger).not_before - clock.now).total_seconds())
                clock.now = job(ledger).not_before
            assert soon(lambda: job(ledger).state is JobState.DONE)
    assert pauses[0] < pauses[1] < pauses[2]
    assert [told.transaction_uid for told in peer.told] == [uid] * 4
    assert job(ledger).outcome == {"committed": 0, "failed": 1}


@pytest.mark.slow
def test_a_peer_that_is_away_is_told_after_a_restart(tmp_path: Path) -> None:
    ds, port = radiograph(), free_port()
    with receiver(tmp_path, destinations=(pacs(port),)) as link:
        link.send(ds)
        with asking(link.port) as association:
            uid, _ = ask(association, [reference(ds)])
        assert soon(lambda: job(link.ledger).last_error)
        assert "cannot be reached" in (job(link.ledger).last_error or "")
    with listening(port) as peer, receiver(tmp_path, destinations=(pacs(port),)):
        assert soon(lambda: peer.told)
        assert peer.told[0].transaction_uid == uid
        assert peer.told[0].committed == [ds.SOPInstanceUID]


@pytest.mark.slow
def test_after_three_days_a_report_is_given_up_and_listed_and_can_be_retried(
    ledger: Ledger, clock: Clock
) -> None:
    owing(ledger)
    with reports(ledger, pacs(free_port())):
        assert soon(lambda: job(ledger).attempts == 1 and not leased(ledger))
        for tries in range(2, 9):
            clock.now = job(ledger).not_before
            assert soon(lambda n=tries: job(ledger).attempts == n and not leased(ledger))
        assert job(ledger).state is JobState.READY  # eight tries are not enough to give up
        clock.move(3 * 86400)
        assert soon(lambda: job(ledger).state is JobState.DEAD)
    with listening() as peer, reports(ledger, peer.destination):
        time.sleep(0.2)
        assert job(ledger).state is JobState.DEAD  # a restart does not begin anew
        ledger.retry(job(ledger).id)
        assert soon(lambda: peer.told)
        assert soon(lambda: job(ledger).state is JobState.DONE)


def test_a_peer_that_is_no_destination_is_named_so_that_it_can_be_made_one(ledger: Ledger) -> None:
    owing(ledger, "MODALITY7")
    with listening() as peer, reports(ledger, peer.destination):
        assert soon(lambda: job(ledger).last_error)
    assert "MODALITY7 is no destination" in (job(ledger).last_error or "")
    assert peer.told == []


def test_a_peer_that_offers_no_storage_commitment_is_tried_again_later(
    ledger: Ledger, tmp_path: Path
) -> None:
    owing(ledger)
    with SmallPacs(tmp_path / "pacs") as plain, reports(ledger, pacs(plain.port)):
        assert soon(lambda: job(ledger).last_error)
    assert "offers no storage commitment" in (job(ledger).last_error or "")
    assert job(ledger).state is JobState.READY


@pytest.mark.slow
def test_a_peer_that_hangs_does_not_hold_up_the_reports_to_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.event_reports._SLOW_SECONDS", 0.2)
    for _ in range(30):
        owing(ledger, "SILENT")
    owing(ledger)
    with socket.create_server((LOOPBACK, 0)) as silent, listening() as peer:
        hangs = pacs(silent.getsockname()[1], timeout_seconds=1.0)
        hangs = hangs.model_copy(update={"name": "silent", "ae_title": "SILENT"})
        began = time.monotonic()
        with reports(ledger, hangs, peer.destination):
            assert soon(lambda: peer.told)
        assert time.monotonic() - began < 10  # one after the other they would take half a minute


def test_what_a_killed_receiver_had_in_hand_is_sent_at_the_next_start(ledger: Ledger) -> None:
    uid = owing(ledger)
    assert ledger.lease([EVENT_REPORT], 3600) is not None
    with listening() as peer, reports(ledger, peer.destination):
        assert soon(lambda: peer.told)
    assert peer.told[0].transaction_uid == uid


def test_a_report_whose_job_was_lost_is_sent_at_the_next_start(ledger: Ledger) -> None:
    uid = owing(ledger)
    lost = ledger.lease([EVENT_REPORT], 3600)
    assert lost is not None
    ledger.fail(lost, "the worker stopped before the end", retry=False)
    with listening() as peer, reports(ledger, peer.destination):
        assert soon(lambda: peer.told)
    assert peer.told[0].transaction_uid == uid


@pytest.mark.slow
def test_stopping_does_not_wait_for_a_peer_that_hangs(ledger: Ledger) -> None:
    owing(ledger)
    with socket.create_server((LOOPBACK, 0)) as silent:
        with reports(ledger, pacs(silent.getsockname()[1], timeout_seconds=4.0)):
            assert soon(lambda: leased(ledger))
            began = time.monotonic()
        assert time.monotonic() - began < 3
        assert soon(lambda: not leased(ledger))


def leased(ledger: Ledger) -> bool:
    return bool(ledger.jobs(JobState.LEASED, EVENT_REPORT))
