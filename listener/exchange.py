"""One exchange with a destination about storage commitment: an N-ACTION or an N-EVENT-REPORT."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification

from listener.commitment import (
    INSTANCE,
    REQUEST,
    SOP_CLASS,
    TRANSFER_SYNTAXES,
    Request,
    Verdict,
    encode_request,
    encode_verdict,
    read_verdict,
)
from listener.elements import IMPLICIT_LITTLE
from listener.errors import (
    DeliveryError,
    InvalidArgumentError,
    ListenerError,
    NoContextError,
    RefusalError,
)
from listener.sender import associate, close, next_message, paused
from listener.settings import DestinationSettings

__all__ = ["ask", "is_taken", "report"]

Hear = Callable[[Verdict], bool]

_HOLD_SECONDS = 1.0  # for a word on the same association; most come on another


def ask(
    destination: DestinationSettings,
    calling_ae: str,
    request: Request,
    *,
    hear: Hear,
    is_answered: Callable[[], bool],
) -> int | None:
    """Ask a destination to commit to objects (N-ACTION) and return the status of its answer.

    Its word may come on this association, which is held for a second, or on another one, to the
    receiver. None where it offers no storage commitment.

    Parameters
    ----------
    hear
        Takes a word that comes on this association; False where it was not asked for.
    is_answered
        Tells whether the word has come on another one.

    Raises
    ------
    DeliveryError
        If the destination cannot be reached or does not answer.
    """
    action = N_ACTION()
    action.MessageID = 1
    action.RequestedSOPClassUID = SOP_CLASS
    action.RequestedSOPInstanceUID = INSTANCE
    action.ActionTypeID = REQUEST
    try:
        with _opened(destination, calling_ae) as (association, context):
            action.ActionInformation = BytesIO(encode_request(request, _syntax(context)))
            with paused(association):
                association.dimse.send_msg(action, _id(context))
                status = _status(association, destination, context, N_ACTION, hear)
                if status == _SUCCESS:
                    _hold(association, context, hear, is_answered)
    except NoContextError:
        return None
    return status


def report(destination: DestinationSettings, calling_ae: str, verdict: Verdict) -> None:
    """Tell a peer what has become of its request (N-EVENT-REPORT), on an association of our own.

    The SCP role is asked for by role selection. A peer that accepts the context and says nothing
    about roles is told all the same: many do so.

    Raises
    ------
    DeliveryError
        If it cannot be reached, accepts no storage commitment, or refuses the report.
    """
    event = N_EVENT_REPORT()
    event.MessageID = 1
    event.AffectedSOPClassUID = SOP_CLASS
    event.AffectedSOPInstanceUID = INSTANCE
    event.EventTypeID = verdict.event_type
    try:
        with _opened(destination, calling_ae, as_scp=SOP_CLASS) as (association, context):
            event.EventInformation = BytesIO(encode_verdict(verdict, _syntax(context)))
            with paused(association):
                association.dimse.send_msg(event, _id(context))
                status = _status(association, destination, context, N_EVENT_REPORT, _hear_nothing)
    except NoContextError as error:
        raise DeliveryError(error.detail) from None
    if not is_taken(status):
        msg = f"Destination {destination.name} refused the report with status 0x{status:04X}."
        raise DeliveryError(msg)


def is_taken(status: int) -> bool:
    """Tell whether a status says that a report was taken; a warning says so too."""
    return status == _SUCCESS or status in _WARNINGS


_SUCCESS = 0x0000
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
_NOT_ASKED_FOR = InvalidArgumentError.status


@contextmanager
def _opened(
    destination: DestinationSettings, calling_ae: str, as_scp: str | None = None
) -> Iterator[tuple[Association, PresentationContext]]:
    """Open an association and return it with its context for storage commitment."""
    contexts = {(SOP_CLASS, syntax) for syntax in TRANSFER_SYNTAXES}
    # there are peers that reject an association of which they can use nothing
    contexts.add((str(Verification), IMPLICIT_LITTLE))
    try:
        association = associate(destination, calling_ae, contexts, as_scp=as_scp)
    except NoContextError:
        raise NoContextError(_no_offer(destination)) from None
    except ListenerError as error:
        msg = f"Destination {destination.name}: {error.detail}"
        raise DeliveryError(msg) from None
    try:
        accepted = [c for c in association.accepted_contexts if c.abstract_syntax == SOP_CLASS]
        if not accepted:
            association.release()
            raise NoContextError(_no_offer(destination))
        yield association, accepted[0]
        association.release()
    finally:
        close(association)


def _no_offer(destination: DestinationSettings) -> str:
    return f"Destination {destination.name} offers no storage commitment."


def _status(
    association: Association,
    destination: DestinationSettings,
    context: PresentationContext,
    kind: type[Any],
    hear: Hear,
) -> int:
    """Wait for the status of a response, while words that come before it are heard."""
    deadline = time.monotonic() + association.dimse_timeout
    while True:
        message = next_message(association, deadline - time.monotonic())
        if message is None:
            msg = f"Destination {destination.name} did not answer."
            raise DeliveryError(msg)
        if isinstance(message, kind) and message.is_valid_response:
            return int(message.Status)
        _take(association, context, message, hear)


def _hold(
    association: Association,
    context: PresentationContext,
    hear: Hear,
    is_answered: Callable[[], bool],
) -> None:
    """Wait a little for a word on this association, until one has come on any."""
    deadline = time.monotonic() + _HOLD_SECONDS
    while time.monotonic() < deadline and not is_answered():
        message = next_message(association, 0.05)
        if message is not None:
            _take(association, context, message, hear)
        if association.acse.is_aborted() or association.acse.is_release_requested():
            return


def _take(association: Association, context: PresentationContext, message: Any, hear: Hear) -> None:
    """Answer an N-EVENT-REPORT; anything else is not for us."""
    if not isinstance(message, N_EVENT_REPORT) or not message.is_valid_request:
        return
    answer = N_EVENT_REPORT()
    answer.MessageIDBeingRespondedTo = message.MessageID
    answer.AffectedSOPClassUID = message.AffectedSOPClassUID
    answer.AffectedSOPInstanceUID = message.AffectedSOPInstanceUID
    answer.EventTypeID = message.EventTypeID
    answer.Status = _heard(message, _syntax(context), hear)
    association.dimse.send_msg(answer, _id(context))


def _heard(message: Any, transfer_syntax: str, hear: Hear) -> int:
    information = message.EventInformation or BytesIO()
    size = len(information.getvalue())
    try:
        verdict = read_verdict(information, transfer_syntax, size, message.EventTypeID)
    except RefusalError as error:
        return error.status
    return _SUCCESS if hear(verdict) else _NOT_ASKED_FOR


def _hear_nothing(_: Verdict) -> bool:
    return False


def _syntax(context: PresentationContext) -> str:
    return str(context.transfer_syntax[0])


def _id(context: PresentationContext) -> int:
    return int(context.context_id or 0)
