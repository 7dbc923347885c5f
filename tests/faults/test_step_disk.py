"""Every call to disk and ledger that the creation of a step makes fails once, each in its turn."""

from __future__ import annotations

from pathlib import Path

import pytest
from commitment_parts import receiver
from faulty_disk import Fault, FaultyDisk
from step_parts import requesting, step

pytestmark = pytest.mark.slow

TRIED = {
    Fault.FULL: None,
    Fault.BROKEN: None,
    # what can be done and yet come back with an error
    Fault.UNSURE: {"fsync", "do_execute", "do_commit"},
}


@pytest.mark.parametrize("fault", TRIED)
def test_a_step_is_acknowledged_only_where_it_is_durable_and_can_be_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    disk = FaultyDisk(monkeypatch)
    known = []
    with receiver(tmp_path) as link, requesting(link.port) as peer:
        disk.mend()
        known.append(peer.create(step("1.2.3"))[0])
        calls = list(disk.calls)
        assert {"open", "fsync", "do_commit"} <= set(calls)
        for number, call in enumerate(calls):
            if call not in (TRIED[fault] or {call}):
                continue
            disk.fail(call, calls[:number].count(call), fault)
            uid, status = peer.create(step("1.2.3"))
            assert disk.has_failed
            disk.mend()
            assert status in (0x0000, 0x0110, 0x0213), (call, status)
            # one whose commit came through is known, whatever was said of it
            again = 0x0111 if status == 0x0000 or link.ledger.steps.find(uid) else 0x0000
            assert peer.create(step("1.2.3"), uid)[1] == again
            assert peer.get(uid, 0x00100020)[0] == 0x0000
            known.append(uid)
    with receiver(tmp_path) as link, requesting(link.port) as peer:
        assert {row.sop_instance_uid for row in link.ledger.steps.list([], [], 999)} == set(known)
        assert len(list(link.settings.steps_dir.iterdir())) == len(known)
        assert all(peer.get(uid, 0x00100020)[0] == 0x0000 for uid in known)
