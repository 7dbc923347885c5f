from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from invented_exams import quick_folder
from result_parts import NOW

from pipeline.crosswalk import Crosswalk, LibraryCopy, LookedUp, RejectedCopy
from pipeline.errors import (
    KeyFileError,
    PictureWithheldError,
    PriorRejectedError,
    SealError,
)
from pipeline.key_file import KeyFile

# invented, and long enough not to stand in a file by chance
SOURCE, STUDY = "1.2.840.99999.47114711.1", "1.2.840.99999.47114711"
COPY = "2.25.329800735698586629295641978511506172918"


def opened(folder: Path, looked_up: LookedUp = lambda *_: None) -> Crosswalk:
    url = f"sqlite:///{folder / 'crosswalk.db'}"
    return Crosswalk(url, KeyFile(folder / "key" / "key"), lambda: NOW, looked_up)


@pytest.fixture
def crosswalk(tmp_path: Path) -> Iterator[Crosswalk]:
    with closing(opened(tmp_path)) as it:
        yield it


def test_a_copy_leads_to_its_source_and_back(crosswalk: Crosswalk) -> None:
    kept = crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")

    assert crosswalk.of_copy("2.25.1") == kept
    assert crosswalk.of_source("1.2.3.4") == kept
    assert kept.created_at == NOW
    assert kept.created_at.utcoffset() == timedelta(0)


def test_every_way_back_to_a_source_is_told_found_or_not(tmp_path: Path) -> None:
    told: list[tuple[str, LibraryCopy | None]] = []
    crosswalk = opened(tmp_path, lambda *answer: told.append(answer))
    kept = crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")
    crosswalk.of_source("1.2.3.4")
    assert told == []  # who asks for the copy knows the source
    crosswalk.of_copy("2.25.1")
    crosswalk.of_copy("2.25.2")
    crosswalk.close()
    assert told == [("2.25.1", kept), ("2.25.2", None)]


def test_what_was_never_kept_is_not_found(crosswalk: Crosswalk) -> None:
    assert crosswalk.of_copy("2.25.1") is None
    assert crosswalk.of_source("1.2.3.4") is None


def test_keeping_a_copy_twice_changes_nothing(crosswalk: Crosswalk) -> None:
    first = crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")

    assert crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3") == first


def test_the_copy_of_a_source_is_that_of_its_latest_version(crosswalk: Crosswalk) -> None:
    crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3", version=1)
    latest = crosswalk.keep("2.25.2", "1.2.3.4", "1.2.3", version=2)

    assert crosswalk.of_source("1.2.3.4") == latest


def test_a_copy_is_missing_at_a_destination_until_it_is_delivered_there(
    crosswalk: Crosswalk,
) -> None:
    for number in (1, 2):
        crosswalk.keep(f"2.25.{number}", f"1.2.3.{number}", "1.2.3")
    crosswalk.begin_delivery(["2.25.1"], "library")
    assert crosswalk.missing(["2.25.1"], "library") == ("2.25.1",)  # nobody has acknowledged it
    crosswalk.mark_delivered(["2.25.1"], "library")
    crosswalk.begin_delivery(["2.25.1"], "library")

    assert crosswalk.missing(["2.25.2", "2.25.1", "2.25.2"], "library") == ("2.25.2",)
    assert crosswalk.missing(["2.25.1"], "other") == ("2.25.1",)


def test_a_copy_that_is_not_known_or_was_rejected_may_not_be_sent(crosswalk: Crosswalk) -> None:
    crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    crosswalk.keep("2.25.2", "1.2.3.2", "1.2.3")
    crosswalk.reject("1.2.3", {"1.2.3.2": "113001"})
    for refused in ("2.25.2", "2.25.9"):
        with pytest.raises(PriorRejectedError):
            crosswalk.begin_delivery(["2.25.1", refused], "library")
    assert crosswalk.rejected("1.2.3")[0].destinations == frozenset()


def test_a_copy_whose_delivery_nobody_saw_end_may_be_at_its_destination(
    crosswalk: Crosswalk,
) -> None:
    crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    crosswalk.begin_delivery(["2.25.1"], "library")
    crosswalk.begin_delivery(["2.25.1"], "other")
    crosswalk.mark_delivered(["2.25.1"], "other")
    crosswalk.reject("1.2.3", {"1.2.3.1": "113001"})
    (rejected,) = crosswalk.rejected("1.2.3")
    assert rejected.destinations == {"library", "other"}
    assert rejected.unsure == {"library"}


