"""Everything the listener can refuse. A class's docstring is its message."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AddressError",
    "AuditError",
    "CannotUnderstandError",
    "CredentialsError",
    "DeliveryError",
    "DuplicateInstanceError",
    "EchoError",
    "InappropriateActionError",
    "InvalidArgumentError",
    "InvalidInstanceError",
    "InvalidValueError",
    "LeaseLostError",
    "LedgerError",
    "LedgerUnavailableError",
    "ListenerError",
    "MismatchError",
    "MissingAttributeError",
    "MissingValueError",
    "MoveError",
    "NoContextError",
    "NoSuchActionError",
    "NoSuchEventError",
    "NoSuchInstanceError",
    "NoSuchSopClassError",
    "NoSuchStepError",
    "NotAuthorisedError",
    "NotCommittedError",
    "NotFinalError",
    "NotScheduledError",
    "OnlyCreatedScheduledError",
    "OutOfResourcesError",
    "PeerConnectionError",
    "ProcessingFailureError",
    "QueryError",
    "ReceiverProcessError",
    "RefusalError",
    "ResourceLimitationError",
    "SopClassNotSupportedError",
    "StepCompletedError",
    "StepEndedError",
    "StepInProgressError",
    "StepNotBegunError",
    "StepNotCancelledError",
    "TooManyMatchesError",
    "UnknownDestinationError",
    "UnknownReceiverError",
    "UnreadableIdentifierError",
    "UnusableReportError",
    "WrongIdentifierError",
    "WrongTransactionError",
]


class ListenerError(Exception):
    """The listener could not do what was asked.

    Parameters
    ----------
    detail
        What and why, without any patient's data: it is logged and kept with the job.
    """

    def __init__(self, detail: str = "") -> None:
        message = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{message} {detail}".strip())
        self.detail = detail


class RefusalError(ListenerError):
    """What was sent or asked is refused.

    ``status`` is what the peer is told (DICOM PS3.7 annex C; PS3.4 section B.2.3, table B.2-1).
    """

    status: ClassVar[int] = 0x0110


class ProcessingFailureError(RefusalError):
    """The object could not be kept."""

    status: ClassVar[int] = 0x0110


class SopClassNotSupportedError(RefusalError):
    """The SOP class is not one of the storage classes."""

    status: ClassVar[int] = 0x0122


class OutOfResourcesError(RefusalError):
    """There is no room to keep the object."""

    status: ClassVar[int] = 0xA700


class MismatchError(RefusalError):
    """The data set does not agree with the command or the SOP class."""

    status: ClassVar[int] = 0xA900


class CannotUnderstandError(RefusalError):
    """The data set cannot be understood."""

    status: ClassVar[int] = 0xC000


class NoSuchInstanceError(RefusalError):
    """There is no such SOP instance."""

    status: ClassVar[int] = 0x0112


class NoSuchEventError(RefusalError):
    """There is no such event type."""

    status: ClassVar[int] = 0x0113


class InvalidArgumentError(RefusalError):
    """The request's information is missing or not valid."""

    status: ClassVar[int] = 0x0115


class NoSuchSopClassError(RefusalError):
    """There is no such SOP class."""

    status: ClassVar[int] = 0x0118


class NoSuchActionError(RefusalError):
    """There is no such action type."""

    status: ClassVar[int] = 0x0123


class ResourceLimitationError(RefusalError):
    """It is more than can be taken."""

    status: ClassVar[int] = 0x0213


class NotAuthorisedError(RefusalError):
    """The peer may not do this."""

    status: ClassVar[int] = 0x0124


class TooManyMatchesError(RefusalError):
    """There are more matches than are answered: ask for less."""

    status: ClassVar[int] = 0xA700


class UnknownDestinationError(RefusalError):
    """The move destination is not configured."""

    status: ClassVar[int] = 0xA801


class WrongIdentifierError(RefusalError):
    """The identifier does not agree with the information model."""

    status: ClassVar[int] = 0xA900


