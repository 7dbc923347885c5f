from __future__ import annotations

from pathlib import Path

import pytest

from listener.peers import CALLED_TITLE_UNKNOWN, CALLING_TITLE_UNKNOWN, Peers, Rejection
from listener.settings import ListenerSettings, PeerSettings


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    listed = (
        PeerSettings(ae_title="PACS", addresses=("10.1.2.0/24", "2001:db8::/64")),
        PeerSettings(ae_title="CR ROOM 1", addresses=("10.9.9.9",)),
    )
    return Peers(ListenerSettings(state_dir=tmp_path, peers=listed), "PSECRET")


@pytest.mark.parametrize(
    ("calling", "called", "address", "answer"),
    [
        ("PACS", "WRISTMIR", "10.1.2.3", None),
        ("PACS", "WRISTMIR_Q_DR", "10.1.2.3", None),
        ("PACS            ", "WRISTMIR   ", "10.1.2.3", None),
        ("PACS", "WRISTMIR", "::ffff:10.1.2.3", None),
        ("PACS", "WRISTMIR", "2001:db8::7%eth0", None),
        ("CR ROOM 1", "WRISTMIR_Q", "10.9.9.9", None),
        ("PACS", "WRISTMIR", "10.1.3.3", CALLING_TITLE_UNKNOWN),
        ("CR ROOM 1", "WRISTMIR", "10.1.2.3", CALLING_TITLE_UNKNOWN),
        ("pacs", "WRISTMIR", "10.1.2.3", CALLING_TITLE_UNKNOWN),
        ("PACS", "WRISTMIR", "127.0.0.1", CALLING_TITLE_UNKNOWN),
        ("PACS", "WRISTMIR", "::1", CALLING_TITLE_UNKNOWN),
        ("PACS", "STORESCP", "10.1.2.3", CALLED_TITLE_UNKNOWN),
        ("NOBODY", "STORESCP", "10.1.2.3", CALLING_TITLE_UNKNOWN),
    ],
)
def test_only_a_listed_title_at_a_listed_address_is_admitted(
    peers: Peers, calling: str, called: str, address: str, answer: Rejection | None
) -> None:
    assert peers.judge(calling, called, address, only_echo=False) == answer


def test_the_services_own_probe_may_ask_for_c_echo_and_nothing_else(peers: Peers) -> None:
    assert peers.judge("PSECRET", "WRISTMIR", "127.0.0.1", only_echo=True) is None
    assert peers.judge("PSECRET", "WRISTMIR", "127.0.0.1", only_echo=False) is not None


def test_nobody_is_admitted_by_default(tmp_path: Path) -> None:
    peers = Peers(ListenerSettings(state_dir=tmp_path))
    for calling in ("PACS", "WRISTMIR", ""):
        assert peers.judge(calling, "WRISTMIR", "127.0.0.1", only_echo=True) is not None
