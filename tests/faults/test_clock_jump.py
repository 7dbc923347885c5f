"""The clock is put forward or back by an hour: nobody waits for it, and nothing is done twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ledger_parts import (
    INDEX_TITLE,
    REQUEST_TITLE,
    STUDY,
    Clock,
    instance,
    kinds,
    leased,
    record,
)
from pydicom.dataset import Dataset
from station import EXPLICIT, Station, encoded, eventually, radiograph, station
from wire import CR, Wire

from listener.errors import LeaseLostError
from listener.job import JobState
from listener.ledger import Ledger
from listener.settings import TitleSettings

pytestmark = pytest.mark.slow

HOUR = 3600.0
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


class JumpingClock(Clock):
    """A wall clock that can jump, beside one that cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 1000.0

    def move(self, seconds: float) -> None:
        """Let time pass."""
        super().move(seconds)
        self.seconds += seconds

    def jump(self, seconds: float) -> None:
        """Put the wall clock forward or back."""
        super().move(seconds)

    def steady(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: JumpingClock) -> Iterator[Ledger]:
    with opened(tmp_path, clock) as it:
        it.close_due_arrivals()
        it.lease(["index"], 60)
        yield it


def opened(folder: Path, clock: JumpingClock) -> Ledger:
    """Open the ledger as a process does that has looked at no clock yet."""
    return Ledger(f"sqlite:///{folder / 'ledger.sqlite3'}", clock, steady=clock.steady)


# -- studies ------------------------------------------------------------------------------


@JUMPS
def test_a_study_waits_its_quiet_time_again_and_no_longer(
    ledger: Ledger, clock: JumpingClock, jump: float
) -> None:
    record(ledger)
    clock.move(10)
    clock.jump(jump)
    assert ledger.close_due_arrivals() == 0  # not cut in two by a jump forwards
    clock.move(29)
    assert ledger.close_due_arrivals() == 0
    clock.move(1)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["index"]
    clock.move(HOUR)
    assert ledger.close_due_arrivals() == 0  # and once


