"""C-FIND, C-GET and C-MOVE of what is held, over real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from audit_parts import (
    BEGIN,
    QUERIED,
    STARTS,
    STOPS,
    TRANSFERRED,
    audit_file,
    classes,
    ended,
    kind,
    objects,
    participants,
    queries,
    trail,
    who_asked,
)
from pydicom import Dataset, config
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from shelf import BOARD, REPORT, Shelf, result
from station import LOOPBACK, Station, eventually, station
from wire import Wire, command

from listener.destination_settings import DestinationSettings
from listener.query import ArchiveQuery
from listener.settings import PeerSettings
from listener.study_root import FIND, GET, MOVE

PENDING, UNMATCHED, SUCCESS, CANCELLED = 0xFF00, 0xFF01, 0x0000, 0xFE00


def filled(folder: Path) -> Shelf:
    folder.mkdir()
    it = Shelf(folder)
    it.put(
        result(1),
        result(1, 2, sop_class=BOARD),
        result(2, name="Erfunden^Änne"),
        result(2, 1, 2),
        result(3, name="Uydurma^Ali"),
    )
    return it


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Run a station for all who only ask."""
    folder = tmp_path_factory.mktemp("asked")
    with station(folder / "state", holdings=filled(folder / "shelf"), idle_seconds=60) as it:
        yield it


@pytest.fixture(scope="module")
def line(link: Station) -> Iterator[Association]:
    """Hold an association for one question after the other."""
    association = link.associate(FIND)
    assert association.is_established
    yield association
    association.release()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return filled(tmp_path / "shelf")


@pytest.fixture
def own(tmp_path: Path, shelf: Shelf) -> Iterator[Station]:
    """Run a station over a shelf that is the test's own."""
    with station(tmp_path / "state", holdings=shelf) as it:
        yield it


def asked(level: str, **keys: str) -> Dataset:
    one = Dataset()
    one.SpecificCharacterSet = "ISO_IR 192"
    one.QueryRetrieveLevel = level
    with config.disable_value_validation():
        for name, value in keys.items():
            setattr(one, name, value)
    return one


def find(
    link: Station, question: Dataset, syntax: str = ExplicitVRLittleEndian, **who: str
) -> tuple[list[int], list[Dataset]]:
    """Return the statuses of all responses, and the answers."""
    association = link.associate(FIND, syntaxes=(syntax,), **who)
    assert association.is_established
    came = list(association.send_c_find(question, FIND))
    association.release()
    answers = [one for _, one in came if one is not None]
    return [int(status.Status) for status, _ in came], answers


class Getter:
    """Retrieves by C-GET and keeps what it is sent."""

    def __init__(self, link: Station, *, status: int = SUCCESS, max_pdu: int = 16382) -> None:
        self.got: list[Dataset] = []
        self.status = status
        ae = AE("PACS")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(GET, ExplicitVRLittleEndian)
        roles = []
        for sop_class in (REPORT, BOARD):
            ae.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
            roles.append(build_role(sop_class, scp_role=True))
        self.association = ae.associate(
            LOOPBACK,
            link.port,
            ae_title="WRISTMIR",
            ext_neg=roles,
            max_pdu=max_pdu,
            evt_handlers=[(evt.EVT_C_STORE, self._take)],
        )
        assert self.association.is_established

    def _take(self, event: Any) -> int:
        self.got.append(event.dataset)
        return self.status

    def get(self, question: Dataset) -> tuple[Dataset, Dataset | None]:
        """Return the final response with its identifier."""
        responses = list(self.association.send_c_get(question, GET))
        self.association.release()
        return responses[-1]


@contextmanager
def moving(tmp_path: Path, shelf: Shelf, **changes: Any) -> Iterator[tuple[Station, Any]]:
    """Run a station beside a system that it may send to, and what that has got."""
    with ExitStack() as stack:
        pacs, there = stack.enter_context(receiving())
        link = stack.enter_context(
            station(tmp_path / "state", holdings=shelf, destinations=(there,), **changes)
        )
        yield link, pacs


