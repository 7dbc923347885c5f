from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_parts import Clock

from listener.ledger import Ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'state' / 'ledger.sqlite3'}", clock) as it:
        yield it
