"""How far a mining run has come, for whoever watches it."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["mining_progress"]


def mining_progress() -> Progress:
    """Return a bar on stderr: reports that are done, how many a second, how long for the rest."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = "" if task.speed is None else f"{task.speed:,.0f}/s"
        return Text(rate, style="progress.data.speed")
