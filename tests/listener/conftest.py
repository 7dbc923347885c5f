from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_parts import ACCESSION, STUDY, Clock, arrived, record

from listener.ledger import Ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger(ledger_url, clock) as it:
        yield it


@pytest.fixture
def complete(ledger: Ledger, clock: Clock) -> Ledger:
    """A ledger with a study that is complete and indexed."""
    record(ledger, arrived(accession=ACCESSION))
    clock.move(60)
    ledger.close_due_arrivals()
    job = ledger.lease(["index"], 60)
    assert job is not None
    ledger.indices.mark_indexed(STUDY, 1)
    ledger.finish(job)
    return ledger
