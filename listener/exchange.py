"""One exchange with a destination about storage commitment: an N-ACTION or an N-EVENT-REPORT."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification
from sqlalchemy.exc import SQLAlchemyError

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
from listener.destination_settings import DestinationSettings
from listener.elements import IMPLICIT_LITTLE
from listener.errors import (
    DeliveryError,
    InvalidArgumentError,
    ListenerError,
    NoContextError,
    RefusalError,
    ResourceLimitationError,
)
from listener.sender import associate, close, next_message, paused, release

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
        with _opened(destination, calling_ae, hear=hear) as (association, context):
            action.ActionInformation = BytesIO(encode_request(request, _syntax(context)))
            status = _answered(association, destination, context, action)
            if status == _SUCCESS:
                _hold(association, is_answered)
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
            status = _answered(association, destination, context, event)
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


@contextmanager
def _opened(
    destination: DestinationSettings,
    calling_ae: str,
    *,
    as_scp: str | None = None,
    hear: Hear = lambda _: False,
) -> Iterator[tuple[Association, PresentationContext]]:
    """Open an association and return it with its context for storage commitment."""
    contexts = {(SOP_CLASS, syntax) for syntax in TRANSFER_SYNTAXES}
    # there are peers that reject an association of which they can use nothing
    contexts.add((str(Verification), IMPLICIT_LITTLE))
    try:
        association = associate(
            destination,
            calling_ae,
            contexts,
            as_scp=as_scp,
            on_event_report=lambda event: (_heard(event, hear), None),
        )
    except NoContextError:
        raise NoContextError(_no_offer(destination)) from None
    except ListenerError as error:
        msg = f"Destination {destination.name}: {error.detail}"
        raise DeliveryError(msg) from None
    try:
        accepted = [c for c in association.accepted_contexts if c.abstract_syntax == SOP_CLASS]
        if not accepted:
            release(association)
            raise NoContextError(_no_offer(destination))
        yield association, accepted[0]
        release(association)
    finally:
        close(association)


def _no_offer(destination: DestinationSettings) -> str:
    return f"Destination {destination.name} offers no storage commitment."


def _answered(
    association: Association,
    destination: DestinationSettings,
    context: PresentationContext,
    message: Any,
) -> int:
    """Send a request and return the status of the response."""
    with paused(association):
        association.dimse.send_msg(message, int(context.context_id or 0))
        response = next_message(association, association.dimse_timeout)
    if not isinstance(response, type(message)) or not response.is_valid_response:
        msg = f"Destination {destination.name} did not answer."
        raise DeliveryError(msg)
    return int(response.Status)


def _hold(association: Association, is_answered: Callable[[], bool]) -> None:
    """Wait a little for a word on this association, until one has come on any."""
    deadline = time.monotonic() + _HOLD_SECONDS
    while time.monotonic() < deadline and association.is_established and not is_answered():
        time.sleep(0.02)
    time.sleep(0.02)  # for our answer to a word on this association, which another thread sends


def _heard(event: evt.Event, hear: Hear) -> int:
    """Take a word that comes on this association and return the status of the answer."""
    said = event.request.EventInformation
    information = b"" if said is None else said.getvalue()
    syntax, kind = str(event.context.transfer_syntax), event.request.EventTypeID
    try:
        verdict = read_verdict(BytesIO(information), syntax, len(information), kind)
        return _SUCCESS if hear(verdict) else InvalidArgumentError.status
    except RefusalError as error:
        return error.status
    except SQLAlchemyError:
        return ResourceLimitationError.status


def _syntax(context: PresentationContext) -> str:
    return str(context.transfer_syntax[0])
