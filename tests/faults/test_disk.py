"""Every call to disk and ledger that a reception makes fails once, each in its turn."""

from __future__ import annotations

import itertools
import logging
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from faulty_disk import Fault, FaultyDisk
from pydicom.dataset import Dataset
from receiver import Receiver
from station import EXPLICIT, Station, encoded, eventually, radiograph, secondary_capture, station
from wire import Wire

from listener.job import JobState
from listener.receipt import HOLDING, InstanceState

pytestmark = pytest.mark.slow

SIDE = 160  # pixels: five PDUs of pixel data


# -- what is received ---------------------------------------------------------------------

NUMBERS = itertools.count()

# Each returns the objects that prepare the scene, and the one whose reception is to fail.
Scene = Callable[[int], tuple[list[Dataset], Dataset]]


def new(number: int) -> tuple[list[Dataset], Dataset]:
    return [], radiograph(side=SIDE, seed=number)


def known(number: int) -> tuple[list[Dataset], Dataset]:
    ds = radiograph(side=SIDE, seed=number)
    return [ds], ds


def changed(number: int) -> tuple[list[Dataset], Dataset]:
    ds = radiograph(side=SIDE, seed=2 * number)
    given = {"study": ds.StudyInstanceUID, "instance": ds.SOPInstanceUID}
    return [ds], radiograph(side=SIDE, seed=2 * number + 1, **given)


def another_patients(number: int) -> tuple[list[Dataset], Dataset]:
    ds = radiograph(side=SIDE, seed=number)
    given = {"study": ds.StudyInstanceUID, "patient": "INVENTED-2"}
    return [ds], radiograph(side=SIDE, seed=number, **given)


def not_used(number: int) -> tuple[list[Dataset], Dataset]:
    return [], secondary_capture(side=SIDE, seed=number)


SCENES = [
    pytest.param(new, id="new"),
    *(
        pytest.param(scene, id=scene.__name__, marks=pytest.mark.slow)
        for scene in (known, changed, another_patients, not_used)
    ),
]

FAULTS = [
    pytest.param(
        fault, id=fault.name.lower(), marks=() if fault is Fault.FULL else pytest.mark.slow
    )
    for fault in Fault
]

ROOM, FAILURE = 0xA700, 0x0110
# what cannot fail in this way: nothing is half done, and no descriptor comes back with an error
FAILS_SO = {
    Fault.SHORT: {"write"},
    Fault.UNSURE: {"write", "fsync", "rename", "unlink", "do_execute", "do_commit"},
}
HARMLESS = {"close", "unlink"}  # after what matters; at the worst a file stays until the next start


def statuses(call: str, fault: Fault) -> set[int]:
    """Return what a peer may be told when this call fails."""
    if fault is Fault.SHORT:
        return {0x0000}
    status = ROOM if fault is Fault.FULL or call == "statvfs" else FAILURE
    return {0x0000, status} if call in HARMLESS else {status}


def store(wire: Wire, ds: Dataset) -> int | None:
    return wire.store(ds.SOPClassUID, ds.SOPInstanceUID, encoded(ds, EXPLICIT))


def context(ds: Dataset) -> str:
    return str(ds.SOPClassUID)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", SCENES)
def test_each_call_that_fails_is_told_leaves_nothing_and_is_made_good_by_a_second_try(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    scene: Scene,
    fault: Fault,
) -> None:
    caplog.set_level(logging.INFO, "wristmir.listener")
    disk = FaultyDisk(monkeypatch)
    good: list[Dataset] = []
    left: set[Path] = set()
    with station(tmp_path, idle_seconds=30.0) as link, Wire(link) as wire:
        assert wire.associate(abstract=context(scene(0)[1])) == 2
        calls = calls_of_a_good_reception(wire, disk, scene)
        for number, call in enumerate(calls):
            if call not in FAILS_SO.get(fault, {call}):
                continue
            ds, told = a_reception_that_fails(
                wire, disk, scene, (call, calls[:number].count(call)), fault
            )
            assert told in statuses(call, fault), (number, call, told)
            left |= strays(link) if call == "unlink" else set()
            assert strays(link) == left
            assert missing(link) == set()
            if told == 0x0000:
                is_kept(link, ds)
            assert store(wire, ds) == 0x0000  # on the same association
            is_kept(link, ds)
            good.append(ds)
    with station(tmp_path) as link:
        assert strays(link) == missing(link) == set()
        assert link.ledger.receipts([InstanceState.LOST]) == ()
        for ds in good:
            is_kept(link, ds)
    assert "Ines" not in caplog.text


def a_reception_that_fails(
    wire: Wire, disk: FaultyDisk, scene: Scene, at: tuple[str, int], fault: Fault
) -> tuple[Dataset, int | None]:
    """Return what was sent and told as the n-th call of a name failed.

    The last pieces of a data set may come as one, so that there is no such call: then another
    object is sent.
    """
    for _ in range(50):
        before, ds = scene(next(NUMBERS))
        for one in before:
            assert store(wire, one) == 0x0000
        disk.fail(*at, fault)
        told, has_failed = store(wire, ds), disk.has_failed
        disk.mend()
        if has_failed:
            return ds, told
        assert told == 0x0000
        assert at[0] == "write"
    pytest.fail(f"no {at} in fifty receptions")


