"""Storage commitment as SCP, asked over a real socket: what is taken, refused and reported."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from commitment_parts import (
    CR,
    DX,
    ask,
    asking,
    information,
    item,
    listening,
    receiver,
    reference,
    soon,
)
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from station import IMPLICIT, radiograph, secondary_capture
from wire import Wire

from listener.commitment import MOST_REFERENCES, Reference, Request, encode_request
from listener.job import EVENT_REPORT, JobState
from listener.receipt import InstanceState

COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture(autouse=True)
def _a_short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listener.correspondence._SILENCE_SECONDS", 0.4)


@pytest.mark.slow
def test_what_is_stored_is_committed_to_on_the_same_association_while_it_stays_open(
    tmp_path: Path,
) -> None:
    ds = radiograph()
    with receiver(tmp_path) as link, listening() as peer:
        assert link.send(ds) == [0x0000]
        with asking(link.port, peer) as association:
            uid, status = ask(association, [reference(ds)])
            assert status == 0x0000
            assert soon(lambda: peer.told)
            assert association.is_established
        (told,) = peer.told
        assert (told.transaction_uid, told.event_type) == (uid, 1)
        assert told.committed == [ds.SOPInstanceUID]
        assert told.failed == {}
        assert link.ledger.transactions.owed("PACS", uid) is None


@pytest.mark.slow
def test_a_peer_that_has_released_is_told_on_a_new_association(tmp_path: Path) -> None:
    ds = radiograph()
    with listening() as peer, receiver(tmp_path, destinations=(peer.destination,)) as link:
        link.send(ds)
        with asking(link.port, called="WRISTMIR_Q_DR") as association:
            uid, status = ask(association, [reference(ds)])
        assert status == 0x0000
        assert soon(lambda: peer.told)
        (told,) = peer.told
        assert (told.transaction_uid, told.event_type) == (uid, 1)
        assert told.committed == [ds.SOPInstanceUID]
        assert told.called_ae == "WRISTMIR_Q_DR"  # under the title that it had asked
        assert soon(lambda: link.ledger.jobs(JobState.DONE, EVENT_REPORT))
        time.sleep(0.3)
        assert len(peer.told) == 1


@pytest.mark.slow
def test_a_peer_that_does_not_answer_roles_is_told_all_the_same(tmp_path: Path) -> None:
    ds = radiograph()
    with (
        listening(roles=False) as peer,
        receiver(tmp_path, destinations=(peer.destination,)) as link,
    ):
        link.send(ds)
        with asking(link.port) as association:
            ask(association, [reference(ds)])
        assert soon(lambda: peer.told)


@pytest.mark.slow
def test_a_peer_that_refuses_the_report_where_it_asked_is_told_on_a_new_association(
    tmp_path: Path,
) -> None:
    ds = radiograph()
    with listening() as peer, receiver(tmp_path, destinations=(peer.destination,)) as link:
        link.send(ds)
        with asking(
            link.port
        ) as association:  # hears nothing on it: pynetdicom answers with a failure
            uid, _ = ask(association, [reference(ds)])
            assert soon(lambda: peer.told)
            assert association.is_established
        assert peer.told[0].transaction_uid == uid


@pytest.mark.slow
def test_each_instance_that_is_not_kept_has_its_reason(tmp_path: Path) -> None:
    kept, lost, unused, apart = radiograph(), radiograph(), secondary_capture(), radiograph()
    with receiver(tmp_path) as link, listening() as peer:
        link.send(kept, lost, unused, apart)
        (row,) = link.ledger.receipt(lost.SOPInstanceUID)
        assert row.path is not None
        row.path.unlink()
        link.ledger.quarantine(apart.SOPInstanceUID, "its patient changed")
        asked = [
            reference(kept),
            reference(kept, DX),
            reference(lost),
            reference(unused),
            reference(apart),
            Reference(CR, "1.2.3.4.5"),
        ]
        with asking(link.port, peer) as association:
            ask(association, asked[:1] + asked[2:])
            assert soon(lambda: peer.told)
            ask(association, asked[1:2])
            assert soon(lambda: len(peer.told) == 2)
    first, second = peer.told
    assert first.event_type == second.event_type == 2
    assert first.committed == [kept.SOPInstanceUID]
    assert first.failed == {
        lost.SOPInstanceUID: 0x0112,
        unused.SOPInstanceUID: 0x0112,
        apart.SOPInstanceUID: 0x0110,
        "1.2.3.4.5": 0x0112,
    }
    assert second.failed == {kept.SOPInstanceUID: 0x0119}


@pytest.mark.slow
def test_what_was_committed_to_is_kept_although_it_turns_out_to_be_of_no_use(
    tmp_path: Path,
) -> None:
    ds, other = radiograph(), radiograph()
    with listening() as peer:
        with receiver(tmp_path) as link:
            link.send(ds, other)
            with asking(link.port, peer) as association:
                ask(association, [reference(ds)])
                assert soon(lambda: peer.told)
            for one in (ds, other):
                assert link.ledger.filter_instance(one.SOPInstanceUID, "it is a chest")
            assert len(link.inbox_files()) == 1
        with receiver(tmp_path) as link:
            assert len(link.inbox_files()) == 1
            (row,) = link.ledger.receipt(ds.SOPInstanceUID)
            assert (row.state, row.reason) == (InstanceState.UNUSED, "it is a chest")
            assert link.ledger.instances(ds.StudyInstanceUID) == ()
            assert link.send(ds) == [0x0000]
            assert len(link.ledger.receipt(ds.SOPInstanceUID)) == 1
            with asking(link.port, peer) as association:
                ask(association, [reference(ds), reference(other)])
                assert soon(lambda: len(peer.told) == 2)
    assert peer.told[1].committed == [ds.SOPInstanceUID]
    assert peer.told[1].failed == {other.SOPInstanceUID: 0x0112}


@pytest.mark.slow
def test_an_earlier_version_of_an_instance_is_kept_too(tmp_path: Path) -> None:
    first = radiograph(seed=1)
    uid, study = first.SOPInstanceUID, first.StudyInstanceUID
    second = radiograph(instance=uid, study=study, seed=2)
    with receiver(tmp_path) as link, listening() as peer:
        link.send(first, second)
        link.ledger.filter_instance(uid, "it is a chest")
        with asking(link.port, peer) as association:
            ask(association, [reference(first)])
            assert soon(lambda: peer.told)
    assert peer.told[0].committed == [uid]


@pytest.mark.slow
def test_the_same_request_again_is_reported_once_more_and_no_other_may_take_its_name(
    tmp_path: Path,
) -> None:
    ds = radiograph()
    with receiver(tmp_path) as link, listening() as peer:
        link.send(ds)
        with asking(link.port, peer) as association:
            uid, _ = ask(association, [reference(ds)])
            assert ask(association, [reference(ds)], uid) == (uid, 0x0000)
            assert soon(lambda: peer.told)
            time.sleep(0.8)
            assert len(peer.told) == 1
            assert ask(association, [Reference(CR, "1.2.3")], uid) == (uid, 0x0115)
            assert ask(association, [reference(ds)], uid) == (uid, 0x0000)
            assert soon(lambda: len(peer.told) == 2)
    assert peer.told[0] == peer.told[1]


@pytest.mark.slow
def test_a_peer_that_goes_on_storing_is_not_interrupted(tmp_path: Path) -> None:
    ds = radiograph()
    with receiver(tmp_path) as link, listening() as peer, asking(link.port, peer) as association:
        association.send_c_store(ds)
        ask(association, [reference(ds)])
        for _ in range(8):
            time.sleep(0.2)
            assert association.send_c_store(radiograph()).Status == 0x0000
        assert peer.told == []
        assert soon(lambda: peer.told)


@pytest.mark.slow
def test_a_peer_in_the_midst_of_a_message_is_not_interrupted(tmp_path: Path) -> None:
    with receiver(tmp_path) as link, Wire(link) as wire:
        assert wire.associate(abstract=COMMITMENT, syntax=IMPLICIT) == 2
        assert act(wire, one_reference()) == 0x0000
        data = one_reference()
        wire.fragment(3, n_command(0x0130, 1))
        wire.fragment(0, data[:10])
        wire.socket.settimeout(0.8)
        assert wire.read() == (0, b"")
        wire.socket.settimeout(20)
        wire.fragment(2, data[10:])
        assert wire.status() == 0x0000
        kind, body = wire.read()
        assert (kind, b"\0\x01\x02\0\0\0\x00\x01" in body) == (4, True)  # N-EVENT-REPORT-RQ


# -- what is no request -------------------------------------------------------------------


def test_each_fault_in_a_request_has_its_status(tmp_path: Path) -> None:
    good = information("1.2.3", [Reference(CR, "1.2.3.4")])
    no_uid, no_references, no_class = (information("1.2.3", []) for _ in range(3))
    del no_uid.TransactionUID
    no_uid.ReferencedSOPSequence = [item(Reference(CR, "1.2.3.4"))]
    no_class.ReferencedSOPSequence = [item(Reference(CR, "1.2.3.4"))]
    del no_class.ReferencedSOPSequence[0].ReferencedSOPClassUID
    model, instance = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    with receiver(tmp_path) as link, asking(link.port) as association:

        def status(ds: Dataset, action: int = 1, named: str = instance) -> int:
            said, _ = association.send_n_action(ds, action, model, named)
            return int(said.Status)

        assert status(good, action=2) == 0x0123
        assert status(good, named="1.2.840.10008.1.20.1.2") == 0x0112
        for wrong in (no_uid, no_references, no_class):
            assert status(wrong) == 0x0115
        assert association.is_established
        assert link.ledger.jobs(kind=EVENT_REPORT) == ()
        assert status(good) == 0x0000


@pytest.mark.slow
def test_a_request_that_names_too_many_instances_is_refused(tmp_path: Path) -> None:
    many = tuple(Reference(CR, f"1.2.3.{n}") for n in range(MOST_REFERENCES + 1))
    with receiver(tmp_path) as link, Wire(link) as wire:
        assert wire.associate(abstract=COMMITMENT, syntax=IMPLICIT) == 2
        assert act(wire, encode_request(Request("1.2.3", many), IMPLICIT)) == 0x0213
        assert link.ledger.jobs(kind=EVENT_REPORT) == ()
        assert act(wire, encode_request(Request("1.2.3", many[:-1]), IMPLICIT)) == 0x0000


def test_a_request_of_a_million_instances_is_drained_and_refused(tmp_path: Path) -> None:
    with receiver(tmp_path) as link, Wire(link) as wire:
        assert wire.associate(abstract=COMMITMENT, syntax=IMPLICIT) == 2
        assert act(wire, one_million()) == 0x0213
        assert act(wire, one_reference()) == 0x0000
        assert link.partial_files() == []


def test_a_peer_cannot_pile_up_questions_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.transaction._MOST_OPEN", 3)
    with receiver(tmp_path) as link, asking(link.port) as association:
        statuses = [ask(association, [Reference(CR, "1.2.3")])[1] for _ in range(4)]
    assert statuses == [0x0000, 0x0000, 0x0000, 0x0213]


def test_where_disk_space_is_short_a_request_is_refused(tmp_path: Path) -> None:
    with receiver(tmp_path) as link, asking(link.port) as association:
        link.listener._inbox._watermark_bytes = 2**62
        assert ask(association, [Reference(CR, "1.2.3")])[1] == 0x0213


def test_an_event_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    with receiver(tmp_path) as link, Wire(link) as wire:
        assert wire.associate(abstract=COMMITMENT, syntax=IMPLICIT) == 2
        data = one_reference()
        assert n_message(wire, 0x0100, data, 1) == 0x0115
        assert n_message(wire, 0x0100, data, 3) == 0x0113
        assert n_message(wire, 0x0100, b"", 1) == 0x0115


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00",
        b"\xff" * 200,
        b"\x08\x00\x99\x11\xff\xff\xff\xff" * 50,
        b"\x08\x00\x99\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 1000,
        b"\x08\x00\x95\x11\xff\xff\xff\x7f1.2.3.4",
    ],
    ids=["empty", "cut", "noise", "sequences in sequences", "items in items", "a huge length"],
)
def test_hostile_bytes_are_refused_and_the_association_goes_on(tmp_path: Path, data: bytes) -> None:
    with receiver(tmp_path) as link, Wire(link) as wire:
        assert wire.associate(abstract=COMMITMENT, syntax=IMPLICIT) == 2
        assert act(wire, data) == 0x0115
        assert act(wire, one_reference()) == 0x0000


def test_what_does_not_belong_to_a_context_ends_the_association(tmp_path: Path) -> None:
    with receiver(tmp_path) as link:
        with Wire(link) as wire:  # a request in the context of images
            assert wire.associate(abstract=CR) == 2
            assert act(wire, one_reference()) is None
        with Wire(link) as wire:  # an object in the context of commitment
            assert wire.associate(abstract=COMMITMENT) == 2
            assert wire.store(COMMITMENT, "1.2.3", b"\0\0") is None
        with Wire(link) as wire:  # the answer to a report that was never sent
            assert wire.associate(abstract=COMMITMENT) == 2
            wire.fragment(3, n_command(0x8100, 1, data_set=0x0101))
            assert wire.is_cut()


def test_a_peer_that_took_the_other_role_cannot_ask(tmp_path: Path) -> None:
    from pynetdicom import AE, build_role

    with receiver(tmp_path) as link:
        ae = AE("PACS")
        ae.dimse_timeout = 5
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = ae.associate("127.0.0.1", link.port, ae_title="WRISTMIR", ext_neg=[role])
        (context,) = association.accepted_contexts
        assert context.as_scp
        assert not context.as_scu
        context._as_scu = True
        association._accepted_cx[context.context_id] = context
        status, _ = association.send_n_action(
            information("1.2.3", [Reference(CR, "1.2.3.4")]),
            1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        assert "Status" not in status
        assert soon(lambda: association.is_aborted)
        association.dul.join(timeout=5)


def test_nobody_else_may_ask(tmp_path: Path) -> None:
    with receiver(tmp_path) as link:
        refused = link.associate(COMMITMENT, calling="STRANGER")
        assert refused.is_rejected


@pytest.mark.slow
def test_neither_log_nor_job_names_a_patient_or_a_uid_of_an_instance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "wristmir")
    ds = radiograph()
    with receiver(tmp_path) as link, listening() as peer:
        link.send(ds)
        with asking(link.port, peer) as association:
            uid, _ = ask(association, [reference(ds), Reference(CR, "1.2.3.4.5.6")])
            assert soon(lambda: peer.told)
    assert "asks about transaction" in caplog.text
    for secret in (ds.SOPInstanceUID, "1.2.3.4.5.6", uid, ds.PatientID):
        assert secret not in caplog.text


# -- bytes --------------------------------------------------------------------------------


def one_reference() -> bytes:
    """Return an Action Information, in Implicit VR Little Endian whatever was negotiated."""
    data = encode(information(str(generate_uid()), [Reference(CR, "1.2.3.4")]), True, True)
    assert data is not None
    return data


def one_million() -> bytes:
    item_ = encode(item(Reference(CR, "1.2.3.4")), True, True)
    assert item_ is not None
    items = (struct.pack("<HHI", 0xFFFE, 0xE000, len(item_)) + item_) * 1_000_000
    return struct.pack("<HHI", 0x0008, 0x1199, len(items)) + items


def act(wire: Wire, data: bytes) -> int | None:
    return n_message(wire, 0x0130, data, 1)


def n_message(wire: Wire, field: int, data: bytes, type_id: int) -> int | None:
    """Send an N-ACTION or N-EVENT-REPORT; return its status, None where the connection ended."""
    wire.fragment(3, n_command(field, type_id))
    try:
        for start in range(0, max(1, len(data)), 16000):
            is_last = start + 16000 >= len(data)
            wire.fragment(2 if is_last else 0, data[start : start + 16000])
    except ConnectionError:
        return None
    return wire.status()


def n_command(field: int, type_id: int, data_set: int = 1) -> bytes:
    is_action = field == 0x0130
    class_element, instance_element = (0x0003, 0x1001) if is_action else (0x0002, 0x1000)
    number = 0x0120 if field & 0x8000 else 0x0110
    values = [
        (class_element, COMMITMENT.encode()),
        (0x0100, struct.pack("<H", field)),
        (number, b"\7\0"),
        (0x0800, struct.pack("<H", data_set)),
        (0x0900, b"\0\0"),
        (instance_element, INSTANCE.encode()),
        (0x1008 if is_action else 0x1002, struct.pack("<H", type_id)),
    ]
    body = b"".join(
        struct.pack("<HHI", 0, e, len(v) + len(v) % 2) + v + b"\0" * (len(v) % 2) for e, v in values
    )
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body
