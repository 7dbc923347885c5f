"""The commands of the miner: `wristmir mine`, `review` and `reread`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.errors import InputError, ServiceUnavailableError
from deploy.options import CONFIG, Config, Json, MinerConfig
from deploy.output import failing_last, print_json, print_row
from deploy.settings import load

if TYPE_CHECKING:
    from pipeline.mining import Miner

__all__ = ["mine", "reread", "review"]


def mine(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Text files, DICOM structured reports, encapsulated PDF or CDA; or folders."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Bulk: one row a report in FILE.parquet or FILE.csv; can be resumed."),
    ] = None,
    evaluate: Annotated[
        Path | None, typer.Option(help="A file of gold reports: measure the miner on it.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a language model's answer.")
    ] = False,
    as_json: Json = False,
    config: MinerConfig = None,
) -> None:
    """Say what the miner reads in reports: findings with their evidence."""
    from deploy.mining import evaluate_miner
    from pipeline.answer import answer_schema

    if schema:
        print_json(answer_schema())
        return
    if not files and evaluate is None:
        message = "name files or folders to mine, or a gold file by --evaluate"
        raise typer.BadParameter(message)
    with _told(config, "mine", files or []), _miner(config) as (miner, at_once):
        if evaluate is not None:
            found = evaluate_miner(evaluate, miner, at_once)
            print_row(found.as_json(), found.as_tables(), as_json)
        elif out is not None:
            _mine_archive(files or [], out, miner, at_once, as_json)
        else:
            _mine_files(files or [], miner, as_json)


def _mine_archive(paths: list[Path], out: Path, miner: Miner, at_once: int, as_json: bool) -> None:
    from deploy.archive import mine_archive

    summary = mine_archive(paths, out, miner, at_once)
    print_row(summary.as_json(), summary.as_tables(), as_json)
    if summary.to_try_again:
        text = f"the miner failed on {summary.to_try_again} reports; start again to try just these."
        raise ServiceUnavailableError(text)
    if summary.not_read.total() == summary.reports:
        text = f"no report could be read; the reason stands with each in {out}."
        raise InputError(text)


def _mine_files(files: list[Path], miner: Miner, as_json: bool) -> None:
    from deploy.mining import mine_files

    with failing_last() as failed:
        for row in mine_files(files, miner):
            failed.append(row.failed)
            print_row(row.as_json(), (row.as_table(),), as_json)


def review(
    files: Annotated[
        list[Path], typer.Argument(help="Reports as for `wristmir mine`, or folders of them.")
    ],
    gold: Annotated[Path, typer.Option(help="The gold file (JSON lines) that corrections go to.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 takes a free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    config: MinerConfig = None,
) -> None:
    """Show reports beside what the miner reads in them, take corrections, write gold reports."""
    from deploy.review import review_reports

    with _told(config, "review", files), _miner(config) as (miner, at_once):
        review_reports(files, gold, miner, at_once, port=port, browser=browser)


def reread(as_json: Json = False, config: Config = CONFIG) -> None:
    """Have reports read anew that another miner, or another version of it, has read."""
    from deploy.rereading import reread as reread_

    found = reread_(load(config))
    print_row(found.as_json(), (found.as_sentence(),), as_json)


def _told(config: Path | None, command: str, files: Sequence[Path]) -> AbstractContextManager[None]:
    """Tell the audit trail where a command reads reports that were received."""
    from deploy.look_up import reading_files

    return reading_files(None if config is None else load(config), command, files)


@contextmanager
def _miner(config: Path | None) -> Iterator[tuple[Miner, int]]:
    """Open what reads reports, and say how many it reads at once."""
    from deploy.miner import open_miner
    from pipeline.settings import MiningSettings

    mining = MiningSettings() if config is None else load(config).pipeline.mining
    with open_miner(mining) as miner:
        yield miner, mining.at_once
