"""What the plugin made and gets back: recognised, not kept, and no question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from station import Station, eventually, radiograph, secondary_capture, station

from listener.receipt import InstanceState

OWN = "2.25.4711"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Station]:
    """A listener to which every UID that begins like OWN is its own."""
    with station(tmp_path, is_own=lambda uid: uid.startswith(OWN)) as it:
        yield it


def test_it_is_answered_with_success_recorded_and_not_kept(running: Station) -> None:
    assert running.send(radiograph(instance=OWN)) == [0x0000]
    (receipt,) = running.ledger.receipt(OWN)
    assert receipt.state is InstanceState.FILTERED
    assert receipt.reason == "it was made by this plugin"
    assert running.inbox_files() == []


@pytest.mark.slow
def test_sent_to_a_request_title_it_sets_nothing_in_motion(running: Station) -> None:
    study = "1.2.3.4"
    results = [
        radiograph(study=study, instance=f"{OWN}1"),
        secondary_capture(study=study, instance=f"{OWN}2"),
    ]
    assert running.send(*results, called="WRISTMIR_Q_DR") == [0, 0]
    assert not eventually(running.ledger.jobs, 1.0)


def test_beside_an_image_it_does_not_keep_that_from_being_a_request(running: Station) -> None:
    study = "1.2.3.4"
    sent = [radiograph(study=study, instance=OWN), radiograph(study=study)]
    assert running.send(*sent, called="WRISTMIR_Q_DR") == [0, 0]
    assert eventually(lambda: len(running.ledger.jobs(kind="answer")) == 1)
    assert len(running.ledger.instances(study)) == 1
