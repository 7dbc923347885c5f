"""Storage commitment as SCU: what was sent is delivered when its destination has said so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from commitment_parts import CR, Archive, receiver, soon
from ledger_parts import Clock, leased
from plugin import free_port
from station import Station

from listener.commitment import Reference, Request, Verdict
from listener.committing import Committer, Parcel, Standing, Step
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError, NotCommittedError
from listener.job import COMMIT
from listener.ledger import Ledger
from listener.transaction import AskedState

ONE, OTHER = Reference(CR, "1.2.3.4"), Reference(CR, "1.2.3.5")
SET = "answer-1-1"


@pytest.fixture(autouse=True)
def _a_long_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the word that comes, however slow the machine is."""
    monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 20.0)


@pytest.fixture
def no_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a word that will not come."""
    monkeypatch.setattr("listener.exchange._HOLD_SECONDS", 0.0)


silent = pytest.mark.usefixtures("no_hold")


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Station]:
    with receiver(tmp_path / "station") as it:
        yield it


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock, link: Station) -> Iterator[Ledger]:
    """The receiver's ledger, with a clock that a test moves."""
    with Ledger(link.settings.ledger_url, clock) as it:
        yield it


def step(ledger: Ledger, there: DestinationSettings, *references: Reference) -> Step:
    committer = Committer(ledger.transactions, "WRISTMIR")
    return committer.step(SET, [Parcel(there, references or (ONE, OTHER))])


def test_the_word_that_comes_on_a_new_association_is_taken_at_once(
    link: Station, ledger: Ledger
) -> None:
    with Archive(link.port) as pacs:
        assert step(ledger, pacs.destination()) == Step(Standing.COMMITTED, 2)
    assert pacs.answers == [0x0000]
    assert [set(references) for _, references in pacs.asked] == [{ONE, OTHER}]


def test_the_word_that_comes_on_the_same_association_is_taken_too(ledger: Ledger) -> None:
    with Archive() as pacs:
        assert step(ledger, pacs.destination()) == Step(Standing.COMMITTED, 2)
    assert pacs.answers == [0x0000]


def test_the_transaction_is_durable_before_the_destination_hears_of_it(
    link: Station, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[int] = []

    def watched(*_: Any, **__: Any) -> None:
        with Ledger(link.settings.ledger_url) as other:
            known.append(len(other.transactions.asked(SET)))

    monkeypatch.setattr("listener.committing.ask", watched)
    step(ledger, DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=1))
    assert known == [1]


@silent
def test_a_word_that_comes_later_wakes_the_job_that_waits_for_it(
    link: Station, ledger: Ledger, clock: Clock
) -> None:
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        there = pacs.destination(commitment_seconds=300)
        assert step(ledger, there) == Step(Standing.AWAITED, delay=timedelta(seconds=300))
        clock.move(100)
        assert step(ledger, there) == Step(Standing.AWAITED, delay=timedelta(seconds=200))
        ledger.enqueue(COMMIT, SET, delay=timedelta(seconds=200))
        assert ledger.lease([COMMIT], 60) is None
        ((uid, references),) = pacs.asked
        assert pacs.say(uid, references) == 0x0000
        clock.now = clock.now.now(clock.now.tzinfo)  # the receiver's own clock is the real one
        assert ledger.lease([COMMIT], 60) is not None
        assert step(ledger, there) == Step(Standing.COMMITTED, 2)
    assert len(pacs.asked) == 1


@silent
def test_a_word_that_does_not_come_is_asked_for_again_after_a_wait_that_doubles(
    link: Station, ledger: Ledger, clock: Clock
) -> None:
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        there = pacs.destination(commitment_seconds=100)
        waits = []
        for _ in range(3):
            standing = step(ledger, there)
            waits.append(standing.delay.total_seconds())
            clock.now += standing.delay
        assert waits == [100, 200, 400]
        assert len({uid for uid, _ in pacs.asked}) == 3
        uid, references = pacs.asked[0]
        assert pacs.say(uid, references) == 0x0000  # the word on the first question, late
        assert step(ledger, there) == Step(Standing.COMMITTED, 2)


