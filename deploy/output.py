"""What a command prints: one JSON object a line, or words and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from deploy.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["failing_last", "print_json", "print_row"]


def print_row(row: Mapping[str, Any], words: Sequence[RenderableType], as_json: bool) -> None:
    """Print what a command found: for programs, or for somebody who reads it."""
    if as_json:
        print_json(row)
    else:
        Console().print(*words, sep="\n")


def print_json(row: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own."""
    sys.stdout.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def failing_last() -> Iterator[list[bool]]:
    """Report on every file, then fail if one could not be read."""
    failed: list[bool] = []
    yield failed
    if any(failed):
        text = (
            f"{sum(failed)} of {len(failed)} files could not be used; the reason stands with each."
        )
        raise InputError(text)
