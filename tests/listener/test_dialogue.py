"""How a dialogue is concluded: one last response, whatever becomes of the request."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from listener.command import Command, Reply
from listener.dialogue import Dialogue
from listener.errors import NoSuchStepError, PeerConnectionError
from listener.failure import Failure
from listener.inbox import Spool


class Link:
    """An association that only notes what is sent on it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.restarts = 0
        self._kill = False
        self.dimse = SimpleNamespace(
            send_reply=lambda _, command, reply: self.sent.append((command.field, reply)),
            send_identifier=lambda _, identifier: self.sent.append(identifier),
            msg_queue=queue.Queue(),
        )
        self.dul = SimpleNamespace(
            is_alive=lambda: True,
            peek_next_pdu=lambda: None,
            to_provider_queue=queue.Queue(),
            activity=threading.Event(),
            _idle_timer=SimpleNamespace(restart=self._restart),
        )

    def _restart(self) -> None:
        self.restarts += 1


class Request:
    """A request in its dialogue, with a spool that says whether it was discarded."""

    def __init__(self) -> None:
        self.link = Link()
        self.is_discarded = False
        self.told: list[tuple[Failure, bool, int]] = []
        self.dialogue = Dialogue(self.link, 1, Command(Command.N_GET, 7, False, "1.2", "1.2.3"))  # type: ignore[arg-type]

    def conclude(self, served: Exception | tuple[Reply, bytes]) -> None:
        def serve(dialogue: Dialogue, spool: Spool) -> tuple[Reply, bytes]:
            assert (dialogue, spool) == (self.dialogue, self)
            if isinstance(served, Exception):
                raise served
            return served

        self.dialogue.conclude(self, serve, self._refused)  # type: ignore[arg-type]

    def discard(self) -> None:
        self.is_discarded = True

    def _refused(self, command: Command, failure: Failure) -> None:
        assert command is self.dialogue.command
        self.told.append((failure, self.is_discarded, len(self.link.sent)))


def test_what_was_served_is_answered_with_its_identifier() -> None:
    it = Request()
    reply = Reply(0x0000, has_data_set=True)
    it.conclude((reply, b"identifier"))
    assert it.link.sent == [(Command.N_GET, reply), b"identifier"]
    assert it.is_discarded
    assert it.link.restarts == 1
    assert it.told == []


def test_a_failure_is_told_to_log_and_audit_before_the_peer_hears_of_it() -> None:
    it = Request()
    it.conclude(NoSuchStepError())
    ((failure, was_discarded, sent),) = it.told
    assert (failure.status, was_discarded, sent) == (0xC307, False, 0)
    assert it.link.sent == [(Command.N_GET, Reply(0xC307, "There is no such step."))]
    assert it.is_discarded


def test_what_nobody_foresaw_is_answered_all_the_same() -> None:
    it = Request()
    it.conclude(ZeroDivisionError("Invented^Ines"))
    assert it.link.sent == [(Command.N_GET, Reply(0x0110, "It failed."))]
    assert it.told[0][0].reason == "ZeroDivisionError"
    assert it.is_discarded


def test_a_peer_that_breaks_the_rules_is_not_answered() -> None:
    it = Request()
    with pytest.raises(PeerConnectionError):
        it.conclude(PeerConnectionError())
    assert it.link.sent == it.told == []
    assert it.is_discarded


def test_what_came_meanwhile_is_given_back() -> None:
    it = Request()
    other = SimpleNamespace(command=Command(Command.C_ECHO, 8, False, "1.2", ""))
    it.link.dimse.msg_queue.put((3, other))
    assert not it.dialogue.is_cancelled
    assert it.link.dimse.msg_queue.empty()
    it.conclude((Reply(0x0000), b""))
    assert it.link.dimse.msg_queue.get_nowait() == (3, other)
    assert it.link.dul.activity.is_set()
