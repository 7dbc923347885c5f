"""The example configuration: every key of every table, explained, with its default."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from deploy.settings import Settings

__all__ = ["example"]

_HEAD = """\
# WristMIR's configuration. A line that begins with `#` and a key shows the default; take the `#`
# away to change it. An unknown key is an error that names the nearest right one. `wristmir doctor`
# checks the whole.
"""

# what an administrator has to fill in, as an example: nothing else is needed
_SITE: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "listener.peers": ({"ae_title": "HOSPITALPACS", "addresses": ["10.1.2.3"]},),
    "listener.destinations": (
        {"name": "pacs", "ae_title": "HOSPITALPACS", "host": "10.1.2.3", "port": 104},
    ),
}
_VALUES: Mapping[str, Any] = {"pipeline.destination": "pacs"}
# set by the key at the top
_LEFT_OUT = {"listener.state_dir"}


def example() -> str:
    """Return the text of ``deploy/wristmir.example.toml``.

    It is made from the settings themselves, so it cannot forget or invent a key.
    """
    return "\n".join([_HEAD.rstrip(), "", *_table(Settings, ())]).rstrip() + "\n"


def _table(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    tables = []
    for name, field in model.model_fields.items():
        place = (*path, name)
        if ".".join(place) in _LEFT_OUT:
            continue
        inner = _model(field.annotation)
        if inner is not None:
            tables.append((place, field, inner))
            continue
        yield from _comment(field)
        yield _assignment(name, ".".join(place), field)
        yield ""
    for place, field, inner in tables:
        yield from _comment(field)
        if _is_list(field):
            yield from _entries(place, field, inner)
        else:
            yield f"[{'.'.join(place)}]"
            yield ""
            yield from _table(inner, place)


def _entries(place: tuple[str, ...], field: FieldInfo, model: type[BaseModel]) -> Iterator[str]:
    """Yield a list of tables: the site's example in force, else the defaults as comments."""
    dotted = ".".join(place)
    for name, inner in model.model_fields.items():
        text = f"{name}: {_words(inner)}"
        yield from textwrap.wrap(text, 100, initial_indent="#   ", subsequent_indent="#     ")
    given = _SITE.get(dotted)
    defaults = field.get_default(call_default_factory=True)
    rows = given or tuple(row.model_dump(mode="json") for row in defaults)
    if not rows:
        yield f"#   each is a table that begins with [[{dotted}]]"
        yield ""
    for row in rows:
        mark = "" if given else "# "
        yield f"{mark}[[{dotted}]]"
        for key, value in row.items():
            yield f"{mark}{key} = {_toml(value)}"
        yield ""


def _assignment(name: str, dotted: str, field: FieldInfo) -> str:
    if dotted in _VALUES:
        return f"{name} = {_toml(_VALUES[dotted])}"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return f"# {name} ="
    if default is PydanticUndefined:
        return f"{name} ="
    return f"# {name} = {_toml(default)}"


def _comment(field: FieldInfo) -> Iterator[str]:
    yield from textwrap.wrap(_words(field), 100, initial_indent="# ", subsequent_indent="# ")


def _words(field: FieldInfo) -> str:
    return (field.description or "").strip()


def _toml(value: Any) -> str:
    """Return a value as TOML; JSON's strings, numbers and lists are TOML's too."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model(argument)
        if found is not None:
            return found
    return None


def _is_list(field: FieldInfo) -> bool:
    return str(getattr(field.annotation, "__origin__", field.annotation)) == "<class 'tuple'>"
