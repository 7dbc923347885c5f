"""Who is signed in, and until when; how often somebody may fail to."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.web.session import Sessions
from deploy.web.throttle import Throttle
from deploy.web.users import Role, User, Users

PASSWORD = "an invented password"  # noqa: S105  invented


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "users")


@pytest.fixture
def reader(users: Users) -> User:
    return users.put("reader", [Role.RADIOLOGIST], PASSWORD)


def test_a_session_ends_when_nothing_is_done_and_in_any_case_at_last(
    users: Users, reader: User, clock: Clock
) -> None:
    sessions = Sessions(users, 60, 200, clock)
    key, _ = sessions.begin(reader)
    for clock.now in (50, 100, 150, 200):
        assert sessions.find(key) is not None
    clock.now = 201
    assert sessions.find(key) is None
    key, _ = sessions.begin(reader)
    clock.now += 61
    assert sessions.find(key) is None


def test_a_session_ends_by_signing_out_and_no_other_key_finds_it(
    users: Users, reader: User, clock: Clock
) -> None:
    sessions = Sessions(users, 60, 200, clock)
    (key, one), (other_key, other) = sessions.begin(reader), sessions.begin(reader)
    assert one.csrf != other.csrf
    assert sessions.find("") is None
    assert sessions.find(key + "x") is None
    sessions.end(key)
    assert sessions.find(key) is None
    assert sessions.find(other_key) is other


@pytest.mark.slow
@pytest.mark.parametrize("change", ["password", "role", "account"])
def test_a_session_ends_when_its_account_changes(
    users: Users, reader: User, clock: Clock, change: str
) -> None:
    sessions = Sessions(users, 60, 200, clock)
    key, _ = sessions.begin(reader)
    if change == "account":
        users.remove("reader")
    else:
        role = Role.IT if change == "role" else Role.RADIOLOGIST
        users.put("reader", [role], PASSWORD)
    assert sessions.find(key) is None


def test_who_fails_too_often_waits_and_others_do_not(clock: Clock) -> None:
    throttle = Throttle(3, 100, clock)
    for clock.now in (0, 10, 20):
        assert not throttle.is_shut("reader")
        throttle.failed("reader")
    assert throttle.is_shut("reader")
    assert not throttle.is_shut("other")
    clock.now = 101
    assert not throttle.is_shut("reader")
    throttle.failed("reader")
    assert throttle.is_shut("reader")
    throttle.passed("reader")
    assert not throttle.is_shut("reader")
