"""Reports reviewed by a person: the reading on one side of a page, the correction on the other."""

from __future__ import annotations

import html
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from rich.console import Console

from deploy.errors import InputError, ServiceUnavailableError
from deploy.gold_file import GoldFile
from deploy.mining_progress import mining_progress
from deploy.reading import Outcome, Reading, miner_name, readings
from deploy.report_folder import reports_in
from deploy.web.loopback import LoopbackServer
from deploy.web.review import review_app
from deploy.worklist import Worklist
from pipeline.mining import Miner

__all__ = ["read_worklist", "review_reports"]


def review_reports(
    paths: Sequence[Path],
    gold: Path,
    miner: Miner,
    at_once: int = 1,
    *,
    port: int = 0,
    browser: bool = True,
) -> None:
    """Serve the review pages on this machine until the process is told to end.

    Raises
    ------
    InputError
        Where no report can be read.
    GoldError
        Where `gold` exists and is no gold file.
    ServiceUnavailableError
        Where the port cannot be had.
    """
    worklist = read_worklist(paths, gold, miner, at_once)
    shown = Console(stderr=True, soft_wrap=True, highlight=False)
    with LoopbackServer(review_app(worklist), port) as server:
        shown.print(
            f"{len(worklist)} reports, {worklist.done} of them reviewed. "
            f"{len(worklist.unread)} files were not read."
        )
        print(server.address, flush=True)  # noqa: T201 - the address is the result
        shown.print("Whoever knows this address can read the reports. Ctrl+C ends.")
        opened = _opened(server.address) if browser else nullcontext()
        with opened, suppress(KeyboardInterrupt):
            server.run()
    shown.print(f"{worklist.done} of {len(worklist)} reports are reviewed, in {gold}.")


def read_worklist(paths: Sequence[Path], gold: Path, miner: Miner, at_once: int = 1) -> Worklist:
    """Let a miner read the reports that are to be reviewed.

    Raises
    ------
    InputError
        Where no report can be read.
    GoldError
        Where `gold` exists and is no gold file.
    PipelineError
        Where the miner cannot read anything at the moment.
    """
    file, found = GoldFile(gold), reports_in(paths)
    miner.probe()
    with mining_progress() as shown:
        task = shown.add_task("reports", total=len(found.files))
        read: list[Reading] = []
        for reading in readings(found.files, miner, at_once):
            if reading.outcome is Outcome.MINER_GONE:
                raise ServiceUnavailableError(reading.reason)
            read.append(reading)
            shown.advance(task)
    worklist = Worklist(read, file, miner_name(miner))
    if not len(worklist):
        reasons = "; ".join(dict.fromkeys(reason for _, reason in worklist.unread))
        text = f"{paths[0]}: no report can be read. {reasons}"
        raise InputError(text)
    return worklist


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Open an address in a browser by way of a file that only its owner may read.

    Named on the browser's command line, the token would show in the list of processes.
    """
    with tempfile.TemporaryDirectory(prefix="wristmir-review-") as folder:
        page = Path(folder) / "review.html"
        page.write_text(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">',
            encoding="ascii",
        )
        webbrowser.open(page.as_uri())
        yield
