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
        Of whatever two transactions may look for and make at once. Some share a lock with others:
        the server has room for a few thousand, and one message may name as many studies.
    """
    if connection.dialect.name != "postgresql":
        return
    keys = sorted({_key(name) for name in names})
    if keys:
        connection.execute(_HOLD, {"keys": keys})


_BASE = 0x57524953_00010000  # advisory locks: these numbers for every process, and nothing else
_LOCKS = 1024
_HOLD = sa.text(
    "SELECT pg_advisory_xact_lock(held.key) FROM unnest(CAST(:keys AS bigint[])) AS held(key)"
)


def _key(name: str) -> int:
    """Return the lock that a name has."""
    digest = hashlib.sha256(name.encode()).digest()
    return _BASE + int.from_bytes(digest[:8], "big") % _LOCKS