def test_a_copy_that_is_stored_and_not_committed_to_is_missing_and_may_be_lost(
    crosswalk: Crosswalk,
) -> None:
    first, second, third = (crosswalk.keep(f"2.25.{n}", f"1.2.3.{n}", "1.2.3") for n in (1, 2, 3))
    uids = [one.copy_uid for one in (first, second, third)]
    crosswalk.begin_delivery(uids, "library")
    crosswalk.mark_stored(uids, "library")
    assert crosswalk.missing(uids, "library") == tuple(uids)
    assert set(crosswalk.stored("1.2.3", "library")) == {first, second, third}
    assert crosswalk.stored("1.2.3", "other") == crosswalk.stored("1.2.4", "library") == ()
    crosswalk.mark_delivered(uids[:1], "library")
    crosswalk.mark_lost(uids[1:2], "library")
    crosswalk.rotate_key()
    assert crosswalk.missing(uids, "library") == tuple(uids[1:])
    assert crosswalk.stored("1.2.3", "library") == (third,)
    crosswalk.reject("1.2.3", {f"1.2.3.{number}": "113001" for number in (1, 2, 3)})
    unsure = {one.copy.copy_uid for one in crosswalk.rejected("1.2.3") if one.unsure}
    assert unsure == {second.copy_uid}  # it has acknowledged the others
    assert crosswalk.stored("1.2.3", "library") == ()


def test_the_copies_of_what_was_rejected_are_told_with_reason_and_places(
    crosswalk: Crosswalk,
) -> None:
    kept = crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    crosswalk.keep("2.25.2", "1.2.3.2", "1.2.3")
    crosswalk.keep("2.25.3", "1.2.4.1", "1.2.4")
    delivered(crosswalk, "2.25.1")

    assert crosswalk.reject("1.2.3", {"1.2.3.1": "113037", "1.2.3.9": "113001"})
    assert crosswalk.rejected("1.2.3") == (RejectedCopy(kept, "113037", frozenset({"library"})),)
    assert crosswalk.unknown(["2.25.1", "2.25.2", "2.25.3", "2.25.9"]) == ("2.25.1", "2.25.9")


def test_a_withdrawn_copy_is_forgotten_and_never_kept_again(crosswalk: Crosswalk) -> None:
    kept = crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    crosswalk.reject("1.2.3", {"1.2.3.1": "113001"})
    crosswalk.forget([kept], "library")

    assert crosswalk.of_copy("2.25.1") is None
    assert crosswalk.rejected("1.2.3") == ()
    with pytest.raises(PictureWithheldError, match="rejected"):
        crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")


def test_a_copy_at_two_destinations_is_forgotten_with_the_second(crosswalk: Crosswalk) -> None:
    kept = crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    for destination in ("library", "old"):
        crosswalk.begin_delivery(["2.25.1"], destination)
        crosswalk.mark_delivered(["2.25.1"], destination)
    crosswalk.reject("1.2.3", {"1.2.3.1": "113001"})
    crosswalk.forget([kept], "library")
    assert [one.destinations for one in crosswalk.rejected("1.2.3")] == [{"old"}]
    crosswalk.forget([kept], "old")
    assert crosswalk.rejected("1.2.3") == ()


def test_what_is_still_to_be_withdrawn_is_told_of_every_study(crosswalk: Crosswalk) -> None:
    kept = [crosswalk.keep(f"2.25.{n}", f"1.2.{n}.1", f"1.2.{n}") for n in (1, 2, 3)]
    crosswalk.reject("1.2.1", {"1.2.1.1": "113001"})
    crosswalk.reject("1.2.3", {"1.2.3.1": "113037", "1.2.3.9": "113001"})
    told = {one.copy: one.reason for one in crosswalk.to_withdraw()}
    assert told == {kept[0]: "113001", kept[2]: "113037"}


