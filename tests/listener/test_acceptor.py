from __future__ import annotations

import socket
import time
from pathlib import Path

import pydicom
import pynetdicom
import pytest
from pydicom._uid_dict import UID_dictionary
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    Verification,
)
from station import (
    EXPLICIT,
    IMPLICIT,
    LOOPBACK,
    Station,
    eventually,
    listener_threads,
    radiograph,
    station,
)
from wire import rejection

from listener.errors import AddressError
from listener.guard import Guard
from listener.presentation_contexts import supported_contexts
from listener.settings import PeerSettings


def test_the_pinned_library_is_the_one_that_the_guards_were_written_for() -> None:
    assert pynetdicom.__version__ == "3.0.4"


def test_an_allowed_peer_is_answered(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        association = link.associate()
        assert association.send_c_echo().Status == 0x0000
        association.release()
        assert association.is_released


def test_an_unknown_calling_title_is_rejected_with_its_reason(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        assert rejection(link, calling="NOBODY") == (1, 1, 3)


def test_a_known_title_from_another_address_is_rejected_even_on_loopback(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        assert rejection(link, calling="OTHERPACS") == (1, 1, 3)


def test_an_unknown_called_title_is_rejected_with_its_reason(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        assert rejection(link, called="STORESCP") == (1, 1, 7)


def test_nobody_is_admitted_where_no_peer_is_listed(tmp_path: Path) -> None:
    with station(tmp_path, peers=()) as link:
        assert rejection(link) == (1, 1, 3)


def test_associations_beyond_the_peers_share_are_rejected_and_places_come_back(
    tmp_path: Path,
) -> None:
    with station(tmp_path, max_associations_per_peer=2) as link:
        held = [link.associate() for _ in range(2)]
        assert all(a.is_established for a in held)
        assert rejection(link) == (2, 3, 2)
        held.pop().release()
        assert eventually(lambda: _can_associate(link))
        held.pop().release()


def test_a_peers_own_limit_holds_beside_the_share_of_its_address(tmp_path: Path) -> None:
    own = PeerSettings(ae_title="PACS", addresses=(f"{LOOPBACK}/32",), max_associations=3)
    other = PeerSettings(ae_title="CR_ROOM_1", addresses=(f"{LOOPBACK}/32",))
    with station(tmp_path, peers=(own, other), max_associations_per_peer=1) as link:
        held = [link.associate() for _ in range(3)] + [link.associate(calling="CR_ROOM_1")]
        assert all(a.is_established for a in held)
        assert rejection(link) == (2, 3, 2)
        assert rejection(link, calling="CR_ROOM_1") == (2, 3, 2)
        for association in held:
            association.release()


def test_a_peer_may_call_the_titles_that_it_is_given_and_no_other(tmp_path: Path) -> None:
    titles = ("WRISTMIR_Q_DR",)
    peer = PeerSettings(ae_title="PACS", addresses=(f"{LOOPBACK}/32",), called_titles=titles)
    with station(tmp_path, peers=(peer,)) as link:
        assert rejection(link, called="WRISTMIR") == (1, 1, 7)
        link.associate(called="WRISTMIR_Q_DR").release()


def test_a_rejection_is_logged_with_the_peers_title_and_address_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path) as link:
        rejection(link, called="STORESCP")
        rejection(link, calling="NOBODY")
    said = [r.getMessage() for r in caplog.records if "rejected" in r.getMessage()]
    assert said == [
        "association rejected: called AE title not recognised (PACS at 127.0.0.1)",
        "association rejected: calling AE title not recognised at this address "
        "(NOBODY at 127.0.0.1)",
    ]


def test_anybody_is_admitted_by_explicit_setting_and_the_log_says_so_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path, peers=(), admit_anyone=True) as link:
        assert link.send(radiograph(), calling="NOBODY") == [0x0000]
    assert "anybody may associate: listener.admit_anyone is set" in caplog.text


def test_the_probe_gets_through_when_every_place_is_taken(tmp_path: Path) -> None:
    with station(tmp_path, max_associations=1) as link:
        held = link.associate()
        link.listener.probe()  # or systemd would restart a service for being busy
        held.release()


def test_associations_beyond_all_places_are_rejected(tmp_path: Path) -> None:
    with station(tmp_path, max_associations=1) as link:
        held = link.associate()
        assert rejection(link) == (2, 3, 2)
        held.release()


def test_new_associations_are_rejected_while_space_is_short_but_c_echo_is_answered(
    tmp_path: Path,
) -> None:
    with station(tmp_path, watermark_bytes=2**62) as link:
        assert rejection(link) == (2, 3, 1)
        association = link.associate(Verification)
        assert association.send_c_echo().Status == 0x0000
        association.release()
        link.listener.probe()


def test_every_storage_class_is_negotiated_with_every_transfer_syntax(tmp_path: Path) -> None:
    contexts = {str(c.abstract_syntax): c for c in supported_contexts()}
    for uid, (name, kind, _info, retired, _keyword) in UID_dictionary.items():
        if kind == "SOP Class" and name.endswith("Image Storage"):
            assert uid in contexts, (name, retired)
    syntaxes = {str(s) for s in contexts["1.2.840.10008.5.1.4.1.1.1"].transfer_syntax}
    assert syntaxes >= {str(s) for s in pynetdicom.ALL_TRANSFER_SYNTAXES}
    # storage commitment is no storage: it has no objects to compress
    commitment = contexts["1.2.840.10008.1.20.1"]
    assert {str(s) for s in commitment.transfer_syntax} == {EXPLICIT, IMPLICIT}


@pytest.mark.parametrize(
    "sop_class",
    ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.38.1", "1.2.840.10008.5.1.4.1.1.501.1"],
    ids=["retired", "not of a patient", "security"],
)
def test_unusual_storage_classes_are_taken_too(tmp_path: Path, sop_class: str) -> None:
    with station(tmp_path) as link:
        assert link.send(radiograph(sop_class=sop_class)) == [0x0000]


def test_explicit_little_endian_is_preferred_where_a_context_proposes_several(
    tmp_path: Path,
) -> None:
    proposed = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
    with station(tmp_path) as link:
        association = link.associate(CTImageStorage, syntaxes=proposed)
        (context,) = association.accepted_contexts
        assert context.transfer_syntax == ["1.2.840.10008.1.2.1"]
        association.release()


def test_the_listener_sends_without_delay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def visit(self: object, *given: object) -> object:
        association = given[0]
        connection = association.dul.socket.socket  # type: ignore[attr-defined]
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return judge(self, *given)

    judge = Guard.judge
    monkeypatch.setattr(Guard, "judge", visit)
    with station(tmp_path) as link:
        link.associate().release()
    assert seen == [1]


def test_setting_up_an_association_costs_little(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        link.associate().release()
        began = time.process_time()
        for _ in range(5):
            link.associate().release()
        # copying every context for each connection, as the library does, took 0.4 s each
        assert time.process_time() - began < 1.0


def test_the_peer_is_told_the_largest_pdu(tmp_path: Path) -> None:
    with station(tmp_path, max_pdu_bytes=65536) as link:
        association = link.associate()
        assert association.acceptor.maximum_length == 65536
        association.release()


def test_answers_fit_into_the_smallest_pdu_of_a_peer(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        association = link.associate(max_pdu=32)
        assert association.send_c_store(radiograph()).Status == 0x0000
        association.release()


def test_a_release_and_an_abort_both_give_the_place_back(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        link.associate().release()
        link.associate().abort()
        assert eventually(lambda: not link.listener._receiver._guard._living())


def test_a_health_check_that_only_connects_leaves_nothing_behind(tmp_path: Path) -> None:
    with station(tmp_path, pdu_seconds=30.0) as link:
        before = len(listener_threads())
        for _ in range(30):
            link.connect().close()
        assert eventually(lambda: len(listener_threads()) <= before, 3)


def test_a_busy_port_is_said_in_one_line(tmp_path: Path) -> None:
    with station(tmp_path) as link, pytest.raises(AddressError, match=str(link.port)):  # noqa: SIM117
        with station(tmp_path / "second", port=link.port):
            pass


def test_an_address_that_is_not_listened_on_is_an_error(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        listener = link.listener
    with pytest.raises(AddressError):
        _ = listener.address


def test_stopping_is_prompt_with_associations_open_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(listener_threads())
    with station(tmp_path, pdu_seconds=30.0, idle_seconds=30.0) as link:
        held = [link.associate() for _ in range(3)]
        silent = [link.connect() for _ in range(3)]
        silent[0].sendall(b"\x01\x00\x00\x00")  # within a PDU
        began = time.monotonic()
        link.listener.stop()
        assert time.monotonic() - began < 3
    assert eventually(lambda: all(not a.is_alive() for a in held))
    for connection in silent:
        connection.close()
    assert eventually(lambda: set(listener_threads()) <= before)


def _can_associate(link: Station) -> bool:
    association = link.associate()
    established = bool(association.is_established)
    if established:
        association.release()
    return established


def test_a_peer_that_asks_for_both_roles_is_served(tmp_path: Path) -> None:
    with station(tmp_path) as link:
        ae = AE("PACS")
        ae.add_requested_context(
            ComputedRadiographyImageStorage, pydicom.uid.ExplicitVRLittleEndian
        )
        role = pynetdicom.build_role(ComputedRadiographyImageStorage, scu_role=True, scp_role=True)
        association = ae.associate(
            LOOPBACK,
            link.port,
            ae_title="WRISTMIR",
            ext_neg=[role],
            evt_handlers=[(evt.EVT_ABORTED, print)],
        )
        assert association.is_established
        assert association.send_c_store(radiograph()).Status == 0x0000
        association.release()
