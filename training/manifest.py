"""A manifest on disk, as TOML that a person can read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.bundle import Manifest

__all__ = ["write_manifest"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write ``manifest`` so that `pipeline.bundle.Bundle.load` reads the same again."""
    lines = _table(manifest.model_dump(exclude_none=True), ())
    path.write_text("\n".join(lines).lstrip("\n") + "\n", encoding="utf-8")


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a table's own values, then its tables; TOML knows no other order."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    own = {key: value for key, value in table.items() if key not in inner}
    if path and own:
        yield ""
        yield f"[{'.'.join(path)}]"
    for key, value in own.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield from _table(value, (*path, _key(key)))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, float):
        return repr(round(value, 6))
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(part) for part in value)}]"
    # TOML's basic strings and integers are written as JSON's
    return json.dumps(value, ensure_ascii=False)
