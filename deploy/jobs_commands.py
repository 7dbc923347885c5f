"""The commands of `wristmir jobs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.options import CONFIG, Config, Json
from deploy.output import print_json
from deploy.settings import load

__all__ = ["app"]

app = typer.Typer(help="List, inspect and retry the work in the ledger.", no_args_is_help=False)
_OWN_CONFIG = typer.Option("--config", "-c", help="As for `wristmir jobs` itself.")


@app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="ready, leased, done or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 50,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """List jobs."""
    from deploy import jobs as jobs_

    context.obj = config
    if context.invoked_subcommand is not None:
        return
    rows = jobs_.listed(load(config), state, limit)
    if as_json:
        for row in rows:
            print_json(jobs_.as_json(row))
    else:
        Console().print(jobs_.as_table(rows))


@app.command("show")
def jobs_show(
    context: typer.Context, number: int, config: Annotated[Path | None, _OWN_CONFIG] = None
) -> None:
    """Show one job as JSON: its argument, last error and outcome."""
    from deploy import jobs as jobs_

    print_json(jobs_.as_json(jobs_.one(load(config or context.obj), number)))


@app.command("retry")
def jobs_retry(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="A dead job; without it, all.")] = None,
    config: Annotated[Path | None, _OWN_CONFIG] = None,
) -> None:
    """Give a dead job, or every dead job, all its attempts again."""
    from deploy import jobs as jobs_

    for job in jobs_.retried(load(config or context.obj), number):
        print_json(jobs_.as_json(job))
