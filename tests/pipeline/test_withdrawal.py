"""The withdrawal of copies: after every sender has ended, at every place, and never forgotten."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from invented_exams import quick_folder
from pydicom import Dataset, dcmread
from result_parts import CR, NOW, UIDS

from pipeline.crosswalk import Crosswalk
from pipeline.decoder import Decoder
from pipeline.errors import PriorRejectedError, ResultError
from pipeline.key_file import KeyFile
from pipeline.library import Library
from pipeline.outbox import Outbox
from pipeline.result_set import referenced_instances
from pipeline.sendings import Sendings
from pipeline.withdrawal import Notes, Source, Withdrawal, Withdrawn

STUDY, IMAGE, OTHER = "1.2.3", "1.2.3.1", "1.2.3.2"
COPY, SECOND = "2.25.1", "2.25.2"
SOURCES = {uid: Source(CR, "1.2.3.0") for uid in (IMAGE, OTHER)}


@dataclass(frozen=True, eq=False)
class Site:
    """A library with its tables, and what was sent to whom."""

    crosswalk: Crosswalk
    outbox: Outbox
    sendings: Sendings
    sent: list[tuple[str, Dataset]] = field(default_factory=list)

    def library(self, destination: str = "library") -> Library:
        """Return it as another worker has it."""
        return Library(cast(Decoder, None), UIDS, self.crosswalk, destination, self.sendings)

    def sends(self, *copy_uids: str, to: str = "library") -> None:
        with self.library(to).sending(copy_uids):
            pass

    def withdraw(self, destination: str = "library", *others: str, minutes: int = 0) -> Withdrawn:
        """Withdraw from a destination; others are known beside the library."""
        known = frozenset({"library", *others})
        withdrawal = Withdrawal(self.library(), self.outbox, STUDY, known)
        at = NOW + timedelta(minutes=minutes)
        return withdrawal.make(destination, self.take, SOURCES, at, now=at)

    def take(self, destination: str, notes: Notes) -> None:
        self.sent.extend((destination, dcmread(path)) for path in notes.paths)

    def reject(self, reason: str = "113001") -> None:
        assert self.crosswalk.reject(STUDY, {IMAGE: reason})

    @property
    def told(self) -> list[tuple[str, set[str]]]:
        """What each destination was told to withdraw, in order."""
        return [(name, set(referenced_instances(note))) for name, note in self.sent]


@contextmanager
def opened(folder: Path) -> Iterator[Site]:
    url = f"sqlite:///{folder / 'crosswalk.db'}"
    with (
        closing(Crosswalk(url, KeyFile(folder / "key"))) as crosswalk,
        closing(Outbox(folder / "outbox", f"sqlite:///{folder / 'outbox.db'}")) as outbox,
    ):
        yield Site(crosswalk, outbox, Sendings(folder / "sending.lock"))


@pytest.fixture
def site() -> Iterator[Site]:
    with quick_folder() as folder, opened(folder) as it:
        it.crosswalk.keep(COPY, IMAGE, STUDY)
        yield it


# -- with somebody sending ------------------------------------------------------------------


def test_while_a_copy_is_being_sent_nobody_is_told_and_nothing_forgotten(site: Site) -> None:
    with site.library().sending([COPY]):
        site.reject()
        assert site.withdraw() == Withdrawn(being_sent=1)
        assert site.told == []
        assert site.crosswalk.of_copy(COPY) is not None
    assert site.withdraw() == Withdrawn(noted=1)
    assert site.told == [("library", {COPY})]
    assert site.crosswalk.of_copy(COPY) is None


def test_one_that_another_has_delivered_meanwhile_is_waited_for_too(site: Site) -> None:
    with site.library().sending([COPY]):
        site.sends(COPY)  # a second worker, with the same prior
        site.reject()
        assert site.withdraw() == Withdrawn(being_sent=1)


def test_once_it_is_rejected_nobody_begins_to_send_it(site: Site) -> None:
    site.reject()
    with pytest.raises(PriorRejectedError):
        site.sends(COPY)
    assert site.withdraw() == Withdrawn(never_sent=1)
    assert site.told == []


def test_who_sends_copies_of_another_study_is_not_waited_for(site: Site) -> None:
    site.crosswalk.keep("2.25.9", "1.2.9.1", "1.2.9")
    site.sends(COPY)
    site.reject()
    with site.library().sending(["2.25.9"]):
        assert site.withdraw() == Withdrawn(noted=1)


def test_what_was_never_acknowledged_is_withdrawn_twice_by_notes_of_their_own(
    site: Site,
) -> None:
    with pytest.raises(TimeoutError), site.library().sending([COPY]):
        raise TimeoutError
    site.reject()
    assert site.withdraw() == Withdrawn(noted=1, unsure=1)
    assert site.crosswalk.of_copy(COPY) is not None
    assert site.withdraw(minutes=15) == Withdrawn(noted=1)
    assert site.crosswalk.of_copy(COPY) is None
    assert site.told == [("library", {COPY})] * 2
    first, second = (note.SOPInstanceUID for _, note in site.sent)
    assert first != second


def test_one_that_is_sent_once_more_and_not_acknowledged_is_withdrawn_twice(site: Site) -> None:
    site.sends(COPY)
    with pytest.raises(TimeoutError), site.library().sending([COPY]):
        raise TimeoutError
    assert site.crosswalk.missing([COPY], "library") == ()  # it is there all the same
    site.reject()
    assert site.withdraw() == Withdrawn(noted=1, unsure=1)


def test_of_two_who_send_it_the_last_one_s_end_counts(site: Site) -> None:
    def times_out() -> None:
        with site.library().sending([COPY]):
            site.sends(COPY)
            raise TimeoutError  # what this one has sent may come yet

    with pytest.raises(TimeoutError):
        times_out()
    site.reject()
    assert site.withdraw() == Withdrawn(noted=1, unsure=1)


def test_each_copy_has_its_own_time_to_be_withdrawn_again(site: Site) -> None:
    site.crosswalk.keep(SECOND, OTHER, STUDY)
    for uid in (COPY, SECOND):
        with pytest.raises(TimeoutError), site.library().sending([uid]):
            raise TimeoutError
    site.reject()
    assert site.withdraw() == Withdrawn(noted=1, unsure=1)
    site.crosswalk.reject(STUDY, {IMAGE: "113001", OTHER: "113001"})
    assert site.withdraw(minutes=10) == Withdrawn(noted=1, unsure=2)
    assert site.withdraw(minutes=16) == Withdrawn(noted=1, unsure=1)
    assert site.withdraw(minutes=26) == Withdrawn(noted=1)
    assert site.told == [("library", {uid}) for uid in (COPY, SECOND, COPY, SECOND)]
    assert site.crosswalk.to_withdraw() == ()


def test_a_copy_whose_rejection_is_taken_back_counts_as_missing(site: Site) -> None:
    site.sends(COPY)
    site.reject()
    site.crosswalk.reject(STUDY, {})
    assert site.crosswalk.missing([COPY], "library") == (COPY,)
    site.sends(COPY)
    assert site.crosswalk.missing([COPY], "library") == ()


def test_while_a_result_that_refers_to_a_copy_is_being_sent_it_is_not_withdrawn(
    site: Site,
) -> None:
    site.sends(COPY)
    with site.sendings.referring([COPY]):
        site.sends(COPY)
        site.reject()
        assert site.withdraw() == Withdrawn(being_sent=1)
    assert site.withdraw() == Withdrawn(noted=1)


def test_a_kill_after_a_note_has_the_same_one_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.sends(COPY)
    site.reject()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site.crosswalk, "forget", killed)
        with pytest.raises(KeyboardInterrupt):
            site.withdraw()
    assert site.withdraw() == Withdrawn(noted=1)
    first, second = (note.SOPInstanceUID for _, note in site.sent)
    assert first == second


def test_a_destination_that_takes_no_note_keeps_the_copy_from_being_forgotten(site: Site) -> None:
    site.sends(COPY)
    site.reject()
    withdrawal = Withdrawal(site.library(), site.outbox, STUDY, frozenset({"library"}))

    def away(*_: object) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        withdrawal.make("library", away, SOURCES, NOW, now=NOW)
    assert site.withdraw() == Withdrawn(noted=1)


def test_until_the_destination_keeps_the_note_the_copy_is_not_forgotten_and_the_note_the_same(
    site: Site,
) -> None:
    site.sends(COPY)
    site.reject()
    withdrawal = Withdrawal(site.library(), site.outbox, STUDY, frozenset({"library"}))
    pause = timedelta(minutes=5)

    def takes(destination: str, notes: Notes) -> timedelta:
        site.take(destination, notes)
        return pause

    done = withdrawal.make("library", takes, SOURCES, NOW, now=NOW)
    assert replace(done, notes="") == Withdrawn(noted=1, awaited=pause)
    assert site.crosswalk.of_copy(COPY) is not None
    assert site.withdraw() == Withdrawn(noted=1)
    assert site.crosswalk.of_copy(COPY) is None
    first, second = (note.SOPInstanceUID for _, note in site.sent)
    assert first == second


def test_what_is_rejected_while_a_note_is_awaited_is_in_no_note_that_was_sent(
    site: Site,
) -> None:
    site.crosswalk.keep(SECOND, OTHER, STUDY)
    site.sends(COPY, SECOND)
    site.reject()
    withdrawal = Withdrawal(site.library(), site.outbox, STUDY, frozenset({"library"}))
    were_sent: list[bool] = []

    def takes(destination: str, notes: Notes) -> timedelta | None:
        were_sent.append(notes.are_sent)
        site.take(destination, notes)
        return timedelta(0) if not notes.are_sent else None

    first = withdrawal.make("library", takes, SOURCES, NOW, now=NOW)
    site.crosswalk.reject(STUDY, {IMAGE: "113001", OTHER: "113001"})
    second = withdrawal.make("library", takes, SOURCES, NOW, now=NOW, sent=first.notes)
    assert (
        withdrawal.make("library", takes, SOURCES, NOW, now=NOW, sent=second.notes).awaited is None
    )
    assert were_sent == [False, False, True]
    assert site.told[:2] == [("library", {COPY}), ("library", {COPY, SECOND})]


# -- at other places ------------------------------------------------------------------------


def test_each_known_destination_is_told_and_the_last_one_ends_it(site: Site) -> None:
    site.sends(COPY, to="old")
    site.sends(COPY)
    site.reject()
    known = frozenset({"library", "old", "third"})
    assert Withdrawal(site.library(), site.outbox, STUDY, known).places() == {"library", "old"}
    assert site.withdraw("library", "old") == Withdrawn(noted=1)
    assert site.crosswalk.of_copy(COPY) is not None
    assert site.withdraw("old", "old") == Withdrawn(noted=1)
    assert site.told == [("library", {COPY}), ("old", {COPY})]
    assert site.crosswalk.of_copy(COPY) is None


def test_what_is_at_a_destination_that_nobody_knows_stays_to_be_withdrawn(site: Site) -> None:
    site.sends(COPY, to="old")
    site.reject()
    for asked in ("library", "old"):
        done = site.withdraw(asked)
        assert done == Withdrawn(elsewhere={"old": 1})
        assert done.as_json()["at_former_destinations"] == {"old": 1}
    assert site.told == []
    assert [one.destinations for one in site.crosswalk.to_withdraw()] == [{"old"}]
    with pytest.raises(PriorRejectedError):
        site.sends(COPY)
    assert site.withdraw("old", "old") == Withdrawn(noted=1)
    assert site.crosswalk.to_withdraw() == ()


def test_an_image_that_nobody_knows_stops_it_before_anybody_is_told(site: Site) -> None:
    site.sends(COPY)
    site.reject()
    withdrawal = Withdrawal(site.library(), site.outbox, STUDY, frozenset({"library"}))
    with pytest.raises(ResultError):
        withdrawal.make("library", site.take, {}, NOW, now=NOW)
    assert site.sent == []


# -- killed at any line ---------------------------------------------------------------------


def killed_at_each_line(act: Callable[[Site, Path], None]) -> Iterator[tuple[Site, list[str]]]:
    """Yield a site, and what had arrived, after a kill -9 at each line of an act in turn.

    The act is another process's: it opens the tables itself, and has arrive what it sends by
    writing it into a file.
    """
    context = multiprocessing.get_context("fork")
    for after in itertools.count():
        with quick_folder() as folder:
            with opened(folder) as site:
                site.crosswalk.keep(COPY, IMAGE, STUDY)
            child = context.Process(target=act_and_die, args=(act, folder, after))
            child.start()
            child.join(60)
            arrived = folder / "arrived"
            with opened(folder) as site:
                yield site, arrived.read_text().split() if arrived.exists() else []
            if child.exitcode == 0:
                assert after > 10
                return
            assert child.exitcode == -signal.SIGKILL


def act_and_die(act: Callable[[Site, Path], None], folder: Path, after: int) -> None:
    """Act, and be killed after so many lines of this project's."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if Path(frame.f_code.co_filename).name not in _TRACED:
            return None
        if event == "line":
            lines += 1
            if lines > after:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    with opened(folder) as site:
        sys.settrace(trace)
        act(site, folder / "arrived")
        sys.settrace(None)
        os._exit(0)


