"""Whether an installation can do its work: one line per check, with the way out."""

from __future__ import annotations

import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.assembly import open_index
from deploy.certificates import look_at_certificates
from deploy.errors import ConfigurationError, DeployError
from deploy.miner import open_miner
from deploy.pages import look_at_pages
from deploy.reconciliation import kept
from deploy.settings import Settings, load
from deploy.state import check_owner, open_crosswalk, open_ledger
from listener.audit_delivery import open_destination
from listener.audit_spool import AuditSpool
from listener.destination_settings import DestinationSettings
from listener.drop_folder import FAILED, REASON
from listener.errors import AuditError, ListenerError
from listener.job import JobState
from listener.linkage import LinkState
from listener.receipt import InstanceState
from listener.service import echo
from listener.settings import ListenerSettings
from listener.tls import client_context
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
    with open_ledger(settings, upgrade=False) as ledger:
        standing = ledger.standing()
        if not standing.is_up_to_date:
            yield (
                "warning",
                f"{standing.kind}, schema {standing.revision or 'not made yet'}: {_BEHIND}",
            )
            return
        counts = ledger.counts()
        kept_apart = ledger.receipts((InstanceState.QUARANTINED, InstanceState.LOST))
    dead = sum(number for (_, state), number in counts.items() if state is JobState.DEAD)
    waiting = sum(number for (_, state), number in counts.items() if state is JobState.READY)
    schema = f"{standing.kind}, schema {standing.revision} is up to date"
    yield "ok", f"{schema}; {sum(counts.values())} jobs, {waiting} waiting"
    if standing.unsafe:
        names = " and ".join(standing.unsafe)
        yield "error", f"the server runs with {names} off: a power cut loses what was acknowledged"
    if dead:
        yield "warning", f"{dead} dead jobs: see `wristmir jobs --state dead`"
    for state in (InstanceState.QUARANTINED, InstanceState.LOST):
        number = sum(row.state is state for row in kept_apart)
        if number:
            yield "warning", f"{number} instances {state.value}: {_MEANING[state]}"


_BEHIND = "back it up; the next command or service that opens it brings it up to date"
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


def _other_roads(settings: Settings) -> Look:
    """Look at what came by HL7 and the drop folder, and at both where they are in use."""
    with open_ledger(settings, upgrade=False) as ledger:
        counts = ledger.reports.counts() if ledger.standing().is_up_to_date else {}
    listener, folder = settings.listener, settings.listener.drop_folder.path
    if counts or listener.hl7.enabled or folder is not None:
        linked, waiting = (counts.get(s, 0) for s in (LinkState.LINKED, LinkState.WAITING))
        yield "ok", f"{linked} reports linked, {waiting} waiting: see `wristmir reports`"
    for state in (LinkState.QUARANTINED, LinkState.LOST):
        if counts.get(state):
            yield "warning", f"{counts[state]} reports {state}: see `wristmir reports`"
    if listener.hl7.enabled:
        if not listener.hl7.addresses:
            yield "error", "nobody may send HL7; add the sender to listener.hl7.addresses"
        yield from _listened_on(listener.hl7.host, listener.hl7.port)
    if folder is not None:
        if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield "error", f"{folder} has to be readable and writable by this account"
        failed = list((folder / FAILED).glob(f"*{REASON}"))
        if failed:
            yield "warning", f"{len(failed)} files in {folder / FAILED}, each with its reason"


def _port(settings: Settings) -> Look:
    listener = settings.listener
    ports = [] if listener.tls.only else [listener.port]
    ports += [listener.tls.port] if listener.tls.is_on else []
    for port in ports:
        yield from _listened_on(listener.host, port)


def _listened_on(address: str, port: int) -> Look:
    host = "127.0.0.1" if address in ("0.0.0.0", "") else address  # noqa: S104 - compared, not bound
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex((host, port)) == 0:
            yield "ok", f"something listens on port {port}, as it should when running"
        else:
            yield "warning", f"nothing listens on port {port}: the receiver is not running"


