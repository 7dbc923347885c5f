"""Where the pages may be served: never so that a password crosses a network in clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.web.settings import WebSettings

PAIR = {"certificate": Path("/c.pem"), "private_key": Path("/k.pem")}
PROVIDER = {
    "issuer": "https://login.example.org/realms/hospital",
    "client_id": "wristmir",
    "radiologists": ["radiologists"],
}


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
        {"oidc": {**PROVIDER, "issuer": "http://login.example.org"}},
        {"oidc": {**PROVIDER, "issuer": "http://127.0.0.1:8081"}},
        {"oidc": {**PROVIDER, "issuer": "http://login.example.org", "loopback_http": True}},
        {"oidc": {**PROVIDER, "issuer": "https://login.example.org/?tenant=1"}},
        {"oidc": {**PROVIDER, "issuer": "https://name@login.example.org"}},
        {"oidc": {**PROVIDER, "issuer": None}},
        {"oidc": {**PROVIDER, "client_id": None}},
        {"oidc": {**PROVIDER, "radiologists": []}},
        {"oidc": {**PROVIDER, "scopes": ["profile"]}},
        {"oidc": {**PROVIDER, "algorithms": []}},
        {"oidc": {**PROVIDER, "algorithms": ["none"]}},
        {"oidc": {**PROVIDER, "algorithms": ["RS256", "HS256"]}},
        {"oidc": {**PROVIDER, "clock_skew_seconds": 600}},
        {"oidc": {**PROVIDER, "secret": "in clear"}},
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


def test_a_provider_is_asked_where_its_issuer_is_and_nowhere_unless_it_is_set() -> None:
    assert WebSettings.model_validate({"oidc": PROVIDER}).oidc.origin == "https://login.example.org"
    assert not WebSettings().oidc.is_on
