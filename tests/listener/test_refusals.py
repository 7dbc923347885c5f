from __future__ import annotations

from listener.audit_event import Peer
from listener.refusals import Refusal, Refusals

HERE, THERE = Peer("SCANNER", "192.0.2.1"), Peer("SCANNER", "192.0.2.2")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_first_of_its_kind_is_told_at_once_and_others_are_counted() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    told = refusals.note(Refusal(HERE, "unknown"))
    assert told is not None
    assert str(told) == "unknown"
    for _ in range(999):
        assert refusals.note(Refusal(HERE, "unknown")) is None
    assert refusals.due() == ()
    clock.seconds = 60
    (told,) = refusals.due()
    assert str(told) == "unknown; 999 more in a minute"
    assert refusals.due() == ()


def test_another_address_or_reason_is_another_kind() -> None:
    refusals = Refusals(Clock())
    assert refusals.note(Refusal(HERE, "unknown"))
    assert refusals.note(Refusal(THERE, "unknown"))
    assert refusals.note(Refusal(HERE, "limit"))


def test_what_did_not_repeat_itself_is_told_once_and_anew_after_a_minute() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    assert refusals.note(Refusal(HERE, "unknown"))
    clock.seconds = 61
    assert refusals.due() == ()
    assert refusals.note(Refusal(HERE, "unknown"))


def test_at_the_end_all_is_told() -> None:
    refusals = Refusals(Clock())
    refusals.note(Refusal(HERE, "unknown"))
    refusals.note(Refusal(HERE, "unknown"))
    assert [str(told) for told in refusals.due(at_once=True)] == ["unknown; 1 more in a minute"]


def test_very_many_addresses_are_counted_together() -> None:
    refusals = Refusals(Clock())
    told = [refusals.note(Refusal(Peer("X", f"2001:db8::{n:x}"), "unknown")) for n in range(5000)]
    assert sum(one is not None for one in told) == 501
    assert len(refusals.due(at_once=True)) == 1
