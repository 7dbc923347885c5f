"""`wristmir reconcile`: compares the PACS with what was received, and fetches what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from deploy.comparison import Compared, Comparison
from deploy.errors import ConfigurationError, DeployError
from deploy.fetching import fetch, remaining
from deploy.folder import indexing_title
from deploy.look_up import command_audit, looking_up, who_asks
from deploy.reconciliation import Fetched, Reconciliation, keep, kept
from deploy.settings import Settings, site_key
from deploy.state import open_ledger
from listener.ledger import Ledger
from listener.move import ArchiveMove
from listener.query import ArchiveQuery, QueryLimits
from listener.query_audit import QueryAudit
from listener.settings import DestinationSettings
from pipeline.uid import KeyedUids

__all__ = ["archive", "last_reconciliation", "reconcile"]

_T = TypeVar("_T")


def reconcile(settings: Settings, days: int | None = None, *, fetching: bool) -> Reconciliation:
    """Compare the last days of the PACS with the ledger, and keep the result as the last one.

    Parameters
    ----------
    days
        How many days back, by the studies' dates; None for the configured number.
    fetching
        Whether the PACS is asked to send what is missing.

    Raises
    ------
    ConfigurationError
        Where no destination is configured that could be asked.
    ServiceUnavailableError
        Where there is no ledger yet, or this account is not its owner.
    """
    there, bounds = archive(settings), settings.listener.reconciliation
    now = datetime.now(UTC)
    span = _days(now.date(), days or bounds.days)
    with open_ledger(settings) as ledger, command_audit(settings) as audit:
        told = QueryAudit(audit, who_asks())
        compared = _compared(settings, ledger, there, span, told)
        fetched = _fetched(settings, ledger, there, compared, told) if fetching else None
        gaps = tuple(remaining(ledger, compared.gaps))
    found = Reconciliation(
        at=now,
        archive=there.name,
        first_day=span[0],
        last_day=span[-1],
        complete=compared.complete,
        warnings=tuple(compared.warnings),
        studies=compared.studies,
        standings=compared.standings,
        left_out=compared.left_out,
        gaps=gaps,
        withdrawn=tuple(compared.withdrawn),
        fetched=fetched,
    )
    keep(settings.state_dir, found)
    return found


def last_reconciliation(settings: Settings) -> Reconciliation:
    """Return the last result that was kept.

    Raises
    ------
    DeployError
        Where there is none.
    """
    with looking_up(settings, "reconcile", "--last"):
        found = kept(settings.state_dir)
    if found is None:
        text = "nothing was reconciled yet; run `wristmir reconcile`, or enable its timer"
        raise DeployError(text)
    return found


def archive(settings: Settings) -> DestinationSettings:
    """Return the destination that is asked what it holds.

    Raises
    ------
    ConfigurationError
        Where none is configured.
    """
    name = settings.listener.reconciliation.destination or settings.pipeline.destination
    for destination in settings.listener.destinations:
        if destination.name == name:
            return destination
    text = "no PACS to ask: set pipeline.destination or listener.reconciliation.destination"
    raise ConfigurationError(text)


def _days(today: date, number: int) -> list[date]:
    """Return the days to compare; one more, since the PACS may be ahead of UTC."""
    return [today + timedelta(days=offset) for offset in range(-number, 2)]


def _compared(
    settings: Settings,
    ledger: Ledger,
    there: DestinationSettings,
    span: Sequence[date],
    told: QueryAudit,
) -> Compared:
    bounds, own = settings.listener.reconciliation, settings.listener.calling_ae_title
    limits = QueryLimits(bounds.max_responses, bounds.question_seconds)
    with ArchiveQuery(there, own, limits, told) as query:
        comparison = Comparison(
            ledger,
            query,
            bounds,
            is_own=KeyedUids(site_key(settings.state_dir)).is_own,
            own_ae_title=own,
            tracked=_tracked,
        )
        return comparison.run(span)


def _fetched(
    settings: Settings,
    ledger: Ledger,
    there: DestinationSettings,
    compared: Compared,
    told: QueryAudit,
) -> Fetched:
    listener = settings.listener
    bounds, here = listener.reconciliation, indexing_title(settings).ae_title
    calling = listener.calling_ae_title
    with ArchiveMove(there, calling, here, bounds.move_seconds, told) as move:
        return fetch(ledger, move, compared.gaps, bounds, _tracked)


def _tracked(things: Sequence[_T], doing: str) -> Iterable[_T]:
    """Show how far it is, to people alone: nothing in a log or a pipe, nothing afterwards."""
    shown = Console(stderr=True)
    return track(things, doing, console=shown, transient=True, disable=not shown.is_terminal)
