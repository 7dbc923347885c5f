from __future__ import annotations

from statistics import median
from time import process_time

import pytest
from result_parts import NOW, UIDS, answer, exam, header, match
from rich.console import Console

from pipeline.measurement_report import measurement_report
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.request import RegionAnswer
from pipeline.wording import BundleWords

BUNDLE = BundleWords("benchmark", "", demonstration=True)


@pytest.mark.benchmark
def test_the_companion_of_three_bones_takes_a_fraction_of_a_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    priors = [exam(number) for number in range(1, 11)]
    matches = tuple(match(rank, prior) for rank, prior in enumerate(priors, 1))
    given = answer(tuple(RegionAnswer(region, matches) for region in Region))
    references = {prior.sop_instance_uid: PriorReference.to_original(prior) for prior in priors}
    seconds = []
    for _ in range(10):
        started = process_time()
        measurement_report(
            given,
            header(0),
            references,
            bundle=BUNDLE,
            uids=UIDS,
            result_id="benchmark",
            created_at=NOW,
        )
        seconds.append(process_time() - started)
    with capsys.disabled():
        spent = f"{1000 * median(seconds):.0f} ms of processor time"
        Console().print(f"companion, three bones, ten matches each: {spent}")
    assert median(seconds) < 0.25
