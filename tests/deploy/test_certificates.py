"""What `wristmir doctor` finds out about the files for TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Identity

from deploy.certificates import look_at_certificates
from deploy.doctor import examine
from listener.destination_settings import DestinationSettings
from listener.settings import ListenerSettings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


def found(authority: Authority, server: Identity, **changes: Any) -> list[tuple[str, str]]:
    given = {"tls": authority.settings(server)} | changes
    return list(look_at_certificates(ListenerSettings(state_dir=Path("/nowhere"), **given)))


def test_good_files_are_said_to_be_good_and_how_long(authority: Authority) -> None:
    looks = found(authority, authority.issue("receiver"))
    assert [verdict for verdict, _ in looks] == ["ok", "ok"]
    assert "receiver.pem: valid until" in looks[0][1]


def test_a_certificate_warns_thirty_days_before_its_end(authority: Authority) -> None:
    assert found(authority, authority.issue("late", days=31))[0][0] == "ok"
    verdict, words = found(authority, authority.issue("soon", days=29.5))[0]
    assert verdict == "warning"
    assert "in 29 days; renew it" in words


def test_an_expired_certificate_is_an_error(authority: Authority) -> None:
    verdict, words = found(authority, authority.issue("old", days=-1))[0]
    assert verdict == "error"
    assert "expired on" in words


def test_a_key_of_another_certificate_is_an_error(authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    looks = found(authority, Identity(one.certificate, other.private_key))
    assert looks[0][0] == "error"
    assert "the key is not that of the certificate" in looks[0][1]


def test_a_file_that_is_not_there_is_an_error_with_the_way_out(authority: Authority) -> None:
    one = authority.issue("one")
    ((verdict, words),) = found(authority, Identity(one.certificate, Path("/none.key")))
    assert verdict == "error"
    assert "/none.key: No such file" in words
    assert "readable by the service's account" in words


def test_a_certificate_that_the_authorities_do_not_vouch_for_is_a_warning(
    tmp_path: Path, authority: Authority
) -> None:
    stranger = Authority(tmp_path / "other", "other").issue("receiver")
    verdict, words = found(authority, stranger)[-1]
    assert verdict == "warning"
    assert "does not vouch for" in words
    assert "unable to get local issuer certificate" in words


@pytest.mark.parametrize(("mode", "is_fine"), [(0o600, True), (0o640, True), (0o644, False)])
def test_a_key_that_others_can_read_is_a_warning(
    authority: Authority, mode: int, is_fine: bool
) -> None:
    server = authority.issue("receiver")
    server.private_key.chmod(mode)
    warned = [words for verdict, words in found(authority, server) if verdict == "warning"]
    assert bool(warned) is not is_fine
    assert all("set its mode to 0600" in words for words in warned)


def test_a_destinations_files_are_looked_at_too(authority: Authority) -> None:
    client = authority.issue("client", days=10)
    there = DestinationSettings(
        name="pacs",
        ae_title="PACS",
        host="localhost",
        port=2762,
        tls=True,
        authorities=authority.file,
        certificate=client.certificate,
        private_key=client.private_key,
    )
    looks = found(authority, authority.issue("receiver"), destinations=(there,))
    assert [v for v, words in looks if "client.pem" in words] == ["warning"]
    broken = there.model_copy(update={"authorities": client.private_key})
    looks = found(authority, authority.issue("receiver"), destinations=(broken,))
    assert looks[-1][0] == "error"
    assert looks[-1][1].startswith("pacs: ")


def test_where_tls_is_off_that_is_said(tmp_path: Path) -> None:
    ((verdict, words),) = look_at_certificates(ListenerSettings(state_dir=tmp_path))
    assert verdict == "ok"
    assert "TLS is off" in words


@pytest.mark.slow
def test_doctor_warns_at_each_run_where_anybody_may_associate(tmp_path: Path) -> None:
    config = tmp_path / "wristmir.toml"
    state = f'state_dir = "{tmp_path / "state"}"\n'
    config.write_text(f"{state}[listener]\nadmit_anyone = true\nport = 1\n", encoding="utf-8")
    for _ in range(2):
        checks = [check for check in examine(config) if check.name == "peers"]
        assert checks[0].verdict == "warning"
        assert "listener.admit_anyone" in checks[0].detail