def _peers(settings: Settings) -> Look:
    peers = settings.listener.peers
    if settings.listener.admit_anyone:
        yield "warning", "anybody may associate: take listener.admit_anyone out after the trial"
    elif not peers:
        yield "error", "no peer may associate; add the PACS to listener.peers"
        return
    yield "ok", f"{len(peers)} peer{'s' * (len(peers) != 1)} may associate"


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
                tls=client_context(destination),
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


def _audit(settings: Settings) -> Look:
    destinations = settings.listener.audit.destinations
    if not destinations:
        yield "ok", "no audit trail is kept: listener.audit.destinations is empty"
        return
    spool = settings.listener.audit_spool
    if spool.exists():
        check_owner(settings.state_dir)
    backlogs = {one.destination: one for one in AuditSpool.backlogs(spool)}
    for destination in destinations:
        backlog = backlogs.get(destination.name)
        waiting, dropped = (backlog.waiting, backlog.dropped) if backlog else (0, 0)
        try:
            found = open_destination(destination, socket.gethostname()).probe()
            yield "ok", f"{destination.name}: {found}; {waiting} messages wait"
        except AuditError as error:
            yield "error", f"{destination.name}: {error}; {waiting} messages wait"
        if dropped:
            text = f"{destination.name}: {dropped} messages were dropped, too many waited"
            yield "warning", text


def _crosswalk(settings: Settings) -> Look:
    """Look whether the table from library copies to sources opens, and what it waits for."""
    if not (settings.state_dir / "crosswalk.sqlite3").exists():
        yield "ok", "no library copy was made yet"
        return
    check_owner(settings.state_dir)
    with closing(open_crosswalk(settings, lambda *_: None)) as crosswalk:
        left = crosswalk.to_withdraw()
    key = settings.crosswalk_key
    if key.resolve().is_relative_to(settings.state_dir.resolve()):
        yield (
            "warning",
            f"sealed, its key {key} in the folder that it guards: a backup of that holds both; "
            "set pipeline.crosswalk_key to another place",
        )
    else:
        yield "ok", f"sealed with {key}"
    known = {one.name for one in settings.listener.destinations}
    at = Counter(name for one in left for name in one.destinations - known)
    for name, number in sorted(at.items()):
        yield (
            "warning",
            f"copies of rejected priors at {name}, which is no destination any more: {number}; "
            "configure it again under this name and restart the worker, which withdraws them, or, "
            "once no worker runs with it any more, "
            f"say that it is gone: `wristmir crosswalk gone {name}`",
        )


def _reconciliation(settings: Settings) -> Look:
    found = kept(settings.state_dir)
    if found is None:
        yield "warning", "never run; `systemctl enable --now wristmir-reconcile.timer` runs it"
        return
    days = (datetime.now(UTC) - found.at).days
    told = f"{found.studies} studies compared with {found.archive} {found.at:%Y-%m-%d %H:%M}Z"
    yield ("warning" if days >= _RECONCILED_DAYS else "ok"), told
    if not found.complete:
        yield "warning", "the PACS was not compared as a whole: see `wristmir reconcile --last`"
    if found.missing:
        yield "warning", f"{found.missing} instances missing: see `wristmir reconcile --last`"
    if found.withdrawn:
        number = len(found.withdrawn)
        yield "warning", f"{number} studies indexed here and gone, whole or in part, from the PACS"


_RECONCILED_DAYS = 3

_LOOKS: dict[str, Callable[[Settings], Look]] = {
    "state": _state,
    "bundle": _bundle,
    "ledger": _ledger,
    "index": _index,
    "reports": _reports,
    "reports by HL7 or folder": _other_roads,
    "port": _port,
    "peers": _peers,
    "certificates": lambda settings: look_at_certificates(settings.listener),
    "destinations": _destinations,
    "pages": look_at_pages,
    "audit": _audit,
    "crosswalk": _crosswalk,
    "reconciliation": _reconciliation,
}
