"""Where the pages may be served: never so that a password crosses a network in clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.web.settings import WebSettings

PAIR = {"certificate": Path("/c.pem"), "private_key": Path("/k.pem")}


@pytest.mark.parametrize(
    "given",
    [
        {"host": "0.0.0.0"},  # noqa: S104  refused
        {"host": "10.1.2.3", "public_url": "https://wristmir.example.org"},
        {"certificate": Path("/c.pem")},
        {**PAIR, "public_url": "http://wristmir.example.org"},
        {"public_url": "https://wristmir.example.org/pages"},
        {"viewer_url": "https://ohif.example.org/viewer"},
        {"viewer_url": "javascript:alert({studies})"},
        {"trusted_proxies": ["*"]},
        {"trusted_proxies": ["10.0.0.0/8"]},
        {"login": {"kind": "none"}},
    ],
)
def test_what_would_be_unsafe_or_half_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebSettings.model_validate(given)


def test_by_default_this_machine_alone_is_served_and_no_proxy_is_believed() -> None:
    plain = WebSettings()
    assert (plain.host, plain.is_secure, plain.trusted_proxies) == ("127.0.0.1", False, ())


@pytest.mark.parametrize(
    "given", [PAIR, {**PAIR, "host": "::"}, {"public_url": "https://wristmir.example.org"}]
)
def test_browsers_are_told_to_keep_to_https_where_they_reach_it_so(given: dict[str, Any]) -> None:
    assert WebSettings.model_validate(given).is_secure
