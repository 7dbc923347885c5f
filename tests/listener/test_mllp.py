from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from oru import CR, FS, TEXT, VT, Sender, code, deliver, oru
from sqlalchemy.exc import OperationalError
from station import Station, eventually, listener_threads, radiograph, station

from listener.errors import AddressError, OutOfResourcesError, ProcessingFailureError
from listener.linkage import LinkState
from listener.recorded_report import RecordedReports
from listener.report_settings import Hl7Settings
from listener.report_shelf import ReportShelf


def hl7(**changes: Any) -> Hl7Settings:
    given: dict[str, Any] = {"enabled": True, "port": 0, "addresses": ("127.0.0.1/32",)}
    return Hl7Settings(**(given | {"message_seconds": 0.5, "idle_seconds": 5} | changes))


def port(link: Station) -> int:
    address = link.listener.hl7_address
    assert address is not None
    return address[1]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "reports").glob("??/*"))


def test_a_report_is_on_disk_and_in_the_ledger_when_it_is_acknowledged(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7()) as link, Sender(port(link)) as sender:
        answer = sender.send(oru(TEXT, control_id="77", study="1.2.3"))
        assert answer[1] == ["MSA", "AA", "77"]
        (row,) = link.ledger.reports.latest()
        assert row.path.read_bytes() == oru(TEXT, control_id="77", study="1.2.3")
        assert row.path.stat().st_mode & 0o777 == 0o600
        assert row.path.parent.stat().st_mode & 0o777 == 0o700
        assert (row.state, row.study_uid) == (LinkState.WAITING, "1.2.3")


def test_the_client_of_another_library_is_served_and_reads_the_answer(tmp_path: Path) -> None:
    from hl7 import parse
    from hl7.client import MLLPClient

    with station(tmp_path, hl7=hl7()) as link, MLLPClient("127.0.0.1", port(link)) as client:
        for number in ("1", "2"):
            answer = client.send_message(oru(TEXT, control_id=number))
            parsed = parse(answer.strip(VT + FS + CR))
            assert (str(parsed["MSA"][0][1]), str(parsed["MSA"][0][2])) == ("AA", number)


def test_it_is_off_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        assert link.listener.hl7_address is None
        assert "reports" not in listener_threads()


def test_the_same_message_again_is_acknowledged_and_nothing_new(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7()) as link:
        assert deliver(port(link), oru(TEXT), oru(TEXT)) == ["AA", "AA"]
        assert deliver(port(link), oru(TEXT)) == ["AA"]
        assert len(link.ledger.reports.latest()) == len(files(tmp_path)) == 1
        # another number is another message
        assert deliver(port(link), oru(TEXT, control_id="2")) == ["AA"]
        assert len(link.ledger.reports.latest()) == 2


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (oru(TEXT, kind="ADT^A01"), "AR"),
        (oru(TEXT, processing_id="T"), "AR"),
        (oru(), "AE"),
        (oru(TEXT, patient=""), "AE"),
        (b"no HL7", "AE"),
        (b"", "AE"),
        (oru(TEXT, kind="ADT^A01", accept="AL"), "CR"),
        (oru(accept="AL"), "CE"),
        (oru(TEXT, accept="AL"), "CA"),
    ],
)
def test_what_cannot_be_used_is_answered_and_not_kept(
    tmp_path: Path, message: bytes, expected: str
) -> None:
    with station(tmp_path, hl7=hl7()) as link, Sender(port(link)) as sender:
        answer = sender.send(message)
        assert code(answer) == expected
        assert any(segment[0] == "ERR" for segment in answer) is (expected != "CA")
        assert code(sender.send(oru(TEXT))) == "AA"  # the connection goes on
        assert (
            len(files(tmp_path))
            == len(link.ledger.reports.latest())
            == (2 if expected == "CA" else 1)
        )


