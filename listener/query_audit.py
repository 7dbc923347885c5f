"""Tells the audit trail what an archive is asked, and what it is told to send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from listener.audit import Audit
from listener.audit_event import UNKNOWN, End, Peer, StudyPart
from listener.audit_message import Action, Indicator
from listener.audit_query import Person, dicom_query, retrieval
from listener.errors import ListenerError
from listener.settings import DestinationSettings

__all__ = ["QueryAudit"]


@dataclass(frozen=True)
class QueryAudit:
    """Tells of every question, and how it ended; without an audit trail it does nothing.

    A peer that turns an association away, or does not answer, is told as the failure of what it
    was asked for, with its reason.

    Parameters
    ----------
    audit
        The trail.
    person
        Who has it asked; None where no person does.
    """

    audit: Audit
    person: Person | None = None

    @contextmanager
    def asking(
        self,
        there: DestinationSettings,
        title: str,
        sop_class: str,
        transfer_syntax: str,
        identifier: bytes,
    ) -> Iterator[None]:
        """Tell of the C-FIND that is made in the block, once it has ended.

        Parameters
        ----------
        title
            The AE title that asks.
        """
        told = partial(
            dicom_query,
            asked=_peer(there),
            title=title,
            sop_class=sop_class,
            transfer_syntax=transfer_syntax,
            identifier=identifier,
            person=self.person,
        )
        try:
            yield
        except ListenerError as error:
            self.audit.tell(partial(told, end=_failed(str(error))))
            raise
        self.audit.tell(partial(told, end=End()))

    @contextmanager
    def moving(
        self, there: DestinationSettings, titles: tuple[str, str], study_uid: str
    ) -> Iterator[None]:
        """Tell of the C-MOVE that is made in the block: that it begins, and that it failed.

        Parameters
        ----------
        titles
            The AE title that asks, and the one that is to receive.
        """
        told = partial(
            retrieval,
            asked=_peer(there),
            titles=titles,
            part=StudyPart(study_uid, UNKNOWN),
            person=self.person,
        )
        self.audit.tell(told)
        try:
            yield
        except ListenerError as error:
            self.audit.tell(partial(told, end=_failed(str(error))))
            raise


def _peer(there: DestinationSettings) -> Peer:
    return Peer(there.ae_title, there.host, there.tls)


def _failed(words: str) -> End:
    return End(Action.READ, Indicator.SERIOUS_FAILURE, words)
