"""What the ledger says of reports that came by other roads than DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from deploy.errors import InputError
from deploy.look_up import looking_up
from deploy.settings import Settings
from deploy.state import open_ledger
from listener.linkage import LinkState, ReportRow

__all__ = ["as_json", "as_table", "listed"]


def listed(settings: Settings, states: Sequence[str], limit: int) -> tuple[ReportRow, ...]:
    """Return the latest reports in some states; in all but ``linked`` where none is named.

    Raises
    ------
    InputError
        Where there is no such state.
    """
    try:
        wanted = [LinkState(state) for state in states]
    except ValueError:
        text = f"no such state; there are {', '.join(LinkState)}"
        raise InputError(text) from None
    unlinked = [state for state in LinkState if state is not LinkState.LINKED]
    words = [f"--state={state}" for state in wanted]
    with open_ledger(settings) as ledger, looking_up(settings, "reports", *words):
        return ledger.reports(wanted or unlinked, limit)


def as_json(report: ReportRow) -> dict[str, Any]:
    """Return a report as one JSON object, without its words; times in ISO 8601, UTC."""
    return {
        "id": report.id,
        "message": report.message_key[:12],
        "position": report.position,
        "form": report.path.suffix.removeprefix("."),
        "state": report.state.value,
        "reason": report.reason,
        "status": report.status.value,
        "addendum": report.addendum,
        "study_uid": report.study_uid,
        "at": None if report.at is None else report.at.isoformat(),
        "received_at": report.received_at.isoformat(),
    }


def as_table(reports: Sequence[ReportRow]) -> Table:
    """Return reports as a table, the latest first; `message` is what the log calls it."""
    table = Table("report", "came at", "as", "status", "state", "study", "message", "reason")
    colours = {"linked": "green", "waiting": "yellow", "quarantined": "red", "lost": "red"}
    for report in reports:
        study = report.study_uid or ""
        table.add_row(
            str(report.id),
            report.received_at.strftime("%Y-%m-%d %H:%M:%S"),
            report.path.suffix.removeprefix("."),
            f"{report.status}, addendum" if report.addendum else report.status.value,
            f"[{colours[report.state]}]{report.state}[/]",
            f"…{study[-16:]}" if len(study) > 17 else study,
            report.message_key[:12],
            report.reason or "",
        )
    return table
