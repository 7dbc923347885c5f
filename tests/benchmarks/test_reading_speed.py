from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

import pytest
from rich.console import Console

from pipeline.gold import gold_reports
from pipeline.language_model import LanguageModel
from pipeline.medgemma import MedGemmaMiner
from pipeline.mining import RulesMiner
from pipeline.prompt import Prompt

TESTS = Path(__file__).parents[1]
REPORTS = [r.text for r in gold_reports(TESTS / "data" / "gold" / "tuning.jsonl")]
# a process of its own, so that only the client's processor time is counted
SERVER = """
import sys, time
from scripted_model import Says, scripted_model
answer = sys.stdin.readline()
def say(_):
    time.sleep(1.0)
    return Says(answer)
with scripted_model(say) as model:
    print(model.url, flush=True)
    sys.stdin.readline()
    print(model.most_at_once, flush=True)
"""


@pytest.mark.benchmark
def test_rules_read_hundreds_of_reports_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    miner = RulesMiner()
    started = process_time()
    for text in REPORTS:
        miner.mine(text)
    rate = len(REPORTS) / (process_time() - started)
    with capsys.disabled():
        Console().print(f"rules: {rate:.0f} reports a second and core")
    assert rate > 300


@pytest.mark.benchmark
def test_the_client_keeps_64_requests_in_flight(capsys: pytest.CaptureFixture[str]) -> None:
    example = Prompt.read().examples[0]
    with thinking_server(example.answer.model_dump_json()) as (url, most_at_once):
        with LanguageModel(url, "m") as model, ThreadPoolExecutor(64) as pool:
            miner = MedGemmaMiner(model)
            list(pool.map(lambda _: miner.mine(example.text, 9), range(64)))
            began, spent = perf_counter(), process_time()
            list(pool.map(lambda _: miner.mine(example.text, 9), range(640)))
            spent, took = process_time() - spent, perf_counter() - began
        most = most_at_once()
    with capsys.disabled():
        Console().print(
            f"language model that thinks for 1 s: {640 / took:.0f} reports a second, {most} "
            f"requests at a time, {spent / 640 * 1000:.1f} ms of the client's own for a report"
        )
    assert most == 64


@contextmanager
def thinking_server(answer: str) -> Iterator[tuple[str, Callable[[], int]]]:
    command = [sys.executable, "-c", SERVER]
    environment = {"PYTHONPATH": str(TESTS / "pipeline")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps(json.loads(answer)), file=process.stdin, flush=True)
    url = process.stdout.readline().strip()

    def most_at_once() -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        print("", file=process.stdin, flush=True)
        return int(process.stdout.readline())

    try:
        yield url, most_at_once
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
