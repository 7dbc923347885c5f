"""What `wristmir doctor` finds out about the pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from plugin import free_port
from provider_rig import CLIENT, SECRET, FakeProvider, provider
from site_rig import accounts, site_of, with_web

from deploy.doctor import examine
from deploy.pages import look_at_pages
from deploy.settings import Settings, parse
from deploy.state import key_of_site
from deploy.web.users import Role
from listener.ledger import Ledger


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = parse({"state_dir": str(tmp_path / "state"), "listener": {}})
    key_of_site(made)
    Ledger(made.ledger_url).close()
    return with_web(made, port=free_port())


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with provider() as it:
        yield it


def found(settings: Settings, verdict: str) -> list[str]:
    return [words for told, words in look_at_pages(settings) if told == verdict]


def oidc(fake: FakeProvider, **changes: Any) -> dict[str, Any]:
    base = {"issuer": fake.address, "client_id": CLIENT, "radiologists": ["r"]}
    return {**base, "loopback_http": True, **changes}


def test_pages_that_nobody_uses_are_no_fault(settings: Settings) -> None:
    assert [told for told, _ in look_at_pages(settings)] == ["ok"]


@pytest.mark.slow
def test_pages_that_run_are_well_and_those_that_do_not_are_said_how_to_start(
    settings: Settings,
) -> None:
    accounts(settings, reader=(Role.RADIOLOGIST,), admin=(Role.IT, Role.RADIOLOGIST))
    (warning,) = found(settings, "warning")
    assert "nothing listens" in warning
    assert "wristmir-web.service, which `wristmir serve` does not" in warning
    with site_of(settings):
        assert found(settings, "warning") == []
        assert "2 local accounts: 2 as radiologist, 1 as it" in found(settings, "ok")
    assert found(settings, "error") == []


@pytest.mark.slow
def test_its_certificate_is_looked_at(settings: Settings, tmp_path: Path) -> None:
    accounts(settings, reader=(Role.RADIOLOGIST,))
    authority = Authority(tmp_path / "tls")
    late, other = authority.issue("late", days=-1), authority.issue("other")
    pair = {"certificate": late.certificate, "private_key": late.private_key}
    assert any("expired on" in words for words in found(with_web(settings, **pair), "error"))
    pair["private_key"] = other.private_key
    (error,) = found(with_web(settings, **pair), "error")
    assert "the key is not that of the certificate" in error


@pytest.mark.slow
def test_a_provider_that_answers_is_well(settings: Settings, fake: FakeProvider) -> None:
    chosen = with_web(settings, oidc=oidc(fake), public_url="https://wristmir.example.org")
    assert found(chosen, "error") == []
    said = "\n".join(found(chosen, "ok"))
    assert f"OpenID provider {fake.address} answers; its keys: 1" in said
    assert "https://wristmir.example.org/login/oidc/back" in said
    assert any("no local account" in words for words in found(chosen, "warning"))


@pytest.mark.slow
def test_a_provider_that_is_down_or_of_no_use_is_an_error_with_its_reason(
    settings: Settings, fake: FakeProvider
) -> None:
    fake.document = {"code_challenge_methods_supported": ["plain"]}
    (error,) = found(with_web(settings, oidc=oidc(fake)), "error")
    assert "it does not offer PKCE by S256" in error
    fake.document, fake.status = {}, 503
    (error,) = found(with_web(settings, oidc=oidc(fake)), "error")
    assert f"{fake.address} answers 503" in error


@pytest.mark.slow
def test_a_secret_that_cannot_be_used_is_an_error_that_does_not_print_it(
    settings: Settings, fake: FakeProvider, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    chosen = with_web(settings, oidc=oidc(fake, client_secret=secret))
    (error,) = found(chosen, "error")
    assert "cannot be read" in error
    secret.write_text(SECRET, encoding="ascii")
    secret.chmod(0o644)
    (error,) = found(chosen, "error")
    assert "chmod 600" in error
    assert SECRET not in error
    secret.chmod(0o600)
    assert found(chosen, "error") == []


@pytest.mark.slow
def test_keys_tokens_and_folders_that_are_open_or_shut_are_errors(
    settings: Settings, tmp_path: Path
) -> None:
    accounts(settings, reader=(Role.RADIOLOGIST,))
    tokens = tmp_path / "tokens"
    tokens.write_text("", encoding="ascii")
    tokens.chmod(0o644)
    (settings.state_dir / "site.key").chmod(0o644)
    errors = "\n".join(found(with_web(settings, tokens=tokens), "error"))
    assert f"{tokens}: others may read it" in errors
    assert "site.key: others may read it; chmod 600" in errors


@pytest.mark.slow
@pytest.mark.parametrize(("name", "is_theirs"), [("answers", True), ("crosswalk", False)])
def test_only_what_the_pages_open_has_to_be_theirs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, is_theirs: bool
) -> None:
    accounts(settings, reader=(Role.RADIOLOGIST,))
    file = settings.state_dir / f"{name}.sqlite3"
    file.touch()
    # root, who may run this, reads and writes every file
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != file)
    errors = [f"{file} cannot be read and written by this account"] if is_theirs else []
    assert found(settings, "error") == errors


def test_the_doctor_looks_at_the_pages_and_a_broken_file_of_accounts_does_not_stop_it(
    settings: Settings, tmp_path: Path
) -> None:
    settings.users_file.write_text("no accounts\n", encoding="ascii")
    settings.users_file.chmod(0o600)
    config = tmp_path / "wristmir.toml"
    config.write_text(f'state_dir = "{settings.state_dir}"\n[listener]\n', encoding="utf-8")
    checks = {check.name: check for check in examine(config)}
    assert checks["pages"].verdict == "error"
    assert "line 1" in checks["pages"].detail
    assert "audit" in checks
