from __future__ import annotations

import pytest
from ledger_parts import STUDY, kinds, record

from listener.errors import LedgerError
from listener.ledger import Ledger


def test_a_study_that_never_came_is_said_to_be_missing(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.study("1.2.3")


def test_studies_are_indexed_anew_for_an_index_that_lost_them(ledger: Ledger) -> None:
    record(ledger)
    ledger.indices.mark_indexed(STUDY, 1)
    assert ledger.indices.reopen_studies() == 1
    assert kinds(ledger) == ["index"]
    assert ledger.study(STUDY).indexed_generation == 0
    assert ledger.indices.reopen_studies() == 0