def test_what_is_not_committed_to_is_sent_and_asked_about_again_alone(
    link: Station, ledger: Ledger
) -> None:
    with Archive(link.port) as pacs:
        pacs.losing = {OTHER.sop_instance_uid: 0x0112}
        there = pacs.destination()
        failed = step(ledger, there)
        assert failed.standing is Standing.FAILED
        assert timedelta(0) < failed.delay < timedelta(minutes=1)
        committer = Committer(ledger.transactions, "WRISTMIR")
        assert committer.committed(SET) == {ONE}
        pacs.losing = {}
        committer.sent(SET)
        assert step(ledger, there) == Step(Standing.COMMITTED, 2)
    assert [references for _, references in pacs.asked] == [[ONE, OTHER], [OTHER]]


def test_until_it_is_sent_again_nothing_is_asked(link: Station, ledger: Ledger) -> None:
    with Archive(link.port) as pacs:
        pacs.losing = {ONE.sop_instance_uid: 0x0112}
        there = pacs.destination()
        assert step(ledger, there).standing is Standing.FAILED
        assert step(ledger, there).standing is Standing.FAILED
    assert len(pacs.asked) == 1


@silent
def test_what_an_answer_does_not_name_is_not_committed(ledger: Ledger, link: Station) -> None:
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        there = pacs.destination()
        step(ledger, there)
        ((uid, _),) = pacs.asked
        stranger = Reference(CR, "9.9.9")
        assert ledger.transactions.answer(Verdict(uid, (ONE, stranger), {}))
        assert step(ledger, there).standing is Standing.FAILED
        assert Committer(ledger.transactions, "WRISTMIR").committed(SET) == {ONE}


@silent
def test_an_instance_committed_to_under_another_class_is_not_committed(
    ledger: Ledger, link: Station
) -> None:
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        step(ledger, pacs.destination(), ONE)
        ((uid, _),) = pacs.asked
        other_class = Reference("1.2.840.10008.5.1.4.1.1.7", ONE.sop_instance_uid)
        assert ledger.transactions.answer(Verdict(uid, (other_class,), {}))
        assert step(ledger, pacs.destination(), ONE).standing is Standing.FAILED


@pytest.mark.parametrize("offers", [False, True], ids=["no context", "no such action"])
def test_a_destination_without_commitment_counts_when_it_has_stored(
    link: Station, ledger: Ledger, offers: bool
) -> None:
    with Archive(link.port, offers=offers) as pacs:
        pacs.action_status = 0x0123
        assert step(ledger, pacs.destination()) == Step(Standing.COMMITTED, 0)
        with pytest.raises(DeliveryError, match=r"pacs .*`commitment`"):
            step(ledger, pacs.destination(commitment="require"))
        assert ledger.transactions.asked(SET) == ()


def test_a_destination_that_is_never_asked_counts_without_a_connection(ledger: Ledger) -> None:
    nowhere = DestinationSettings(
        name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port(), commitment="never"
    )
    assert step(ledger, nowhere) == Step(Standing.COMMITTED, 0)


@pytest.mark.parametrize("commitment", ["ask", "require"])
def test_a_destination_that_is_away_or_busy_is_asked_later(
    link: Station, ledger: Ledger, commitment: str
) -> None:
    with Archive(link.port) as pacs:
        away = pacs.destination(commitment=commitment, port=free_port())
        with pytest.raises(DeliveryError, match="cannot be reached"):
            step(ledger, away)
        pacs.action_status = 0x0213
        with pytest.raises(DeliveryError, match="0x0213"):
            step(ledger, pacs.destination(commitment=commitment))
        pacs.action_status = 0x0000
        assert step(ledger, pacs.destination(commitment=commitment)).committed == 2


@pytest.mark.slow
def test_a_destination_that_never_commits_is_given_up_after_three_days(
    link: Station, ledger: Ledger, clock: Clock
) -> None:
    with Archive(link.port) as pacs:
        pacs.losing = {ONE.sop_instance_uid: 0x0110}
        there, committer = pacs.destination(), Committer(ledger.transactions, "WRISTMIR")

        def tried_for(hours: float) -> None:
            clock.move(3600 * hours)
            committer.sent(SET)
            assert step(ledger, there, ONE).standing is Standing.FAILED

        for _ in range(6):
            tried_for(14)
        with pytest.raises(NotCommittedError, match="does not keep them"):
            tried_for(14)
        pacs.losing = {}
        assert step(ledger, there, ONE).standing is Standing.COMMITTED  # a retry begins anew


@pytest.mark.slow
def test_what_fails_again_and_again_is_sent_with_growing_pauses(
    link: Station, ledger: Ledger
) -> None:
    with Archive(link.port) as pacs:
        pacs.losing = {ONE.sop_instance_uid: 0x0110}
        pauses = []
        for _ in range(3):
            pauses.append(step(ledger, pacs.destination(), ONE).delay)
            Committer(ledger.transactions, "WRISTMIR").sent(SET)
    assert pauses[0] < pauses[1] < pauses[2]