def test_a_destination_that_is_gone_is_forgotten_with_what_is_to_be_withdrawn_there(
    crosswalk: Crosswalk,
) -> None:
    for number in (1, 2, 3):
        crosswalk.keep(f"2.25.{number}", f"1.2.3.{number}", "1.2.3")
    for uid, destination in (("2.25.1", "old"), ("2.25.2", "old"), ("2.25.2", "library")):
        crosswalk.begin_delivery([uid], destination)
        crosswalk.mark_delivered([uid], destination)
    crosswalk.reject("1.2.3", {"1.2.3.1": "113001", "1.2.3.2": "113001"})
    assert crosswalk.forget_destination("old") == 2
    (left,) = crosswalk.to_withdraw()
    assert (left.copy.copy_uid, left.destinations) == ("2.25.2", {"library"})
    assert crosswalk.of_copy("2.25.3") is not None  # nobody has rejected it
    assert crosswalk.forget_destination("old") == 0


def test_what_is_no_longer_rejected_may_have_copies_again(crosswalk: Crosswalk) -> None:
    crosswalk.reject("1.2.3", {"1.2.3.1": "113001"})
    assert not crosswalk.reject("1.2.3", {})

    assert crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3").copy_uid == "2.25.1"


def test_where_not_every_note_could_be_read_what_was_rejected_stays_so(
    crosswalk: Crosswalk,
) -> None:
    crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    crosswalk.reject("1.2.3", {"1.2.3.1": "113001"})
    assert crosswalk.reject("1.2.3", {"1.2.3.2": "113037"}, as_well=True)
    assert [one.reason for one in crosswalk.rejected("1.2.3")] == ["113001"]


def test_it_is_still_there_after_a_restart(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as first:
        kept = first.keep("2.25.1", "1.2.3.4", "1.2.3")
    with closing(opened(tmp_path)) as second:
        assert second.of_copy("2.25.1") == kept


def test_only_its_owner_may_read_it_its_log_and_its_key(tmp_path: Path) -> None:
    (tmp_path / "crosswalk.db").touch(0o644)
    with closing(opened(tmp_path)) as crosswalk:
        crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")

        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) >= 3
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o700


# -- the seal -----------------------------------------------------------------------------


