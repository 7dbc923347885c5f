"""The table of a step's states, PS3.4 table CC.1.1-2, cell by cell, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener.errors import RefusalError
from listener.ledger import Ledger
from listener.recorded_step import NewStep
from listener.step_event import STATE
from listener.step_row import ResultInstance
from listener.step_state import Change, StepState, moved
from listener.step_terms import GLOBAL, UNSPECIFIED

NONE, SCHEDULED, BEGUN, COMPLETED, CANCELED = None, *StepState

# event, right Transaction UID → for each state: what it becomes, and the status of the answer
TABLE: dict[tuple[Change, bool], list[tuple[StepState | None, int]]] = {
    (Change.CREATE, True): [
        (SCHEDULED, 0x0000),
        (SCHEDULED, 0x0111),
        (BEGUN, 0x0111),
        (COMPLETED, 0x0111),
        (CANCELED, 0x0111),
    ],
    (Change.TO_IN_PROGRESS, True): [
        (NONE, 0xC307),
        (BEGUN, 0x0000),
        (BEGUN, 0xC302),
        (COMPLETED, 0xC300),
        (CANCELED, 0xC300),
    ],
    (Change.TO_IN_PROGRESS, False): [
        (NONE, 0xC307),
        (SCHEDULED, 0xC301),
        (BEGUN, 0xC301),
        (COMPLETED, 0xC301),
        (CANCELED, 0xC301),
    ],
    (Change.TO_SCHEDULED, True): [
        (NONE, 0xC307),
        (SCHEDULED, 0xC303),
        (BEGUN, 0xC303),
        (COMPLETED, 0xC303),
        (CANCELED, 0xC303),
    ],
    (Change.TO_COMPLETED, True): [
        (NONE, 0xC307),
        (SCHEDULED, 0xC310),
        (COMPLETED, 0x0000),
        (COMPLETED, 0xB306),
        (CANCELED, 0xC300),
    ],
    (Change.TO_COMPLETED, False): [
        (NONE, 0xC307),
        (SCHEDULED, 0xC301),
        (BEGUN, 0xC301),
        (COMPLETED, 0xC301),
        (CANCELED, 0xC301),
    ],
    (Change.REQUEST_CANCEL, True): [
        (NONE, 0xC307),
        (CANCELED, 0x0000),
        (CANCELED, 0x0000),
        (COMPLETED, 0xC311),
        (CANCELED, 0xB304),
    ],
    (Change.TO_CANCELED, True): [
        (NONE, 0xC307),
        (SCHEDULED, 0xC310),
        (CANCELED, 0x0000),
        (COMPLETED, 0xC300),
        (CANCELED, 0xB304),
    ],
    (Change.TO_CANCELED, False): [
        (NONE, 0xC307),
        (SCHEDULED, 0xC301),
        (BEGUN, 0xC301),
        (COMPLETED, 0xC301),
        (CANCELED, 0xC301),
    ],
}
STATES = [NONE, *StepState]


def tried(state: StepState | None, change: Change, *, owns: bool) -> tuple[StepState | None, int]:
    try:
        move = moved(state, change, owns=owns)
    except RefusalError as error:
        return state, error.status
    return (move.through[-1] if move.through else state), move.status


@pytest.mark.parametrize(("change", "owns"), TABLE)
def test_every_cell_of_the_table(change: Change, owns: bool) -> None:
    assert [tried(state, change, owns=owns) for state in STATES] == TABLE[change, owns]


@pytest.mark.parametrize("change", [Change.TO_COMPLETED, Change.TO_CANCELED])
def test_a_step_without_what_its_final_state_needs_stays_in_progress(change: Change) -> None:
    with pytest.raises(RefusalError) as refused:
        moved(BEGUN, change, is_complete=False)
    assert refused.value.status == 0xC304


@given(st.lists(st.tuples(st.sampled_from(list(Change)), st.booleans())))
def test_a_step_only_goes_forward_and_ends_once(asked: list[tuple[Change, bool]]) -> None:
    state: StepState | None = None
    through: list[StepState] = []
    for change, owns in asked:
        try:
            move = moved(state, change, owns=owns)
        except RefusalError:
            continue
        through += move.through
        state = through[-1] if through else None
    order = [SCHEDULED, BEGUN, through[-1]] if len(through) == 3 else [SCHEDULED, BEGUN]
    assert through == order[: len(through)]
    assert not any(one.is_final for one in through[:-1])


# what peers and the worker may do to a step, in any order
DEEDS = ("create", "begin", "progress", "answer", "send", "deliver", "fail", "cancel", "complete")


class Life:
    """A step in a real ledger, whose subscriber writes down what it would be told."""

    RESULT: ClassVar = ResultInstance("1.2", "1.2.1", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.1.1")

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.ledger, self.uid, self.name = ledger, f"1.2.3.{number}", f"answer-{number}"

    def does(self, deed: str) -> None:
        steps, work, uid = self.ledger.steps, self.ledger.performance, self.uid
        new = NewStep(uid, "1.2", "PACS", "WRISTMIR", Path("/nowhere.step"), "READY", {})
        doings = {
            "create": lambda: steps.take(new, 1000, 1000),
            "begin": lambda: work.begin(uid),
            "progress": lambda: work.progress(uid, 30, "The study is indexed."),
            "answer": lambda: work.answered(uid, {self.name: [self.RESULT]}),
            "send": lambda: work.sending(self.name),
            "deliver": lambda: work.delivered(self.name, "PACS"),
            "fail": lambda: work.discontinue(uid, "it failed", UNSPECIFIED),
            "cancel": lambda: steps.ask_to_cancel(uid, "", None, "PACS"),
            "complete": lambda: steps.change(uid, Change.TO_COMPLETED, "1.2.3"),
        }
        with suppress(RefusalError):
            doings[deed]()

    @property
    def told(self) -> list[str]:
        events = self.ledger.steps.owed("PACS")
        about = [one for one in events if one.sop_instance_uid == self.uid]
        return [str(one.content["state"]) for one in about if one.type == STATE]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has its own step
)
@given(deeds=st.lists(st.sampled_from(DEEDS), max_size=12))
def test_whatever_happens_its_subscribers_are_told_each_state_once_and_in_order(
    ledger_of_all: Ledger, deeds: list[str]
) -> None:
    ledger_of_all.steps.give_up("PACS")
    life = Life(ledger_of_all, len(ledger_of_all.steps.list([], [], 10_000)))
    ledger_of_all.steps.subscribe("PACS", GLOBAL, "WRISTMIR", locks=False)
    ledger_of_all.steps.give_up("PACS")
    for deed in deeds:
        life.does(deed)
    row = ledger_of_all.steps.find(life.uid)
    told = life.told
    assert told == ["SCHEDULED", "IN PROGRESS", told[-1] if told else ""][: len(told)]
    assert (told[-1] if told else None) == (None if row is None else row.state)
    if row is not None and row.state is StepState.COMPLETED:
        assert row.results == (life.RESULT,)
        assert row.progress == 100


@pytest.fixture
def ledger_of_all(ledger_url: str) -> Iterator[Ledger]:
    with Ledger(ledger_url) as ledger:
        yield ledger