@JUMPS
def test_what_comes_before_anybody_has_looked_does_not_prolong_the_wait(
    ledger: Ledger, clock: JumpingClock, jump: float
) -> None:
    record(ledger)
    record(ledger, title=REQUEST_TITLE)
    clock.jump(jump)
    record(ledger, instance("1.2.3.5"))
    record(ledger, instance("1.2.3.6"), REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    closed = ledger.close_due_arrivals()
    clock.move(31)
    assert closed + ledger.close_due_arrivals() == 2


@JUMPS
def test_an_open_request_waits_for_its_association_all_the_same(
    ledger: Ledger, clock: JumpingClock, jump: float
) -> None:
    record(ledger, title=REQUEST_TITLE)
    clock.jump(jump)
    assert ledger.close_due_arrivals() == 0
    clock.move(5)
    record(ledger, instance("1.2.3.5"), REQUEST_TITLE)
    assert ledger.close_due_arrivals() == 0
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["index", "answer"]


@JUMPS
def test_a_study_that_never_goes_quiet_is_still_capped(
    ledger: Ledger, clock: JumpingClock, jump: float
) -> None:
    closed, waited = 0, 0.0
    for number in range(60):
        if number == 10:
            clock.jump(jump)
            ledger.close_due_arrivals()
        record(ledger, instance(f"1.2.3.4.{number}"))
        clock.move(20)
        waited += 20
        closed += ledger.close_due_arrivals()
        if closed:
            break
    assert INDEX_TITLE.cap_seconds <= waited <= INDEX_TITLE.cap_seconds + 40


def test_a_clock_put_back_while_nobody_looked_is_noticed_at_the_next_start(
    tmp_path: Path, clock: JumpingClock
) -> None:
    with opened(tmp_path, clock) as ledger:
        record(ledger)
    clock.jump(-HOUR)
    with opened(tmp_path, clock) as ledger:
        assert ledger.close_due_arrivals() == 0
        clock.move(30)
        assert ledger.close_due_arrivals() == 1


def test_a_second_process_that_notices_does_not_prolong_the_wait(
    tmp_path: Path, ledger: Ledger, clock: JumpingClock
) -> None:
    with opened(tmp_path, clock) as other:
        other.close_due_arrivals()
        record(ledger)
        clock.jump(HOUR)
        assert ledger.close_due_arrivals() == other.close_due_arrivals() == 0
        clock.move(30)
        assert other.close_due_arrivals() == 1


def test_a_question_asked_again_after_the_clock_was_put_back_is_answered_again(
    ledger: Ledger, clock: JumpingClock
) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.indices.mark_indexed(STUDY, 1)
    ledger.finish(leased(ledger))
    for jump in (0, -HOUR):
        clock.jump(jump)
        record(ledger, title=REQUEST_TITLE)
        ledger.end_association([STUDY], REQUEST_TITLE)
        clock.move(3)
        assert ledger.close_due_arrivals() == 1
        ledger.finish(leased(ledger, "answer"))


# -- jobs ---------------------------------------------------------------------------------


def test_a_dead_workers_lease_is_not_held_for_an_hour(ledger: Ledger, clock: JumpingClock) -> None:
    number = ledger.enqueue("index", STUDY)
    leased(ledger)
    clock.jump(-HOUR)
    assert ledger.lease(["index"], 60) is None
    clock.move(60)
    assert leased(ledger).id == number


def test_nor_where_the_next_worker_starts_only_after_the_jump(
    tmp_path: Path, ledger: Ledger, clock: JumpingClock
) -> None:
    ledger.enqueue("index", STUDY)
    leased(ledger)
    clock.jump(-HOUR)
    with opened(tmp_path, clock) as other:
        assert other.lease(["index"], 60) is None
        clock.move(60)
        assert leased(other).attempts == 2


def test_a_living_workers_job_is_not_given_away_by_a_jump_forwards(
    tmp_path: Path, ledger: Ledger, clock: JumpingClock
) -> None:
    with opened(tmp_path, clock) as other:
        other.lease(["index"], 60)
        ledger.enqueue("index", STUDY)
        job = leased(ledger)
        clock.jump(HOUR)
        assert other.lease(["index"], 60) is None
        clock.move(20)
        job = ledger.renew(job, 60)
        clock.move(59)
        assert other.lease(["index"], 60) is None
        ledger.finish(job)
        assert ledger.job(job.id).attempts == 1


@JUMPS
def test_a_job_is_leased_after_its_own_wait(
    ledger: Ledger, clock: JumpingClock, jump: float
) -> None:
    ledger.enqueue("index", STUDY)
    ledger.enqueue("mine", "1.9", delay=timedelta(seconds=40))
    clock.jump(jump)
    assert leased(ledger).subject == STUDY
    clock.move(40)
    assert leased(ledger, "mine").subject == "1.9"


@JUMPS
def test_a_failed_job_comes_again_within_its_backoff(
    ledger: Ledger, clock: JumpingClock, jump: float
) -> None:
    ledger.enqueue("deliver", STUDY)
    for attempt in range(3):
        ledger.fail(leased(ledger, "deliver"), "DeliveryError", outage=True)
        clock.jump(jump)
        ledger.lease(["index"], 60)
        clock.move(15 * 2**attempt * 1.25)
    assert leased(ledger, "deliver").attempts == 4


def test_a_worker_that_comes_late_is_still_fenced_off(ledger: Ledger, clock: JumpingClock) -> None:
    ledger.enqueue("index", STUDY)
    stale = leased(ledger)
    clock.jump(-HOUR)
    ledger.lease(["index"], 60)
    clock.move(61)
    fresh = leased(ledger)
    with pytest.raises(LeaseLostError):
        ledger.finish(stale)
    ledger.finish(fresh)
    assert len(ledger.jobs(JobState.DONE)) == 1


# -- a real receiver ----------------------------------------------------------------------


class WallClock:
    """The system's time, put forward or back."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what puts every wall clock of this process forward or back."""
    jumped, wall_time = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: wall_time() + jumped[0])

    def put(seconds: float) -> None:
        jumped[0] += seconds

    return put


@JUMPS
def test_an_association_outlives_the_jump_and_its_study_is_worked_on_in_time(
    tmp_path: Path, wall: Callable[[float], None], jump: float
) -> None:
    clock = WallClock()
    request = TitleSettings(ae_title="WRISTMIR_Q_DR", quiet_seconds=0.3, is_request=True)
    with station(tmp_path, clock=clock, titles=(request,)) as link, Wire(link) as wire:
        assert wire.associate(called=b"WRISTMIR_Q_DR") == 2
        first, second = radiograph(), radiograph()
        assert store(wire, first) == 0x0000
        clock.offset = timedelta(seconds=jump)
        wall(jump)
        time.sleep(0.5)  # looks
        assert store(wire, second) == 0x0000
        assert ready(link) == []
        wire.send(5, bytes(4))
        assert wire.read()[0] == 6
        studies = {first.StudyInstanceUID, second.StudyInstanceUID}
        assert eventually(lambda: set(ready(link)) == studies, 3)
        assert len(link.ledger.jobs()) == 2


def test_a_silent_association_is_aborted_in_time_by_a_clock_put_back(
    tmp_path: Path, wall: Callable[[float], None]
) -> None:
    with station(tmp_path, idle_seconds=1.0) as link, Wire(link) as wire:
        assert wire.associate() == 2
        wall(-HOUR)
        assert wire.is_cut(4)


def store(wire: Wire, ds: Dataset) -> int | None:
    return wire.store(CR, ds.SOPInstanceUID, encoded(ds, EXPLICIT))


def ready(link: Station) -> list[str]:
    return [job.subject for job in link.ledger.jobs(JobState.READY)]
