from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_parts import Clock

from listener.ledger import Ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger(ledger_url, clock) as it:
        yield it
