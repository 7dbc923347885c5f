from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import pytest
from ledger_parts import Clock
from sqlalchemy.exc import OperationalError

from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError
from listener.job import Job, JobState
from listener.ledger import Ledger
from listener.notifier import Notifier

KIND = "notice"
SQL = "SELECT 1"


class Owing:
    """What peers are owed: a list of subjects, and what was given up."""

    def __init__(self, ledger: Ledger, *subjects: str) -> None:
        self.ledger = ledger
        self.subjects = subjects
        self.given_up: list[str] = []

    def resume(self) -> None:
        for subject in self.subjects:
            self.ledger.enqueue(KIND, subject)

    def give_up(self, subject: str, /) -> None:
        self.given_up.append(subject)


def told(job: Job) -> dict[str, int]:
    return {"told": len(job.subject)}


def away(_: Job) -> dict[str, int]:
    msg = "Destination pacs: it is away."
    raise DeliveryError(msg)


def notifier(
    ledger: Ledger,
    owing: Owing,
    tell: Callable[[Job], Mapping[str, int]] = told,
    *destinations: DestinationSettings,
) -> Notifier:
    return Notifier(ledger, KIND, owing, tell, "notice", destinations)


def there(name: str = "pacs", **said: float) -> DestinationSettings:
    given = {"name": name, "ae_title": "PACS", "host": "127.0.0.1", "port": 104} | said
    return DestinationSettings.model_validate(given)


def test_each_job_that_is_due_is_told_and_done(ledger: Ledger) -> None:
    it = notifier(ledger, Owing(ledger, "A", "BB"))
    assert not it.notify()  # nothing was taken up yet
    it.take_up()
    assert [it.notify() for _ in range(3)] == [True, True, False]
    outcomes = {job.subject: job.outcome for job in ledger.jobs(JobState.DONE, KIND)}
    assert outcomes == {"A": {"told": 1}, "BB": {"told": 2}}


def test_what_a_stop_left_in_hand_is_taken_up_again(ledger: Ledger) -> None:
    ledger.enqueue(KIND, "A")
    assert ledger.lease([KIND], 3600) is not None
    it = notifier(ledger, Owing(ledger))
    assert not it.notify()
    it.take_up()
    assert it.notify()


def test_jobs_of_another_kind_are_left_alone(ledger: Ledger) -> None:
    ledger.enqueue("index", "A")
    it = notifier(ledger, Owing(ledger))
    it.take_up()
    assert not it.notify()


def test_what_is_not_taken_comes_again_for_three_days_then_it_is_given_up(
    ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="wristmir.listener")
    owing = Owing(ledger, "A")
    it = notifier(ledger, owing, away)
    it.take_up()
    for _ in range(8):
        assert it.notify()
        clock.now = ledger.jobs(kind=KIND)[0].not_before
    assert owing.given_up == []  # eight tries are not enough to give up
    clock.move(3 * 86400)
    assert it.notify()
    assert owing.given_up == ["A"]
    (job,) = ledger.jobs(JobState.DEAD, KIND)
    words = "The objects were not all delivered. Destination pacs: it is away."
    assert caplog.messages[0] == f"notice {job.id} failed, try 1, now ready: {words}"
    assert caplog.messages[-1] == f"notice {job.id} failed, try 9, now dead: {words}"


def test_of_an_unexpected_error_its_class_alone_is_kept(ledger: Ledger) -> None:
    def fail(_: Job) -> dict[str, int]:
        msg = "Invented^Ines"
        raise ValueError(msg)

    it = notifier(ledger, Owing(ledger, "A"), fail)
    it.take_up()
    assert it.notify()
    (job,) = ledger.jobs(JobState.READY, KIND)
    assert job.last_error == "unexpected ValueError"


def test_a_ledger_that_fails_is_no_failure_of_the_job(ledger: Ledger) -> None:
    def fail(_: Job) -> dict[str, int]:
        raise OperationalError(SQL, None, Exception("x"))

    it = notifier(ledger, Owing(ledger, "A"), fail)
    it.take_up()
    with pytest.raises(OperationalError):
        it.notify()
    (job,) = ledger.jobs(JobState.LEASED, KIND)
    assert job.last_error is None


def test_a_job_that_was_given_to_another_meanwhile_is_left_to_it(
    ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def lose(_: Job) -> dict[str, int]:
        clock.move(3600)
        assert ledger.lease([KIND], 60) is not None
        return away(_)

    it = notifier(ledger, Owing(ledger, "A"), lose)
    it.take_up()
    assert it.notify()
    assert ledger.jobs(JobState.LEASED, KIND)
    assert caplog.messages == []


def test_a_peer_is_found_by_its_title_the_first_where_several_share_it(ledger: Ledger) -> None:
    first, second = there("first", timeout_seconds=10), there("second", timeout_seconds=20)
    it = notifier(ledger, Owing(ledger), told, first, second)
    assert it.destination("PACS", "of it") is first
    with pytest.raises(DeliveryError, match="OTHER is no destination: it cannot be told of it"):
        it.destination("OTHER", "of it")


def test_a_job_is_leased_for_longer_than_its_peer_may_take(ledger: Ledger) -> None:
    assert notifier(ledger, Owing(ledger)).lease_seconds == 60
    slow = there(timeout_seconds=30)
    assert notifier(ledger, Owing(ledger), told, slow).lease_seconds == 210
