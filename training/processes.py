"""One piece of work for many things, over several processes, in order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import cv2

__all__ = ["each"]

Thing = TypeVar("Thing")
Made = TypeVar("Made")

_AHEAD = 8  # results that a process may be ahead of the reader


def each(work: Callable[[Thing], Made], things: Iterable[Thing], processes: int) -> Iterator[Made]:
    """Yield ``work(thing)`` for each thing, in their order.

    Parameters
    ----------
    work
        Something that can be pickled, where there are several processes; it ends with an exception
        only where all is to end.
    processes
        With 1 the work is done here.
    """
    if processes <= 1:
        yield from map(work, things)
        return
    # fresh processes: a fork would share locks of models that are loaded here
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        under_way: deque[Future[Made]] = deque()
        try:
            for thing in things:
                under_way.append(pool.submit(work, thing))
                if len(under_way) >= processes * _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