def test_messages_in_one_packet_are_answered_in_their_order(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7()) as link, Sender(port(link)) as sender:
        many = [oru(TEXT, control_id=str(n)) for n in range(20)]
        sender.socket.sendall(b"".join(VT + message + FS + CR for message in many))
        assert [sender.answer()[1][2] for _ in many] == [str(n) for n in range(20)]
        assert len(link.ledger.reports.latest()) == 20


def test_a_message_that_comes_byte_by_byte_is_taken(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7(message_seconds=20)) as link, Sender(port(link)) as sender:
        sender.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in VT + oru(TEXT) + FS + CR:
            sender.socket.sendall(bytes([byte]))
        assert code(sender.answer()) == "AA"


def test_a_message_that_is_never_complete_is_cut_in_time_and_not_kept(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7(message_seconds=0.3)) as link, Sender(port(link)) as sender:
        began = time.monotonic()
        sender.socket.sendall(VT + oru(TEXT))
        while not sender.is_cut(0.05):  # a byte now and then does not help
            sender.socket.sendall(b".")
        assert 0.2 < time.monotonic() - began < 3
        assert files(tmp_path) == []


def test_a_silent_connection_is_closed_in_time(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7(idle_seconds=0.2)) as link, Sender(port(link)) as sender:
        assert code(sender.send(oru(TEXT))) == "AA"
        assert sender.is_cut(3)


def test_a_message_that_is_too_large_is_cut(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7(max_message_bytes=2000)) as link:
        with Sender(port(link)) as sender:
            sender.socket.sendall(VT + b"MSH|" + b"a" * 2000)
            assert sender.is_cut()
        assert deliver(port(link), oru(TEXT)) == ["AA"]


def test_what_is_not_listed_is_not_heard(tmp_path: Path) -> None:
    with (
        station(tmp_path, hl7=hl7(addresses=("192.0.2.0/24",))) as link,
        Sender(port(link)) as sender,
    ):
        assert sender.is_cut()
    with station(tmp_path, hl7=hl7(addresses=())) as link, Sender(port(link)) as sender:
        assert sender.is_cut()


def test_a_sender_that_comes_again_displaces_its_stalest_connection(tmp_path: Path) -> None:
    with (
        station(tmp_path, hl7=hl7(max_connections_per_address=2)) as link,
        Sender(port(link)) as stale,
        Sender(port(link)) as alive,
    ):
        assert code(stale.send(oru(TEXT))) == "AA"
        assert code(alive.send(oru(TEXT))) == "AA"
        with Sender(port(link)) as third:
            assert code(third.send(oru(TEXT))) == "AA"
            assert stale.is_cut()
            assert code(alive.send(oru(TEXT))) == "AA"


def test_no_more_connections_than_allowed_are_held(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7(max_connections=2, max_connections_per_address=9)) as link:
        with Sender(port(link)) as one, Sender(port(link)) as two:
            assert [code(s.send(oru(TEXT))) for s in (one, two)] == ["AA", "AA"]
            with Sender(port(link)) as third:
                assert third.is_cut()
        assert eventually(lambda: deliver_or_none(link) == ["AA"])


def deliver_or_none(link: Station) -> list[str]:
    try:
        return deliver(port(link), oru(TEXT))
    except OSError:
        return []


def test_many_senders_at_once_are_all_served(tmp_path: Path) -> None:
    codes: list[str] = []

    def send(number: int) -> None:
        messages = [oru(TEXT, control_id=f"{number}-{n}") for n in range(5)]
        codes.extend(deliver(port(link), *messages))

    with station(tmp_path, hl7=hl7(max_connections_per_address=8)) as link:
        threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == ["AA"] * 30
        assert len(link.ledger.reports.latest()) == 30


