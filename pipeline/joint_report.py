"""What several reports of one study say together, in codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from pipeline.findings import Alignment, SideFindings, WristReport
from pipeline.region import Region

__all__ = ["joint_report"]

_T = TypeVar("_T")


def joint_report(reports: Sequence[WristReport]) -> WristReport | None:
    """Join what was read in each of a study's reports, side by side; None where there is none.

    Nothing that one says takes back what another does: they answer different orders. Where both
    speak of one bone, both findings stand, and `pipeline.findings.collapse` ranks them.
    """
    if len(reports) < 2:
        return reports[0] if reports else None
    sides = dict.fromkeys(side for report in reports for side in report.sides)
    return WristReport(
        language=next((one.language for one in reports if one.sides), reports[0].language),
        views=_once(view for report in reports for view in report.views),
        sides={
            side: _joined([one.sides[side] for one in reports if side in one.sides])
            for side in sorted(sides)
        },
        dropped=sum(report.dropped for report in reports),
        disputed=_once(one for report in reports for one in report.disputed),
    )


def _joined(told: Sequence[SideFindings]) -> SideFindings:
    regions = {
        region: _once(finding for one in told for finding in one.regions.get(region, ()))
        for region in Region
    }
    alignments = {one.alignment for one in told}
    return SideFindings(
        regions={region: findings for region, findings in regions.items() if findings},
        alignment=next(
            (a for a in (Alignment.ABNORMAL, Alignment.NORMAL) if a in alignments), None
        ),
        other=_once(other for one in told for other in one.other),
    )


def _once(things: Iterable[_T]) -> tuple[_T, ...]:
    found: list[_T] = []
    for thing in things:
        if thing not in found:
            found.append(thing)
    return tuple(found)
