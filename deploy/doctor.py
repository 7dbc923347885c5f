"""Whether an installation can do its work: one line per check, with the way out."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.assembly import open_index
from deploy.errors import ConfigurationError, DeployError
from deploy.miner import open_miner
from deploy.settings import Settings, load
from deploy.state import check_owner, open_ledger
from listener.errors import ListenerError
from listener.job import JobState
from listener.receipt import InstanceState
from listener.service import echo
from listener.settings import DestinationSettings, ListenerSettings
from pipeline.bundle import Bundle
from pipeline.errors import PipelineError

__all__ = ["Check", "as_table", "examine", "exit_status"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    ``verdict`` is ``ok``, ``warning`` (it works, but look at it) or ``error``.
    """

    name: str
    verdict: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Return the check as one JSON object."""
        return {"check": self.name, "verdict": self.verdict, "detail": self.detail}


def examine(config: Path) -> tuple[Check, ...]:
    """Look at everything that a working installation needs; never stops at the first fault."""
    try:
        settings = load(config)
    except ConfigurationError as error:
        return (Check("configuration", "error", str(error)),)
    checks = [Check("configuration", "ok", str(config))]
    for name, look in _LOOKS.items():
        try:
            checks.extend(Check(name, verdict, detail) for verdict, detail in look(settings))
        except (DeployError, ListenerError, PipelineError) as error:
            checks.append(Check(name, "error", str(error)))
        except OSError as error:
            checks.append(Check(name, "error", error.strerror or type(error).__name__))
    return tuple(checks)


def exit_status(checks: Sequence[Check]) -> int:
    """Return 0 where nothing is wrong, else 1."""
    return int(any(check.verdict == "error" for check in checks))


def as_table(checks: Sequence[Check]) -> Table:
    """Return the checks as a table."""
    table = Table("", "check", "what was found")
    marks = {"ok": "[green]✔[/]", "warning": "[yellow]![/]", "error": "[red]✘[/]"}
    for check in checks:
        table.add_row(marks[check.verdict], check.name, check.detail)
    return table


Look = Iterator[tuple[str, str]]


def _state(settings: Settings) -> Look:
    folder = settings.state_dir
    if not folder.is_dir():
        yield "error", f"{folder} does not exist; make it, owned by the service account"
        return
    check_owner(folder)
    free = shutil.disk_usage(folder).free
    watermark = settings.listener.watermark_bytes
    verdict = "ok" if free > 2 * watermark else "warning" if free > watermark else "error"
    yield verdict, f"{free >> 30} GiB free; receiving stops under {watermark / 2**30:.1f} GiB"
    if folder.stat().st_mode & 0o077:
        yield "warning", f"{folder} can be read by others; set its mode to 0700"


def _bundle(settings: Settings) -> Look:
    bundle = Bundle.load(settings.bundle)
    word = "demonstration only, not for clinical use" if bundle.demonstration else "in clinical use"
    yield ("warning" if bundle.demonstration else "ok"), f"{bundle.id}, {bundle.runtime}: {word}"


def _ledger(settings: Settings) -> Look:
    with open_ledger(settings) as ledger:
        counts = ledger.counts()
        kept_apart = ledger.receipts((InstanceState.QUARANTINED, InstanceState.LOST))
    dead = sum(number for (_, state), number in counts.items() if state is JobState.DEAD)
    waiting = sum(number for (_, state), number in counts.items() if state is JobState.READY)
    yield "ok", f"{sum(counts.values())} jobs, {waiting} waiting"
    if dead:
        yield "warning", f"{dead} dead jobs: see `wristmir jobs --state dead`"
    for state in (InstanceState.QUARANTINED, InstanceState.LOST):
        number = sum(row.state is state for row in kept_apart)
        if number:
            yield "warning", f"{number} instances {state.value}: {_MEANING[state]}"


_MEANING = {
    InstanceState.QUARANTINED: "their patient or study identity changed; look into the PACS",
    InstanceState.LOST: "their files vanished from the inbox; send them again",
}


def _index(settings: Settings) -> Look:
    if settings.pipeline.index.engine == "embedded":
        folder = settings.state_dir / "index"
        yield "ok", f"embedded, in {folder}; owned by the running service"
        return
    with open_index(settings, Bundle.load(settings.bundle)) as index:
        yield "ok", f"server at {settings.pipeline.index.url}, {index.count()} exams"


def _reports(settings: Settings) -> Look:
    mining = settings.pipeline.mining
    with open_miner(mining) as miner:
        miner.probe()
        where = "" if mining.engine == "rules" else f" at {mining.url}"
        yield "ok", f"read by {miner.name}, {miner.version}{where}"


def _port(settings: Settings) -> Look:
    listener = settings.listener
    with socket.socket() as probe:
        probe.settimeout(2)
        host = "127.0.0.1" if listener.host in ("0.0.0.0", "") else listener.host  # noqa: S104 - compared, not bound
        if probe.connect_ex((host, listener.port)) == 0:
            yield "ok", f"something listens on port {listener.port}, as it should when running"
        else:
            yield "warning", f"nothing listens on port {listener.port}: the receiver is not running"


def _peers(settings: Settings) -> Look:
    peers = settings.listener.peers
    if not peers:
        yield "error", "no peer may associate; add the PACS to listener.peers"
        return
    yield "ok", f"{len(peers)} peers may associate"


def _destinations(settings: Settings) -> Look:
    listener = settings.listener
    if settings.pipeline.destination is None:
        yield "error", "results have nowhere to go; set pipeline.destination"
    for destination in listener.destinations:
        try:
            echo(
                destination.host,
                destination.port,
                listener.calling_ae_title,
                destination.ae_title,
            )
        except ListenerError as error:
            yield "error", f"{destination.name}: {error}"
        else:
            yield "ok", f"{destination.name} answers C-ECHO"
        if destination.commitment != "never" and destination.name in _used(settings):
            yield from _word(listener, destination)


def _used(settings: Settings) -> set[str | None]:
    return {settings.pipeline.destination, settings.pipeline.library_destination}


def _word(listener: ListenerSettings, destination: DestinationSettings) -> Look:
    """Say what would turn away a destination that tells what it has committed to."""
    lacking = []
    if destination.ae_title not in {peer.ae_title for peer in listener.peers}:
        lacking.append(f"{destination.ae_title} is none of listener.peers")
    if listener.calling_ae_title not in {title.ae_title for title in listener.titles}:
        lacking.append(f"{listener.calling_ae_title} is none of listener.titles")
    if lacking:
        why = ", ".join(lacking)
        yield "warning", f"{destination.name} cannot say that it keeps results: {why}"


_LOOKS: dict[str, Callable[[Settings], Look]] = {
    "state": _state,
    "bundle": _bundle,
    "ledger": _ledger,
    "index": _index,
    "reports": _reports,
    "port": _port,
    "peers": _peers,
    "destinations": _destinations,
}
