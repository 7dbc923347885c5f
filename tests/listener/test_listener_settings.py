from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from listener.audit_settings import AuditDestinationSettings, AuditSettings
from listener.destination_settings import DestinationSettings
from listener.reconciliation_settings import ReconciliationSettings
from listener.report_settings import DropFolderSettings, Hl7Settings
from listener.settings import ListenerSettings, PeerSettings, TitleSettings
from listener.tls_settings import TlsSettings

MODELS = (
    TitleSettings,
    PeerSettings,
    DestinationSettings,
    TlsSettings,
    ReconciliationSettings,
    Hl7Settings,
    DropFolderSettings,
    AuditDestinationSettings,
    AuditSettings,
    ListenerSettings,
)
PAIR = {"certificate": "/c.pem", "private_key": "/k.pem"}


@pytest.mark.parametrize("model", MODELS)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())


def test_the_default_titles_are_those_of_the_conformance_statement(tmp_path: Path) -> None:
    titles = {t.ae_title: t for t in ListenerSettings(state_dir=tmp_path).titles}
    assert list(titles) == [
        "WRISTMIR",
        "WRISTMIR_Q",
        "WRISTMIR_Q_DR",
        "WRISTMIR_Q_DU",
        "WRISTMIR_Q_US",
    ]
    assert not titles["WRISTMIR"].is_request
    assert titles["WRISTMIR"].jobs == ("index",)
    assert titles["WRISTMIR_Q_US"].argument == {"regions": ["ulnar_styloid"]}
    assert len(titles["WRISTMIR_Q"].argument["regions"]) == 3


def test_an_unknown_key_is_an_error_and_settings_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="portt"):
        ListenerSettings(state_dir=tmp_path, portt=104)  # type: ignore[call-arg]
    settings = ListenerSettings(state_dir=tmp_path)
    with pytest.raises(ValidationError):
        settings.port = 104  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"max_pdu_bytes": 100},
        {"retention_days": -1},
        {"titles": ()},
        {"titles": ({"ae_title": "A"}, {"ae_title": "A "})},
        {"titles": ({"ae_title": "A" * 17},)},
        {"titles": ({"ae_title": "A", "jobs": ()},)},
        {"tls": {**PAIR, "authorities": "/a.pem", "port": 11112}},
        {"peers": ({"ae_title": "PACS", "addresses": ()},)},
        {"peers": ({"ae_title": "PACS", "addresses": ("pacs.example",)},)},
        {"peers": ({"ae_title": "PACS", "addresses": ("10.1.2.3/24",)},)},
        {
            "destinations": (
                {"name": "a", "ae_title": "A", "host": "h", "port": 1},
                {"name": "a", "ae_title": "B", "host": "h", "port": 2},
            )
        },
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ListenerSettings(state_dir=tmp_path, **wrong)


def test_the_ledger_lies_in_the_state_folder_unless_its_url_is_set(tmp_path: Path) -> None:
    settings = ListenerSettings(state_dir=tmp_path)
    assert settings.ledger_file == tmp_path / "ledger.sqlite3"
    assert settings.ledger_url == f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    elsewhere = ListenerSettings(state_dir=tmp_path, ledger=SecretStr("sqlite:////srv/l.db"))
    assert elsewhere.ledger_file == Path("/srv/l.db")
    served = ListenerSettings(state_dir=tmp_path, ledger=SecretStr("postgresql:///wristmir"))
    assert served.ledger_file is None


def test_a_password_in_the_ledgers_url_is_never_shown(tmp_path: Path) -> None:
    url = SecretStr("postgresql://wristmir:s3cret@db.invalid/wristmir")
    settings = ListenerSettings(state_dir=tmp_path, ledger=url)
    assert settings.ledger_url == url.get_secret_value()
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("url", ["mysql://wristmir:s3cret@db/wristmir", "s3cret", "sqlite://"])
def test_a_ledger_of_another_kind_is_refused_and_its_url_not_repeated(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ListenerSettings(state_dir=tmp_path, ledger=SecretStr(url))
    (complaint,) = caught.value.errors(include_input=False)
    assert "sqlite:///" in complaint["msg"] or "name a file" in complaint["msg"]
    assert "s3cret" not in str(caught.value)
