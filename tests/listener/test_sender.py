from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import ComputedRadiographyImageStorage, Verification
from station import LOOPBACK, radiograph, station

from listener import sender
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError, EchoError
from listener.file_meta import FileMeta, write_file_meta
from listener.sender import echo, send


class Archive:
    """An invented PACS that stores, or refuses, what is sent to it."""

    def __init__(self, status: int = 0x0000) -> None:
        self.status = status
        self.received: list[tuple[str, str, bytes]] = []
        self.without_delay: list[int] = []

    def store(self, event: evt.Event) -> int:
        self.received.append(
            (
                str(event.request.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                event.request.DataSet.getvalue(),
            )
        )
        return self.status


@contextmanager
def archive(status: int = 0x0000, **limits: bool) -> Iterator[tuple[Archive, DestinationSettings]]:
    it = Archive(status)
    ae = AE("ARCHIVE")
    ae.add_supported_context(ComputedRadiographyImageStorage)
    ae.add_supported_context(Verification)
    ae.require_called_aet = True
    server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, it.store)])
    try:
        yield it, destination(server.server_address[1])
    finally:
        server.shutdown()


def destination(port: int, ae_title: str = "ARCHIVE") -> DestinationSettings:
    return DestinationSettings(
        name="archive", ae_title=ae_title, host=LOOPBACK, port=port, timeout_seconds=3
    )


def saved(tmp_path: Path, *datasets: Dataset) -> list[Path]:
    paths = []
    for n, ds in enumerate(datasets):
        paths.append(tmp_path / f"{n}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def test_files_arrive_byte_for_byte_in_their_order(tmp_path: Path) -> None:
    files = saved(tmp_path, radiograph(side=300), radiograph())
    with archive() as (there, where):
        sent = send(where, files, "WRISTMIR")
    assert [s.sop_instance_uid for s in sent] == [uid for uid, _, _ in there.received]
    assert [s.status for s in sent] == [0x0000, 0x0000]
    for file, (_, syntax, data) in zip(files, there.received, strict=True):
        assert syntax == "1.2.840.10008.1.2.1"
        assert file.read_bytes().endswith(data)


@pytest.mark.slow
def test_what_was_received_can_be_sent_on(tmp_path: Path) -> None:
    with station(tmp_path) as link, archive() as (there, where):
        ds = radiograph()
        link.send(ds)
        send(where, link.inbox_files(), "WRISTMIR")
    assert there.received[0][0] == ds.SOPInstanceUID


@pytest.mark.slow
def test_more_kinds_of_objects_than_one_association_can_hold_are_sent(tmp_path: Path) -> None:
    syntaxes = [f"1.2.840.99999.{n}" for n in range(130)]
    ae = AE("ARCHIVE")
    ae.add_supported_context(ComputedRadiographyImageStorage, syntaxes)
    server = ae.start_server(
        (LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)]
    )
    files = []
    plain = saved(tmp_path, radiograph())[0].read_bytes()
    for n, syntax in enumerate(syntaxes):
        meta = FileMeta(ComputedRadiographyImageStorage, f"1.2.{n + 1}", syntax, "A", "B")
        files.append(tmp_path / f"many-{n}.dcm")
        files[-1].write_bytes(write_file_meta(meta) + plain[400:])
    sent = send(destination(server.server_address[1]), files, "WRISTMIR")
    server.shutdown()
    assert len(sent) == 130


def test_a_warning_is_a_delivery(tmp_path: Path) -> None:
    with archive(0xB000) as (_, where):
        (one,) = send(where, saved(tmp_path, radiograph()), "WRISTMIR")
    assert one.status == 0xB000


def test_a_refusal_names_destination_and_status_and_no_patient(tmp_path: Path) -> None:
    ds = radiograph()
    with archive(0xA700) as (_, where), pytest.raises(DeliveryError) as caught:
        send(where, saved(tmp_path, ds), "WRISTMIR")
    words = str(caught.value)
    assert "archive" in words
    assert "0xA700" in words
    assert ds.PatientID not in words
    assert ds.SOPInstanceUID not in words


