"""The current reports of a study: of each of its orders the newest version, with its addenda."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pipeline.report import MAX_CHARACTERS, ReportText

__all__ = ["MAX_REPORTS", "current_reports"]

MAX_REPORTS = 20
"""More are not read together: no study answers so many orders."""


def current_reports(reports: Sequence[ReportText]) -> tuple[ReportText, ...]:
    """Return what a study's reports say, one text for each of its orders; empty where none says it.

    Both wrists in one study are often two orders, with a report each: neither replaces the other.
    Of one order verified outranks unverified, final preliminary, complete partial, later earlier;
    of those one is taken, and its addenda are appended in the order in which they were written. A
    report that names no order may be a version of any, and an addendum that names none adds to
    what was written last before it. What several orders have in common is returned once.

    Parameters
    ----------
    reports
        In any order; one without text, as of a report that was withdrawn, says nothing.
    """
    told = sorted((report for report in reports if report.text), key=_when)
    bodies = [report for report in told if not report.addendum]
    groups: list[_Group] = []
    for name in dict.fromkeys(name for report in told for name in report.orders) or (_NONE,):
        body = _best([one for one in bodies if not one.orders or name in one.orders])
        group = _same(groups, body)
        if group is None:
            group = _Group(body)
            groups.append(group)
        added = (one for one in told if one.addendum and name in one.orders)
        group.addenda += [one for one in added if one not in group.addenda]
    for report in told:
        if report.addendum and not report.orders:
            _written_before(groups, report).addenda.append(report)
    return tuple(group.text() for group in groups if group.says)[-MAX_REPORTS:]


_NONE = ""


@dataclass
class _Group:
    """What counts of one order, or of several that have their report in common."""

    body: ReportText | None
    addenda: list[ReportText] = field(default_factory=list)

    @property
    def says(self) -> bool:
        return self.body is not None or bool(self.addenda)

    def text(self) -> ReportText:
        """Return body and addenda as one report."""
        parts = [] if self.body is None else [self.body]
        parts += sorted(self.addenda, key=_when)
        text = "\n\nADDENDUM:\n".join(part.text for part in parts)
        return replace(parts[0], text=text[:MAX_CHARACTERS], at=parts[-1].at or parts[0].at)


def _best(bodies: Sequence[ReportText]) -> ReportText | None:
    """Return the one to be relied on most, of equals the latest; they are given by time."""
    # max keeps the first of equals: so look from the latest
    return max(
        reversed(bodies), key=lambda one: (one.verified, one.final, one.complete), default=None
    )


def _same(groups: Sequence[_Group], body: ReportText | None) -> _Group | None:
    """Return the group that has this report already: one text is sent for several orders, too."""
    texts = ((group, group.body.text) for group in groups if group.body is not None)
    return next((group for group, text in texts if body is not None and text == body.text), None)


def _written_before(groups: Sequence[_Group], addendum: ReportText) -> _Group:
    """Return the group whose report was written last before an addendum, else the first."""
    before = [g for g in groups if g.body is not None and _when(g.body) <= _when(addendum)]
    return max(before, key=lambda g: _when(g.body) if g.body else _EVER, default=groups[0])


_EVER = datetime.min.replace(tzinfo=UTC)


def _when(report: ReportText) -> datetime:
    return report.at or _EVER
