"""Whatever a peer sends is read, or refused in the way that is foreseen."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import READERS, SECONDS, Reader, stop_receiver


@pytest.fixture(scope="module", autouse=True)
def _no_receiver_is_left() -> Iterator[None]:
    yield
    stop_receiver()


ALL = pytest.mark.parametrize("reader", READERS.values(), ids=lambda reader: reader.name)


def reads(reader: Reader, data: bytes) -> None:
    began = time.process_time()
    with suppress(*reader.refusals):
        reader.read(data)
    assert time.process_time() - began < SECONDS


def damaged(seed: bytes, number: int, places: int) -> bytes:
    """Change, lose or double a few bytes of a good example."""
    dice = random.Random(number)  # noqa: S311 - damage, and a number to find it again
    data = bytearray(seed)
    for _ in range(places):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del data[at : at + dice.randrange(1, 9)]
            case 2:
                data[at:at] = data[at : at + dice.randrange(1, 99)]
            case 3:
                data[at : at + 4] = dice.choice([b"\xff" * 4, bytes(4), b"\0\0\0\x80"])
            case _:
                del data[at:]
    return bytes(data)


@ALL
def test_a_good_example_is_read(reader: Reader) -> None:
    for seed in reader.seeds[:3]:
        reads(reader, seed)


@ALL
def test_noise_and_damaged_examples_are_read_or_refused(reader: Reader) -> None:
    seeds = st.sampled_from(reader.seeds)
    damage = st.builds(damaged, seeds, st.integers(0, 2**32), st.integers(1, 6))

    @settings(max_examples=reader.examples, deadline=None)
    @given(data=st.binary(max_size=400) | damage)
    def check(data: bytes) -> None:
        reads(reader, data)

    check()
