from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from listener.destination_settings import DestinationSettings

PLAIN = {"name": "pacs", "ae_title": "PACS", "host": "pacs.invalid", "port": 104}
PAIR = {"certificate": "/c.pem", "private_key": "/k.pem"}


@pytest.mark.parametrize(
    "of_tls",
    [{}, {"tls": True, "authorities": "/a.pem"}, {"tls": True, "authorities": "/", **PAIR}],
)
def test_a_destination_is_spoken_to_with_or_without_tls(of_tls: dict[str, Any]) -> None:
    destination = DestinationSettings.model_validate({**PLAIN, **of_tls})
    assert destination.tls is bool(of_tls)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tls": True}, "authorities"),
        (PAIR, "tls = true"),
        ({"tls": True, "authorities": "/a.pem", "certificate": "/c.pem"}, "go together"),
        ({"commitment": "perhaps"}, "commitment"),
        ({"port": 0}, "port"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DestinationSettings.model_validate({**PLAIN, **wrong})
