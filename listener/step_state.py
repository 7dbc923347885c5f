"""The states of a Unified Procedure Step, and what moves it (DICOM PS3.4 table CC.1.1-2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from listener.errors import (
    DuplicateInstanceError,
    NoSuchStepError,
    NotFinalError,
    OnlyCreatedScheduledError,
    RefusalError,
    StepCompletedError,
    StepEndedError,
    StepInProgressError,
    StepNotBegunError,
    WrongTransactionError,
)

__all__ = ["Change", "Moved", "StepState", "moved"]

_SUCCESS = 0x0000
_CANCELLED_ALREADY, _COMPLETED_ALREADY = 0xB304, 0xB306  # warnings


class StepState(StrEnum):
    """Where a step stands (attribute Procedure Step State)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        """Whether nothing moves it any more."""
        return self in (StepState.COMPLETED, StepState.CANCELED)


class Change(StrEnum):
    """What is asked of a step: the rows of the table."""

    CREATE = "create"
    TO_SCHEDULED = "SCHEDULED"
    TO_IN_PROGRESS = "IN PROGRESS"
    TO_COMPLETED = "COMPLETED"
    TO_CANCELED = "CANCELED"
    REQUEST_CANCEL = "request cancel"


@dataclass(frozen=True)
class Moved:
    """The states that a step goes through, none where it stays, and the status of the answer."""

    through: tuple[StepState, ...]
    status: int = _SUCCESS


def moved(
    state: StepState | None, change: Change, *, owns: bool = True, is_complete: bool = True
) -> Moved:
    """Return what a change makes of a step in a state; None is one that does not exist.

    Parameters
    ----------
    owns
        Whether the right Transaction UID comes with it: any for a step that nobody has begun.
    is_complete
        Whether the step has what its final state needs (PS3.4 section CC.2.5.1.1).

    Raises
    ------
    RefusalError
        Of the class that the table's cell names.
    """
    if change is Change.CREATE:
        if state is not None:
            raise DuplicateInstanceError
        return Moved((StepState.SCHEDULED,))
    if state is None:
        raise NoSuchStepError
    if change is Change.REQUEST_CANCEL:
        return _cancelled(state)
    if change is Change.TO_SCHEDULED:
        raise OnlyCreatedScheduledError
    if not owns:
        raise WrongTransactionError
    if change is Change.TO_IN_PROGRESS:
        return _begun(state)
    return _ended(state, StepState(change.value), is_complete=is_complete)


def _cancelled(state: StepState) -> Moved:
    """Move on by a request to cancel; whether one in progress is cancelled its performer says."""
    if state is StepState.COMPLETED:
        raise StepCompletedError
    if state is StepState.CANCELED:
        return Moved((), _CANCELLED_ALREADY)
    if state is StepState.SCHEDULED:
        return Moved((StepState.IN_PROGRESS, StepState.CANCELED))
    return Moved((StepState.CANCELED,))


def _begun(state: StepState) -> Moved:
    refusals: dict[StepState, type[RefusalError]] = {
        StepState.IN_PROGRESS: StepInProgressError,
        StepState.COMPLETED: StepEndedError,
        StepState.CANCELED: StepEndedError,
    }
    if state in refusals:
        raise refusals[state]
    return Moved((StepState.IN_PROGRESS,))


def _ended(state: StepState, wanted: StepState, *, is_complete: bool) -> Moved:
    if state is StepState.SCHEDULED:
        raise StepNotBegunError
    if state is wanted:
        already = _CANCELLED_ALREADY if state is StepState.CANCELED else _COMPLETED_ALREADY
        return Moved((), already)
    if state.is_final:
        raise StepEndedError
    if not is_complete:
        raise NotFinalError
    return Moved((wanted,))