@contextmanager
def receiving() -> Iterator[tuple[list[Any], DestinationSettings]]:
    """Run a system that takes what it is sent, until the block ends."""
    got: list[Any] = []
    ae = AE("PACS2")
    for sop_class in (REPORT, BOARD):
        ae.add_supported_context(sop_class, ExplicitVRLittleEndian)
    sockets: list[Any] = []

    def take(event: Any) -> int:
        got.append(event.request)
        return SUCCESS

    def opened(event: Any) -> None:
        sockets.append(event.assoc.dul.socket.socket)

    handlers: list[Any] = [(evt.EVT_C_STORE, take), (evt.EVT_CONN_OPEN, opened)]
    server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=handlers)
    port = server.server_address[1]
    try:
        yield (
            got,
            DestinationSettings(
                name="second", ae_title="PACS2", host=LOOPBACK, port=port, timeout_seconds=3
            ),
        )
    finally:
        server.shutdown()
        for one in sockets:
            one.close()


def move(
    link: Station, question: Dataset, destination: str = "PACS2"
) -> list[tuple[Dataset, Dataset | None]]:
    association = link.associate(MOVE)
    assert association.is_established
    responses = list(association.send_c_move(question, destination, MOVE))
    association.release()
    return responses


# -- C-FIND -------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_studies_are_found_by_any_key_and_answered_with_those_that_were_asked_for(
    link: Station, syntax: str
) -> None:
    keys = {"StudyInstanceUID": "", "PatientName": "", "ModalitiesInStudy": ""}
    keys |= {"NumberOfStudyRelatedInstances": "", "AccessionNumber": "A1"}
    statuses, (one,) = find(link, asked("STUDY", **keys), syntax)
    assert statuses == [PENDING, SUCCESS]
    assert one.StudyInstanceUID == "1.2.3.1"
    assert one.PatientName == "Invented^Ines"
    assert sorted(one.ModalitiesInStudy) == ["OT", "SR"]
    assert one.NumberOfStudyRelatedInstances == 2
    assert one.RetrieveAETitle == "WRISTMIR"
    assert one.InstanceAvailability == "ONLINE"
    assert "StudyDescription" not in one
    assert "PatientID" not in one


@pytest.mark.parametrize(
    ("key", "value", "studies"),
    [
        ("StudyInstanceUID", "", "123"),
        ("StudyInstanceUID", "1.2.3.2", "2"),
        ("StudyInstanceUID", "1.2.3.2\\1.2.3.3\\1.2.3.9", "23"),
        ("StudyDate", "20240102", "2"),
        ("StudyDate", "20240102-", "23"),
        ("StudyDate", "-20240102", "12"),
        ("StudyDate", "20240102-20240102", "2"),
        ("StudyTime", "1015", "123"),
        ("StudyTime", "1016-", ""),
        ("StudyTime", "1000-1015", "123"),
        ("PatientID", "INVENTED-3", "3"),
        ("PatientID", "INVENTED-?", "123"),
        ("PatientID", "*", "123"),
        ("PatientID", "INVENTED", ""),
        ("PatientName", "erfunden^änne", "2"),
        ("PatientName", "ERFUNDEN*", "2"),
        ("PatientName", "[EU]*", ""),
        ("PatientName", "*^*", "123"),
        ("PatientName", "Uydurma^Ali^^", "3"),
        ("ModalitiesInStudy", "OT", "1"),
        ("ModalitiesInStudy", "S*", "123"),
        ("NumberOfStudyRelatedInstances", "1", "3"),
    ],
)
def test_a_value_is_matched_as_the_standard_says(
    line: Association, key: str, value: str, studies: str
) -> None:
    question = asked("STUDY", **({"StudyInstanceUID": ""} | {key: value}))
    came = list(line.send_c_find(question, FIND))
    assert [status.Status for status, _ in came] == [PENDING] * len(studies) + [SUCCESS]
    found = [one for _, one in came if one is not None]
    assert sorted(one.StudyInstanceUID[-1] for one in found) == list(studies)


