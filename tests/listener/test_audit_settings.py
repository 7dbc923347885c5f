from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from listener.audit_settings import AuditDestinationSettings, AuditSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "file"},
        {"kind": "file", "path": "audit.xml"},
        {"kind": "file", "path": "/a", "host": "h"},
        {"kind": "file", "path": "/a", "authorities": "/b"},
        {"kind": "udp"},
        {"kind": "udp", "host": "h", "path": "/a"},
        {"kind": "udp", "host": "h", "authorities": "/b"},
        {"kind": "tls", "host": "h"},
        {"kind": "tls", "host": "h", "authorities": "/b", "certificate": "/c"},
        {"kind": "tcp", "host": "h"},
        {"kind": "file", "path": "/a", "name": "../a"},
    ],
)
def test_an_audit_destination_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditDestinationSettings.model_validate({"name": "a", **wrong})


def test_an_audit_destination_has_the_ports_of_the_standard_and_a_name_of_its_own() -> None:
    udp = AuditDestinationSettings(name="a", kind="udp", host="h")
    tls = AuditDestinationSettings(name="a", kind="tls", host="h", authorities=Path("/b"))
    assert (udp.host_and_port, tls.host_and_port) == (("h", 514), ("h", 6514))
    with pytest.raises(ValidationError, match="stands twice"):
        AuditSettings(destinations=(udp, tls))
