from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import pytest
from result_parts import NOW, UIDS, answer, exam, header, match
from rich.console import Console

from pipeline.match_report import match_report
from pipeline.measurement_report import measurement_report
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.request import RegionAnswer
from pipeline.wording import BundleWords


@pytest.mark.benchmark
@pytest.mark.parametrize("build", [match_report, measurement_report])
def test_a_report_of_three_bones_takes_a_fraction_of_a_second(
    build: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    priors = [exam(number) for number in range(1, 11)]
    matches = tuple(match(rank, prior) for rank, prior in enumerate(priors, 1))
    given = answer(tuple(RegionAnswer(region, matches) for region in Region))
    references = {prior.sop_instance_uid: PriorReference.to_original(prior) for prior in priors}
    said = {
        "bundle": BundleWords("benchmark", "", demonstration=True),
        "uids": UIDS,
        "result_id": "benchmark",
        "created_at": NOW,
    }
    seconds = []
    for _ in range(10):
        started = process_time()
        build(given, header(0), references, **said)
        seconds.append(process_time() - started)
    name, spent = build.__name__.replace("_", " "), 1000 * median(seconds)
    with capsys.disabled():
        Console().print(f"{name}, three bones, ten matches each: {spent:.0f} ms of processor time")
    assert median(seconds) < 0.25
