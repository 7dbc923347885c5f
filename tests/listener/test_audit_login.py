"""Signing in and out, as the standard's schema wants it told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from audit_parts import ended, kind, parsed

from listener.audit_event import End, Reporter
from listener.audit_login import user_authentication
from listener.audit_message import Action, AuditSource, Indicator
from listener.audit_query import Person

OWN = Reporter(AuditSource("wristmir"), "host.example.org", ("WRISTMIR",))
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
READER = Person("reader", address="10.1.2.3")


@pytest.mark.parametrize(("login", "code"), [(True, "110122"), (False, "110123")])
def test_who_signs_in_or_out_is_told_with_the_address(login: bool, code: str) -> None:
    message = parsed(user_authentication(OWN, NOW, READER, End(), login=login).xml())
    assert kind(message) == ("110114", code)
    assert ended(message)[:2] == ("E", "0")
    who, here = message.findall("ActiveParticipant")
    assert (who.get("UserID"), who.get("NetworkAccessPointID")) == ("reader", "10.1.2.3")
    assert who.get("UserIsRequestor") == "true"
    assert here.get("UserIsRequestor") == "false"


def test_a_try_that_fails_is_told_with_why() -> None:
    end = End(Action.EXECUTE, Indicator.MINOR_FAILURE, "too many tries")
    message = parsed(user_authentication(OWN, NOW, READER, end, login=True).xml())
    assert ended(message) == ("E", "4", "too many tries")
