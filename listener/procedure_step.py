"""The Unified Procedure Step service as SCP (DICOM PS3.4 annex CC): requests as procedure steps.

Peers create steps, watch them and have them cancelled; the plugin itself performs them, so nobody
else may claim one or set its attributes. A step becomes the same job as any other request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydicom.uid import generate_uid

from listener.attributes import Attribute, read_attributes, write_attributes
from listener.audit import Audit
from listener.audit_event import Peer
from listener.audit_message import Action
from listener.command import Command, Reply
from listener.dialogue import Dialogue
from listener.elements import is_uid
from listener.errors import (
    CannotUnderstandError,
    InappropriateActionError,
    InvalidArgumentError,
    InvalidInstanceError,
    NoSuchActionError,
    NoSuchSopClassError,
    NoSuchStepError,
    NotAuthorisedError,
    OutOfResourcesError,
    ProcessingFailureError,
    RefusalError,
    ResourceLimitationError,
    TooManyMatchesError,
    UnknownReceiverError,
    UnreadableIdentifierError,
)
from listener.failure import Failure
from listener.inbox import Spool
from listener.recorded_step import NewStep
from listener.retrieval_settings import RetrievalSettings
from listener.settings import ListenerSettings, TitleSettings
from listener.step_audit import StepAudit
from listener.step_description import answer, description, matches, wanted
from listener.step_request import read_request
from listener.step_settings import StepSettings
from listener.step_shelf import StepShelf
from listener.step_state import Change
from listener.step_terms import FILTERED_GLOBAL, GLOBAL, MOST_BYTES, SOP_CLASSES, Coded

if TYPE_CHECKING:
    from listener.ledger import Ledger

__all__ = ["ProcedureSteps", "StepTerms"]

_log = logging.getLogger("wristmir.listener")

_SUCCESS, _NOT_ALL_KNOWN, _PENDING, _CANCELLED = 0x0000, 0x0001, 0xFF00, 0xFE00
_MOST_STEPS = 20_000  # that are gone through for one question

# action types: PS3.4 tables CC.2.1-1, CC.2.2-1, CC.2.3-1
_CHANGE_STATE, _REQUEST_CANCEL, _SUBSCRIBE, _UNSUBSCRIBE, _SUSPEND = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class StepTerms:
    """On what terms steps are taken, the same for every association.

    ``receivers`` are the AE titles that may be told of steps.
    """

    shelf: StepShelf
    receivers: Collection[str] = ()
    settings: StepSettings = field(default_factory=StepSettings)
    bounds: RetrievalSettings = field(default_factory=RetrievalSettings)

    @classmethod
    def of(cls, settings: ListenerSettings) -> StepTerms:
        """Return the terms that the settings name.

        Raises
        ------
        ListenerError
            If the folder of the steps cannot be made.
        """
        return cls(
            StepShelf(settings.steps_dir, watermark_bytes=settings.watermark_bytes),
            frozenset(one.ae_title for one in settings.destinations),
            settings.procedure_steps,
            settings.retrieval,
        )


class ProcedureSteps:
    """What one association asks for by procedure steps.

    Every method is called by the association's own thread, but `begin`, by its network thread.

    Parameters
    ----------
    terms
        On what terms; None where no steps are taken.
    title
        What is called: a request title's argument is what a step asks for that says nothing else.
    is_admitted
        Whether this peer may ask for work at all.
    """

    def __init__(
        self,
        ledger: Ledger,
        terms: StepTerms | None,
        audit: Audit,
        peer: Peer,
        title: TitleSettings,
        *,
        is_admitted: bool = True,
    ) -> None:
        self._steps = ledger.steps
        self._terms = terms
        self._told = StepAudit(audit, ledger, peer, title.ae_title)
        self._peer = peer
        self._title = title
        self._is_admitted = is_admitted

    def begin(self, transfer_syntax: str) -> Spool:
        """Return where a data set goes: no more of it is kept than is read."""
        return Spool(transfer_syntax, MOST_BYTES)

    def serve(self, dialogue: Dialogue, spool: Spool) -> None:
        """Answer a request about steps, whatever becomes of it; it is durable before that.

        Raises
        ------
        PeerConnectionError
            If the peer breaks the rules of messages: its association is ended.
        """
        dialogue.conclude(spool, self._served, self._refused)

    def _served(self, dialogue: Dialogue, spool: Spool) -> tuple[Reply, bytes]:
        command = dialogue.command
        if self._terms is None or not self._is_admitted:
            raise NotAuthorisedError
        given = self._read(command, spool)
        if command.field == Command.C_FIND:
            return self._found(self._terms, dialogue, given), b""
        if command.sop_class_uid not in SOP_CLASSES:
            raise NoSuchSopClassError
        if command.field == Command.N_CREATE:
            return self._created(self._terms, dialogue, given), b""
        if not is_uid(command.sop_instance_uid):
            raise NoSuchStepError
        if command.field == Command.N_GET:
            return self._got(self._terms, dialogue)
        if command.field == Command.N_SET:
            self._steps.modify(command.sop_instance_uid, _text(given, 0x00081195))
        return Reply(self._act(self._terms, command, given)), b""

    def _read(self, command: Command, spool: Spool) -> dict[int, Attribute]:
        """Return the data set of a request; one that has none has no attributes."""
        kind: type[RefusalError] = ProcessingFailureError
        if command.field == Command.C_FIND:
            kind = UnreadableIdentifierError
        if spool.size > MOST_BYTES:
            msg = f"Its data set is longer than {MOST_BYTES >> 10} KiB."
            raise kind(msg)
        try:
            with spool.stream() as stream:
                return read_attributes(stream.read(), spool.transfer_syntax)
        except CannotUnderstandError as error:
            msg = f"Its data set cannot be understood. {error.detail}"
            raise kind(msg) from None

    def _created(
        self, terms: StepTerms, dialogue: Dialogue, given: Mapping[int, Attribute]
    ) -> Reply:
        command = dialogue.command
        if not command.sop_instance_uid:  # then whoever creates it names it (PS3.7 10.1.5.1.4)
            command = replace(command, sop_instance_uid=str(generate_uid(prefix=None)))
            dialogue.command = command
        uid = command.sop_instance_uid
        if not is_uid(uid) or uid in (GLOBAL, FILTERED_GLOBAL):
            raise InvalidInstanceError
        request = read_request(given)
        try:
            path = terms.shelf.place(given)
        except OutOfResourcesError as error:
            raise ResourceLimitationError(error.detail) from None
        step = NewStep(
            sop_instance_uid=uid,
            study_uid=request.study_uid,
            calling_ae=self._peer.ae_title,
            called_ae=self._title.ae_title,
            path=path,
            readiness=request.readiness,
            argument={**self._usual, **request.argument},
        )
        try:
            self._steps.take(step, terms.settings.max_open, terms.settings.max_kept)
        except RefusalError:
            terms.shelf.remove([path])
            raise
        # where the ledger failed, a file without a step is swept at the next start
        self._told.did(Action.CREATE, uid, request.study_uid)
        _log.info("%s has created a procedure step", self._peer.ae_title)
        return Reply(_SUCCESS)

    @property
    def _usual(self) -> Mapping[str, Any]:
        return self._title.argument if self._title.is_request else {}

    def _got(self, terms: StepTerms, dialogue: Dialogue) -> tuple[Reply, bytes]:
        command = dialogue.command
        row = self._steps.find(command.sop_instance_uid)
        if row is None:
            raise NoSuchStepError
        held = description(row, terms.shelf.read(row.path))
        self._told.did(Action.READ, row.sop_instance_uid, row.study_uid)
        told, status = held, _SUCCESS
        if command.attributes:
            told = {tag: held[tag] for tag in command.attributes if tag in held}
            if _CHARACTER_SET in held:
                told[_CHARACTER_SET] = held[_CHARACTER_SET]
            if set(command.attributes) - set(held):
                status = _NOT_ALL_KNOWN
        encoded = write_attributes(told, dialogue.transfer_syntax)
        return Reply(status, has_data_set=bool(encoded)), encoded

    def _act(self, terms: StepTerms, command: Command, given: Mapping[int, Attribute]) -> int:
        uid, kind = command.sop_instance_uid, command.type_id
        if kind in (_CHANGE_STATE, _REQUEST_CANCEL):
            if uid in (GLOBAL, FILTERED_GLOBAL):
                raise InappropriateActionError
            return (
                self._cancelled(uid, given)
                if kind == _REQUEST_CANCEL
                else self._changed(uid, given)
            )
        if kind not in (_SUBSCRIBE, _UNSUBSCRIBE, _SUSPEND):
            raise NoSuchActionError
        if uid == FILTERED_GLOBAL:
            raise NoSuchStepError  # as CC.2.3.3 has it where no filters are supported
        if kind == _SUSPEND and uid != GLOBAL:
            raise InappropriateActionError
        receiver = _text(given, 0x00741234)
        if not receiver:
            msg = "It names no receiving AE."
            raise InvalidArgumentError(msg)
        if receiver not in terms.receivers:
            raise UnknownReceiverError
        if kind == _SUBSCRIBE:
            locks = _is_lock(_text(given, 0x00741230))
            self._steps.subscribe(receiver, uid, self._title.ae_title, locks=locks)
        elif kind == _UNSUBSCRIBE:
            self._steps.unsubscribe(receiver, uid)
        else:
            self._steps.suspend(receiver)
        return _SUCCESS

    def _cancelled(self, uid: str, given: Mapping[int, Attribute]) -> int:
        words = _words(given, 0x00741238)
        status = self._steps.ask_to_cancel(uid, words, _coded(given), self._peer.ae_title)
        row = self._steps.find(uid)
        if row is not None and status == _SUCCESS:
            self._told.did(Action.UPDATE, uid, row.study_uid, "cancelled")
            _log.info("%s has cancelled a procedure step", self._peer.ae_title)
        return status

    def _changed(self, uid: str, given: Mapping[int, Attribute]) -> int:
        state = _text(given, 0x00741000)
        if state not in _CHANGES:
            msg = "It asks for a state that there is not."
            raise InvalidArgumentError(msg)
        return self._steps.change(uid, _CHANGES[state], _text(given, 0x00081195))

    def _found(
        self, terms: StepTerms, dialogue: Dialogue, question: Mapping[int, Attribute]
    ) -> Reply:
        states, uids = wanted(question)
        syntax = dialogue.transfer_syntax
        self._told.asked(dialogue.command.sop_class_uid, question, syntax)
        until = time.monotonic() + terms.bounds.question_seconds
        count = 0
        for row in self._steps.list(states, uids, _MOST_STEPS):
            if dialogue.is_cancelled or dialogue.is_gone:
                return Reply(_CANCELLED)
            if time.monotonic() > until:
                msg = "It has taken too long."
                raise TooManyMatchesError(msg)
            held = description(row, terms.shelf.read(row.path))
            if not matches(question, held):
                continue
            if count == terms.bounds.max_answers:
                raise TooManyMatchesError
            count += 1
            told = write_attributes(answer(question, held), syntax)
            dialogue.answer(Reply(_PENDING, has_data_set=True), told)
        return Reply(_SUCCESS)

    def _refused(self, command: Command, failure: Failure) -> None:
        what = _NAMES.get(command.field, "request")
        failure.log(f"{what} of a procedure step", self._peer.ae_title, self._title.ae_title)
        self._told.refused(what, failure.status)


_CHARACTER_SET = 0x00080005
_NAMES = {
    Command.C_FIND: "C-FIND",
    Command.N_ACTION: "N-ACTION",
    Command.N_CREATE: "N-CREATE",
    Command.N_GET: "N-GET",
    Command.N_SET: "N-SET",
}
_CHANGES = {
    change.value: change
    for change in (
        Change.TO_SCHEDULED,
        Change.TO_IN_PROGRESS,
        Change.TO_COMPLETED,
        Change.TO_CANCELED,
    )
}


def _text(given: Mapping[int, Attribute], tag: int) -> str:
    found = given.get(tag)
    return "" if found is None else found.value.strip(b" \0").decode("ascii", "replace")


def _words(given: Mapping[int, Attribute], tag: int) -> str:
    """Return a text; a character set other than Unicode is read as Latin-1."""
    found = given.get(tag)
    codec = "utf-8" if "192" in _text(given, _CHARACTER_SET) else "latin-1"
    return "" if found is None else found.value.strip(b" \0").decode(codec, "replace")


def _is_lock(value: str) -> bool:
    if value not in ("TRUE", "FALSE"):
        msg = "Deletion Lock is neither TRUE nor FALSE."
        raise InvalidArgumentError(msg)
    return value == "TRUE"


def _coded(given: Mapping[int, Attribute]) -> Coded | None:
    """Return the code of why a step is to be cancelled, where there is one."""
    found = given.get(0x0074100E)
    if found is None or not found.items:
        return None
    item = found.items[0]
    return _text(item, 0x00080100), _text(item, 0x00080102), _text(item, 0x00080104)
