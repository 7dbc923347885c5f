"""The commands of `wristmir bundle`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from deploy.options import CONFIG, Config, Json
from deploy.output import print_json, print_row
from deploy.settings import SHIPPED_BUNDLE, load

if TYPE_CHECKING:
    from deploy.changeover import Changeover

__all__ = ["app"]

app = typer.Typer(help="Install, compare and change bundles of models.", no_args_is_help=True)


@app.command("verify")
def bundle_verify(
    folder: Annotated[Path, typer.Argument(help="The bundle's folder.")] = SHIPPED_BUNDLE,
    as_json: Json = False,
) -> None:
    """Check a bundle as the service would: every checksum, every model's shape."""
    from deploy.bundles import verify_bundle

    manifest = verify_bundle(folder)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
    else:
        Console().print(f"{manifest.id} {manifest.version}: whole. {manifest.intended_use}")


@app.command("compare")
def bundle_compare(
    folders: Annotated[list[Path], typer.Argument(help="Two bundles or more.")],
    as_json: Json = False,
) -> None:
    """Show what was measured of bundles side by side."""
    from deploy.bundles import compare_bundles

    comparison = compare_bundles(folders)
    print_row(comparison.as_json(), (comparison.as_table(),), as_json)


@app.command("list")
def bundle_list(as_json: Json = False, config: Config = CONFIG) -> None:
    """Show which bundles are installed, and which of them is in use."""
    from deploy.bundles import installed_bundles

    rows = installed_bundles(load(config))
    if as_json:
        for row in rows:
            print_json(row.as_json())
        return
    for row in rows:
        Console(soft_wrap=True).print(row.as_sentence(), highlight=False)


@app.command("install")
def bundle_install(
    folder: Annotated[Path, typer.Argument(help="The bundle's folder; it is copied.")],
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Check a bundle and copy it into state_dir; nothing changes until it is activated."""
    from deploy.bundles import install_bundle

    manifest = install_bundle(load(config), folder)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
    else:
        Console(soft_wrap=True).print(
            f"{manifest.id} is installed; `wristmir bundle activate {manifest.id}` takes it into "
            "use.",
            highlight=False,
        )


_BESIDE_THE_SERVICE = 10  # nicer than the service, which answers meanwhile
AtOnce = Annotated[
    bool,
    typer.Option("--at-once", help="Change first; the worker then indexes everything anew."),
]


@app.command("activate")
def bundle_activate(
    bundle: Annotated[str, typer.Argument(help="The id of an installed bundle.")],
    at_once: AtOnce = False,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Index everything for a bundle while the old one serves, then change to it."""
    from deploy.changeover import change_bundle

    os.nice(_BESIDE_THE_SERVICE)
    _print_changeover(change_bundle(load(config), bundle, at_once=at_once), as_json)


@app.command("rollback")
def bundle_rollback(
    at_once: AtOnce = False, as_json: Json = False, config: Config = CONFIG
) -> None:
    """Change back to the bundle that was in use before."""
    from deploy.changeover import roll_back

    os.nice(_BESIDE_THE_SERVICE)
    _print_changeover(roll_back(load(config), at_once=at_once), as_json)


def _print_changeover(changeover: Changeover, as_json: bool) -> None:
    if as_json:
        print_json(changeover.as_json())
    else:
        Console(soft_wrap=True).print(changeover.as_text(), highlight=False)
