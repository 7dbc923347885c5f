"""What is missing, asked for: the PACS is told by C-MOVE to send it, a few series a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from deploy.reconciliation import Failure, Fetched, Gap
from listener.errors import MoveError
from listener.ledger import Ledger
from listener.move import ArchiveMove
from listener.receipt import InstanceState
from listener.reconciliation_settings import ReconciliationSettings

__all__ = ["fetch", "remaining"]

_PATIENCE = 5  # series that fail one after the other


def fetch(
    ledger: Ledger,
    move: ArchiveMove,
    gaps: Sequence[Gap],
    bounds: ReconciliationSettings,
    tracked: Callable[[Sequence[Gap], str], Iterable[Gap]] = lambda things, _: things,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Ask for every gap that can be fetched and is one still; return what came of it.

    What arrives comes in by C-STORE, as if it had been forwarded. What has arrived meanwhile is
    not asked for, so an interrupted fetch goes on where it stopped. After several failures in a
    row the rest is left for the next time.
    """
    missing = [gap for gap in gaps if gap.can_be_fetched]
    interval = 60.0 / bounds.moves_per_minute
    failures: list[Failure] = []
    series = arrived = left = in_a_row = 0
    due = time.monotonic()
    for gap in tracked(missing, "fetching series"):
        before = _lacking(ledger, gap)
        if not before:
            continue
        if series == bounds.max_moves or in_a_row == _PATIENCE:
            left += 1
            continue
        sleep(max(0.0, due - time.monotonic()))
        due = time.monotonic() + interval
        series += 1
        reason = _moved(move, gap)
        lacking = _lacking(ledger, gap)
        arrived += len(before) - len(lacking)
        if lacking:
            reason = reason or "the PACS says that it sent them, but they did not arrive"
            failures.append(_failure(gap, reason))
        in_a_row = in_a_row + 1 if lacking else 0
    return Fetched(series=series, arrived=arrived, left=left, failures=tuple(failures))


def remaining(ledger: Ledger, gaps: Iterable[Gap]) -> Iterator[Gap]:
    """Yield what is left of gaps: those that cannot be fetched, and what has not arrived."""
    for gap in gaps:
        lacking = _lacking(ledger, gap) if gap.can_be_fetched else gap.sop_instance_uids
        if lacking:
            yield gap.model_copy(update={"sop_instance_uids": tuple(lacking)})


def _moved(move: ArchiveMove, gap: Gap) -> str:
    """Have a series sent; return why that failed, empty where it did not."""
    try:
        move.series(gap.study_instance_uid, gap.series_instance_uid)
    except MoveError as error:
        return error.detail
    return ""


def _lacking(ledger: Ledger, gap: Gap) -> list[str]:
    """Return which instances of a gap have not arrived, or are lost still."""
    return [
        uid
        for uid in gap.sop_instance_uids
        if all(row.state is InstanceState.LOST for row in ledger.receipt(uid))
    ]


def _failure(gap: Gap, reason: str) -> Failure:
    return Failure(
        study_instance_uid=gap.study_instance_uid,
        series_instance_uid=gap.series_instance_uid,
        reason=reason,
    )
