"""One exchange with a destination: about storage commitment, or an event of procedure steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification
from sqlalchemy.exc import SQLAlchemyError

from listener.attributes import write_attributes
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
from listener.step_event import Owed, information
from listener.step_terms import EVENT, PUSH
from listener.step_terms import TRANSFER_SYNTAXES as STEP_SYNTAXES

__all__ = ["ask", "is_taken", "report", "report_step"]

Hear = Callable[[Verdict], bool]

_log = logging.getLogger("wristmir.listener")

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


@contextmanager
def report_step(
    destination: DestinationSettings, calling_ae: str
) -> Iterator[Callable[[Owed], bool]]:
    """Open an association to tell of procedure steps, and return what tells of one event.

    The SCP role is asked for by role selection, as PS3.4 section CC.4 has it. What tells returns
    False where the peer will never take this event (PS3.7 section 10.1.1.1.8 and annex C): it is
    logged, and not to be told again. It raises DeliveryError where it may be taken later.

    Raises
    ------
    DeliveryError
        If it cannot be reached, or accepts no UPS events.
    """
    message_id = 0

    def tell(owed: Owed) -> bool:
        nonlocal message_id
        message_id = message_id % 65535 + 1
        event = N_EVENT_REPORT()
        event.MessageID = message_id
        event.AffectedSOPClassUID = PUSH  # of whatever class the context is (CC.2.4.1)
        event.AffectedSOPInstanceUID = owed.sop_instance_uid
        event.EventTypeID = owed.type
        said = write_attributes(information(owed.type, owed.content), _syntax(context))
        event.EventInformation = BytesIO(said)
        status = _answered(association, destination, context, event)
        if status in _FOR_GOOD:
            _log.warning(
                "%s refused an event of type %d with status 0x%04X for good: it is not told again",
                destination.name,
                owed.type,
                status,
            )
            return False
        if not is_taken(status):
            msg = f"Destination {destination.name} refused an event with status 0x{status:04X}."
            raise DeliveryError(msg)
        return True

    try:
        with _opened(destination, calling_ae, as_scp=EVENT, service=_STEP_EVENTS) as (
            association,
            context,
        ):
            yield tell
    except NoContextError as error:
        raise DeliveryError(error.detail) from None


def is_taken(status: int) -> bool:
    """Tell whether a status says that a report was taken; a warning says so too."""
    return status == _SUCCESS or status in _WARNINGS


@dataclass(frozen=True)
class _Service:
    """What an association is opened for."""

    name: str
    sop_class: str
    transfer_syntaxes: tuple[str, ...]


_COMMITMENT = _Service("storage commitment", SOP_CLASS, TRANSFER_SYNTAXES)
_STEP_EVENTS = _Service("UPS events", EVENT, STEP_SYNTAXES)
_SUCCESS = 0x0000
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})

# What no second try changes (PS3.7 annex C): no such instance, event type or argument, an invalid
# argument value or object instance, no such SOP class, class-instance conflict, SOP class not
# supported, unrecognized operation, mistyped argument.
_FOR_GOOD = frozenset(
    {0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0122, 0x0211, 0x0212}
)


@contextmanager
def _opened(
    destination: DestinationSettings,
    calling_ae: str,
    *,
    as_scp: str | None = None,
    hear: Hear = lambda _: False,
    service: _Service | None = None,
) -> Iterator[tuple[Association, PresentationContext]]:
    """Open an association and return it with its context for a service, by default commitment."""
    wanted = service or _COMMITMENT
    contexts = {(wanted.sop_class, syntax) for syntax in wanted.transfer_syntaxes}
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
        raise NoContextError(_no_offer(destination, wanted)) from None
    except ListenerError as error:
        msg = f"Destination {destination.name}: {error.detail}"
        raise DeliveryError(msg) from None
    try:
        own = wanted.sop_class
        accepted = [c for c in association.accepted_contexts if c.abstract_syntax == own]
        if not accepted:
            release(association)
            raise NoContextError(_no_offer(destination, wanted))
        yield association, accepted[0]
        release(association)
    finally:
        close(association)


def _no_offer(destination: DestinationSettings, service: _Service) -> str:
    return f"Destination {destination.name} offers no {service.name}."


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
