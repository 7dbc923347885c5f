from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from listener.tls_settings import TlsSettings

PAIR = {"certificate": "/c.pem", "private_key": "/k.pem"}


def test_tls_is_spoken_where_there_is_a_certificate() -> None:
    assert not TlsSettings().is_on
    assert TlsSettings.model_validate({**PAIR, "authorities": "/a.pem"}).is_on


def test_authorities_are_not_needed_where_no_client_has_to_show_a_certificate() -> None:
    assert TlsSettings.model_validate({**PAIR, "require_client_certificate": False}).is_on


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"certificate": "/c.pem"}, "private_key"),
        (PAIR, "authorities"),
        ({"only": True}, "certificate"),
        ({"authorities": "/a.pem"}, "certificate"),
        ({**PAIR, "authorities": "/a.pem", "minimum_version": "1.1"}, "minimum_version"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TlsSettings.model_validate(wrong)