def test_no_uid_can_be_read_in_the_file_or_its_log(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as crosswalk:
        kept = crosswalk.keep(COPY, SOURCE, STUDY)
        delivered(crosswalk, COPY)
        crosswalk.reject(STUDY, {SOURCE: "113001"})
        assert crosswalk.of_copy(COPY) == kept
        unreadable(tmp_path)
    unreadable(tmp_path)


@pytest.mark.slow
def test_a_table_of_a_release_that_sealed_nothing_is_sealed_once(tmp_path: Path) -> None:
    for number in range(300):  # several pages, some of them free
        unsealed(tmp_path, f"{COPY}{number}", f"{SOURCE}.{number}")
    unsealed_delivery(tmp_path, f"{COPY}7")
    assert SOURCE.encode() in (tmp_path / "crosswalk.db").read_bytes()

    with closing(opened(tmp_path)) as crosswalk:
        unreadable(tmp_path)  # at once, not only when it is closed
        found = crosswalk.of_copy(f"{COPY}7")
        assert found == LibraryCopy(f"{COPY}7", f"{SOURCE}.7", STUDY, 1, NOW)
        uids = [f"{COPY}{number}" for number in range(300)]
        assert set(uids) - set(crosswalk.missing(uids, "library")) == {f"{COPY}7"}
        assert crosswalk.unknown(uids) == ()


def test_what_a_kill_left_unsealed_in_the_file_is_gone_at_the_next_opening(tmp_path: Path) -> None:
    unsealed(tmp_path, COPY, SOURCE)
    with closing(opened(tmp_path)):
        pass
    # as if it had been killed before the file was made anew
    with closing(sqlite3.connect(tmp_path / "crosswalk.db")) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("CREATE TABLE rest (words TEXT)")
        connection.execute("INSERT INTO rest VALUES (?)", (SOURCE,))
        connection.execute("DROP TABLE rest")
        connection.execute("UPDATE seal SET is_clean = 0")
        connection.commit()
    assert SOURCE.encode() in (tmp_path / "crosswalk.db").read_bytes()
    with closing(opened(tmp_path)):
        unreadable(tmp_path)


@pytest.mark.parametrize("how", ["lost", "another", "short", "open to all"])
def test_without_its_key_it_is_not_opened_and_says_so(tmp_path: Path, how: str) -> None:
    with closing(opened(tmp_path)) as crosswalk:
        crosswalk.keep(COPY, SOURCE, STUDY)
    key = tmp_path / "key" / "key"
    if how == "open to all":
        key.chmod(0o604)
    else:
        key.unlink()
    if how in ("another", "short"):
        key.write_bytes(bytes(32 if how == "another" else 31))
        key.chmod(0o600)
    before = (tmp_path / "crosswalk.db").read_bytes()

    with pytest.raises(KeyFileError, match=str(key)):
        opened(tmp_path)
    assert key.exists() == (how != "lost")  # none is made in its place
    assert (tmp_path / "crosswalk.db").read_bytes() == before


@pytest.mark.parametrize("change", ["sealed = zeroblob(120)", "version = 2", "source_mark = 'x'"])
def test_a_row_that_was_changed_is_noticed(tmp_path: Path, change: str) -> None:
    with closing(opened(tmp_path)) as crosswalk:
        crosswalk.keep(COPY, SOURCE, STUDY)
        with closing(sqlite3.connect(tmp_path / "crosswalk.db")) as connection:
            connection.execute(f"UPDATE sealed_copy SET {change}")  # noqa: S608 - of this file
            connection.commit()
        with pytest.raises(SealError):
            crosswalk.of_copy(COPY)


def test_the_same_words_are_sealed_in_another_way_each_time(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        (folder / "key").mkdir(parents=True)
        (folder / "key" / "key").write_bytes(b"k" * 32)
        (folder / "key" / "key").chmod(0o600)
        with closing(opened(folder)) as crosswalk:
            crosswalk.keep(COPY, SOURCE, STUDY)
    one, two = (sealed(tmp_path / name) for name in ("one", "two"))
    assert one[:4] == two[:4]  # marks: what is looked for can be found
    assert one[4] != two[4]


# -- another key --------------------------------------------------------------------------


def test_after_a_rotation_the_old_key_opens_nothing_and_the_new_one_everything(
    tmp_path: Path,
) -> None:
    with closing(opened(tmp_path)) as crosswalk:
        kept = filled(crosswalk)
        shutil.copytree(tmp_path / "key", tmp_path / "old")
        before = sealed(tmp_path)
        assert crosswalk.rotate_key() == 2
        assert crosswalk.of_copy(COPY) == kept
    assert not set(before) & set(sealed(tmp_path)) - {1}
    with closing(opened(tmp_path)) as again:
        whole(again, kept)
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["key"]
    shutil.rmtree(tmp_path / "key")
    (tmp_path / "old").rename(tmp_path / "key")
    with pytest.raises(KeyFileError, match="another key"):
        opened(tmp_path)


def test_who_has_it_open_while_the_key_changes_goes_on_with_the_new_one(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as worker, closing(opened(tmp_path)) as command:
        kept = filled(worker)
        command.rotate_key()
        whole(worker, kept)
        worker.keep("2.25.9", "1.2.9.1", "1.2.9")
        command.rotate_key()
        command.rotate_key()
        assert command.of_source("1.2.9.1") == worker.of_copy("2.25.9")


def test_who_cannot_read_the_new_key_writes_nothing_with_the_old_one(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as worker:
        filled(worker)
        shutil.copytree(tmp_path / "key", tmp_path / "credential")
        url = f"sqlite:///{tmp_path / 'crosswalk.db'}"
        with closing(Crosswalk(url, KeyFile(tmp_path / "credential" / "key"))) as handed:
            worker.rotate_key()
            with pytest.raises(KeyFileError, match="another key"):
                handed.keep("2.25.9", "1.2.9.1", "1.2.9")


@pytest.mark.slow
def test_a_kill_at_any_line_of_a_rotation_leaves_a_key_that_opens_it() -> None:
    """Kill -9 at every line of this project's that a rotation runs, in turn."""
    context = multiprocessing.get_context("fork")
    with quick_folder() as folder:
        kills, between, kept = 0, 0, None
        while True:
            shutil.rmtree(folder / "site", ignore_errors=True)
            (folder / "site").mkdir()
            with closing(opened(folder / "site")) as crosswalk:
                kept = filled(crosswalk)
            child = context.Process(target=rotate_and_die, args=(folder / "site", kills))
            child.start()
            child.join(60)
            if child.exitcode == 0:
                break
            assert child.exitcode == -signal.SIGKILL
            kills += 1
            between += (folder / "site" / "key" / "key.next").exists()
            with closing(opened(folder / "site")) as again:
                whole(again, kept)
                again.rotate_key()
                whole(again, kept)
    assert kills > 50
    assert between > 10  # it was killed with both keys there


def rotate_and_die(folder: Path, after: int) -> None:
    """Change the key, and be killed after so many lines of it."""
    crosswalk, lines = opened(folder), 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if "/pipeline/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines += 1
            if lines > after:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    crosswalk.rotate_key()
    sys.settrace(None)
    os._exit(0)


def filled(crosswalk: Crosswalk) -> LibraryCopy:
    """Keep two copies, one of them delivered, and a source that was rejected."""
    kept = crosswalk.keep(COPY, SOURCE, STUDY)
    crosswalk.keep("2.25.2", "1.2.4.1", "1.2.4")
    delivered(crosswalk, COPY)
    crosswalk.reject("1.2.4", {"1.2.4.1": "113001"})
    return kept


def delivered(crosswalk: Crosswalk, copy_uid: str) -> None:
    crosswalk.begin_delivery([copy_uid], "library")
    crosswalk.mark_delivered([copy_uid], "library")


def whole(crosswalk: Crosswalk, kept: LibraryCopy) -> None:
    """Find everything that `filled` has kept."""
    assert crosswalk.of_copy(COPY) == crosswalk.of_source(SOURCE) == kept
    assert crosswalk.missing([COPY, "2.25.2"], "library") == ("2.25.2",)
    (rejected,) = crosswalk.rejected("1.2.4")
    assert (rejected.copy.copy_uid, rejected.reason) == ("2.25.2", "113001")


def unreadable(folder: Path) -> None:
    files = [path for path in folder.iterdir() if path.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        assert [word for word in (SOURCE, STUDY, COPY) if word.encode() in content] == []


def sealed(folder: Path) -> tuple[Any, ...]:
    """Return the first copy's row as it stands in the file."""
    with closing(sqlite3.connect(folder / "crosswalk.db")) as connection:
        columns = "copy_mark, source_mark, study_mark, version, sealed"
        query = f"SELECT {columns} FROM sealed_copy ORDER BY rowid"  # noqa: S608 - of this file
        return tuple(connection.execute(query).fetchone())


def unsealed(folder: Path, copy_uid: str, source_uid: str) -> None:
    """Keep a copy as a release before the seal did."""
    with closing(sqlite3.connect(folder / "crosswalk.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(_UNSEALED)
        values = copy_uid, source_uid, STUDY, 1, NOW.isoformat()
        connection.execute("INSERT INTO copy VALUES (?, ?, ?, ?, ?)", values)
        connection.commit()


def unsealed_delivery(folder: Path, copy_uid: str) -> None:
    with closing(sqlite3.connect(folder / "crosswalk.db")) as connection:
        values = copy_uid, "library", NOW.isoformat()
        connection.execute("INSERT INTO delivery VALUES (?, ?, ?)", values)
        connection.commit()


_UNSEALED = """
CREATE TABLE IF NOT EXISTS copy (
    copy_uid VARCHAR(64) NOT NULL PRIMARY KEY, source_uid VARCHAR(64) NOT NULL,
    source_study_uid VARCHAR(64) NOT NULL, version INTEGER NOT NULL,
    created_at VARCHAR(32) NOT NULL, UNIQUE (source_uid, version));
CREATE INDEX IF NOT EXISTS ix_copy_source_uid ON copy (source_uid);
CREATE INDEX IF NOT EXISTS ix_copy_source_study_uid ON copy (source_study_uid);
CREATE TABLE IF NOT EXISTS delivery (
    copy_uid VARCHAR(64) NOT NULL, destination VARCHAR(64) NOT NULL,
    delivered_at VARCHAR(32) NOT NULL, PRIMARY KEY (copy_uid, destination),
    FOREIGN KEY(copy_uid) REFERENCES copy (copy_uid));
"""
