"""Associations and reports that were refused, told to the audit trail without drowning it.

Whoever knocks a thousand times must not push out what else happened: what repeats itself is told
at once and then once a minute, with its number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from listener.audit_event import Peer, Reporter, security_alert
from listener.audit_message import AuditMessage

__all__ = ["Refusal", "Refusals"]

_PERIOD_SECONDS = 60.0
_MOST_KINDS = 500


@dataclass(frozen=True)
class Refusal:
    """A peer that was turned away, why, and how many others there were of the kind since.

    ``event`` makes a message of it, given who reports, the time, the peer and the words.
    """

    peer: Peer
    words: str
    event: Callable[[Reporter, datetime, Peer, str], AuditMessage] = security_alert
    others: int = 0

    def message(self, own: Reporter, at: datetime) -> AuditMessage:
        """Return it as an audit message."""
        return self.event(own, at, self.peer, str(self))

    def __str__(self) -> str:
        """Return why, and how often."""
        return self.words if not self.others else f"{self.words}; {self.others} more in a minute"


class Refusals:
    """Counts what repeats itself: the same reason at the same address.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[float, Refusal]] = {}

    def note(self, refusal: Refusal) -> Refusal | None:
        """Return a refusal that is to be told now; None where it was counted."""
        kind = (refusal.peer.address, refusal.words)
        with self._lock:
            known = self._kinds.get(kind)
            if known is None and len(self._kinds) >= _MOST_KINDS:
                kind = ("", _MANY)  # from everywhere at once: counted together
                refusal = Refusal(Peer("", ""), _MANY)
                known = self._kinds.get(kind)
            if known is None:
                self._kinds[kind] = self._clock(), refusal
                return refusal
            since, latest = known
            self._kinds[kind] = since, replace(latest, others=latest.others + 1)
            return None

    def due(self, *, at_once: bool = False) -> tuple[Refusal, ...]:
        """Return what has repeated itself and is to be told now; all of it where at once."""
        now = self._clock()
        with self._lock:
            over = [
                kind
                for kind, (since, _) in self._kinds.items()
                if at_once or now - since >= _PERIOD_SECONDS
            ]
            found = [self._kinds.pop(kind)[1] for kind in over]
        return tuple(refusal for refusal in found if refusal.others)


_MANY = "refused from very many addresses"
