from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import OperationalError

from listener.command import Command
from listener.errors import ListenerError, NoSuchStepError, TooManyMatchesError
from listener.failure import Failure

ASKING = (Command.C_FIND, Command.C_GET, Command.C_MOVE)
NORMALISED = (Command.N_ACTION, Command.N_CREATE, Command.N_EVENT_REPORT, Command.N_GET)


def failure(error: Exception, field: int = Command.N_ACTION) -> Failure:
    return Failure.of(Command(field, 1, False, "1.2", "1.2.3"), error)


@pytest.mark.parametrize("field", [*ASKING, *NORMALISED])
def test_a_refusal_says_itself_what_its_peer_is_told(field: int) -> None:
    reply = failure(TooManyMatchesError("It has taken too long."), field).reply
    assert reply.status == 0xA700
    assert reply.comment == "There are more matches than are answered: ask for less."
    assert not reply.has_data_set


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(28, "No space left on device", "Invented^Ines"), 0x0213),
        (OperationalError("Invented^Ines", None, Exception("Invented^Ines")), 0x0213),
        (ListenerError(), 0x0110),
        (ValueError("Invented^Ines"), 0x0110),
    ],
)
def test_of_what_failed_here_the_peer_hears_a_status_alone(error: Exception, status: int) -> None:
    for field in NORMALISED:
        assert failure(error, field).reply.status == status
    for field in ASKING:
        assert failure(error, field).reply.status == 0xC001
    assert failure(error).reply.comment == "It failed."
    assert "Invented" not in failure(error).reason


def test_the_log_names_the_request_its_status_and_who_asked_whom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="wristmir.listener")
    failure(NoSuchStepError()).log("N-GET of a procedure step", "PACS", "WRISTMIR")
    failure(ValueError("Invented^Ines")).log("report", "PACS", "WRISTMIR")
    assert caplog.messages == [
        "N-GET of a procedure step refused with 0xC307, PACS to WRISTMIR: There is no such step.",
        "report refused with 0x0110, PACS to WRISTMIR: ValueError",
    ]