def test_a_full_disk_or_a_lost_ledger_is_told_and_over_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutOfResourcesError("The disk refuses.")  # noqa: EM101 - as the shelf says it

    def broken(*_: object) -> None:
        raise ProcessingFailureError("The disk refuses.")  # noqa: EM101 - as the shelf says it

    def locked(*_: object) -> None:
        statement = "secret words"
        raise OperationalError(statement, None, Exception(statement))

    with station(tmp_path, hl7=hl7()) as link:
        for owner, name, fails, said in (
            (ReportShelf, "place", full, "There is no room to keep the object."),
            (ReportShelf, "place", broken, "The object could not be kept."),
            (RecordedReports, "record", locked, "send it again"),
            (ReportShelf, "place", lambda *_: 1 / 0, "Unexpected ZeroDivisionError"),
        ):
            with monkeypatch.context() as patched, Sender(port(link)) as sender:
                patched.setattr(owner, name, fails)
                answer = sender.send(oru(TEXT))
                assert code(answer) == "AE"
                assert answer[2][3].startswith("207^")
                assert said in answer[2][8]
                assert "secret" not in str(answer)
            assert deliver(port(link), oru(TEXT)) == ["AA"]
        assert len(link.ledger.reports.latest()) == 1


def test_little_space_refuses_reports(tmp_path: Path) -> None:
    with station(tmp_path, hl7=hl7(), watermark_bytes=2**60) as link:
        assert deliver(port(link), oru(TEXT)) == ["AE"]
        assert files(tmp_path) == []


def test_stopping_is_prompt_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(listener_threads())
    with station(tmp_path, hl7=hl7()) as link:
        senders = [Sender(port(link)) for _ in range(3)]
        senders[0].socket.sendall(VT + b"MSH")
        assert code(senders[1].send(oru(TEXT))) == "AA"
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert eventually(lambda: set(listener_threads()) <= before)
    for sender in senders:
        sender.socket.close()


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(AddressError, match="in use"),
            station(tmp_path, hl7=hl7(port=taken.getsockname()[1])),
        ):
            pass
    assert eventually(lambda: "acceptor" not in listener_threads())


SECRETS = (
    "SECRET-47",
    "Secretname",
    "SECRETISSUER",
    "SECRETACCESSION",
    "secretwords",
    "SECRETFILLER",
)
SECRET_STUDY = "1.2.840.99999.4711"  # noqa: S105 - a UID


def secret_message(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "patient": "SECRET-47^^^SECRETISSUER^MR",
        "order": "SECRETFILLER",
        "accession": "SECRETACCESSION",
        "study": SECRET_STUDY,
        "control_id": "SECRET-47",
    }
    message = oru("The secretwords of a report.", **(given | changes))
    return message.replace(b"Invented^Ines", b"Secretname^Ines")


def test_no_log_line_and_no_ledger_row_names_anybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [
        {"kind": "SECRET-47^A01"},
        {"processing_id": "SECRET-47"},
        {"character_set": "SECRET-47"},
        {"study": "SECRET-47"},
        {"patient": ""},
    ]
    with caplog.at_level(logging.DEBUG), station(tmp_path, hl7=hl7()) as link:
        assert deliver(port(link), secret_message(), secret_message(status="X")) == ["AA", "AA"]
        link.send(radiograph(study=SECRET_STUDY))  # another patient's
        for changes in refused:
            with Sender(port(link)) as sender:
                answer = sender.send(secret_message(**changes))
            assert code(answer) in ("AE", "AR")
            said = "|".join(segment[8] for segment in answer if segment[0] == "ERR")
            assert not any(secret in said for secret in SECRETS)
        with Sender(port(link)) as sender:
            sender.socket.sendall(b"SECRET-47 Secretname secretwords")
            assert sender.is_cut()
        assert len(link.ledger.reports.latest([LinkState.QUARANTINED])) == 2
    assert "report message" in caplog.text
    database = b"".join(f.read_bytes() for f in tmp_path.glob("ledger.sqlite3*"))
    assert SECRET_STUDY.encode() in database  # UIDs stand there, as for instances
    for secret in SECRETS:
        assert secret not in caplog.text
        assert secret.encode() not in database
    assert SECRET_STUDY not in caplog.text
