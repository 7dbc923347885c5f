from __future__ import annotations

import os
from itertools import count, islice

import pytest

pytestmark = pytest.mark.training

from training.processes import each  # noqa: E402


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_no_more_is_begun_than_is_asked_for(processes):
    made = each(abs, count(-40), processes)
    assert list(islice(made, 60)) == [abs(number) for number in range(-40, 20)]
    made.close()


def test_several_processes_are_others_than_this_one():
    assert os.getpid() not in set(each(_process, range(4), 2))


def _process(_):
    return os.getpid()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_ends_all(processes):
    with pytest.raises(ValueError, match="invalid literal"):
        list(each(int, ["1", "x", "3"], processes))
