"""A prepared statement: what every reception runs, made once and handed to the driver."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ["Prepared"]

_Converter = Callable[[Any], Any]


class Prepared:
    """A statement that is run for every object that comes.

    SQLAlchemy takes some 70 µs of processor to run one, SQLite 5: on SQLite it is compiled once and
    run by the driver, which keeps it prepared. Errors, values and rows are as SQLAlchemy's own. On
    PostgreSQL, where each is a journey to the server, SQLAlchemy runs it.

    Parameters
    ----------
    statement
        A SELECT, or an INSERT or UPDATE that sets the columns which are named when it is run.
    """

    def __init__(self, statement: sa.Select[Any] | sa.Insert | sa.Update) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Run it for its effect alone."""
        if connection.dialect.name == "sqlite":
            self._begun(connection, values)
        else:
            connection.execute(self._statement, dict(values))

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the rows that it selects; their columns are attributes."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, dict(values)).all()
        compiled, cursor = self._begun(connection, values)
        try:
            return [compiled.row(found) for found in cursor]
        except sqlite3.Error as error:
            raise _wrapped(error) from None

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any | None:
        """Return the first row that it selects, or None."""
        rows = self.rows(connection, values)
        return rows[0] if rows else None

    def _begun(
        self, connection: Connection, values: Mapping[str, Any]
    ) -> tuple[_Compiled, sqlite3.Cursor]:
        named = tuple(values)
        compiled = self._compiled.get(named)
        if compiled is None:
            compiled = self._compiled[named] = _compiled(self._statement, connection.dialect, named)
        driver: Any = connection.connection.driver_connection
        try:
            return compiled, driver.execute(compiled.text, compiled.bound(values))
        except sqlite3.Error as error:
            raise _wrapped(error) from None


@dataclass(frozen=True)
class _Compiled:
    """A statement in the driver's words.

    ``binds`` names its parameters in their order, each with what converts a value for the driver;
    ``fixed`` holds the values that stand in the statement itself; ``columns`` converts what comes.
    """

    text: str
    binds: tuple[tuple[str, _Converter | None], ...]
    fixed: Mapping[str, Any]
    columns: tuple[tuple[int, _Converter], ...]
    as_row: Callable[[Sequence[Any]], Any]

    def bound(self, values: Mapping[str, Any]) -> list[Any]:
        bound = []
        for name, convert in self.binds:
            value = values[name] if name in values else self.fixed[name]
            bound.append(value if convert is None else convert(value))
        return bound

    def row(self, found: Sequence[Any]) -> Any:
        if self.columns:
            found = list(found)
            for place, convert in self.columns:
                found[place] = convert(found[place])
        return self.as_row(found)


def _compiled(
    statement: sa.Select[Any] | sa.Insert | sa.Update, dialect: sa.Dialect, named: tuple[str, ...]
) -> _Compiled:
    made = statement.compile(dialect=dialect, column_keys=list(named))
    types = {name: bind.type.dialect_impl(dialect) for name, bind in made.binds.items()}
    selected = tuple(statement.selected_columns) if isinstance(statement, sa.Select) else ()
    names = [str(column.key) for column in selected]
    row: Any = namedtuple("Row", names)  # type: ignore[misc]  # its fields are the statement's
    converters = (
        column.type.dialect_impl(dialect).result_processor(dialect, None) for column in selected
    )
    return _Compiled(
        text=made.string,
        binds=tuple((name, types[name].bind_processor(dialect)) for name in made.positiontup or ()),
        fixed=made.params,
        columns=tuple((place, it) for place, it in enumerate(converters) if it is not None),
        as_row=row._make,
    )


def _wrapped(error: sqlite3.Error) -> DBAPIError:
    """Return the driver's error as SQLAlchemy raises it, without the statement's values."""
    wrapped = DBAPIError.instance(
        None, None, error, sqlite3.Error, hide_parameters=True, connection_invalidated=False
    )
    assert isinstance(wrapped, DBAPIError)  # noqa: S101 - it is one of sqlite3's
    return wrapped
