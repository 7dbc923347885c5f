"""C-FIND, C-GET and C-MOVE of what is held here (DICOM PS3.4 annex C, Study Root).

Only what `listener.holdings` finds can be had, and a C-MOVE goes to configured destinations alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from listener.audit import Audit
from listener.audit_event import Peer
from listener.command import Command, Reply, SubOperations
from listener.destination_settings import DestinationSettings
from listener.dialogue import Dialogue
from listener.errors import (
    NotAuthorisedError,
    TooManyMatchesError,
    UnknownDestinationError,
)
from listener.failure import Failure
from listener.holding_answers import answers
from listener.holdings import Holding, Holdings, NoHoldings
from listener.inbox import Spool
from listener.retrieval_audit import RetrievalAudit
from listener.retrieval_settings import RetrievalSettings
from listener.sender import WARNINGS, send_each
from listener.settings import ListenerSettings
from listener.study_root import MOST_BYTES, Question, encode_failed, read_question

__all__ = ["RETRIEVAL", "Retrieval", "Terms"]

_log = logging.getLogger("wristmir.listener")

RETRIEVAL = (Command.C_FIND, Command.C_GET, Command.C_MOVE)
"""The commands that are served here."""

_SUCCESS, _PENDING, _PENDING_UNMATCHED, _CANCELLED = 0x0000, 0xFF00, 0xFF01, 0xFE00
_SOME_FAILED, _ALL_FAILED = 0xB000, 0xA702
_MOST_HELD = 50_000  # objects that are gone through for one question

Sent = Iterator[tuple[Path, int | None]]


@dataclass(frozen=True)
class Terms:
    """What is answered to whom, the same for every association.

    ``destinations`` are found by their AE titles; ``title`` is the one that is sent under.
    """

    holdings: Holdings = field(default_factory=NoHoldings)
    destinations: tuple[DestinationSettings, ...] = ()
    title: str = "WRISTMIR"
    bounds: RetrievalSettings = field(default_factory=RetrievalSettings)

    @classmethod
    def of(cls, settings: ListenerSettings, holdings: Holdings) -> Terms:
        """Return the terms that the settings name."""
        return cls(holdings, settings.destinations, settings.calling_ae_title, settings.retrieval)

    def destination(self, ae_title: str) -> DestinationSettings:
        """Return the first destination of an AE title.

        Raises
        ------
        UnknownDestinationError
            If there is none.
        """
        for one in self.destinations:
            if one.ae_title == ae_title:
                return one
        raise UnknownDestinationError


class Retrieval:
    """What one association asks of what is held.

    Every method is called by the association's own thread, but `begin`, by its network thread.

    Parameters
    ----------
    terms
        What is answered.
    peer
        Who asks.
    title
        The AE title that is asked.
    may_retrieve
        Whether this peer is answered at all.
    """

    def __init__(
        self, terms: Terms, audit: Audit, peer: Peer, title: str, *, may_retrieve: bool = True
    ) -> None:
        self._terms = terms
        self._told = RetrievalAudit(audit, peer, title)
        self._peer = peer
        self._title = title
        self._may_retrieve = may_retrieve

    def begin(self, transfer_syntax: str) -> Spool:
        """Return where an identifier goes: no more of it is kept than is read."""
        return Spool(transfer_syntax, MOST_BYTES)

    def serve(self, dialogue: Dialogue, spool: Spool) -> None:
        """Answer a question, whatever becomes of it.

        Raises
        ------
        PeerConnectionError
            If the peer breaks the rules of messages: its association is ended.
        """
        dialogue.conclude(spool, self._served, self._refused)

    def _served(self, dialogue: Dialogue, spool: Spool) -> tuple[Reply, bytes]:
        command, syntax = dialogue.command, spool.transfer_syntax
        retrieves = command.field != Command.C_FIND
        with spool.stream() as stream:
            question = read_question(stream, syntax, spool.size, retrieves=retrieves)
        if not self._may_retrieve:
            if not retrieves:
                self._told.asked(question, syntax, "it may not")
            raise NotAuthorisedError
        if retrieves:
            return self._retrieved(dialogue, question)
        self._told.asked(question, syntax)
        return self._found(dialogue, question), b""

    def _found(self, dialogue: Dialogue, question: Question) -> Reply:
        until = time.monotonic() + self._terms.bounds.question_seconds
        status = _PENDING if question.is_understood else _PENDING_UNMATCHED
        count = 0
        for values in answers(question, self._held(question, _MOST_HELD)):
            if dialogue.is_cancelled or dialogue.is_gone:
                return Reply(_CANCELLED)
            if time.monotonic() > until:
                msg = "It has taken too long."
                raise TooManyMatchesError(msg)
            if not question.matches(values):
                continue
            if count == self._terms.bounds.max_answers:
                raise TooManyMatchesError
            count += 1
            answer = question.answer(values, self._title, dialogue.transfer_syntax)
            dialogue.answer(Reply(status, has_data_set=True), answer)
        self._say("C-FIND", f"{count} answers")
        return Reply(_SUCCESS)

    def _retrieved(self, dialogue: Dialogue, question: Question) -> tuple[Reply, bytes]:
        command = dialogue.command
        receiver, there = None, None
        if command.field == Command.C_MOVE:
            there = self._terms.destination(command.move_destination)
            receiver = Peer(there.ae_title, there.host, there.tls)
        held = self._held(question, self._terms.bounds.max_objects)
        paths = [one.path for one in held]
        parts = self._told.begins(paths, receiver)
        failure = "interrupted"
        try:
            with closing(self._sending(dialogue, there, paths)) as sent:
                ended = _Tally(held).follow(dialogue, sent, self._terms.bounds.retrieve_seconds)
            failure = ended.failure
        finally:
            self._told.ended(parts, receiver, failure)
        self._say("C-GET" if there is None else "C-MOVE", ended.words)
        identifier = encode_failed(ended.failed, dialogue.transfer_syntax) if ended.failed else b""
        return replace(ended.reply, has_data_set=bool(identifier)), identifier

    def _sending(
        self, dialogue: Dialogue, there: DestinationSettings | None, paths: Sequence[Path]
    ) -> Generator[tuple[Path, int | None], None, None]:
        """Send each object, where it goes, when the next one is asked for."""
        if there is None:
            yield from ((path, dialogue.store(path)) for path in paths)
        else:
            originator = self._peer.ae_title, dialogue.command.message_id
            yield from send_each(there, paths, self._terms.title, originator)

    def _held(self, question: Question, most: int) -> Sequence[Holding]:
        held = self._terms.holdings.find(question.wanted(), most + 1)
        if len(held) > most:
            raise TooManyMatchesError
        return held

    def _say(self, what: str, words: str) -> None:
        _log.info("%s by %s at %s: %s", what, self._peer.ae_title, self._title, words)

    def _refused(self, command: Command, failure: Failure) -> None:
        failure.log(_NAMES[command.field], self._peer.ae_title, self._title)


_NAMES = {Command.C_FIND: "C-FIND", Command.C_GET: "C-GET", Command.C_MOVE: "C-MOVE"}


@dataclass(frozen=True)
class _End:
    """How a retrieval ended: for the peer, for the log, and for the audit trail."""

    reply: Reply
    failed: tuple[str, ...]
    words: str

    @property
    def failure(self) -> str:
        """Words of a failure; empty where all was sent."""
        return "" if self.reply.status == _SUCCESS else self.words


class _Tally:
    """Counts what became of each object, and tells the peer."""

    def __init__(self, held: Sequence[Holding]) -> None:
        self._uids = {one.path: one.sop_instance_uid for one in held}
        self._completed = self._warned = 0
        self._failed: list[str] = []

    def follow(self, dialogue: Dialogue, sent: Sent, seconds: float) -> _End:
        """Follow what is sent to its end, or until the peer has had enough."""
        until = time.monotonic() + seconds
        while self._remaining and not (dialogue.is_cancelled or dialogue.is_gone):
            if time.monotonic() > until:
                break
            path, status = next(sent)
            self._count(self._uids[path], status)
            if self._remaining:
                dialogue.answer(Reply(_PENDING, counts=self._counts(self._remaining)))
        return self._end(dialogue.is_cancelled)

    @property
    def _remaining(self) -> int:
        return len(self._uids) - self._completed - self._warned - len(self._failed)

    def _count(self, uid: str, status: int | None) -> None:
        if status == _SUCCESS:
            self._completed += 1
        elif status in WARNINGS:
            self._warned += 1
        else:
            self._failed.append(uid)

    def _counts(self, remaining: int | None = None) -> SubOperations:
        return SubOperations(remaining, self._completed, len(self._failed), self._warned)

    def _end(self, is_cancelled: bool) -> _End:
        remaining = self._remaining
        failed = tuple(self._failed)
        if is_cancelled and remaining:
            reply = Reply(_CANCELLED, counts=self._counts(remaining))
        elif remaining:  # out of time, or out of a peer
            reply = Reply(_ALL_FAILED, "It has taken too long.", self._counts())
        elif failed and not self._completed and not self._warned:
            reply = Reply(_ALL_FAILED, "Nothing could be sent.", self._counts())
        else:
            reply = Reply(_SOME_FAILED if failed else _SUCCESS, counts=self._counts())
        done = self._completed + self._warned
        return _End(reply, failed, f"{done} objects sent, {len(failed)} failed, {remaining} left")
