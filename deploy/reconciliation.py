"""A reconciliation: what the PACS has and the index has not, and the other way round.

UIDs stand in it, so that an administrator can act on it; nothing else of a study does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.private_file import private_file

__all__ = [
    "Failure",
    "Fetched",
    "Gap",
    "Reconciliation",
    "Standing",
    "Withdrawal",
    "keep",
    "kept",
]


class Standing(StrEnum):
    """How an instance that the PACS has stands here.

    ``left out``: received, and of no use for a reason; no gap. ``waiting``: received, and about to
    be indexed; no gap either. ``failed``: its job is dead.
    """

    INDEXED = "indexed"
    LEFT_OUT = "left out"
    WAITING = "waiting"
    MISSING = "never received"
    LOST = "lost"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gap(_Frozen):
    """Instances of one series that stand in one way, and are not in the index."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    standing: Standing
    reason: str = ""

    @property
    def can_be_fetched(self) -> bool:
        """Whether sending them again can help."""
        return self.standing in (Standing.MISSING, Standing.LOST)


class Withdrawal(_Frozen):
    """What is indexed here and was not found in the PACS: withdrawn there, perhaps."""

    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]


class Failure(_Frozen):
    """A series that was asked for and did not come, or not whole."""

    study_instance_uid: str
    series_instance_uid: str
    reason: str


class Fetched(_Frozen):
    """What asking the PACS for the missing ones came to; ``left`` series wait for the next time."""

    series: int = 0
    arrived: int = 0
    left: int = 0
    failures: tuple[Failure, ...] = ()


class Reconciliation(_Frozen):
    """What one comparison found.

    ``complete`` is False where the PACS could not be asked about everything; ``warnings`` say what
    may be missing, and why. ``standings`` counts instances as they were compared, ``left_out`` the
    reasons; ``gaps`` are those that are left after fetching.
    """

    at: datetime
    archive: str
    first_day: date
    last_day: date
    complete: bool = True
    warnings: tuple[str, ...] = ()
    studies: int = 0
    standings: Mapping[Standing, int] = {}
    left_out: Mapping[str, int] = {}
    gaps: tuple[Gap, ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()
    fetched: Fetched | None = None

    @property
    def missing(self) -> int:
        """How many instances are gaps."""
        return sum(len(gap.sop_instance_uids) for gap in self.gaps)

    def as_json(self) -> dict[str, Any]:
        """Return the same as one JSON object; times in ISO 8601, UTC."""
        return self.model_dump(mode="json")

    def as_tables(self) -> tuple[RenderableType, ...]:
        """Return the same for people."""
        return tuple(_shown(self))


def keep(state_dir: Path, found: Reconciliation) -> None:
    """Keep a result as the last one, whole or not at all."""
    with private_file(_file(state_dir)) as stream:
        stream.write(json.dumps(found.as_json()).encode("ascii"))


def kept(state_dir: Path) -> Reconciliation | None:
    """Return the last result; None where there is none, or none that can be read."""
    try:
        return Reconciliation.model_validate_json(_file(state_dir).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _file(state_dir: Path) -> Path:
    return state_dir / "reconciliation.json"


def _shown(found: Reconciliation) -> Iterator[RenderableType]:
    yield Text(
        f"{found.archive}, studies of {found.first_day} to {found.last_day}, compared "
        f"{found.at.astimezone(UTC):%Y-%m-%d %H:%M}Z: {found.studies} studies"
    )
    for warning in found.warnings:
        yield Text(f"! {warning}", style="yellow")
    counts = ", ".join(f"{number} {standing.value}" for standing, number in _sorted(found))
    yield Text(f"Instances: {counts or 'none'}")
    for reason, number in Counter(found.left_out).most_common():
        yield Text(f"  left out: {number} × {reason}", style="dim")
    if found.gaps:
        yield _gaps(found)
    elif found.complete:
        yield Text("No gap: everything that the PACS has was received.", style="green")
    if found.withdrawn:
        yield _withdrawn(found)
    if found.fetched is not None:
        yield _fetched(found.fetched)


def _sorted(found: Reconciliation) -> list[tuple[Standing, int]]:
    return [(s, found.standings[s]) for s in Standing if found.standings.get(s)]


def _gaps(found: Reconciliation) -> RenderableType:
    columns = ("study", "series", "instances", "standing", "why")
    table = Table(*columns, title="Gaps", title_justify="left")
    for gap in found.gaps:
        table.add_row(
            Text(gap.study_instance_uid, overflow="fold"),
            Text(gap.series_instance_uid, overflow="fold"),
            str(len(gap.sop_instance_uids)),
            Text(gap.standing.value, style="red"),
            gap.reason,
        )
    if found.fetched is None and any(gap.can_be_fetched for gap in found.gaps):
        hint = (
            "`wristmir reconcile --fetch` asks the PACS for what was never received, or was lost."
        )
        return Group(table, Text(hint))
    return table


def _withdrawn(found: Reconciliation) -> Table:
    title = "Indexed here, gone from the PACS: withdrawn, perhaps (nothing is deleted)"
    table = Table("study", "SOP Instance UIDs", title=title, title_justify="left")
    for one in found.withdrawn:
        table.add_row(
            Text(one.study_instance_uid, overflow="fold"),
            Text("\n".join(one.sop_instance_uids), overflow="fold"),
        )
    return table


def _fetched(fetched: Fetched) -> RenderableType:
    words = f"Asked for {fetched.series} series; {fetched.arrived} instances arrived."
    if fetched.left:
        words += f" {fetched.left} series wait for the next time."
    if not fetched.failures:
        return Text(words)
    columns = ("study", "series", "why it did not come")
    table = Table(*columns, title="Not fetched", title_justify="left")
    for failure in fetched.failures:
        table.add_row(
            Text(failure.study_instance_uid, overflow="fold"),
            Text(failure.series_instance_uid, overflow="fold"),
            failure.reason,
        )
    return Group(Text(words), table)
