"""Result sets that wait: durable, private, replaced until they are delivered, then only known."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from result_parts import NOW, header

from pipeline.outbox import Outbox
from pipeline.region import Region

QUERY = "1.2.3.0.1.1"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = opened(tmp_path)
    yield box
    box.close()


def opened(folder: Path) -> Outbox:
    return Outbox(folder / "outbox", f"sqlite:///{folder / 'outbox.sqlite3'}")


def report(number: int = 7) -> Dataset:
    return header(number, StudyInstanceUID="1.2.3.0")


def names(paths: tuple[Path, ...]) -> list[str]:
    return [str(dcmread(path).SOPInstanceUID) for path in paths]


def test_a_result_set_survives_the_process_that_put_it(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put("answer-1-1", QUERY, [header(5), header(6)], [report(7), report(8)], NOW)
    outbox.close()
    again = opened(tmp_path)
    assert names(again.copies("answer-1-1")) == ["1.2.3.5.1.1", "1.2.3.6.1.1"]
    assert names(again.results("answer-1-1")) == ["1.2.3.7.1.1", "1.2.3.8.1.1"]
    assert again.query_of("answer-1-1") == QUERY
    assert not again.is_delivered("answer-1-1")
    again.close()


def test_the_order_of_many_objects_is_kept(outbox: Outbox) -> None:
    copies = [header(number) for number in range(120, 100, -1)]
    outbox.put("answer-1-1", QUERY, copies, [report()], NOW)
    assert names(outbox.copies("answer-1-1")) == [str(copy.SOPInstanceUID) for copy in copies]


def test_only_the_owner_may_read_what_waits(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put("answer-1-1", QUERY, [header(5)], [report()], NOW)
    for path in (tmp_path / "outbox").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path.name
    assert stat.S_IMODE((tmp_path / "outbox.sqlite3").stat().st_mode) == 0o600


def test_putting_again_replaces_the_whole_set(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put("answer-1-1", QUERY, [header(5), header(6)], [report(7)], NOW)
    outbox.put("answer-1-1", QUERY, [], [report(8)], NOW)
    assert outbox.copies("answer-1-1") == ()
    assert names(outbox.results("answer-1-1")) == ["1.2.3.8.1.1"]
    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["answer-1-1"]


def test_what_a_killed_worker_left_half_written_is_no_result_set(
    outbox: Outbox, tmp_path: Path
) -> None:
    half = tmp_path / "outbox" / "answer-1-1.partial"
    half.mkdir()
    (half / "2-result-000.dcm").write_bytes(b"DI")
    assert outbox.results("answer-1-1") == ()
    outbox.put("answer-1-1", QUERY, [], [report(7)], NOW)
    assert names(outbox.results("answer-1-1")) == ["1.2.3.7.1.1"]
    assert not half.exists()


def test_delivery_lets_the_files_go_and_stays_known(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put("answer-1-1", QUERY, [header(5)], [report()], NOW)
    outbox.delivered("answer-1-1", NOW)
    assert outbox.is_delivered("answer-1-1")
    assert outbox.query_of("answer-1-1") == QUERY
    assert list((tmp_path / "outbox").iterdir()) == []


def test_what_is_delivered_is_not_put_again_by_a_worker_that_took_too_long(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.put("answer-1-1", QUERY, [], [report(7)], NOW)
    outbox.delivered("answer-1-1", NOW)
    outbox.put("answer-1-1", QUERY, [], [report(8)], NOW)
    assert outbox.is_delivered("answer-1-1")
    assert outbox.reports(QUERY) == {"1.2.3.7.1.1"}
    assert list((tmp_path / "outbox").iterdir()) == []


def test_the_predecessor_is_the_last_delivered_report_about_the_same_image(outbox: Outbox) -> None:
    for number, uid in ((1, QUERY), (2, QUERY), (3, "1.2.3.4"), (4, QUERY)):
        outbox.put(f"answer-{number}-1", uid, [], [report(10 + number)], NOW)
    assert outbox.predecessor(QUERY, "answer-5-1") is None  # nothing is delivered yet
    for number in (2, 1, 3):
        outbox.delivered(f"answer-{number}-1", NOW + timedelta(seconds=5 - number))
    before = outbox.predecessor(QUERY, "answer-5-1")
    assert before is not None
    assert before.sop_instance_uid == "1.2.3.11.1.1"
    assert before.study_uid == "1.2.3.0"
    own = outbox.predecessor(QUERY, "answer-1-1")
    assert own is not None
    assert own.sop_instance_uid == "1.2.3.12.1.1"
    assert outbox.reports(QUERY) == {"1.2.3.11.1.1", "1.2.3.12.1.1"}


def test_a_report_that_is_stored_can_be_replaced_before_it_counts_as_delivered(
    outbox: Outbox,
) -> None:
    outbox.put("answer-1-1", QUERY, [], [report(11)], NOW)
    outbox.stored("answer-1-1", NOW)
    outbox.stored("answer-1-1", NOW + timedelta(seconds=1))  # sent again: it was not kept
    before = outbox.predecessor(QUERY, "answer-2-1")
    assert before is not None
    assert before.sop_instance_uid == "1.2.3.11.1.1"
    assert outbox.reports(QUERY) == {"1.2.3.11.1.1"}
    assert not outbox.is_delivered("answer-1-1")
    assert outbox.results("answer-1-1")


def test_an_unknown_result_set_is_empty_and_not_delivered(outbox: Outbox) -> None:
    assert outbox.results("answer-9-9") == ()
    assert outbox.query_of("answer-9-9") is None
    assert not outbox.is_delivered("answer-9-9")


def test_a_report_replaces_only_one_whose_bones_it_answers_for_too(outbox: Outbox) -> None:
    radius, ulna = Region.DISTAL_RADIUS, Region.DISTAL_ULNA
    outbox.put("answer-1-1", QUERY, [], [report(11)], NOW, (radius,))
    outbox.delivered("answer-1-1", NOW)
    assert outbox.predecessor(QUERY, "answer-2-1", (ulna,)) is None
    assert outbox.predecessor(QUERY, "answer-2-1", (radius,)) is not None
    assert outbox.predecessor(QUERY, "answer-2-1", tuple(Region)) is not None


def test_what_answers_for_an_image_is_told_with_its_times(outbox: Outbox) -> None:
    outbox.put("answer-1-1", QUERY, [], [report(11)], NOW, (Region.DISTAL_ULNA,))
    outbox.put("answer-2-1", QUERY, [], [report(12)], NOW + timedelta(hours=1))
    outbox.put("answer-3-1", "1.2.3.4", [], [report(13)], NOW)
    outbox.delivered("answer-1-1", NOW + timedelta(minutes=2))
    first, second = outbox.about(QUERY)
    assert (first.result_id, first.regions) == ("answer-1-1", ("distal_ulna",))
    assert (first.created_at, first.delivered_at) == (NOW, NOW + timedelta(minutes=2))
    assert (second.result_id, second.delivered_at) == ("answer-2-1", None)


def test_the_companion_of_a_report_is_remembered_beside_it(outbox: Outbox) -> None:
    board = header(9, StudyInstanceUID="1.2.3.0")
    companion = header(8, StudyInstanceUID="1.2.3.0", Modality="SR")
    outbox.put("answer-1-1", QUERY, [], [report(7), companion, board], NOW)
    outbox.delivered("answer-1-1", NOW)
    known = outbox.predecessor(QUERY, "answer-2-1")
    assert known is not None
    assert known.sop_instance_uid == "1.2.3.7.1.1"
    assert known.companion is not None
    assert known.companion.sop_instance_uid == "1.2.3.8.1.1"
    assert outbox.reports(QUERY) == {"1.2.3.7.1.1", "1.2.3.8.1.1"}


def test_a_report_put_again_without_a_companion_has_none(outbox: Outbox) -> None:
    outbox.put("answer-1-1", QUERY, [], [report(7), header(8, Modality="SR")], NOW)
    outbox.put("answer-1-1", QUERY, [], [report(7)], NOW)
    outbox.delivered("answer-1-1", NOW)
    known = outbox.predecessor(QUERY, "answer-2-1")
    assert known is not None
    assert known.companion is None
    assert outbox.reports(QUERY) == {"1.2.3.7.1.1"}


# -- what is kept after it was delivered --------------------------------------------------


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "kept", f"sqlite:///{tmp_path / 'kept.sqlite3'}", timedelta(days=7))
    yield box
    box.close()


def kept(box: Outbox, now: datetime = NOW, **wanted: list[str]) -> list[str]:
    return [one.sop_instance_uid for one in box.kept(now, 100, **wanted)]


def test_what_was_delivered_is_kept_for_its_time_and_no_longer(keeping: Outbox) -> None:
    keeping.put("answer-1-1", QUERY, [header(5)], [report(7)], NOW)
    keeping.delivered("answer-1-1", NOW)
    last = NOW + timedelta(days=7) - timedelta(seconds=1)
    assert keeping.expire(last) == 0
    assert set(kept(keeping, last)) == {"1.2.3.5.1.1", "1.2.3.7.1.1"}
    assert [path.is_file() for path in keeping.results("answer-1-1")] == [True]
    over = NOW + timedelta(days=7)
    assert kept(keeping, over) == []  # whether or not somebody has deleted it yet
    assert keeping.expire(over) == 1
    assert keeping.results("answer-1-1") == ()
    assert keeping.is_delivered("answer-1-1")


def test_only_what_the_destination_has_can_be_asked_for(keeping: Outbox) -> None:
    keeping.put("answer-1-1", QUERY, [], [report(7)], NOW)
    assert kept(keeping) == []
    keeping.stored("answer-1-1", NOW)
    assert kept(keeping) == ["1.2.3.7.1.1"]


def test_it_is_asked_for_by_uids_of_every_level(keeping: Outbox) -> None:
    keeping.put("answer-1-1", QUERY, [header(5), header(6)], [report(7)], NOW)
    keeping.delivered("answer-1-1", NOW)
    assert kept(keeping, studies=["1.2.3.0"]) == ["1.2.3.7.1.1"]
    assert kept(keeping, series=["1.2.3.5.1", "1.2.3.9.1"]) == ["1.2.3.5.1.1"]
    assert kept(keeping, instances=["1.2.3.6.1.1"]) == ["1.2.3.6.1.1"]
    assert kept(keeping, studies=["1.2.3.0"], instances=["1.2.3.6.1.1"]) == []


def test_a_copy_of_several_result_sets_is_one_object_and_its_file_is_there(
    keeping: Outbox,
) -> None:
    for number, at in ((1, NOW), (2, NOW + timedelta(days=3))):
        keeping.put(f"answer-{number}-1", QUERY, [header(5)], [report(10 + number)], at)
        keeping.delivered(f"answer-{number}-1", at)
    later = NOW + timedelta(days=8)
    keeping.expire(later)
    (copy,) = keeping.kept(later, 100, instances=["1.2.3.5.1.1"])
    assert copy.path.is_file()
    assert len(keeping.kept(later, 1)) == 1


# -- what was withdrawn ---------------------------------------------------------------------


def test_results_that_refer_to_a_withdrawn_copy_are_found_no_more(keeping: Outbox) -> None:
    copy = "1.2.3.5.1.1"
    keeping.put("answer-1-1", QUERY, [header(5)], [report(7)], NOW, refers=[copy])
    keeping.put("answer-2-1", QUERY, [], [report(8)], NOW, refers=[copy])  # it was there already
    keeping.put("answer-3-1", QUERY, [header(6)], [report(9)], NOW, refers=["1.2.3.6.1.1"])
    for name in ("answer-1-1", "answer-2-1", "answer-3-1"):
        keeping.delivered(name, NOW)
    assert keeping.withdraw([copy], NOW) == 2
    assert set(kept(keeping)) == {"1.2.3.6.1.1", "1.2.3.9.1.1"}
    assert keeping.results("answer-1-1") == keeping.results("answer-2-1") == ()
    assert keeping.withdraw([copy], NOW) == 0


def test_what_nobody_has_committed_to_yet_counts_as_delivered_when_it_is_withdrawn(
    keeping: Outbox,
) -> None:
    keeping.put("answer-1-1", QUERY, [header(5)], [report(7)], NOW)
    keeping.stored("answer-1-1", NOW)
    assert keeping.withdraw(["1.2.3.5.1.1"], NOW) == 1  # known by the copy that went along
    assert keeping.is_delivered("answer-1-1")
    assert kept(keeping) == []


def test_what_waits_for_its_delivery_is_left_to_who_delivers_it(keeping: Outbox) -> None:
    keeping.put("answer-1-1", QUERY, [header(5)], [report(7)], NOW, refers=["1.2.3.5.1.1"])
    assert keeping.withdraw(["1.2.3.5.1.1"], NOW) == 0
    assert len(keeping.results("answer-1-1")) == 1


def test_what_can_be_made_anew_is_there_while_it_is_sent_and_then_gone(outbox: Outbox) -> None:
    with outbox.passing("copies-1", [header(5), header(6)]) as paths:
        assert [str(dcmread(path).SOPInstanceUID) for path in paths] == [
            "1.2.3.5.1.1",
            "1.2.3.6.1.1",
        ]
    assert not any(path.exists() for path in paths)
    with pytest.raises(OSError, match="away"), outbox.passing("copies-1", [header(5)]) as paths:
        raise OSError(5, "away")
    assert not paths[0].parent.exists()


def test_what_a_kill_left_of_it_is_swept_by_the_next(outbox: Outbox) -> None:
    with outbox.passing("copies-1", [header(5), header(6)]) as paths:
        left = paths[1].read_bytes()
    paths[1].parent.mkdir()
    paths[1].write_bytes(left)
    with outbox.passing("copies-1", [header(5)]) as again:
        assert list(again[0].parent.iterdir()) == list(again)
