"""The options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["CONFIG", "Config", "Json", "MinerConfig"]

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="WRISTMIR_CONFIG", help="The TOML configuration file."),
]
MinerConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="WRISTMIR_CONFIG",
        help="Read by what its pipeline.mining names; without it by rules.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
CONFIG = Path("/etc/wristmir/wristmir.toml")