class UnreadableIdentifierError(RefusalError):
    """The identifier cannot be read."""

    status: ClassVar[int] = 0xC000


# of procedure steps: DICOM PS3.4 sections CC.2.1.3 to CC.2.6.3, PS3.7 annex C


class InvalidValueError(RefusalError):
    """An attribute's value is not valid."""

    status: ClassVar[int] = 0x0106


class DuplicateInstanceError(RefusalError):
    """There is such an SOP instance already."""

    status: ClassVar[int] = 0x0111


class InvalidInstanceError(RefusalError):
    """The SOP instance UID is none."""

    status: ClassVar[int] = 0x0117


class MissingAttributeError(RefusalError):
    """A required attribute is missing."""

    status: ClassVar[int] = 0x0120


class MissingValueError(RefusalError):
    """A required attribute has no value."""

    status: ClassVar[int] = 0x0121


class StepEndedError(RefusalError):
    """The step may no longer be updated."""

    status: ClassVar[int] = 0xC300


class WrongTransactionError(RefusalError):
    """The step's Transaction UID was not given."""

    status: ClassVar[int] = 0xC301


class StepInProgressError(RefusalError):
    """The step is already in progress."""

    status: ClassVar[int] = 0xC302


class OnlyCreatedScheduledError(RefusalError):
    """A step becomes scheduled by N-CREATE alone."""

    status: ClassVar[int] = 0xC303


class NotFinalError(RefusalError):
    """The step has not what its final state needs."""

    status: ClassVar[int] = 0xC304


class NoSuchStepError(RefusalError):
    """There is no such step."""

    status: ClassVar[int] = 0xC307


class UnknownReceiverError(RefusalError):
    """The receiving AE title is no configured destination."""

    status: ClassVar[int] = 0xC308


class NotScheduledError(RefusalError):
    """A step is created as SCHEDULED."""

    status: ClassVar[int] = 0xC309


class StepNotBegunError(RefusalError):
    """The step is not yet in progress."""

    status: ClassVar[int] = 0xC310


class StepCompletedError(RefusalError):
    """The step is already completed."""

    status: ClassVar[int] = 0xC311


class StepNotCancelledError(RefusalError):
    """The step is not cancelled: its results are on their way."""

    status: ClassVar[int] = 0xC313


class InappropriateActionError(RefusalError):
    """The action is not for this instance."""

    status: ClassVar[int] = 0xC314


class PeerConnectionError(ListenerError, OSError):
    """The connection is ended because the peer broke a limit."""


class ReceiverProcessError(ListenerError):
    """A receiver process does not run."""


class AddressError(ListenerError):
    """The listener cannot use its address."""


class AuditError(ListenerError):
    """An audit message cannot be kept or delivered."""


class CredentialsError(ListenerError):
    """The files for TLS cannot be used."""


class LedgerError(ListenerError):
    """The ledger cannot do this."""


class LedgerUnavailableError(LedgerError):
    """The ledger's database cannot be reached."""


class LeaseLostError(ListenerError):
    """The job has since been given to another worker; this result is dropped."""


class DeliveryError(ListenerError):
    """The objects were not all delivered."""


class QueryError(ListenerError):
    """The archive did not answer a query."""


class MoveError(ListenerError):
    """The archive did not send what it was asked for."""


class NotCommittedError(ListenerError):
    """The destination did not commit to the objects."""


class NoContextError(ListenerError):
    """The peer accepts none of the presentation contexts."""


class EchoError(ListenerError):
    """The C-ECHO was not answered."""


class UnusableReportError(ListenerError):
    """The report cannot be used.

    Parameters
    ----------
    condition
        What is wrong, as HL7 table 0357 numbers it; 200 to 203 reject the whole message.
    """

    def __init__(self, detail: str = "", condition: int = 102) -> None:
        super().__init__(detail)
        self.condition = condition
