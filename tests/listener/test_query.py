"""C-FIND: everything the archive holds, told where it may be less, and bounds on what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from archive import Answers, Archive, archive
from pydicom import DataElement, Dataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from station import LOOPBACK, eventually, radiograph

from listener.destination_settings import DestinationSettings
from listener.errors import QueryError
from listener.query import ArchiveQuery, QueryLimits, StudyEntry

DAY = date(2024, 1, 1)
NAME = "Geheim^Gustav"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Archive, DestinationSettings]]:
    with archive() as it:
        yield it


@pytest.fixture
def pacs(running: tuple[Archive, DestinationSettings]) -> tuple[Archive, DestinationSettings]:
    running[0].reset()
    return running


def held(number: int, **given: Any) -> Dataset:
    """Return an image of the day, a minute apart from the next."""
    one = radiograph(study=f"1.2.{number}", instance=f"1.2.{number}.1.1")
    one.SeriesInstanceUID = f"1.2.{number}.1"
    one.StudyTime = f"{number // 60:02d}{number % 60:02d}00"
    one.PatientName = NAME
    for keyword, value in given.items():
        setattr(one, keyword, value)
    return one


def uids(entries: tuple[StudyEntry, ...]) -> set[str]:
    return {entry.uid for entry in entries}


def test_studies_series_and_instances_are_listed_with_what_the_archive_says_of_them(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(1, StudyDescription="Handgelenk", BodyPartExamined="WRIST")]
    with ArchiveQuery(where, "WRISTMIR") as query:
        (study,) = query.studies(DAY, "CR").entries
        (series,) = query.series(study.uid).entries
        (instance,) = query.instances(study.uid, series.uid).entries
    assert study == StudyEntry("1.2.1", frozenset({"CR"}), "Handgelenk")
    assert (series.uid, series.modality, series.body_part) == ("1.2.1.1", "CR", "WRIST")
    assert instance.uid == "1.2.1.1.1"
    assert instance.sop_class_uid == there.holdings[0].SOPClassUID


def test_other_days_and_modalities_are_not_listed(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(1, StudyDate="20240102"), held(2, Modality="MR"), held(3)]
    with ArchiveQuery(where, "WRISTMIR") as query:
        assert uids(query.studies(DAY, "CR").entries) == {"1.2.3"}
        assert query.study("1.2.1").entries
        assert query.study("1.2.9").entries == ()


@pytest.mark.parametrize(
    "status", [0xA700, 0x0000, 0xC001], ids=["out of resources", "silent", "failure in the middle"]
)
def test_a_day_that_is_cut_is_asked_for_in_parts_until_it_is_whole(
    pacs: tuple[Archive, DestinationSettings], status: int
) -> None:
    there, where = pacs
    there.holdings = [held(number * 17) for number in range(1, 81)]
    there.limit, there.limit_status = 50, status
    with ArchiveQuery(where, "WRISTMIR") as query:
        found = query.studies(DAY, "CR")
    assert len(found.entries) == 80
    assert not found.cut


@pytest.mark.slow
def test_a_day_that_stays_cut_says_so(pacs: tuple[Archive, DestinationSettings]) -> None:
    there, where = pacs
    there.holdings = [held(number, StudyTime="101500") for number in range(1, 60)]
    there.limit, there.limit_status = 50, 0xA700
    with ArchiveQuery(where, "WRISTMIR") as query:
        found = query.studies(DAY, "CR")
    assert found.cut
    assert len(found.entries) == 50
    assert len(there.asked) < 20


@pytest.mark.slow
def test_an_archive_that_does_not_heed_the_time_is_not_asked_without_end(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(number) for number in range(1, 60)]
    there.limit, there.limit_status, there.heeds_time = 50, 0xA700, False
    with ArchiveQuery(where, "WRISTMIR") as query:
        assert query.studies(DAY, "CR").cut
    assert len(there.asked) == 3


def test_a_study_that_is_listed_twice_counts_once(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(1)]

    def twice(_: Any, answers: Answers) -> Answers:
        for answer in answers:
            yield from (answer, answer)

    there.behaves = twice
    with ArchiveQuery(where, "WRISTMIR") as query:
        found = query.studies(DAY, "CR")
    assert (len(found.entries), found.unusable) == (1, 0)


def test_answers_that_are_none_are_counted_and_left_out(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(1)]
    nameless, elsewhere, no_uid = Dataset(), Dataset(), Dataset()
    nameless.PatientName = NAME
    elsewhere.StudyInstanceUID, elsewhere.StudyDate = "1.2.77", "19990101"
    no_uid["StudyInstanceUID"] = DataElement(0x0020000D, "UI", "../../etc", validation_mode=0)

    def garbage(_: Any, answers: Answers) -> Answers:
        yield from ((0xFF00, one) for one in (nameless, elsewhere, no_uid))
        yield from answers

    there.behaves = garbage
    with ArchiveQuery(where, "WRISTMIR") as query:
        found = query.studies(DAY, "CR")
    assert (uids(found.entries), found.unusable) == ({"1.2.1"}, 3)


def test_an_archive_that_never_ends_is_stopped_and_said_to_be_cut(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs

    def endless(event: Any, _: Answers) -> Answers:
        for number in range(60):
            one = Dataset()
            one.StudyInstanceUID, one.StudyDate = f"1.2.{number}", "20240101"
            yield 0xFF00, one
        eventually(lambda: not event.assoc.is_established, 10)

    there.behaves = endless
    with ArchiveQuery(where, "WRISTMIR", QueryLimits(responses=30)) as query:
        found = query.study("")
        assert (len(found.entries), found.cut) == (30, True)
        there.behaves = lambda _, answers: answers
        there.holdings = [held(1)]
        assert query.study("1.2.1").entries  # over a new association


def test_a_question_that_takes_too_long_as_a_whole_is_given_up(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs

    def slow(event: Any, _: Answers) -> Answers:
        for _ in range(3):
            time.sleep(0.1)
            one = Dataset()
            one.StudyInstanceUID = "1.2.3"
            yield 0xFF00, one
        eventually(lambda: not event.assoc.is_established, 10)

    there.behaves = slow
    began = time.monotonic()
    with (
        ArchiveQuery(where, "WRISTMIR", QueryLimits(seconds=0.5)) as query,
        pytest.raises(QueryError, match="pacs did not answer in time"),
    ):
        query.studies(DAY, "CR")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "sent",
    [
        b"\x04\x00\x00\x00\x00\x0c" + b"\x00\x00\x00\x08\x01\x03garbage"[:12],
        b"\x04\x00\x40\x00\x00\x00" + b"\0" * 64,
        b"nonsense that is no PDU",
    ],
    ids=["a message that is none", "a PDU of 1 GiB", "no PDU"],
)
def test_what_is_no_answer_ends_the_question_with_a_reason(
    pacs: tuple[Archive, DestinationSettings], sent: bytes
) -> None:
    there, where = pacs

    def raw(event: Any, _: Answers) -> Answers:
        event.assoc.dul.socket.send(sent)
        eventually(lambda: not event.assoc.is_established, 3)
        yield from ()

    there.behaves = raw
    with (
        ArchiveQuery(where, "WRISTMIR") as query,
        pytest.raises(QueryError, match="pacs stopped in the middle"),
    ):
        query.studies(DAY, "CR")


def test_an_identifier_without_end_is_not_taken_into_memory(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs

    def huge(event: Any, _: Answers) -> Answers:
        one = Dataset()
        one.add_new(0x00091001, "OB", b"x" * 300_000)
        one.StudyInstanceUID = "1.2.3"
        yield 0xFF00, one
        eventually(lambda: not event.assoc.is_established, 10)

    there.behaves = huge
    with (
        ArchiveQuery(where, "WRISTMIR") as query,
        pytest.raises(QueryError, match="stopped in the middle"),
    ):
        query.study("1.2.3")


def test_an_archive_that_stops_in_the_middle_is_said_to_have(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(1), held(2)]

    def stops(event: Any, answers: Answers) -> Answers:
        yield next(answers)
        event.assoc.abort()
        eventually(lambda: not event.assoc.dul.is_alive(), 10)

    there.behaves = stops
    with (
        ArchiveQuery(where, "WRISTMIR") as query,
        pytest.raises(QueryError, match="stopped in the middle"),
    ):
        query.studies(DAY, "CR")


def test_an_association_that_was_given_up_meanwhile_is_made_anew(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs
    there.holdings = [held(1)]
    seen: list[Any] = []

    def noted(event: Any, answers: Answers) -> Answers:
        seen.append(event.assoc)
        return answers

    there.behaves = noted
    with ArchiveQuery(where, "WRISTMIR") as query:
        assert query.study("1.2.1").entries
        seen[0].abort()
        assert query.study("1.2.1").entries


def test_a_refusal_names_archive_and_status_and_no_patient(
    pacs: tuple[Archive, DestinationSettings],
) -> None:
    there, where = pacs

    def refuses(_: Any, answers: Answers) -> Answers:
        status = Dataset()
        status.Status, status.ErrorComment = 0xC000, NAME
        yield status, None  # type: ignore[misc]  # pynetdicom takes a status with its comment

    there.behaves = refuses
    with ArchiveQuery(where, "WRISTMIR") as query, pytest.raises(QueryError) as caught:
        query.studies(DAY, "CR")
    assert "pacs refused it with status 0xC000" in str(caught.value)
    assert NAME not in str(caught.value)


def test_an_archive_without_query_service_is_said_to_be() -> None:
    ae = AE("PACS")
    ae.add_supported_context(Verification)
    server = ae.start_server((LOOPBACK, 0), block=False)
    where = DestinationSettings(
        name="pacs", ae_title="PACS", host=LOOPBACK, port=server.server_address[1]
    )
    try:
        with (
            ArchiveQuery(where, "WRISTMIR") as query,
            pytest.raises(QueryError, match="accepts none of the presentation contexts"),
        ):
            query.studies(DAY, "CR")
    finally:
        server.shutdown()


def test_no_thread_is_left_behind(pacs: tuple[Archive, DestinationSettings]) -> None:
    there, where = pacs
    there.holdings = [held(1)]
    before = threading.active_count()
    with ArchiveQuery(where, "WRISTMIR") as query:
        query.studies(DAY, "CR")
    assert eventually(lambda: threading.active_count() <= before)
