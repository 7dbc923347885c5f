"""Names that one transaction at a time holds, where a row that could be locked is not there yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

__all__ = ["hold_names"]


def hold_names(connection: Connection, names: Iterable[str]) -> None:
    """Hold names until the transaction ends; whoever holds one of them is waited for.

    What the others have committed is seen from the next statement on. All that a transaction
    needs are held at once, in the same order by everybody, before it locks any row: so nobody
    waits in a circle. On SQLite one transaction writes at a time anyway.

    Parameters
    ----------
    names
        Of whatever two transactions may look for and make at once.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD, {"keys": sorted({_key(name) for name in names})})


_HOLD = sa.text(
    "SELECT pg_advisory_xact_lock(held.key) FROM unnest(CAST(:keys AS bigint[])) AS held(key)"
)


def _key(name: str) -> int:
    """Return a number of PostgreSQL's advisory locks; two names share one by chance only."""
    digest = hashlib.sha256(f"wristmir {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
