"""The databases that a ledger may lie in: one suite for both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgresql import BOTH, PostgreSQL, server
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from listener.turnstile import Turnstile


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A quick server for all tests; each takes a database of its own from it."""
    with server(durable=False) as it:
        yield it


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    url = postgresql.database()
    yield url
    postgresql.drop(url)


@pytest.fixture(params=BOTH)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'ledger.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(autouse=True)
def _no_requestor_leaves_its_socket_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the sockets of pynetdicom's own requestors, which now and then leaves one to chance."""
    connect = AssociationSocket.connect
    opened = []

    def kept(self: AssociationSocket, primitive: object) -> None:
        try:
            connect(self, primitive)
        finally:
            opened.append(self.socket)

    monkeypatch.setattr(AssociationSocket, "connect", kept)
    yield
    for connection in opened:
        if connection is not None:
            connection.close()


@pytest.fixture(autouse=True)
def _no_requestor_takes_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the thread of pynetdicom's own requestors stand while they send, as ours does."""
    associate = ApplicationEntity.associate

    def held(*given: Any, **named: Any) -> Association:
        association = associate(*given, **named)
        association._reactor_checkpoint = Turnstile(association)
        return association

    monkeypatch.setattr(ApplicationEntity, "associate", held)
