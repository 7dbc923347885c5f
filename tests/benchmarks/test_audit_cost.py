"""What the audit trail costs who receives: its calls, while a file is written beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from audit_parts import audit_file
from station import SITE_KEY, settings

from listener.audit import Audit
from listener.header import Header
from listener.receipt import Outcome

_HEADER = Header("1.2.840.10008.5.1.4.1.1.1", "1.2.3.4.5", "1.2.3", "1.2.3.4", b"A", b"")
_ASSOCIATIONS = 500
_INSTANCES = 20


def _microseconds(times: list[float]) -> str:
    ranked = sorted(times)
    median, late = ranked[len(ranked) // 2], ranked[len(ranked) * 99 // 100]
    return f"median {median * 1e6:.1f} µs, 99 of 100 within {late * 1e6:.0f} µs"


@pytest.mark.benchmark
def test_the_cost_of_auditing_a_reception(tmp_path: Path) -> None:
    spent: dict[str, list[float]] = {"a study's beginning": [], "an instance": [], "its end": []}

    def timed(what: str, call: Callable[[], None]) -> None:
        begun = time.perf_counter()
        call()
        spent[what].append(time.perf_counter() - begun)

    with Audit(settings(tmp_path, audit=audit_file(tmp_path / "a.xml")), site_key=SITE_KEY) as it:
        for n in range(_ASSOCIATIONS):
            reception = it.reception("PACS", "192.0.2.1", "WRISTMIR")
            header = replace(_HEADER, study_uid=f"1.2.3.{n}")
            timed("a study's beginning", lambda r=reception, h=header: r.begins(h))
            for _ in range(_INSTANCES):
                timed("an instance", lambda r=reception, h=header: r.took(h, Outcome.NEW))
            timed("its end", reception.end)
            time.sleep(0.002)  # as if something came
    for what, times in spent.items():
        print(f"\naudit, {what}: {_microseconds(times)}")  # noqa: T201 - a benchmark's figures
