"""The commands of the pages: `wristmir web`, `users` and `feedback`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.options import CONFIG, Config, Json
from deploy.output import print_row
from deploy.settings import load

__all__ = ["feedback_app", "users_app", "web"]

users_app = typer.Typer(help="Accounts that may sign in to the pages.", no_args_is_help=False)
feedback_app = typer.Typer(help="How relevant radiologists found matches.", no_args_is_help=False)
_OWN_CONFIG = typer.Option("--config", "-c", help="As for the command itself.")


def web(config: Config = CONFIG) -> None:
    """Serve the pages: results for radiologists, the service's status for IT."""
    from deploy.service import log_to_stderr
    from deploy.web.server import serve_web

    settings = load(config)
    log_to_stderr(settings.log_level)
    serve_web(settings)


@feedback_app.callback(invoke_without_command=True)
def feedback(
    context: typer.Context,
    export: Annotated[
        Path | None,
        typer.Option(help="Write every judgement to FILE.jsonl, under a table's pseudonyms."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The key of the exam table's pseudonyms, for --export; made if missing."),
    ] = None,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Say how relevant radiologists found the matches, or export it for training."""
    from deploy import feedback as feedback_

    context.obj = config
    if context.invoked_subcommand is not None:
        return
    settings = load(config)
    if (export is None) != (key is None):
        message = "--export and --key belong together"
        raise typer.BadParameter(message)
    if export is not None and key is not None:
        feedback_.export(settings, export, key)
    found = feedback_.summary(settings)
    print_row(found.as_json(), (found.as_table(),), as_json)


@feedback_app.command("template")
def feedback_template(
    context: typer.Context,
    result_uid: Annotated[str, typer.Argument(help="SOP Instance UID of a result's report.")],
    observer: Annotated[
        str, typer.Option(help="Who is to judge, as DICOM writes a name: Family^Given.")
    ],
    out: Annotated[Path, typer.Option(help="The file to be written.")] = Path("relevance.dcm"),
    config: Annotated[Path | None, _OWN_CONFIG] = None,
) -> None:
    """Write a structured report in which a reader fills in how relevant each match is."""
    from deploy.relevance_template import write_template

    count = write_template(load(config or context.obj), result_uid, out, observer)
    print_row({"file": str(out), "matches": count}, (f"{out}: {count} matches to judge",), False)


@users_app.callback(invoke_without_command=True)
def users(context: typer.Context, as_json: Json = False, config: Config = CONFIG) -> None:
    """List the accounts that may sign in to the pages."""
    from deploy import accounts

    context.obj = config
    if context.invoked_subcommand is None:
        rows = accounts.listed(load(config))
        for row in rows:
            print_row(accounts.as_json(row), (accounts.as_sentence(row),), as_json)


@users_app.command("add")
def users_add(
    context: typer.Context,
    name: str,
    role: Annotated[
        list[str], typer.Option("--role", "-r", help="radiologist or it; may be repeated.")
    ],
    config: Annotated[Path | None, _OWN_CONFIG] = None,
) -> None:
    """Make an account, or give one another password; it is asked for, or read from a pipe."""
    from deploy import accounts

    accounts.add(load(config or context.obj), name, role)


@users_app.command("remove")
def users_remove(
    context: typer.Context, name: str, config: Annotated[Path | None, _OWN_CONFIG] = None
) -> None:
    """Take an account away; who is signed in with it is signed out."""
    from deploy import accounts

    accounts.remove(load(config or context.obj), name)
