"""The failure of a request: with which status it is answered, and what the log says of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from listener.command import Command, Reply
from listener.errors import (
    ListenerError,
    ProcessingFailureError,
    RefusalError,
    ResourceLimitationError,
)

__all__ = ["Failure"]

_log = logging.getLogger("wristmir.listener")


@dataclass(frozen=True)
class Failure:
    """Why a request was not served.

    ``status`` and ``comment`` are for its peer, ``reason`` is for the log.
    """

    status: int
    comment: str
    reason: str

    @classmethod
    def of(cls, command: Command, error: Exception) -> Failure:
        """Return what an error comes to.

        A refusal says so itself. Of what failed here the peer hears no more than a status: that a
        C-FIND, C-GET or C-MOVE could not be processed (DICOM PS3.4 tables C.4-1 to C.4-3); of a
        DIMSE-N request that disk or ledger have no room, or that it failed (PS3.7 annex C).
        """
        # another library's message may hold a value
        reason = str(error) if isinstance(error, ListenerError) else type(error).__name__
        if isinstance(error, RefusalError):
            words = (type(error).__doc__ or "").strip()
            return cls(error.status, words.splitlines()[0] if words else _FAILED, reason)
        if command.field in (Command.C_FIND, Command.C_GET, Command.C_MOVE):
            return cls(_UNABLE, _FAILED, reason)
        if isinstance(error, (OSError, SQLAlchemyError)):
            return cls(ResourceLimitationError.status, _FAILED, reason)
        return cls(ProcessingFailureError.status, _FAILED, reason)

    @property
    def reply(self) -> Reply:
        """The response that says so."""
        return Reply(self.status, self.comment)

    def log(self, what: str, calling_ae: str, called_ae: str) -> None:
        """Say in the log that this was refused."""
        _log.warning(
            "%s refused with 0x%04X, %s to %s: %s",
            what,
            self.status,
            calling_ae,
            called_ae,
            self.reason,
        )


_UNABLE = 0xC001
_FAILED = "It failed."
