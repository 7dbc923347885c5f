"""The journal: whatever is left of it is read, whatever it has read is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import ServiceUnavailableError
from deploy.mining_journal import MiningJournal

COLUMNS = frozenset({"words", "reason"})
CONTENTS = st.text("0123456789abcdef", min_size=4, max_size=4)
ROWS = st.fixed_dictionaries(
    {"words": st.text(max_size=30), "reason": st.none() | st.text(max_size=5)}
)


@contextmanager
def opened(path: Path, miner: str = "rules 1") -> Iterator[MiningJournal]:
    with MiningJournal(path, miner, COLUMNS) as journal:
        yield journal


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / "findings.csv.journal"


@given(entries=st.lists(st.tuples(CONTENTS, ROWS), max_size=8), data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_journal_torn_at_any_byte_keeps_every_whole_line_and_takes_more(
    place: Path, entries: list[tuple[str, dict[str, str | None]]], data: st.DataObject
) -> None:
    place.unlink(missing_ok=True)
    with opened(place) as journal:
        for content, row in entries:
            journal.append(content, row)
    whole = place.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    place.write_bytes(whole[:cut])
    left = dict(entries[: whole[:cut].count(b"\n")])
    with opened(place) as journal:
        assert len(journal) == len(left)
        for content, row in left.items():
            assert journal.row(content) == row
        journal.append("more", {"words": "more", "reason": None})
    with opened(place) as journal:
        assert journal.row("more") == {"words": "more", "reason": None}
        for content, row in left.items():
            assert journal.row(content) == row


@given(junk=st.binary(max_size=60))
@settings(deadline=None, max_examples=40)
def test_a_line_that_cannot_be_understood_is_passed_over(place: Path, junk: bytes) -> None:
    place.unlink(missing_ok=True)
    with opened(place) as journal:
        journal.append("aaaa", {"words": "one", "reason": None})
    first = place.read_bytes()
    place.write_bytes(first + junk + b"\n" + first.replace(b"aaaa", b"bbbb"))
    with opened(place) as journal:
        assert journal.row("aaaa") == {"words": "one", "reason": None}
        assert journal.row("bbbb") == {"words": "one", "reason": None}


def test_a_later_row_replaces_an_earlier_one(place: Path) -> None:
    place.unlink(missing_ok=True)
    with opened(place) as journal:
        journal.append("aaaa", {"words": "", "reason": "failed"})
        assert not journal.done("aaaa")
        journal.append("aaaa", {"words": "read", "reason": None})
        assert journal.done("aaaa")
    with opened(place) as journal:
        assert journal.done("aaaa")
        assert journal.row("aaaa") == {"words": "read", "reason": None}


def test_rows_of_another_miner_or_an_older_release_are_not_seen(place: Path) -> None:
    place.unlink(missing_ok=True)
    with opened(place) as journal:
        journal.append("aaaa", {"words": "one", "reason": None})
    with opened(place, "rules 2") as journal:
        assert journal.row("aaaa") is None
    line = {"content": "bbbb", "miner": "rules 1", "row": {"reason": None}}
    with place.open("a", encoding="ascii") as stream:
        stream.write(json.dumps(line) + "\n")
    with opened(place) as journal:
        assert journal.done("aaaa")
        assert not journal.done("bbbb")


def test_the_file_is_its_owners_alone_even_where_it_was_not(place: Path) -> None:
    place.unlink(missing_ok=True)
    place.touch(0o644)
    with opened(place):
        assert place.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "findings.csv.journal"
    path.write_text("my notes", encoding="utf-8")
    with pytest.raises(ServiceUnavailableError, match="no journal"):
        MiningJournal(path, "rules 1", frozenset())
    assert path.read_text(encoding="utf-8") == "my notes"
