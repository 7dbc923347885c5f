"""Notifying peers: jobs of one kind, each an N-EVENT-REPORT or more on an association of ours.

DICOM calls what an N-EVENT-REPORT tells a notification (PS3.7 section 10.1.1).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError, LeaseLostError, ListenerError
from listener.job import Job, JobState
from listener.ledger import Ledger

__all__ = ["Notifier"]

_log = logging.getLogger("wristmir.listener")


class Notifier:
    """Leases the jobs of one kind as they come due, and sees each to its end.

    What is not taken comes again with growing pauses for three days, over restarts. Then its job is
    dead, and what was owed is given up.

    Parameters
    ----------
    ledger
        Holds the jobs.
    kind
        Of the jobs.
    owing
        Holds what the jobs are to tell.
    tell
        Tells what one job is for, and returns the job's outcome. A `ListenerError` stands for what
        may be taken later.
    words
        What a job is called in the log.
    destinations
        Where peers listen: one is found by its AE title.
    """

    def __init__(
        self,
        ledger: Ledger,
        kind: str,
        owing: _Owing,
        tell: Callable[[Job], Mapping[str, int]],
        words: str,
        destinations: Collection[DestinationSettings],
    ) -> None:
        self._ledger = ledger
        self._kind = kind
        self._owing = owing
        self._tell = tell
        self._words = words
        # the first one of a title, where several systems share it
        self._destinations = {d.ae_title: d for d in reversed(tuple(destinations))}

    @property
    def lease_seconds(self) -> float:
        """How long a job is leased: longer than any peer keeps it waiting."""
        longest = max((d.timeout_seconds for d in self._destinations.values()), default=0.0)
        return 60 + 5 * longest

    def destination(self, ae_title: str, told: str) -> DestinationSettings:
        """Return where a peer listens.

        Parameters
        ----------
        told
            Of what, or how, it cannot be told where it is no destination.

        Raises
        ------
        DeliveryError
            If it is none.
        """
        found = self._destinations.get(ae_title)
        if found is None:
            msg = f"{ae_title} is no destination: it cannot be told {told}."
            raise DeliveryError(msg)
        return found

    def take_up(self) -> None:
        """Take up what a stop left in hand, or a crash took the job of."""
        self._ledger.end_leases((self._kind,))
        self._owing.resume()

    def notify(self) -> bool:
        """See to one job that is due; False where there is none."""
        if not self._ledger.is_any_due(self._kind):
            return False
        job = self._ledger.lease((self._kind,), self.lease_seconds)
        if job is None:
            return False
        try:
            self._ledger.finish(job, self._tell(job))
        except LeaseLostError:
            pass
        except ListenerError as error:
            self._failed(job, str(error))
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where such a job ends; it is recorded
            self._failed(job, f"unexpected {type(error).__name__}")
        return True

    def _failed(self, job: Job, error: str) -> None:
        try:
            stands = self._ledger.fail(job, error, outage=True)
        except LeaseLostError:
            return
        if stands.state is JobState.DEAD:
            self._owing.give_up(job.subject)
        _log.warning(
            "%s %d failed, try %d, now %s: %s",
            self._words,
            job.id,
            job.attempts,
            stands.state.value,
            error,
        )


class _Owing(Protocol):
    """What peers are owed, as far as jobs of one kind are to tell it."""

    def resume(self) -> object:
        """Enqueue the jobs of what is owed and has lost its own."""

    def give_up(self, subject: str, /) -> object:
        """Note that what a job of this subject was to tell is tried no more."""
