"""What a miner reads in a report file."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.report_reader import ReportReader
from pipeline.errors import (
    DecoderUnavailableError,
    LanguageModelUnavailableError,
    PipelineError,
)
from pipeline.findings import WristReport
from pipeline.mining import Miner

__all__ = ["CONCURRENCY", "PATIENCE_SECONDS", "Outcome", "Reading", "miner_name", "readings"]

CONCURRENCY = 4
"""How many reports are read at once. Rules gain nothing by more; a miner that waits for a server
does."""

PATIENCE_SECONDS = 600.0
"""How long a report waits for a miner that is not ready, e.g. because its server starts again."""


class Outcome(StrEnum):
    """How far a report file was read."""

    READ = "read"
    KNOWN = "known"
    NO_REPORT = "no_report"
    BROKEN = "broken"
    MINER_FAILED = "miner_failed"
    MINER_GONE = "miner_gone"


@dataclass(frozen=True)
class Reading:
    """One report file, and what a miner read in it.

    Parameters
    ----------
    content
        SHA-256 of the file, in hexadecimal; empty where it cannot be opened.
    outcome
        ``KNOWN`` where the same content was read before; ``BROKEN`` is the file's fault,
        ``MINER_FAILED`` is not; ``MINER_GONE`` where the miner did not become ready again.
    text, report
        Of what was ``READ``.
    reason
        Why not, without a word of the report.
    """

    file: Path
    content: str
    outcome: Outcome
    text: str = ""
    report: WristReport | None = None
    reason: str = ""


def readings(
    files: Iterable[Path],
    miner: Miner,
    concurrency: int = CONCURRENCY,
    *,
    known: Callable[[str], bool] = lambda _: False,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Reading]:
    """Let a miner read files, several at once; whichever is done first comes first.

    A file with the content of another one is not read again, a broken one stops nothing. No more
    than twice `concurrency` files are in hand at any moment.

    Parameters
    ----------
    known
        Tells whether a content was read before, in an earlier run.
    patience_seconds
        How long a report waits for a miner that is not ready.
    """
    seen: set[str] = set()
    with ReportReader() as reader, ThreadPoolExecutor(concurrency) as pool:
        waiting = _Waiting(miner, patience_seconds)
        in_hand: set[Future[Reading]] = set()
        try:
            for file in files:
                try:
                    content = _content(file)
                except OSError as error:
                    yield Reading(file, "", Outcome.BROKEN, reason=_words(error))
                    continue
                if content in seen or known(content):
                    yield Reading(file, content, Outcome.KNOWN)
                    continue
                seen.add(content)
                in_hand.add(pool.submit(_read, file, content, reader, waiting))
                patience = None if len(in_hand) >= 2 * concurrency else 0
                done, in_hand = wait(in_hand, patience, FIRST_COMPLETED)
                yield from (future.result() for future in done)
            while in_hand:
                done, in_hand = wait(in_hand, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            waiting.over.set()
            pool.shutdown(wait=True, cancel_futures=True)


def miner_name(miner: Miner) -> str:
    """Return a miner's name and version, as they stand beside what it read."""
    return f"{miner.name} {miner.version}"


def _content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_PAUSE_SECONDS = 0.5


class _Waiting:
    """A miner that is waited for while it is not ready."""

    def __init__(self, miner: Miner, seconds: float) -> None:
        self.miner, self._seconds = miner, seconds
        self.over = threading.Event()

    def mine(self, text: str) -> WristReport | PipelineError:
        """Return what the miner reads, or its last error where it does not become ready."""
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                return self.miner.mine(text)
            except LanguageModelUnavailableError as error:
                # also the first failures, before it is known to be down, and an overload
                if self._not_back(deadline):
                    return error

    def _not_back(self, deadline: float) -> bool:
        """Wait a while, and while the miner is not ready; tell whether that was in vain."""
        while True:
            if self.over.wait(_PAUSE_SECONDS) or time.monotonic() > deadline:
                return True
            if self.miner.ready:
                return False


def _read(file: Path, content: str, reader: ReportReader, waiting: _Waiting) -> Reading:
    try:
        text = reader.text(file)
    except DecoderUnavailableError as error:
        return Reading(file, content, Outcome.MINER_FAILED, reason=str(error))
    except PipelineError as error:
        return Reading(file, content, Outcome.BROKEN, reason=str(error))
    except OSError as error:
        return Reading(file, content, Outcome.BROKEN, reason=_words(error))
    if text is None:
        return Reading(file, content, Outcome.NO_REPORT)
    try:
        report = waiting.mine(text)
    except PipelineError as error:
        return Reading(file, content, Outcome.MINER_FAILED, reason=str(error))
    except Exception as error:  # noqa: BLE001 - one report ends here; its words must not get out
        reason = f"The miner failed ({type(error).__name__})."
        return Reading(file, content, Outcome.MINER_FAILED, reason=reason)
    if isinstance(report, PipelineError):
        return Reading(file, content, Outcome.MINER_GONE, reason=str(report))
    return Reading(file, content, Outcome.READ, text, report)


def _words(error: OSError) -> str:
    return error.strerror or "It cannot be opened."