@pytest.mark.slow
@silent
def test_a_destination_that_never_says_a_word_is_given_up_after_three_days(
    link: Station, ledger: Ledger, clock: Clock
) -> None:
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        there = pacs.destination(commitment_seconds=6 * 3600)
        for _ in range(12):
            standing = step(ledger, there)
            assert standing == Step(Standing.AWAITED, delay=timedelta(hours=6))
            clock.now += standing.delay
        with pytest.raises(NotCommittedError, match="has not said what became of them"):
            step(ledger, there)
        uid, references = pacs.asked[0]
        assert pacs.say(uid, references) == 0x0000
        assert step(ledger, there) == Step(Standing.COMMITTED, 2)  # late, and welcome
    assert len(pacs.asked) == 12


@pytest.mark.slow
@silent
def test_two_destinations_commit_each_for_itself(link: Station, ledger: Ledger) -> None:
    with Archive(link.port) as pacs, Archive(link.port) as library:
        library.is_silent = True
        parcels = [
            Parcel(pacs.destination(), (ONE,)),
            Parcel(library.destination(name="library"), (OTHER,)),
        ]
        committer = Committer(ledger.transactions, "WRISTMIR")
        assert committer.step(SET, parcels).standing is Standing.AWAITED
        assert soon(lambda: committer.committed(SET) == {ONE})
        ((uid, references),) = library.asked
        assert library.say(uid, references) == 0x0000
        assert committer.step(SET, parcels) == Step(Standing.COMMITTED, 2)
    assert len(pacs.asked) == len(library.asked) == 1


@silent
def test_the_ledger_forgets_what_is_settled_and_old(
    link: Station, ledger: Ledger, clock: Clock
) -> None:
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        step(ledger, pacs.destination())
    ledger.enqueue(COMMIT, SET)
    clock.move(86400 * 5)
    forget = ledger.transactions.forget
    assert forget(timedelta(hours=1)) == 0  # there is work to be done about it
    job = ledger.lease([COMMIT], 60)
    assert job is not None
    ledger.finish(job)
    assert forget(timedelta(days=6)) == 0
    assert forget(timedelta(hours=1)) == 1
    assert ledger.transactions.asked(SET) == ()


@silent
def test_patience_ends_however_short_the_retention(
    link: Station, ledger: Ledger, clock: Clock
) -> None:
    """The job that looks at a study's copies bears the study, the request the copies' name."""
    with Archive(link.port) as pacs:
        pacs.is_silent = True
        parcel = Parcel(pacs.destination(commitment_seconds=12 * 3600), (ONE,))
        committer = Committer(ledger.transactions, "WRISTMIR")
        ledger.enqueue("copy", "1.2.3")
        for _ in range(6):
            clock.now += committer.step("copies-1", [parcel]).delay
            assert ledger.transactions.forget(timedelta(days=1)) == 0
        with pytest.raises(NotCommittedError, match="asked 6 times in 3 days"):
            committer.step("copies-1", [parcel])
        clock.now += timedelta(hours=23)
        assert ledger.transactions.forget(timedelta(days=1)) == 0
        assert pacs.say(*pacs.asked[0]) == 0x0000  # late, and welcome
        assert committer.step("copies-1", [parcel]) == Step(Standing.COMMITTED, 1)


@pytest.mark.parametrize("state", AskedState)
def test_what_was_asked_is_kept_for_four_days_whatever_became_of_it(
    ledger: Ledger, clock: Clock, state: AskedState
) -> None:
    """A destination may say time and again that it keeps nothing: its patience is counted too."""
    asked = ledger.transactions
    asked.ask(Request("2.25.1", (ONE,)), subject="notes-1", destination="pacs")
    if state in (AskedState.ANSWERED, AskedState.SPENT):
        asked.answer(Verdict("2.25.1", (), {ONE: 0x0112}))
        ledger.finish(leased(ledger, COMMIT))
    if state is AskedState.SPENT:
        asked.spend("notes-1")
    if state is AskedState.ABANDONED:
        asked.abandon("notes-1")
    clock.now += timedelta(days=4)
    assert asked.forget(timedelta(days=1)) == 0
    assert [one.state for one in asked.asked("notes-1")] == [state]
    clock.move(1)
    assert asked.forget(timedelta(days=5)) == 0
    assert asked.forget(timedelta(days=1)) == 1