_TRACED = ("library.py", "sendings.py", "withdrawal.py", "crosswalk.py", "outbox.py")


def send_it(site: Site, arrived: Path) -> None:
    with site.library().sending([COPY]):
        arrived.write_text("copy")


def withdraw_it(site: Site, arrived: Path) -> None:
    site.sends(COPY)
    site.reject()
    withdrawal = Withdrawal(site.library(), site.outbox, STUDY, frozenset({"library"}))
    withdrawal.make("library", lambda *_: append(arrived, "note "), SOURCES, NOW, now=NOW)


def append(file: Path, words: str) -> None:
    with file.open("a") as stream:
        stream.write(words)


@pytest.mark.slow
def test_a_sender_may_be_killed_anywhere_and_what_it_sent_is_withdrawn() -> None:
    for site, arrived in killed_at_each_line(send_it):
        site.reject()
        done = site.withdraw()
        assert done.being_sent == 0
        if done.unsure:
            site.withdraw(minutes=15)
        assert [name for name, _ in site.told][: len(arrived)] == ["library"] * len(arrived)
        assert site.crosswalk.to_withdraw() == ()


@pytest.mark.slow
def test_a_withdrawal_may_be_killed_anywhere_and_no_copy_is_forgotten_without_a_note() -> None:
    for site, arrived in killed_at_each_line(withdraw_it):
        if site.crosswalk.of_copy(COPY) is None:
            assert "note" in arrived
            continue
        begun = site.crosswalk.missing([COPY], "library") == ()
        site.reject()
        done = site.withdraw()
        assert done.noted >= begun
        if done.unsure:
            site.withdraw(minutes=15)
        assert site.crosswalk.to_withdraw() == ()
