"""Steps in the ledger: many of them keep nobody waiting, and what was written goes with them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_parts import instance, record

from listener.attributes import coded, sequence
from listener.job import STEP_EVENT
from listener.ledger import Ledger
from listener.recorded_step import NewStep
from listener.step_event import information
from listener.step_state import StepState
from listener.step_terms import GLOBAL, UNSPECIFIED
from listener.tables import STEP, TABLES
from listener.tables import STEP_EVENT as STEP_EVENT_TABLE

MANY = 3_000
STEP_UID = "1.2.3.4"


def new(uid: str) -> NewStep:
    return NewStep(uid, "1.2.3", "PACS", "WRISTMIR", Path(f"{uid}.step"), "READY", {})


def with_many(url: str, state: StepState) -> None:
    """Put steps into a ledger as if a peer had created them over a month."""
    then = datetime.now(UTC) - timedelta(days=1)
    row = {"study_uid": "1.2.3", "calling_ae": "PACS", "called_ae": "WRISTMIR", "path": "a.step"}
    row |= {"readiness": "READY", "state": state, "argument": "{}", "told": ""}
    ended = then if state.is_final else None
    times = {"created_at": then, "changed_at": then, "ended_at": ended}
    rows = [{**row, **times, "progress": 0, "sop_instance_uid": f"1.2.3.{n}"} for n in range(MANY)]
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.insert(STEP), rows)
    engine.dispose()


@pytest.fixture
def kept(ledger_url: str) -> Ledger:
    """A ledger with its tables, whose clock runs."""
    return Ledger(ledger_url)


def longest_wait(ledger: Ledger, busy: threading.Thread) -> float:
    """Record images as long as a thread is busy; return how long one had to wait."""
    busy.start()
    longest, number = 0.0, 0
    while busy.is_alive():
        begun = time.monotonic()
        record(ledger, instance(f"1.2.4.{number}"))
        longest, number = max(longest, time.monotonic() - begun), number + 1
    busy.join()
    assert number > 2
    return longest


@pytest.mark.slow
def test_no_image_waits_while_somebody_subscribes_to_all_steps(
    kept: Ledger, ledger_url: str
) -> None:
    with kept as ledger:
        with_many(ledger_url, StepState.SCHEDULED)
        subscribing = threading.Thread(
            target=lambda: ledger.steps.subscribe("PACS", GLOBAL, "WRISTMIR", locks=True)
        )
        assert longest_wait(ledger, subscribing) < 1
        assert len(ledger.jobs(kind=STEP_EVENT)) == 1
    assert len(set(rows(ledger_url, STEP_EVENT_TABLE.c.sop_instance_uid))) == MANY


# PS3.4 table CC.2.3-2: how an AE follows a step, to what it subscribes, whether with a lock; then
# how it follows the step, and whether it is told how that stands
FREE, LOCKED = False, True
SUBSCRIPTIONS = [
    (None, GLOBAL, LOCKED, LOCKED, True),
    (FREE, GLOBAL, LOCKED, FREE, False),
    (LOCKED, GLOBAL, LOCKED, LOCKED, False),
    (None, GLOBAL, FREE, FREE, False),
    (FREE, GLOBAL, FREE, FREE, False),
    (LOCKED, GLOBAL, FREE, LOCKED, False),
    (None, STEP_UID, LOCKED, LOCKED, True),
    (FREE, STEP_UID, LOCKED, LOCKED, True),
    (LOCKED, STEP_UID, LOCKED, LOCKED, True),
    (None, STEP_UID, FREE, FREE, True),
    (FREE, STEP_UID, FREE, FREE, True),
    (LOCKED, STEP_UID, FREE, FREE, True),
]


@pytest.mark.parametrize(("before", "named", "locks", "after", "is_told"), SUBSCRIPTIONS)
def test_a_subscription_does_what_the_standards_table_says(
    kept: Ledger, before: bool | None, named: str, locks: bool, after: bool, is_told: bool
) -> None:
    with kept as ledger:
        steps = ledger.steps
        steps.take(new(STEP_UID), 10, 10)
        if before is not None:
            steps.subscribe("PACS", STEP_UID, "WRISTMIR", locks=before)
        said = len(steps.owed("PACS"))
        steps.subscribe("PACS", named, "WRISTMIR", locks=locks)
        assert len(steps.owed("PACS")) - said == is_told
        steps.ask_to_cancel(STEP_UID, "", UNSPECIFIED, "PACS")
        assert len(steps.owed("PACS")) - said == is_told + 2  # in progress, then cancelled
        assert bool(steps.forget(timedelta(0))) is (after is FREE)


@pytest.mark.parametrize("named", [STEP_UID, GLOBAL])
def test_a_subscription_to_a_cancelled_step_or_to_all_tells_the_reason(
    kept: Ledger, named: str
) -> None:
    code = ("110510", "DCM", "User canceled")
    with kept as ledger:
        ledger.steps.take(new(STEP_UID), 10, 10)
        ledger.steps.ask_to_cancel(STEP_UID, "not needed any more", code, "PACS")
        ledger.steps.subscribe("PACS", named, "WRISTMIR", locks=True)
        (owed,) = ledger.steps.owed("PACS")
    told = information(owed.type, owed.content)
    assert told[0x00741000].value == b"CANCELED"
    assert told[0x00404041].value == b"READY"
    assert told[0x00741238].value == b"not needed any more"
    assert told[0x0074100E] == sequence(coded(*code))


@pytest.mark.parametrize("locks", [FREE, LOCKED])
def test_a_step_is_followed_from_its_creation_by_whoever_follows_all(
    kept: Ledger, locks: bool
) -> None:
    with kept as ledger:
        ledger.steps.subscribe("PACS", GLOBAL, "WRISTMIR", locks=locks)
        ledger.steps.take(new(STEP_UID), 10, 10)
        assert [one.sop_instance_uid for one in ledger.steps.owed("PACS")] == [STEP_UID]
        ledger.steps.ask_to_cancel(STEP_UID, "", UNSPECIFIED, "PACS")
        assert bool(ledger.steps.forget(timedelta(0))) is (locks is FREE)


@pytest.mark.slow
def test_no_image_waits_while_old_steps_are_forgotten(kept: Ledger, ledger_url: str) -> None:
    with kept as ledger:
        with_many(ledger_url, StepState.CANCELED)
        ledger.steps.subscribe("PACS", GLOBAL, "WRISTMIR", locks=False)
        gone: list[Path] = []
        forgetting = threading.Thread(target=lambda: gone.extend(ledger.steps.forget(timedelta(0))))
        assert longest_wait(ledger, forgetting) < 1
        assert len(gone) == MANY


def test_the_reason_that_a_peer_gives_is_forgotten_with_its_step(
    kept: Ledger, ledger_url: str
) -> None:
    with kept as ledger:
        ledger.steps.subscribe("PACS", GLOBAL, "WRISTMIR", locks=False)
        ledger.steps.take(new("1.2.3.4"), 10, 10)
        ledger.steps.ask_to_cancel("1.2.3.4", "Invented^Ines has left", UNSPECIFIED, "PACS")
        assert "Invented" in everything(ledger_url)
        assert ledger.steps.forget(timedelta(0))
        assert "Invented" not in everything(ledger_url)


def rows(url: str, *what: sa.Column[Any] | sa.Table) -> list[Any]:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = list(connection.execute(sa.select(*what)))
    engine.dispose()
    return found


def everything(url: str) -> str:
    """Return what stands in the ledger's rows."""
    return repr([rows(url, table) for table in TABLES.sorted_tables])