def test_a_rejected_association_is_said_with_its_reason(tmp_path: Path) -> None:
    with archive() as (_, where), pytest.raises(DeliveryError, match="reason 7"):
        send(where.model_copy(update={"ae_title": "ELSE"}), saved(tmp_path, radiograph()), "W")


def test_a_class_or_syntax_that_is_not_accepted_is_said(tmp_path: Path) -> None:
    ds = radiograph()
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    from pydicom.encaps import encapsulate

    ds.PixelData = encapsulate([b"\0" * 10])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    with archive() as (_, where):
        with pytest.raises(DeliveryError, match="accepts"):
            send(where, saved(tmp_path, ds), "WRISTMIR")
        with pytest.raises(DeliveryError, match="accepts"):
            send(where, saved(tmp_path, radiograph(), ds), "WRISTMIR")


def test_a_destination_that_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DeliveryError, match="cannot be reached"):
        send(destination(port), saved(tmp_path, radiograph()), "WRISTMIR")
    nowhere = destination(port).model_copy(update={"host": "no-such-host.invalid"})
    with pytest.raises(DeliveryError, match="resolved"):
        send(nowhere, saved(tmp_path, radiograph()), "WRISTMIR")


def test_a_destination_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        where = destination(silent.getsockname()[1]).model_copy(update={"timeout_seconds": 0.5})
        with pytest.raises(DeliveryError):
            send(where, saved(tmp_path, radiograph()), "WRISTMIR")


def test_a_destination_that_hangs_up_within_an_object_is_given_up_at_once(tmp_path: Path) -> None:
    def hang_up(event: evt.Event) -> int:
        event.assoc.dul.socket.socket.close()
        return 0x0000

    ae = AE("ARCHIVE")
    ae.add_supported_context(ComputedRadiographyImageStorage)
    handlers = [(evt.EVT_C_STORE, hang_up)]
    server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=handlers)
    where = destination(server.server_address[1]).model_copy(update={"timeout_seconds": 30.0})
    began = time.monotonic()
    with pytest.raises(DeliveryError, match="did not answer"):
        send(where, saved(tmp_path, radiograph()), "WRISTMIR")
    assert time.monotonic() - began < 10
    server.shutdown()


def test_a_file_that_is_no_dicom_file_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "no.dcm").write_bytes(b"no DICOM file")
    with archive() as (there, where):
        for bad in (tmp_path / "no.dcm", tmp_path / "missing.dcm"):
            with pytest.raises(DeliveryError, match="cannot be read"):
                send(where, [*saved(tmp_path, radiograph()), bad], "WRISTMIR")
    assert there.received == []


def test_nothing_to_send_is_sent_without_an_association() -> None:
    assert send(destination(1), [], "WRISTMIR") == ()


def test_the_sender_does_not_wait_for_acknowledgements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    status = sender._status

    def watched(association: Association, *rest: Any) -> int | None:
        connection = association.ae.connection
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return status(association, *rest)

    monkeypatch.setattr(sender, "_status", watched)
    with archive() as (_, where):
        send(where, saved(tmp_path, radiograph()), "WRISTMIR")
    assert seen
    assert all(seen)


def test_an_association_that_says_it_runs_on_while_it_is_paused_is_released_all_the_same() -> None:
    contexts = {(str(Verification), "1.2.840.10008.1.2")}
    with archive() as (_, where):
        association = sender.associate(where, "WRISTMIR", contexts)
        with sender.paused(association):
            pass
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            time.sleep(0.001)
        association._is_paused = False  # as a thread that has answered an N-EVENT-REPORT does
        sender.release(association)
        assert association.is_released
        sender.close(association)


def test_sending_leaves_no_thread(tmp_path: Path) -> None:
    with archive() as (_, where):
        send(where, saved(tmp_path, radiograph()), "WRISTMIR")
        names = [t.name for t in threading.enumerate()]
    assert not [n for n in names if "Requestor" in n]


def test_an_echo_is_answered_or_said_not_to_be() -> None:
    with archive() as (_, where):
        echo(where.host, where.port, "WRISTMIR", "ARCHIVE")
        with pytest.raises(EchoError, match="reason 7"):
            echo(where.host, where.port, "WRISTMIR", "ELSE")
    with pytest.raises(EchoError):
        echo(where.host, where.port, "WRISTMIR", "ARCHIVE", 0.5)
