"""Lines of life as one reads them at a glance: a tree of studies, series and instances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from pydicom.uid import UID
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from deploy.life_line import Asked, Committed, Delivered, Indexed, LifeLine
from listener.receipt import InstanceRow, InstanceState

__all__ = ["life_tree", "receipts_table"]

_DONE, _WAITING, _WRONG, _NOT = (
    ("✔", "green"),
    ("…", "yellow"),
    ("✘", "red"),
    ("–", "dim"),
)
_Mark = tuple[str, str]
_Stage = tuple[_Mark, str, datetime | None, str]


def life_tree(lines: Sequence[LifeLine]) -> RenderableType:
    """Return lines as one tree per study, in the order in which they are given."""
    trees = []
    for study, of_study in groupby(lines, key=lambda line: line.row.study_uid):
        tree = Tree(Text(f"study {study or '(not named)'}", style="bold"))
        for series, of_series in groupby(of_study, key=lambda line: line.row.series_uid):
            branch = tree.add(Text(f"series {series or '(not named)'}"))
            for line in of_series:
                branch.add(Group(_title(line), _stages(line)))
        trees.append(tree)
    return Group(*trees)


def receipts_table(rows: Iterable[InstanceRow]) -> Table:
    """Return receipts as a table, in the order in which they are given."""
    table = Table("received", "state", "reason", "from → to", "SOP Instance UID")
    for row in rows:
        table.add_row(
            _clock(row.received_at),
            Text(row.state.value, style=_COLOURS[row.state]),
            row.reason or "",
            f"{row.calling_ae} → {row.called_ae}",
            Text(row.sop_instance_uid, overflow="fold"),
        )
    return table


_COLOURS = {
    InstanceState.STORED: "green",
    InstanceState.SUPERSEDED: "dim",
    InstanceState.FILTERED: "yellow",
    InstanceState.QUARANTINED: "red",
    InstanceState.EXPIRED: "dim",
    InstanceState.LOST: "red",
}


def _title(line: LifeLine) -> Text:
    row = line.row
    version = f", version {row.version}" if row.version > 1 or line.set_aside else ""
    title = Text(f"{row.sop_instance_uid}{version}: {UID(row.sop_class_uid).name} ")
    return title.append(row.state.value, style=_COLOURS[row.state])


def _stages(line: LifeLine) -> Table:
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for (mark, colour), name, at, words in _told(line):
        when = "" if at is None else _clock(at)
        grid.add_row(Text(mark, style=colour), name, Text(when, style="dim"), words)
    return grid


def _told(line: LifeLine) -> Iterator[_Stage]:
    row = line.row
    syntax = re.split(r"[(,]", UID(row.transfer_syntax).name)[0].strip()
    way = f"{row.calling_ae} → {row.called_ae}"
    content = f"{_size(row.size)}, {syntax}, content {row.digest[:8]}"
    yield _DONE, "received", row.received_at, f"{way}, {content}"
    yield _durable(line)
    if line.set_aside is not None:
        aside = line.set_aside
        wrong = aside.state in (InstanceState.QUARANTINED, InstanceState.LOST)
        yield _WRONG if wrong else _NOT, aside.state.value, aside.at, aside.reason
    told = line.set_aside is not None and line.indexed.reason == line.set_aside.reason
    yield (_NOT, "indexed", None, "not indexed") if told else _indexed(line.indexed)
    yield from [_asked(one) for one in line.answered] or [(_NOT, "answered", None, "not asked")]
    yield from [_delivered(one) for one in line.delivered] or [(_NOT, "delivered", None, "nothing")]
    yield from [_committed(one) for one in line.committed] or [
        (_NOT, "committed", None, "not asked")
    ]


def _durable(line: LifeLine) -> _Stage:
    if line.durable_at is None:
        return _NOT, "durable", None, "its bytes were not kept"
    if line.file_there:
        return _DONE, "durable", line.durable_at, "its file is in the inbox"
    wrong = line.row.state in (InstanceState.STORED, InstanceState.LOST)
    return _WRONG if wrong else _NOT, "durable", line.durable_at, "its file is gone"


def _indexed(place: Indexed) -> _Stage:
    marks = {"indexed": _DONE, "waiting": _WAITING, "failed": _WRONG}
    words = [place.used_as or ""]
    if place.used_as == "exam":
        words = [f"{(place.view or '').upper()}, {place.side}"]
    if place.used_as == "report" and place.read_at is not None:
        words.append(f"read {_clock(place.read_at)}")
    words += [place.reason or "", place.bundle or ""]
    if place.job is not None:
        words.append(f"see `wristmir jobs show {place.job}`")
    name = "indexed" if place.state == "indexed" else place.state
    told = ", ".join(word for word in words if word)
    if name == "indexed":
        return marks[name], "indexed", place.at, told
    return marks.get(place.state, _NOT), "indexed", place.at, f"{name}: {told}"


def _asked(one: Asked) -> _Stage:
    done = {"done": _DONE, "dead": _WRONG}.get(one.state, _WAITING)
    regions = ", ".join(name.replace("_", " ") for name in one.regions) or "every bone"
    words = [regions, "" if one.matches is None else f"{one.matches} matches", one.reason or ""]
    words.append(f"asked {_clock(one.asked_at)}" + ("" if one.by == "send" else " by a command"))
    if one.job is not None and one.state != "done":
        words.append(f"job {one.job} is {one.state}")
    mark = _NOT if one.state == "done" and one.by == "send" and not one.results else done
    return mark, "answered", one.answered_at, ", ".join(word for word in words if word)


def _delivered(one: Delivered) -> _Stage:
    marks = {"waiting": _WAITING, "stored": _WAITING, "failed": _WRONG}
    if one.state == "delivered":
        where = one.destination or "a destination that is no longer recorded"
        return _DONE, "delivered", one.at, f"to {where}"
    told = ", ".join(word for word in (one.state, one.reason) if word)
    return marks.get(one.state, _NOT), "delivered", one.at, told


def _committed(one: Committed) -> _Stage:
    marks = {"committed": _DONE, "waiting": _WAITING, "failed": _WRONG}
    return marks.get(one.state, _NOT), "committed", one.at, one.state


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _size(octets: int) -> str:
    return f"{octets / 1024:.0f} KiB" if octets < 1024 * 1024 else f"{octets / 1024 / 1024:.1f} MiB"
