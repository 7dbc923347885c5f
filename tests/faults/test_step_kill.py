"""kill -9 after the answer to an N-CREATE: the step is there, and is told of, after the restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from commitment_parts import receiver as started
from commitment_parts import soon
from receiver import Receiver
from step_parts import requesting, step, subscriber

pytestmark = pytest.mark.slow

KILLS = 5


def test_what_a_killed_receiver_has_acknowledged_is_there_after_the_restart(
    tmp_path: Path,
) -> None:
    with subscriber() as hears:
        there = hears.destination
    folder, known = tmp_path / "state", []
    for _ in range(KILLS):  # the subscriber is away: nothing gets through
        receiver = Receiver(folder, destinations=[there.model_dump(mode="json")])
        with requesting(receiver.port) as peer:
            assert peer.subscribe() == 0x0000
            for number in range(3):
                uid, status = peer.create(step(f"1.2.3.{number}"))
                assert status == 0x0000
                known.append(uid)
            receiver.kill()
            peer.association.abort()
    with (
        subscriber(there.port) as hears,
        started(folder, destinations=(there,)) as link,
        requesting(link.port) as peer,
    ):
        assert {row.sop_instance_uid for row in link.ledger.steps.list([], [], 99)} == set(known)
        assert all(peer.get(uid, 0x00100020)[1].PatientID == "INVENTED-1" for uid in known)  # type: ignore[union-attr]
        assert soon(lambda: all("SCHEDULED" in hears.states(uid) for uid in known))
        assert len(list(link.settings.steps_dir.iterdir())) == len(known)
