"""A question from the command line, put to whichever process owns the index."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from deploy.errors import DeployError, InputError, WaitError
from deploy.look_up import looking_up
from deploy.settings import Settings
from deploy.state import check_owner, open_ledger
from listener.job import Job, JobState
from listener.ledger import Ledger
from pipeline.exam import RegionFindings
from pipeline.region import Region
from pipeline.request import Mode
from pipeline.wording import finding_words
from pipeline.worker import QUERY, uploads_dir

__all__ = ["QueryOutcome", "query"]


@dataclass(frozen=True)
class QueryOutcome:
    """The answers of one question: one for each PA radiograph of the study."""

    answers: tuple[dict[str, Any], ...]
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as one JSON object."""
        return {"answers": list(self.answers), "reason": self.reason}

    def as_table(self) -> RenderableType:
        """Return the outcome for people: a table per bone."""
        if not self.answers:
            return f"No answer: {self.reason}"
        parts: list[RenderableType] = []
        for answer in self.answers:
            parts.extend(f"[yellow]{warning}[/]" for warning in answer["warnings"])
            for region in answer["regions"]:
                parts.append(_matches(region))
                if region["nothing_similar"]:
                    nearest = ": these are the nearest" if region["matches"] else ""
                    parts.append(f"  [yellow]No sufficiently similar case{nearest}.[/]")
                parts.extend(f"  {fallback}" for fallback in region["fallbacks"])
        return Group(*parts)


def query(
    settings: Settings,
    target: str,
    regions: tuple[Region, ...],
    k: int | None,
    mode: Mode | None,
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
) -> QueryOutcome:
    """Ask the running service and wait for its answer.

    Parameters
    ----------
    target
        Path of a DICOM file, or a StudyInstanceUID that is indexed.
    timeout
        Seconds to wait.

    Raises
    ------
    InputError
        Where the target is neither a file nor a UID.
    WaitError
        Where no worker answered in time.
    DeployError
        Where the worker could not answer; the message is its reason.
    """
    asked: dict[str, Any] = {"regions": [region.value for region in regions]}
    asked |= {} if k is None else {"k": k}
    asked |= {} if mode is None else {"mode": mode.value}
    file = Path(target)
    if file.is_file():
        asked["upload"] = _uploaded(settings, file)
        subject = asked["upload"]
    elif re.fullmatch(r"[0-9]+(\.[0-9]+)+", target) and len(target) <= 64:
        subject = target
    else:
        text = f"{target}: neither a file nor a StudyInstanceUID"
        raise InputError(text)
    with open_ledger(settings) as ledger, looking_up(settings, "query", subject) as told:
        if "upload" not in asked:
            told.shows_study(ledger, subject)
        job = _awaited(ledger, ledger.enqueue(QUERY, subject, asked), timeout, sleep)
    if job.state is JobState.DEAD:
        raise DeployError(job.last_error or "the worker gave no reason")
    outcome = job.outcome or {}
    return QueryOutcome(tuple(outcome.get("answers", ())), str(outcome.get("reason", "")))


def _uploaded(settings: Settings, file: Path) -> str:
    """Hand the file over by its bytes: the service may not be able to read it where it lies."""
    check_owner(settings.state_dir)
    folder = uploads_dir(settings.state_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"upload-{secrets.token_hex(12)}"
    (folder / name).write_bytes(file.read_bytes())
    (folder / name).chmod(0o600)
    return name


def _awaited(ledger: Ledger, number: int, timeout: float, sleep: Callable[[float], None]) -> Job:
    deadline = time.monotonic() + timeout
    while True:
        job = ledger.job(number)
        if job.state in (JobState.DONE, JobState.DEAD):
            return job
        if time.monotonic() > deadline:
            text = (
                f"no worker answered within {timeout:.0f} s; is `wristmir serve` running? "
                f"The question stays in the ledger as job {number}"
            )
            raise WaitError(text)
        sleep(0.05)


def _matches(region: dict[str, Any]) -> RenderableType:
    name = region["region"].replace("_", " ")
    if not region["matches"]:
        return f"{name}: no match"
    table = Table(title=f"{name}: most similar priors", title_justify="left")
    for heading in ("#", "bone", "wrist", "side", "age", "findings of that patient", "why"):
        table.add_column(heading, overflow="fold")
    for match in region["matches"]:
        own = match["region_index"]
        table.add_row(
            str(match["rank"]),
            "–" if own is None else f"{own:.0f}",
            f"{match['global_index']:.0f}",
            match["laterality"],
            match["age_band"],
            _findings(match, region["region"]),
            "; ".join(match["reasons"]),
        )
    return table


def _findings(match: dict[str, Any], asked: str) -> str:
    """Return what the prior's report says of the asked bone, and which others are broken."""
    if not match["findings_known"]:
        return "no report yet"
    findings = {name: RegionFindings(**found) for name, found in match["findings"].items()}
    own = [] if asked == "global" else [finding_words(findings.pop(asked, RegionFindings()))]
    others = [
        f"{Region(name).words}: {finding_words(found)}"
        for name, found in findings.items()
        if found.fracture in ("present", "possible")
    ]
    return "; ".join([*own, *others]) or "no fracture described"