def test_series_and_objects_are_found_in_what_they_lie_in(link: Station) -> None:
    _, series = find(
        link,
        asked("SERIES", StudyInstanceUID="1.2.3.1", SeriesInstanceUID="", Modality=""),
    )
    assert {(one.SeriesInstanceUID, one.Modality) for one in series} == {
        ("1.2.3.1.1", "SR"),
        ("1.2.3.1.2", "OT"),
    }
    within = {"StudyInstanceUID": "1.2.3.2", "SeriesInstanceUID": "1.2.3.2.1"}
    _, objects = find(
        link, asked("IMAGE", **within, SOPInstanceUID="", SOPClassUID="", InstanceNumber="")
    )
    assert [(one.SOPInstanceUID, one.SOPClassUID, one.InstanceNumber) for one in objects] == [
        ("1.2.3.2.1.1", REPORT, 1),
        ("1.2.3.2.1.2", REPORT, 2),
    ]


def test_a_key_that_cannot_be_matched_is_said_to_be(link: Station) -> None:
    statuses, _ = find(link, asked("STUDY", StudyInstanceUID="1.2.3.1", BodyPartExamined="WRIST"))
    assert statuses == [UNMATCHED, SUCCESS]
    statuses, _ = find(link, asked("STUDY", StudyInstanceUID="1.2.3.1", BodyPartExamined=""))
    assert statuses == [PENDING, SUCCESS]


@pytest.mark.parametrize(
    ("question", "status"),
    [
        (asked("PATIENT", PatientID="INVENTED-1"), 0xA900),
        (asked("SERIES", SeriesInstanceUID=""), 0xA900),
        (asked("SERIES", StudyInstanceUID="1.2.3.1\\1.2.3.2"), 0xA900),
        (asked("IMAGE", StudyInstanceUID="1.2.3.1", SOPInstanceUID=""), 0xA900),
        (asked("STUDY", StudyInstanceUID="../../etc"), 0xA900),
        (asked("STUDY", StudyInstanceUID="", StudyDescription="x" * 66_000), 0xC000),
    ],
    ids=["level", "no study", "two studies", "no series", "no UID", "too long"],
)
def test_a_question_that_is_none_is_refused(link: Station, question: Dataset, status: int) -> None:
    assert find(link, question, ImplicitVRLittleEndian) == ([status], [])


def test_no_more_is_answered_than_is_allowed(tmp_path: Path, shelf: Shelf) -> None:
    with station(tmp_path / "state", holdings=shelf, retrieval={"max_answers": 2}) as link:
        statuses, _ = find(link, asked("STUDY", StudyInstanceUID=""))
        assert statuses == [PENDING, PENDING, 0xA700]
        assert find(link, asked("STUDY", StudyInstanceUID="1.2.3.1"))[0] == [PENDING, SUCCESS]


def test_a_peer_that_may_only_send_is_answered_nothing(tmp_path: Path, shelf: Shelf) -> None:
    modality = PeerSettings(ae_title="DX1", addresses=(f"{LOOPBACK}/32",), may_retrieve=False)
    with station(tmp_path / "state", holdings=shelf, peers=(modality,)) as link:
        assert find(link, asked("STUDY", StudyInstanceUID=""), calling="DX1") == ([0x0124], [])
        association = link.associate(calling="DX1")
        assert association.send_c_echo().Status == SUCCESS
        association.release()


def test_where_nothing_is_held_nothing_is_found(tmp_path: Path) -> None:
    with station(tmp_path / "state") as link:
        assert find(link, asked("STUDY", StudyInstanceUID="")) == ([SUCCESS], [])


