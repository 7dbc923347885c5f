"""The breaker, as a specification and as a state machine."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.breaker import Admission, Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, pause_seconds=5, longest_seconds=20, clock=clock)


def opened(clock: Clock) -> Breaker:
    made = breaker(clock)
    for _ in range(3):
        made.failed()
    return made


def test_callers_go_while_the_server_answers() -> None:
    made = breaker(Clock())
    made.failed()
    made.failed()
    made.succeeded()
    made.failed()
    assert made.enter() is Admission.GO


def test_failures_in_a_row_open_it() -> None:
    made = opened(Clock())
    assert (made.enter(), made.ready) == (Admission.WAIT, False)


def test_after_the_pause_one_caller_probes_and_the_others_wait() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 5
    assert made.ready
    assert [made.enter() for _ in range(3)] == [Admission.PROBE, Admission.WAIT, Admission.WAIT]


def test_a_probe_that_succeeds_closes_it() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 5
    made.enter()
    made.succeeded()
    assert made.enter() is Admission.GO


def test_a_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    clock = Clock()
    made = opened(clock)
    pauses = []
    for _ in range(4):
        waited = 0
        while made.enter() is not Admission.PROBE:
            clock.now += 1
            waited += 1
        pauses.append(waited)
        made.failed(probing=True)
    assert pauses == [5, 10, 20, 20]


def test_a_late_failure_of_an_earlier_caller_is_not_the_probes() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 5
    made.enter()
    made.failed()
    assert made.enter() is Admission.WAIT
    made.succeeded()
    assert made.enter() is Admission.GO


def test_a_probe_that_is_never_told_of_is_given_to_another() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 5
    assert made.enter() is Admission.PROBE
    clock.now += 20
    assert made.enter() is Admission.PROBE


class BreakerMachine(RuleBasedStateMachine):
    """Whatever happens, nobody floods a server that is down and nobody waits for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = breaker(self.clock)
        self.in_a_row = 0
        self.probing = False
        self.probed_at = 0.0

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def a_caller_comes(self) -> None:
        admission = self.breaker.enter()
        if admission is Admission.PROBE:
            assert not self.probing or self.clock.now - self.probed_at >= 20
            self.probing, self.probed_at = True, self.clock.now
        if admission is Admission.GO:
            assert self.in_a_row < 3

    @rule()
    def an_answer_comes(self) -> None:
        self.breaker.succeeded()
        self.in_a_row, self.probing = 0, False

    @rule()
    def none_comes(self) -> None:
        self.breaker.failed()
        self.in_a_row += 1

    @rule()
    def the_probe_fails(self) -> None:
        self.breaker.failed(probing=self.probing)
        self.in_a_row += 1
        self.probing = False

    @invariant()
    def somebody_is_let_through_after_the_longest_pause(self) -> None:
        now = self.clock.now
        self.clock.now += 20 + 1e-6  # the sum of two floats may fall short of it
        assert self.breaker.ready
        self.clock.now = now


TestBreakerMachine = BreakerMachine.TestCase
