from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import ComputedRadiographyImageStorage, CTImageStorage
from sqlalchemy.exc import OperationalError
from station import Station, eventually, radiograph, secondary_capture, station
from wire import CR, Wire, command

from listener import inbox
from listener.command import Command, Reply, encode_reply, read_command
from listener.errors import PeerConnectionError
from listener.job import JobState
from listener.ledger import Ledger
from listener.receipt import InstanceState


def store_raw(
    link: Station, data: bytes, *, sop_class: str, uid: str, context_class: str = ""
) -> int | None:
    """Send arbitrary bytes as a data set; None where the association was aborted."""
    import io

    association = link.associate(context_class or sop_class)
    assert association.is_established
    request = C_STORE()
    request.MessageID = 7
    request.Priority = 0
    request.AffectedSOPClassUID = sop_class
    request.AffectedSOPInstanceUID = uid
    request.DataSet = io.BytesIO(data)
    association._reactor_checkpoint.clear()
    eventually(lambda: association._is_paused)
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return None if response is None else int(response.Status)


def data_set(ds: Dataset) -> bytes:
    """Return the bytes of a data set in Explicit VR Little Endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_dataset(stream, ds)
    return stream.getvalue()


# -- what is kept -------------------------------------------------------------------------


def test_an_object_is_on_disk_and_in_the_ledger_when_it_is_acknowledged(tmp_path: Path) -> None:
    ds = radiograph(side=64)
    with station(tmp_path) as link:
        association = link.associate()
        assert association.send_c_store(ds).Status == 0x0000
        (path,) = link.inbox_files()  # before the association ends
        (row,) = link.ledger.instances(ds.StudyInstanceUID)
        association.release()
    assert row.path == path
    kept = pydicom.dcmread(path)
    assert kept == ds
    assert path.read_bytes().endswith(data_set(ds))
    digest = hashlib.sha256(b"1.2.840.10008.1.2.1\0" + data_set(ds)).hexdigest()
    assert (row.digest, row.size) == (digest, len(data_set(ds)))


def test_bytes_and_folder_are_synced_before_the_ledger_and_the_ledger_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, record = os.fsync, Ledger.record_instance

    def watched_fsync(fd: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def watched_record(*given: Any, **named: Any) -> Any:
        steps.append("ledger")
        return record(*given, **named)

    with station(tmp_path) as link:
        monkeypatch.setattr(inbox.os, "fsync", watched_fsync)
        monkeypatch.setattr(Ledger, "record_instance", watched_record)
        assert link.send(radiograph()) == [0x0000]
    assert steps == ["file", "folder", "ledger"]


def test_the_file_is_a_dicom_file_of_its_own_with_nothing_in_its_preamble(tmp_path: Path) -> None:
    ds = radiograph()
    with station(tmp_path) as link:
        link.send(ds)
        (path,) = link.inbox_files()
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    meta = pydicom.dcmread(path).file_meta
    assert meta.MediaStorageSOPClassUID == ds.SOPClassUID
    assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert meta.SendingApplicationEntityTitle == "PACS"
    assert meta.ReceivingApplicationEntityTitle == "WRISTMIR"
    length = meta.FileMetaInformationGroupLength
    del meta.FileMetaInformationGroupLength
    assert length == len(data_set(meta))


def test_files_are_named_by_hashes_and_are_nobody_elses_to_read(tmp_path: Path) -> None:
    ds = radiograph()
    with station(tmp_path) as link:
        link.send(ds)
        (path,) = link.inbox_files()
        assert ds.SOPInstanceUID not in str(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert link.partial_files() == []


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=["implicit", "deflated"]
)
def test_other_encodings_are_kept_as_they_came(tmp_path: Path, syntax: str) -> None:
    ds = radiograph(transfer_syntax=syntax)
    with station(tmp_path) as link:
        association = link.associate(ComputedRadiographyImageStorage, syntaxes=(syntax,))
        assert association.send_c_store(ds).Status == 0x0000
        association.release()
        (row,) = link.ledger.instances(ds.StudyInstanceUID)
    assert row.transfer_syntax == syntax
    assert row.path is not None
    assert pydicom.dcmread(row.path).StudyInstanceUID == ds.StudyInstanceUID


def test_the_same_object_again_is_a_success_and_nothing_new(tmp_path: Path) -> None:
    ds = radiograph()
    with station(tmp_path) as link:
        assert link.send(ds, ds) == [0x0000, 0x0000]
        assert link.send(ds) == [0x0000]
        assert len(link.inbox_files()) == 1
        assert link.ledger.study(ds.StudyInstanceUID).generation == 1


def test_changed_content_under_the_same_uid_is_a_new_version(tmp_path: Path) -> None:
    ds = radiograph()
    changed = radiograph(study=ds.StudyInstanceUID, instance=ds.SOPInstanceUID, seed=1)
    with station(tmp_path) as link:
        assert link.send(ds, changed) == [0x0000, 0x0000]
        (row,) = link.ledger.instances(ds.StudyInstanceUID)
        assert row.version == 2
        assert row.path is not None
        assert pydicom.dcmread(row.path).PixelData == changed.PixelData
        assert len(link.inbox_files()) == 2


@pytest.mark.parametrize("changed", ["patient", "study"])
def test_a_changed_identity_is_quarantined_and_reported_without_naming_it(
    tmp_path: Path, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    ds = radiograph(patient="INVENTED-1")
    other = radiograph(
        patient="INVENTED-2" if changed == "patient" else "INVENTED-1",
        study=None if changed == "study" else ds.StudyInstanceUID,
        instance=ds.SOPInstanceUID,
    )
    with caplog.at_level(logging.INFO, "wristmir.listener"), station(tmp_path) as link:
        assert link.send(ds, other) == [0x0000, 0x0000]
        (current,) = link.ledger.instances(ds.StudyInstanceUID)
        (kept_apart,) = link.ledger.receipts([InstanceState.QUARANTINED])
    assert current.patient_key != kept_apart.patient_key or changed == "study"
    assert "quarantined" in caplog.text
    assert "INVENTED" not in caplog.text


def test_what_is_not_used_is_accepted_recorded_and_not_kept(tmp_path: Path) -> None:
    ds = secondary_capture(side=600)
    with station(tmp_path) as link:
        assert link.send(ds) == [0x0000]
        (row,) = link.ledger.receipts([InstanceState.FILTERED])
        assert row.sop_instance_uid == ds.SOPInstanceUID
        assert row.study_uid == ds.StudyInstanceUID
        assert row.size == len(data_set(ds))
        assert row.path is None
        assert "not a radiograph" in (row.reason or "")
        assert link.inbox_files() == link.partial_files() == []


def test_what_is_not_used_is_accepted_even_if_it_cannot_be_read(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        assert store_raw(link, b"no data set", sop_class=CTImageStorage, uid="1.2.3") == 0x0000
        (row,) = link.ledger.receipts([InstanceState.FILTERED])
        assert row.study_uid == ""


def test_a_truncated_image_is_kept_for_the_worker_to_judge(tmp_path: Path) -> None:
    ds = radiograph(side=64)
    with station(tmp_path) as link:
        status = store_raw(
            link, data_set(ds)[:-5000], sop_class=ds.SOPClassUID, uid=ds.SOPInstanceUID
        )
        assert status == 0x0000
        assert len(link.inbox_files()) == 1


# -- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "uid",
    ["../../../../etc/x", "1.2/3", "..", "1.2.abc", "1." + "2" * 63, "/etc/passwd"],
)
def test_a_uid_that_is_none_is_a_mismatch_and_no_path(tmp_path: Path, uid: str) -> None:

    ds = radiograph()
    with station(tmp_path) as link, Wire(link) as wire:
        wire.associate()
        assert wire.store(ds.SOPClassUID, uid, data_set(ds)) == 0xA900
        assert link.inbox_files() == link.partial_files() == []
        assert wire.store(ds.SOPClassUID, ds.SOPInstanceUID, data_set(ds)) == 0x0000


def test_a_data_set_that_is_not_the_commands_is_a_mismatch(tmp_path: Path) -> None:
    ds = radiograph()
    data = data_set(ds)
    with station(tmp_path) as link:
        assert store_raw(link, data, sop_class=ds.SOPClassUID, uid=generate_uid()) == 0xA900
        other = "1.2.840.10008.5.1.4.1.1.1.1"
        assert store_raw(link, data, sop_class=other, uid=ds.SOPInstanceUID) == 0xA900
        assert link.inbox_files() == link.partial_files() == []


def test_a_class_that_is_not_the_contexts_is_not_supported(tmp_path: Path) -> None:
    ds = radiograph()
    with station(tmp_path) as link:
        status = store_raw(
            link,
            data_set(ds),
            sop_class=ds.SOPClassUID,
            uid=ds.SOPInstanceUID,
            context_class="1.2.840.10008.5.1.4.1.1.1.1",
        )
        assert status == 0x0122


@pytest.mark.parametrize("data", [b"\0" * 40, b"no data set at all", data_set(radiograph())[:100]])
def test_a_header_that_cannot_be_read_is_not_understood_and_not_kept(
    tmp_path: Path, data: bytes
) -> None:
    with station(tmp_path) as link:
        status = store_raw(link, data, sop_class=ComputedRadiographyImageStorage, uid="1.2.3")
        assert status == 0xC000
        assert link.inbox_files() == link.partial_files() == []
        assert link.ledger.receipts() == ()


def test_an_object_without_a_data_set_is_not_understood(tmp_path: Path) -> None:
    with station(tmp_path) as link, Wire(link) as wire:
        wire.associate()
        wire.fragment(3, command(Command.C_STORE, CR, "1.2.3", data_set=0x0101))
        assert wire.status() == 0xC000
        assert wire.store(CR, "1.2.3", b"") == 0xC000
        assert link.inbox_files() == link.partial_files() == []


def test_a_deflated_bomb_is_not_understood(tmp_path: Path) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(b"\x08\x00\x05\x00UT\0\0" + struct.pack("<I", 2**31))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(80)) + packer.flush()
    with station(tmp_path) as link:
        with Wire(link) as wire:
            wire.associate(syntax=DeflatedExplicitVRLittleEndian)
            assert wire.store(ComputedRadiographyImageStorage, "1.2.3", bomb) == 0xC000
        assert link.inbox_files() == []


def test_an_object_larger_than_allowed_is_refused_and_the_association_goes_on(
    tmp_path: Path,
) -> None:
    with station(tmp_path, max_object_bytes=20_000) as link:
        small, large = radiograph(side=16), radiograph(side=256)
        assert link.send(large, small) == [0xA700, 0x0000]
        assert len(link.inbox_files()) == 1
        assert link.partial_files() == []


def test_objects_are_refused_while_space_is_short_on_an_open_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with station(tmp_path) as link:
        association = link.associate()
        monkeypatch.setattr(inbox.Inbox, "is_short_of_space", lambda self: True)
        assert association.send_c_store(radiograph(side=256)).Status == 0xA700
        assert link.partial_files() == []
        monkeypatch.undo()
        assert association.send_c_store(radiograph(side=256)).Status == 0x0000
        association.release()


@pytest.mark.parametrize("when", ["at once", "in the middle", "at the sync", "at the rename"])
def test_a_disk_that_refuses_is_said_and_leaves_neither_pieces_nor_a_dead_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    write, written = os.write, [0]

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    def full_after_a_while(fd: int, data: bytes) -> int:
        written[0] += len(data)
        return full() if written[0] > 200_000 else write(fd, data)

    with station(tmp_path) as link:
        association = link.associate()
        target, name, broken = {
            "at once": (inbox.os, "write", full),
            "in the middle": (inbox.os, "write", full_after_a_while),
            "at the sync": (inbox.os, "fsync", full),
            "at the rename": (inbox.Path, "rename", full),
        }[when]
        monkeypatch.setattr(target, name, broken)
        status = association.send_c_store(radiograph(side=512))
        monkeypatch.undo()
        assert status.Status == 0xA700
        assert status.ErrorComment == "There is no room to keep the object."
        assert link.inbox_files() == link.partial_files() == []
        assert link.ledger.receipts() == ()
        assert association.send_c_store(radiograph()).Status == 0x0000
        association.release()


class DriverError(Exception):
    """What a driver raises, with the code that its database gives."""

    def __init__(self, **code: Any) -> None:
        super().__init__("Invented^Ines")
        vars(self).update(code)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (DriverError(sqlite_errorcode=sqlite3.SQLITE_BUSY), 0xA700),
        (DriverError(sqlite_errorcode=sqlite3.SQLITE_FULL), 0xA700),
        (DriverError(sqlite_errorcode=sqlite3.SQLITE_IOERR_FSYNC), 0x0110),
        (DriverError(sqlstate="53100"), 0xA700),
        (DriverError(sqlstate="57P01"), 0xA700),
        (DriverError(sqlstate=None), 0xA700),
        (DriverError(sqlstate="22001"), 0x0110),
        (DriverError(), 0x0110),
    ],
    ids=[
        "busy",
        "full",
        "broken",
        "PostgreSQL full",
        "PostgreSQL stopped",
        "PostgreSQL away",
        "PostgreSQL refuses",
        "unknown",
    ],
)
def test_a_ledger_that_refuses_is_said_and_leaves_no_file_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: DriverError,
    status: int,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        statement = "INSERT"
        raise OperationalError(statement, {}, fault)

    with station(tmp_path) as link:
        monkeypatch.setattr(Ledger, "record_instance", refuse)
        assert link.send(radiograph()) == [status]
        assert link.inbox_files() == []
    assert "Ines" not in caplog.text


def test_a_mistake_in_the_program_is_a_processing_failure_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        msg = "Invented^Ines"
        raise ValueError(msg)

    with station(tmp_path) as link:
        association = link.associate()
        monkeypatch.setattr(Ledger, "record_instance", broken)
        assert association.send_c_store(radiograph()).Status == 0x0110
        monkeypatch.undo()
        assert association.send_c_store(radiograph()).Status == 0x0000
        association.release()
    assert "ValueError" in caplog.text
    assert "Ines" not in caplog.text


def test_an_association_that_ends_within_an_object_leaves_nothing(tmp_path: Path) -> None:

    with station(tmp_path) as link:
        with Wire(link) as wire:
            wire.associate()
            wire.begin_store(ComputedRadiographyImageStorage, "1.2.3", b"\0" * 1000)
            assert eventually(link.partial_files)
        assert eventually(lambda: not link.partial_files())


# -- after a stop -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_the_ledger_does_not_know_is_taken_in_at_the_next_start(
    tmp_path: Path,
) -> None:
    ds = radiograph()
    with station(tmp_path) as link:
        link.send(ds, called="WRISTMIR_Q_DR")
    for file in tmp_path.glob("ledger.sqlite3*"):
        file.unlink()
    with station(tmp_path) as link:
        (row,) = link.ledger.instances(ds.StudyInstanceUID)
        assert (row.calling_ae, row.called_ae) == ("PACS", "WRISTMIR_Q_DR")
        assert row.digest == hashlib.sha256(b"1.2.840.10008.1.2.1\0" + data_set(ds)).hexdigest()
        assert eventually(lambda: len(link.ledger.jobs(JobState.READY)) == 2)


def test_a_file_that_is_missing_is_reported_as_lost_and_can_be_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ds = radiograph()
    with station(tmp_path) as link:
        link.send(ds)
        link.inbox_files()[0].unlink()
    with station(tmp_path) as link:
        (row,) = link.ledger.receipts([InstanceState.LOST])
        assert row.sop_instance_uid == ds.SOPInstanceUID
        assert "missing from the inbox" in caplog.text
        assert link.send(ds) == [0x0000]
        assert len(link.ledger.instances(ds.StudyInstanceUID)) == 1


def test_orphans_are_swept_and_files_that_expired_are_deleted(tmp_path: Path) -> None:
    from datetime import timedelta

    ds = radiograph()
    with station(tmp_path) as link:
        link.send(ds)
        (path,) = link.inbox_files()
        content = path.read_bytes()
        assert eventually(lambda: link.ledger.jobs(JobState.READY))
        job = link.ledger.lease(["index"], 60)
        assert job is not None
        link.ledger.finish(job)
        assert link.ledger.expire(timedelta(seconds=-1)) == 1
        assert link.inbox_files() == []
    path.write_bytes(content)  # a crash between the row and the file
    (tmp_path / "inbox" / "incoming" / "orphan.part").write_bytes(b"half")
    with station(tmp_path) as link:
        assert link.inbox_files() == link.partial_files() == []


def test_a_foreign_file_in_the_inbox_is_reported_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = tmp_path / "inbox" / "ab" / ("ab" * 32 + ".dcm")
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"no DICOM file")
    with station(tmp_path) as link:
        assert link.ledger.receipts() == ()
    assert foreign.exists()
    assert "cannot be read" in caplog.text


# -- commands -----------------------------------------------------------------------------


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_command_or_a_broken_rule(data: bytes) -> None:
    try:
        command = read_command(data)
    except PeerConnectionError:
        return
    assert 0 <= command.message_id < 65536


@given(
    status=st.sampled_from([0x0000, 0xA700, 0xA900, 0xC000]),
    message_id=st.integers(0, 65535),
    comment=st.text(st.sampled_from("abc DEF.0:,"), max_size=90),
)
def test_a_reply_is_read_by_another_library_as_it_was_meant(
    status: int, message_id: int, comment: str
) -> None:
    import io

    from pydicom.filereader import read_dataset

    command = Command(Command.C_STORE, message_id, True, "1.2.840.10008.5.1.4.1.1.1", "1.2.3")
    encoded = encode_reply(command, Reply(status, comment))
    ds = read_dataset(io.BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert ds.CommandGroupLength == len(encoded) - 12
    assert (ds.CommandField, ds.MessageIDBeingRespondedTo) == (0x8001, message_id)
    assert (ds.Status, ds.AffectedSOPInstanceUID) == (status, "1.2.3")
    assert ds.get("ErrorComment", "").rstrip() == comment[:64].rstrip()


def test_a_state_folder_that_was_moved_keeps_every_file(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    with station(before) as link:
        assert link.send(radiograph(), radiograph()) == [0, 0]
    before.rename(after)
    with station(after) as link:
        rows = link.ledger.receipts()
        assert [row.state for row in rows] == [InstanceState.STORED] * 2
        assert sorted(row.path for row in rows if row.path) == link.inbox_files()


def test_a_known_object_is_kept_again_where_its_file_is_gone(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        ds = radiograph()
        assert link.send(ds) == [0]
        (file,) = link.inbox_files()
        file.unlink()
        assert link.send(ds) == [0]
        (row,) = link.ledger.receipt(ds.SOPInstanceUID)
        assert [row.path] == link.inbox_files()
