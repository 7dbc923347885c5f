"""The commands of `wristmir crosswalk`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.errors import InputError
from deploy.options import CONFIG, Config, Json
from deploy.output import print_row
from deploy.settings import load

__all__ = ["app"]

app = typer.Typer(
    help="The sealed table from library copies to their sources.", no_args_is_help=True
)
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--key-file", help="The key, instead of where the configuration says."),
]


@app.command("source")
def source(
    uids: Annotated[list[str], typer.Argument(help="SOP Instance UIDs of library copies.")],
    key_file: KeyFileOption = None,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Say what a library copy was made of; the audit trail is told who asked, before."""
    from deploy import crosswalk

    unknown = []
    for found in crosswalk.sources(load(config), uids, key_file):
        unknown += [found.copy_uid] if found.source is None else []
        print_row(found.as_json(), (found.as_table(),), as_json)
    if unknown:
        text = f"{', '.join(unknown)}: no library copy of this name is known"
        raise InputError(text)


@app.command("rotate-key")
def rotate_key(
    key_file: KeyFileOption = None,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Seal the table with a new key, which takes the old one's place."""
    from deploy import crosswalk

    number = crosswalk.rotate_key(load(config), key_file)
    print_row({"copies": number}, (f"{number} library copies are sealed with a new key",), as_json)


@app.command("gone")
def gone(
    name: Annotated[str, typer.Argument(help="Name that the destination had.")],
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Say that a destination is gone for good: nothing is withdrawn from it any more.

    First take it out of the configuration and restart every worker with that: one that still runs
    with the old configuration may be sending copies there, which nobody would know of.
    """
    from deploy import crosswalk

    number = crosswalk.forget_destination(load(config), name)
    text = f"{number} library copies at {name} are forgotten"
    print_row({"destination": name, "copies": number}, (text,), as_json)