def calls_of_a_good_reception(wire: Wire, disk: FaultyDisk, scene: Scene) -> list[str]:
    before, ds = scene(next(NUMBERS))
    for one in before:
        assert store(wire, one) == 0x0000
    disk.mend()
    assert store(wire, ds) == 0x0000
    calls = list(disk.calls)
    assert calls[-1] in ("do_commit", "unlink", "close")
    assert scene is not_used or {"open", "write", "fsync", "rename", "do_commit"} <= set(calls)
    return calls


def named(link: Station) -> set[Path]:
    return {row.path for row in link.ledger.receipts(HOLDING, limit=10_000) if row.path}


def strays(link: Station) -> set[Path]:
    """Pieces of files, and files that no row names."""
    return {*link.partial_files(), *link.inbox_files()} - named(link)


def missing(link: Station) -> set[Path]:
    """Files that a row names and that are not there."""
    return named(link) - set(link.inbox_files())


def is_kept(link: Station, ds: Dataset) -> None:
    """It has one row with this content, and the file that belongs to it."""
    rows = [
        row
        for row in link.ledger.receipt(ds.SOPInstanceUID)
        if row.state not in (InstanceState.SUPERSEDED, InstanceState.LOST)
    ]
    assert len(rows) == 1
    (row,) = rows
    if row.state is InstanceState.FILTERED:
        assert row.path is None
        return
    assert row.path is not None
    assert row.path.read_bytes().endswith(encoded(ds, EXPLICIT))


# -- disks that are really full, or gone --------------------------------------------------


def send(receiver: Receiver, *sent: Dataset) -> list[int | None]:
    with Wire(receiver) as wire:
        kind = wire.associate()
        return [store(wire, ds) if kind == 2 else None for ds in sent]


def test_a_disk_that_is_really_full_refuses_and_takes_again_once_there_is_room(
    tmp_path: Path,
) -> None:
    """A file system of 6 MB in a name space of its own, which needs no root."""
    unshare = shutil.which("unshare")
    own = [unshare or "unshare", "--user", "--map-root-user", "--mount"]
    disk, ballast = tmp_path / "disk", "ballast"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=6m disk {disk}"
    if unshare is None or subprocess.run([*own, "sh", "-c", mount], check=False).returncode:
        pytest.skip("this system gives nobody but root a file system of their own")
    receiver = Receiver(
        disk / "state", before=[*own, "sh", "-c", f'{mount} && exec "$@"', "sh"], watermark_bytes=0
    )
    try:
        inside = Path(f"/proc/{receiver.process.pid}/root{disk}")
        first, *rest = (radiograph(side=512, seed=n) for n in range(14))
        assert send(receiver, first) == [0x0000]
        (inside / ballast).write_bytes(bytes(1 << 20))
        told = send(receiver, *rest)
        assert set(told) == {0x0000, ROOM}
        assert told == sorted(told, key=lambda status: status == ROOM)
        assert list((inside / "state/inbox/incoming").iterdir()) == []
        kept = len(list((inside / "state/inbox").glob("??/*.dcm")))
        assert kept == 1 + told.count(0x0000)
        (inside / ballast).unlink()
        refused = [ds for ds, status in zip(rest, told, strict=True) if status == ROOM]
        assert send(receiver, refused[0]) == [0x0000]
        assert "No space left on device" in (inside / "state.log").read_text()
    finally:
        receiver.stop()


def test_a_ledger_that_may_not_grow_refuses_and_takes_again_once_it_may(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        assert link.send(radiograph()) == [0x0000]
        full = True

        @sa.event.listens_for(link.ledger._database._engine, "begin", insert=True)
        def bound(connection: sa.Connection) -> None:
            raw = connection.connection.driver_connection
            assert raw is not None
            pages = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count={pages if full else 2**30}")

        told = [link.send(radiograph())[0] for _ in range(12)]
        assert ROOM in told
        assert len(link.inbox_files()) == 1 + told.count(0x0000)
        full = False
        assert link.send(radiograph()) == [0x0000]


def test_an_inbox_that_is_gone_rejects_associations_and_comes_back(tmp_path: Path) -> None:
    with station(tmp_path / "state") as link:
        inbox = link.settings.inbox_dir
        association = link.associate()
        inbox.rename(tmp_path / "elsewhere")
        assert association.send_c_store(radiograph()).Status in (ROOM, FAILURE)
        association.release()
        with Wire(link) as wire:
            assert wire.associate() == 3  # for the time being: PS3.8 section 9.3.4
        link.listener.probe()
        (tmp_path / "elsewhere").rename(inbox)
        assert link.send(radiograph()) == [0x0000]


def test_a_ledger_that_fails_as_an_association_ends_delays_nothing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = radiograph()
    with station(tmp_path) as link, monkeypatch.context() as broken, Wire(link) as wire:
        wire.associate(called=b"WRISTMIR_Q_DR")
        assert store(wire, ds) == 0x0000
        disk = FaultyDisk(broken)
        disk.fail("do_execute", 0, Fault.BROKEN)
        wire.send(5, bytes(4))
        assert wire.read()[0] == 6
        assert eventually(lambda: disk.has_failed)
        assert wire.is_cut()
    with station(tmp_path) as link:
        assert eventually(lambda: len(link.ledger.jobs(JobState.READY)) == 2)