def test_what_has_just_been_deleted_is_not_found_and_not_sent(
    own: Station, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shelf.find
    monkeypatch.setattr(Shelf, "find", lambda _, wanted, most: gone(before(wanted, most)))

    def gone(found: Any) -> Any:
        for one in found:
            one.path.unlink(missing_ok=True)
        return found

    assert find(own, asked("STUDY", StudyInstanceUID="1.2.3.1")) == ([SUCCESS], [])
    final, failed = Getter(own).get(asked("STUDY", StudyInstanceUID="1.2.3.2"))
    assert final.Status == 0xA702
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == ["1.2.3.2.1.1", "1.2.3.2.1.2"]


# -- C-GET --------------------------------------------------------------------------------


def test_a_study_is_got_on_the_association_that_it_is_asked_on(link: Station) -> None:
    getter = Getter(link)
    final, _ = getter.get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert (final.Status, final.NumberOfCompletedSuboperations) == (SUCCESS, 2)
    assert "NumberOfRemainingSuboperations" not in final
    expected = [result(1), result(1, 2, sop_class=BOARD)]
    assert [one.to_json() for one in getter.got] == [one.to_json() for one in expected]


def test_series_and_objects_are_got_by_their_uids(link: Station) -> None:
    getter = Getter(link)
    getter.get(asked("SERIES", StudyInstanceUID="1.2.3.1", SeriesInstanceUID="1.2.3.1.2"))
    assert [one.SOPInstanceUID for one in getter.got] == ["1.2.3.1.2.1"]
    getter = Getter(link)
    within = {"StudyInstanceUID": "1.2.3.2", "SeriesInstanceUID": "1.2.3.2.1"}
    getter.get(asked("IMAGE", **within, SOPInstanceUID="1.2.3.2.1.1\\1.2.3.2.1.2"))
    assert len(getter.got) == 2


def test_large_objects_come_whole(own: Station, shelf: Shelf) -> None:
    large = result(4, size=0)
    large.add_new(0x00420011, "OB", bytes(range(256)) * 40_000)
    shelf.put(large)
    getter = Getter(own)
    getter.get(asked("STUDY", StudyInstanceUID="1.2.3.4"))
    (got,) = getter.got
    assert got.EncapsulatedDocument == large.EncapsulatedDocument


def test_what_a_peer_refuses_is_counted_and_named(link: Station) -> None:
    final, failed = Getter(link, status=0xA700).get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert (final.Status, final.NumberOfFailedSuboperations) == (0xA702, 2)
    assert failed is not None
    assert sorted(failed.FailedSOPInstanceUIDList) == ["1.2.3.1.1.1", "1.2.3.1.2.1"]


def test_what_a_peer_has_not_offered_to_store_fails_and_the_rest_comes(
    tmp_path: Path, shelf: Shelf
) -> None:
    shelf.put(result(1, 3, sop_class="1.2.840.10008.5.1.4.1.1.1"))
    with station(tmp_path / "state", holdings=shelf) as link:
        getter = Getter(link)
        final, failed = getter.get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert (final.Status, len(getter.got)) == (0xB000, 2)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == "1.2.3.1.3.1"


def test_whoever_only_retrieves_on_a_context_may_not_store_there(link: Station) -> None:
    getter = Getter(link)
    context = getter.association._accepted_cx[3]
    assert context.abstract_syntax in (REPORT, BOARD)
    context._as_scu = True  # as a peer that breaks its word
    answer = getter.association.send_c_store(result(9, sop_class=str(context.abstract_syntax)))
    assert "Status" not in answer
    getter.association.join(5)


def test_objects_are_not_cut_into_crumbs_for_a_peer_that_takes_no_more(link: Station) -> None:
    getter = Getter(link, max_pdu=512)
    final, _ = getter.get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert (final.Status, getter.got) == (0xA702, [])


def test_a_get_without_anything_that_matches_is_a_success(link: Station) -> None:
    final, _ = Getter(link).get(asked("STUDY", StudyInstanceUID="1.2.3.99"))
    assert (final.Status, final.NumberOfCompletedSuboperations) == (SUCCESS, 0)


def test_more_than_is_sent_at_once_is_refused(tmp_path: Path, shelf: Shelf) -> None:
    with station(tmp_path / "state", holdings=shelf, retrieval={"max_objects": 1}) as link:
        getter = Getter(link)
        final, _ = getter.get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert (final.Status, getter.got) == (0xA700, [])


# -- C-MOVE -------------------------------------------------------------------------------


def test_a_study_is_moved_to_a_configured_destination(tmp_path: Path, shelf: Shelf) -> None:
    with moving(tmp_path, shelf) as (link, got):
        responses = move(link, asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert [int(status.Status) for status, _ in responses] == [PENDING, SUCCESS]
    assert responses[0][0].NumberOfRemainingSuboperations == 1
    assert responses[-1][0].NumberOfCompletedSuboperations == 2
    assert sorted(one.AffectedSOPInstanceUID for one in got) == ["1.2.3.1.1.1", "1.2.3.1.2.1"]
    assert {one.MoveOriginatorApplicationEntityTitle for one in got} == {"PACS"}
    assert {one.MoveOriginatorMessageID for one in got} == {1}


def test_nothing_is_moved_to_whom_the_configuration_does_not_name(
    tmp_path: Path, shelf: Shelf
) -> None:
    with moving(tmp_path, shelf) as (link, got):
        for stranger in ("STRANGER", "PACS"):
            ((status, _),) = move(link, asked("STUDY", StudyInstanceUID="1.2.3.1"), stranger)
            assert status.Status == 0xA801
        assert got == []


def test_a_destination_that_is_down_fails_every_object(tmp_path: Path, shelf: Shelf) -> None:
    down = DestinationSettings(name="down", ae_title="PACS2", host=LOOPBACK, port=1)
    with station(tmp_path / "state", holdings=shelf, destinations=(down,)) as link:
        responses = move(link, asked("STUDY", StudyInstanceUID="1.2.3.1"))
    final, failed = responses[-1]
    assert (final.Status, final.NumberOfFailedSuboperations) == (0xA702, 2)
    assert failed is not None
    assert len(failed.FailedSOPInstanceUIDList) == 2


def test_a_destination_that_does_not_take_a_class_gets_the_rest(
    tmp_path: Path, shelf: Shelf
) -> None:
    shelf.put(result(1, 3, sop_class="1.2.840.10008.5.1.4.1.1.1"))
    with moving(tmp_path, shelf) as (link, got):
        final, _ = move(link, asked("STUDY", StudyInstanceUID="1.2.3.1"))[-1]
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0xB000, 2)
    assert len(got) == 2


# -- what comes between -------------------------------------------------------------------


def test_a_retrieval_that_is_cancelled_stops_and_says_what_is_left(
    own: Station, shelf: Shelf
) -> None:
    shelf.put(*(result(5, 1, number) for number in range(1, 31)))
    getter = Getter(own)
    responses = getter.association.send_c_get(asked("STUDY", StudyInstanceUID="1.2.3.5"), GET)
    next(responses)
    getter.association.send_c_cancel(1, query_model=GET)
    *_, (final, _) = responses
    getter.association.release()
    assert final.Status == CANCELLED
    assert final.NumberOfRemainingSuboperations == 30 - len(getter.got) > 0


def test_a_peer_that_goes_away_in_the_middle_leaves_nothing_behind(
    own: Station, shelf: Shelf
) -> None:
    before = set(threading.enumerate())
    shelf.put(*(result(5, 1, number) for number in range(1, 31)))
    getter = Getter(own)
    responses = getter.association.send_c_get(asked("STUDY", StudyInstanceUID="1.2.3.5"), GET)
    next(responses)
    getter.association.abort()
    assert eventually(lambda: set(threading.enumerate()) <= before, 10)


def test_a_question_leaves_the_association_open_for_the_next(link: Station) -> None:
    association = link.associate(FIND, "1.2.840.10008.1.1")
    for _ in range(3):
        answers = list(association.send_c_find(asked("STUDY", StudyInstanceUID=""), FIND))
        assert len(answers) == 4
        assert association.send_c_echo().Status == SUCCESS
    association.release()


def test_an_object_that_is_never_acknowledged_ends_the_association(tmp_path: Path) -> None:
    with station(tmp_path / "state", holdings=filled(tmp_path / "shelf"), idle_seconds=0.3) as link:
        getter = Getter(link)

        def silent(event: Any) -> int:
            time.sleep(1)
            return SUCCESS

        getter.association.unbind(evt.EVT_C_STORE, getter._take)
        getter.association.bind(evt.EVT_C_STORE, silent)
        getter.get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
        assert eventually(lambda: not _living(getter.association), 10)


def _living(association: Association) -> bool:
    return bool(association.is_established)


# -- what is told -------------------------------------------------------------------------


def test_the_audit_trail_names_no_patient_that_was_asked_for(tmp_path: Path, shelf: Shelf) -> None:
    file = tmp_path / "audit.log"
    with moving(tmp_path, shelf, audit=audit_file(file)) as (link, _):
        find(link, asked("STUDY", StudyInstanceUID="1.2.3.1", PatientName="Invented^Ines"))
        move(link, asked("STUDY", StudyInstanceUID="1.2.3.1"))
        Getter(link).get(asked("STUDY", StudyInstanceUID="1.2.3.2"))
    query, *transfers = [one for one in trail(file) if kind(one) not in (STARTS, STOPS)]
    assert kind(query) == QUERIED
    assert who_asked(query) == ["PACS"]
    (identifier,) = queries(query)
    assert b"1.2.3.1" in identifier
    assert [kind(one) for one in transfers] == [BEGIN, TRANSFERRED] * 2
    assert [who_asked(one) for one in transfers] == [["PACS"]] * 4
    moved, got = transfers[1], transfers[3]
    assert participants(moved)["110152"][0] == "PACS2"
    assert participants(got)["110152"][0] == "PACS"
    assert objects(moved, "110180") == ["1.2.3.1"]
    assert classes(moved) == {REPORT: 1, BOARD: 1}
    assert [ended(one)[1] for one in transfers] == ["0"] * 4
    assert b"Invented" not in file.read_bytes() + identifier


def test_neither_log_nor_answer_names_a_patient(
    link: Station, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wristmir")
    find(link, asked("STUDY", StudyInstanceUID="1.2.3.1", PatientName="Invented^Ines"))
    find(link, asked("PATIENT", PatientName="Invented^Ines"))
    Getter(link).get(asked("STUDY", StudyInstanceUID="1.2.3.1"))
    assert "C-FIND by PACS at WRISTMIR: 1 answers" in caplog.text
    assert "C-FIND refused with 0xA900" in caplog.text
    for secret in ("Invented", "INVENTED", "1.2.3"):
        assert secret not in caplog.text


def test_a_command_on_the_wrong_context_aborts(link: Station) -> None:
    with Wire(link) as wire:
        assert wire.associate(abstract=FIND) == 2
        wire.fragment(3, command(0x0021, MOVE))
        assert wire.read()[0] == 7


def test_an_archive_can_be_asked_beside_it(link: Station) -> None:
    """The questions that the plugin puts to a PACS are those that it answers."""
    here = DestinationSettings(name="here", ae_title="WRISTMIR", host=LOOPBACK, port=link.port)
    with ArchiveQuery(here, "PACS") as query:
        assert [one.uid for one in query.study("1.2.3.1").entries] == ["1.2.3.1"]
        assert len(query.series("1.2.3.1").entries) == 2
        assert len(query.instances("1.2.3.2", "1.2.3.2.1").entries) == 2
