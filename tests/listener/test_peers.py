from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from listener.peers import (
    CALLED_TITLE_UNKNOWN,
    CALLING_TITLE_UNKNOWN,
    CERTIFICATE_NOT_ITS_OWN,
    Admission,
    Call,
    Peers,
    Rejection,
)
from listener.settings import ListenerSettings, PeerSettings
from listener.tls import PeerCertificate

TLS = {"certificate": "/c.pem", "private_key": "/k.pem", "authorities": "/a.pem"}
OLD, NEW, OTHER = "a1" * 32, "B2" * 32, "c3" * 32
LISTED = (
    PeerSettings(ae_title="PACS", addresses=("10.1.2.0/24", "2001:db8::/64")),
    PeerSettings(ae_title="CR ROOM 1", addresses=("10.9.9.9",)),
    PeerSettings(ae_title="BOUND", addresses=("10.1.2.0/24",), certificates=(OLD, NEW)),
    PeerSettings(
        ae_title="NAMED",
        addresses=("10.1.2.0/24",),
        certificate_names=("Pacs.Hospital.example", "2001:DB8:0::7"),
    ),
    PeerSettings(ae_title="ASKS", addresses=("10.1.2.0/24",), called_titles=("WRISTMIR_Q",)),
    PeerSettings(ae_title="BUSY", addresses=("10.7.7.7",), max_associations=25),
)


def peers(tmp_path: Path, **changes: Any) -> Peers:
    given: dict[str, Any] = {"state_dir": tmp_path, "peers": LISTED, "tls": TLS}
    return Peers(ListenerSettings(**(given | changes)), "PSECRET")


def call(calling: str, called: str = "WRISTMIR", address: str = "10.1.2.3", **more: Any) -> Call:
    return Call(calling, called, address, more.pop("only_echo", False), more.pop("shown", None))


def certificate(fingerprint: str = OTHER, *names: str) -> PeerCertificate:
    return PeerCertificate(fingerprint.lower(), frozenset(names))


def is_admitted(verdict: Admission | Rejection) -> bool:
    return isinstance(verdict, Admission)


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
        ("ASKS", "WRISTMIR_Q", "10.1.2.3", None),
        ("ASKS", "WRISTMIR", "10.1.2.3", CALLED_TITLE_UNKNOWN),
        ("BOUND", "WRISTMIR", "10.1.2.3", CERTIFICATE_NOT_ITS_OWN),
        ("BOUND", "STORESCP", "10.1.2.3", CERTIFICATE_NOT_ITS_OWN),
        ("BOUND", "WRISTMIR", "10.9.9.9", CALLING_TITLE_UNKNOWN),
    ],
)
def test_only_a_listed_title_at_a_listed_address_is_admitted(
    tmp_path: Path, calling: str, called: str, address: str, answer: Rejection | None
) -> None:
    verdict = peers(tmp_path).judge(call(calling, called, address))
    assert verdict == answer if answer is not None else is_admitted(verdict)


def test_a_bound_peer_is_admitted_with_any_of_its_certificates_and_no_other(
    tmp_path: Path,
) -> None:
    it = peers(tmp_path)
    for fingerprint in (OLD, NEW):
        assert is_admitted(it.judge(call("BOUND", shown=certificate(fingerprint))))
    assert it.judge(call("BOUND", shown=certificate(OTHER))) == CERTIFICATE_NOT_ITS_OWN
    named = certificate(OTHER, "pacs.hospital.example")
    assert is_admitted(it.judge(call("NAMED", shown=named)))
    assert is_admitted(it.judge(call("NAMED", shown=certificate(OTHER, "2001:db8::7"))))
    assert it.judge(call("NAMED", shown=certificate(OLD, "x.example"))) == CERTIFICATE_NOT_ITS_OWN
    assert it.judge(call("BOUND", shown=named)) == CERTIFICATE_NOT_ITS_OWN


def test_a_title_may_be_listed_once_for_each_address(tmp_path: Path) -> None:
    here = PeerSettings(ae_title="TWICE", addresses=("10.1.0.1",), called_titles=("WRISTMIR",))
    there = PeerSettings(ae_title="TWICE", addresses=("10.1.0.2",), called_titles=("WRISTMIR_Q",))
    it = peers(tmp_path, peers=(here, there))
    assert is_admitted(it.judge(call("TWICE", "WRISTMIR", "10.1.0.1")))
    assert is_admitted(it.judge(call("TWICE", "WRISTMIR_Q", "10.1.0.2")))
    assert it.judge(call("TWICE", "WRISTMIR_Q", "10.1.0.1")) == CALLED_TITLE_UNKNOWN


def test_a_peers_own_limit_is_its_own_and_the_others_share_their_addresss(tmp_path: Path) -> None:
    it = peers(tmp_path, max_associations_per_peer=3)
    own = it.judge(call("BUSY", address="10.7.7.7"))
    one, two = it.judge(call("PACS")), it.judge(call("ASKS", "WRISTMIR_Q"))
    assert isinstance(own, Admission)
    assert isinstance(one, Admission)
    assert isinstance(two, Admission)
    assert own.most == 25
    assert one.most == two.most == 3
    assert one.share == two.share != own.share
    assert it.most_from("10.7.7.7") == 25
    assert it.most_from("10.1.2.3") == 3


def test_the_services_own_probe_may_ask_for_c_echo_and_nothing_else(tmp_path: Path) -> None:
    it = peers(tmp_path)
    verdict = it.judge(call("PSECRET", address="127.0.0.1", only_echo=True))
    assert isinstance(verdict, Admission)
    assert verdict.share is None
    assert it.judge(call("PSECRET", address="127.0.0.1")) == CALLING_TITLE_UNKNOWN
    assert not is_admitted(it.judge(call("PSECRET", "STORESCP", only_echo=True)))


def test_nobody_is_admitted_by_default(tmp_path: Path) -> None:
    it = Peers(ListenerSettings(state_dir=tmp_path))
    for calling in ("PACS", "WRISTMIR", ""):
        assert not is_admitted(it.judge(call(calling, address="127.0.0.1", only_echo=True)))


def test_whoever_is_not_listed_is_admitted_by_explicit_setting_alone(tmp_path: Path) -> None:
    it = peers(tmp_path, admit_anyone=True)
    assert is_admitted(it.judge(call("NOBODY", address="203.0.113.9")))
    assert it.judge(call("NOBODY", "STORESCP")) == CALLED_TITLE_UNKNOWN
    # a title that is listed stays with whom it is listed for
    assert it.judge(call("PACS", address="203.0.113.9")) == CALLING_TITLE_UNKNOWN
    assert it.judge(call("BOUND")) == CERTIFICATE_NOT_ITS_OWN


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"certificates": ("a1",)}, "64 hexadecimal digits"),
        ({"certificates": (OLD,), "certificate_names": ("a.example",)}, "not by both"),
        ({"max_associations": 0}, "greater than or equal to 1"),
    ],
)
def test_a_peer_that_cannot_be_meant_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PeerSettings(ae_title="PACS", addresses=("10.1.2.3",), **changes)


def test_a_peer_that_nobody_could_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="`tls` needs a certificate"):
        peers(tmp_path, tls={})
    wrong = PeerSettings(ae_title="PACS", addresses=("10.1.2.3",), called_titles=("WRISTMIRR",))
    with pytest.raises(ValidationError, match="`titles` lacks"):
        peers(tmp_path, peers=(wrong,))
