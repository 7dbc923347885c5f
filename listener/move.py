"""C-MOVE: has an archive send what it holds (DICOM PS3.4 section C.4.2, Study Root).

What it sends comes in by C-STORE, as if it had been forwarded.
"""

from __future__ import annotations

from collections import deque
from typing import Self

from pynetdicom.dimse_primitives import C_MOVE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove

from listener.audit import Audit
from listener.errors import MoveError, QueryError
from listener.query_audit import QueryAudit
from listener.requester import Patience, Requester, Response, identifier
from listener.settings import DestinationSettings

__all__ = ["ArchiveMove"]


class ArchiveMove:
    """Asks an archive to send series to an AE title, in one association as long as that lives.

    Parameters
    ----------
    there
        The archive.
    calling_ae
        The AE title that asks.
    destination_ae
        The AE title that is to receive; the archive must know its address.
    seconds
        How long one series may take.
    told
        Tells the audit trail what is asked for; None for no audit trail.
    """

    def __init__(
        self,
        there: DestinationSettings,
        calling_ae: str,
        destination_ae: str,
        seconds: float,
        told: QueryAudit | None = None,
    ) -> None:
        self._told = told or QueryAudit(Audit.off())
        self._titles = calling_ae, destination_ae
        self._requester = Requester(there, calling_ae, [_MOVE])
        self._seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requester.close()

    def series(self, study_uid: str, series_uid: str) -> int:
        """Have a series sent; return how many of its instances the archive says it has sent.

        Raises
        ------
        MoveError
            Where the archive cannot be reached, refuses, could not send every instance, stops in
            the middle or takes too long; names it and the reason only.
        """
        with self._told.moving(self._requester.there, self._titles, study_uid):
            return self._moved(identifier("SERIES", {_STUDY: study_uid, _SERIES: series_uid}))

    def _moved(self, keys: bytes) -> int:
        try:
            last = self._last(keys)
        except QueryError as error:
            raise MoveError(error.detail) from None
        if last.status != _SUCCESS or last.failed:
            msg = f"{self._requester.there.name} {_why(last, self._titles[1])}."
            raise MoveError(msg)
        return last.completed

    def _last(self, keys: bytes) -> Response:
        """Return the final response; an association that was given up meanwhile is made anew."""
        request = C_MOVE()
        request.MoveDestination = self._titles[1]
        # an archive need not say anything until all is sent
        patience = Patience(self._seconds, self._seconds)
        try:
            last = deque(self._requester.ask(request, keys, _MOVE, patience), maxlen=1)
        except QueryError:
            if not self._requester.reused:
                raise
            last = deque(self._requester.ask(request, keys, _MOVE, patience), maxlen=1)
        return last.pop()


_MOVE = str(StudyRootQueryRetrieveInformationModelMove)
_STUDY, _SERIES = 0x0020000D, 0x0020000E

_SUCCESS = 0x0000
_UNKNOWN_DESTINATION = 0xA801


def _why(last: Response, destination_ae: str) -> str:
    if last.status == _UNKNOWN_DESTINATION:
        return (
            f"does not know {destination_ae} or cannot reach it: enter it there, with this "
            "machine's address and port"
        )
    if last.failed:
        return f"could not send {last.failed} instances (status 0x{last.status:04X})"
    return f"refused it with status 0x{last.status:04X}"
