"""Who gets in: connections and associations are counted, judged, and ended."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from pynetdicom.sop_class import Verification

from listener.peers import (
    CALLING_TITLE_UNKNOWN,
    LOCAL_LIMIT_EXCEEDED,
    TEMPORARY_CONGESTION,
    Admission,
    Call,
    Peers,
    Rejection,
)
from listener.places import Places
from listener.settings import ListenerSettings
from listener.storage import Storage, Visit
from listener.tls import SecureSocket

if TYPE_CHECKING:
    from listener.association import GuardedAssociation

__all__ = ["Guard"]

_log = logging.getLogger("wristmir.listener")

_SILENCE_SECONDS = 60.0
_COURTESY_SECONDS = 0.005  # for each association that a process has less
_MOST_COURTESY = 4


class Guard:
    """Counts connections, judges calls, and knows every association that lives in this process.

    Parameters
    ----------
    settings
        Bounds.
    peers
        Judges who may associate.
    storage
        Keeps what comes.
    places
        Counts associations, with those of other processes that serve the same ports.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        peers: Peers,
        storage: Storage,
        places: Places,
    ) -> None:
        self.settings = settings
        self._peers = peers
        self._storage = storage
        self._places = places
        self._lock = threading.Lock()
        self._waiting: dict[GuardedAssociation, str] = {}  # connected, has not asked yet
        self._serving: dict[GuardedAssociation, int | None] = {}  # the places that they have
        self._leaving: set[GuardedAssociation] = set()
        self._silent = 0  # connections that said nothing, since they were last told of
        self._told_at = -_SILENCE_SECONDS
        self._announce()

    def has_room(self) -> bool:
        """Tell whether one more connection can be held at all."""
        most = 2 * self.settings.max_associations + 16
        with self._lock:
            return len(self._waiting) + len(self._serving) + len(self._leaving) < most

    def opened(self, association: GuardedAssociation, address: str) -> None:
        """Note a connection; where too many say nothing, the one that waits longest goes."""
        with self._lock:
            same = [a for a, where in self._waiting.items() if where == address]
            if len(same) >= self._peers.most_from(address):
                evicted = same[0]
            elif len(self._waiting) >= self.settings.max_associations:
                evicted = next(iter(self._waiting))
            else:
                evicted = None
            if evicted is not None:
                del self._waiting[evicted]
                self._leaving.add(evicted)
            self._waiting[association] = address
        self._announce()
        if evicted is not None:
            evicted.cut()

    def closed(self, association: GuardedAssociation) -> None:
        """Note that a connection is gone."""
        with self._lock:
            self._waiting.pop(association, None)
            place = self._serving.pop(association, None)
            self._leaving.discard(association)
        if place is not None:
            self._places.give_back(place)
        self._announce()
        if association.has_spoken:
            if association.visit is None and not association.is_rejected:
                _log.warning("a connection from %s became no association", association.address)
            elif association.visit is not None and not association.is_released:
                _log.warning("an association from %s was cut or aborted", association.address)
            return
        self.was_silent()

    def was_silent(self) -> None:
        """Count a connection that said nothing; health checks make them by the thousand."""
        with self._lock:
            self._silent += 1
        self._announce()

    def tell_of_silence(self) -> None:
        """Log how many connections said nothing, once in a minute; to be called often."""
        if not self._silent:
            return
        with self._lock:
            now = time.monotonic()
            if now - self._told_at < _SILENCE_SECONDS:
                return
            silent, self._silent, self._told_at = self._silent, 0, now
        _log.info("connections that said nothing, since this was last told: %d", silent)

    def accepted(self) -> None:
        """Note a connection that is about to be set up."""
        if self.settings.processes > 1:
            self._places.announce(self._places.announced().get(os.getpid(), 0) + 1)

    def courtesy_seconds(self) -> float:
        """Return how long to wait before a connection is taken, so that a less busy process may.

        Whoever is woken first would otherwise take one after the other, while the rest sleep.
        """
        if self.settings.processes == 1:
            return 0.0
        busy = self._places.announced()
        mine = busy.pop(os.getpid(), 0)
        least = min(busy.values(), default=mine)
        return _COURTESY_SECONDS * max(0, min(mine - least, _MOST_COURTESY))

    def judge(self, association: GuardedAssociation, address: str) -> Visit | Rejection:
        """Decide on an association request, the first thing that a connection says."""
        request = association.requestor.primitive
        proposed = {str(c.abstract_syntax) for c in request.presentation_context_definition_list}
        call = Call(
            calling=str(request.calling_ae_title),
            called=str(request.called_ae_title),
            address=address,
            only_echo=proposed <= {str(Verification)},
            certificate=association.certificate,
        )
        verdict = self._peers.judge(call)
        if isinstance(verdict, Admission):
            if association.only_probes and verdict.share is not None:
                verdict = CALLING_TITLE_UNKNOWN
            elif not call.only_echo and self._storage.inbox.is_short_of_space():
                verdict = TEMPORARY_CONGESTION
            elif not self._take(association, verdict):
                verdict = LOCAL_LIMIT_EXCEEDED
        if isinstance(verdict, Rejection):
            self._dismiss(association)
            who = call.calling.strip(" ")
            _log.warning("association rejected: %s (%s at %s)", verdict.words, who, address)
            self.tell_refused(call.calling, address, verdict.words)
            return verdict
        secure = isinstance(association.connection, SecureSocket)
        return self._storage.visit(
            call.calling.strip(" "),
            verdict.title,
            address,
            secure=secure,
            may_retrieve=verdict.may_retrieve,
        )

    def tell_refused(self, calling: str, address: str, words: str) -> None:
        """Tell the audit trail that a node was turned away."""
        self._storage.audit.refused(calling, address, words)

    def end_all(self, seconds: float) -> None:
        """Abort every association, then cut what does not go."""
        deadline = time.monotonic() + seconds
        for association in self._living():
            association.acse.send_abort(0x00)
            association._kill = True
        polite_until = time.monotonic() + min(0.5, seconds / 2)
        while self._living() and time.monotonic() < deadline:
            if time.monotonic() > polite_until:
                for association in self._living():
                    association.cut()
            time.sleep(0.01)

    def _living(self) -> list[GuardedAssociation]:
        with self._lock:
            return [*self._waiting, *self._serving, *self._leaving]

    def _announce(self) -> None:
        if self.settings.processes > 1:
            with self._lock:
                mine = len(self._waiting) + len(self._serving)
            self._places.announce(mine)

    def _take(self, association: GuardedAssociation, terms: Admission) -> bool:
        """Give an association its place; the service's own probe needs none."""
        place = self._places.take(terms) if terms.share is not None else None
        if terms.share is not None and place is None:
            return False
        with self._lock:
            self._waiting.pop(association, None)
            self._leaving.discard(association)
            self._serving[association] = place
        return True

    def _dismiss(self, association: GuardedAssociation) -> None:
        with self._lock:
            self._waiting.pop(association, None)
            self._serving.pop(association, None)
            self._leaving.add(association)
