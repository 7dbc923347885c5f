"""The events of signing in and out, as the message that DICOM PS3.15 section A.5.3.12 makes of it.

User Authentication: somebody has signed in or out, or tried to.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from listener.audit_event import End, Reporter
from listener.audit_message import LOGIN, LOGOUT, USER_AUTHENTICATION, Action, AuditMessage, Event
from listener.audit_query import Person

__all__ = ["user_authentication"]


def user_authentication(
    own: Reporter, at: datetime, person: Person, end: End, *, login: bool
) -> AuditMessage:
    """Return that a person has signed in or out.

    Parameters
    ----------
    person
        The account, and the address that it was tried from.
    end
        How it went.
    login
        False for signing out.
    """
    kind = LOGIN if login else LOGOUT
    here = replace(own.as_participant(None, is_requestor=False), ae_titles=())
    return AuditMessage(
        Event(USER_AUTHENTICATION, Action.EXECUTE, at, end.indicator, kind, end.words),
        (person.as_participant(own), here),
        own.source,
        (),
    )
