"""A real vLLM, started with the flags that are shipped: what the plugin relies on, and its faults.

The model is random, so nothing that it says means anything; that it keeps to the schema does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pydantic import BaseModel, ConfigDict, Field
from vllm_server import MODEL, VllmServer, vllm_server

from pipeline.answer import StatedOther, answer_schema
from pipeline.breaker import Breaker
from pipeline.errors import AnswerError, LanguageModelUnavailableError
from pipeline.language_model import LanguageModel
from pipeline.medgemma import MedGemmaMiner
from pipeline.prompt import Prompt

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

QUESTION = Prompt.read().messages("Left wrist. Buckle fracture of the distal radius.", 8)
SHORT = ({"role": "user", "content": "Left wrist. Normal."},)


class Few(BaseModel):
    """A schema of the same parts as the real one, but short enough for a random model."""

    model_config = ConfigDict(extra="forbid")

    reasoning: str = Field(max_length=40)
    angle: int | None = Field(ge=0, le=180)
    others: tuple[StatedOther, ...] = Field(max_length=2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with vllm_server(tmp_path_factory.mktemp("vllm")) as running:
        yield running


@pytest.fixture
def model(server: VllmServer) -> Iterator[LanguageModel]:
    with LanguageModel(server.url, MODEL, deadline_seconds=120, max_tokens=1500) as client:
        yield client


def test_what_it_writes_keeps_to_the_schema(model: LanguageModel) -> None:
    reply = model.ask(SHORT, Few.model_json_schema())
    assert reply.whole
    Few.model_validate_json(reply.text)


def test_the_schema_of_the_real_answer_is_a_grammar_that_it_takes(server: VllmServer) -> None:
    with LanguageModel(server.url, MODEL, max_tokens=24) as model:
        reply = model.ask(QUESTION, answer_schema())
    assert reply.text.startswith('{"reasoning":')
    assert not reply.whole


def test_a_schema_that_is_ignored_would_be_noticed(model: LanguageModel) -> None:
    free = model.ask(SHORT, {"type": "object", "additionalProperties": False, "properties": {}})
    assert json.loads(free.text) == {}


def test_an_answer_that_never_ends_is_no_answer(server: VllmServer) -> None:
    with (
        LanguageModel(server.url, MODEL, max_tokens=24) as model,
        pytest.raises(AnswerError, match="cut off"),
    ):
        # the random model's tokens are short: with its examples the prompt would be too long
        MedGemmaMiner(model, replace(Prompt.read(), examples=())).mine("Left wrist. Normal.")


def test_instructions_and_examples_are_computed_once(
    server: VllmServer, model: LanguageModel
) -> None:
    prompt = Prompt.read()
    schema = {"type": "object", "additionalProperties": False, "properties": {}}
    model.ask(prompt.messages("Left wrist. Normal.", 8), schema)
    before = server.cached_tokens()
    model.ask(prompt.messages("Right wrist. Greenstick fracture.", 3), schema)
    assert server.cached_tokens() - before > 1000


def test_more_requests_than_it_can_do_at_once_are_all_answered(model: LanguageModel) -> None:
    schema = {"type": "object", "additionalProperties": False, "properties": {}}
    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(lambda _: model.ask(SHORT, schema), range(96)))
    assert all(reply.whole for reply in replies)


def test_a_request_that_is_too_long_is_refused_and_no_outage(model: LanguageModel) -> None:
    endless = ({"role": "user", "content": "x " * 20_000},)
    with pytest.raises(AnswerError, match="400"):
        model.ask(endless, answer_schema())
    assert model.ready


def test_an_engine_that_hangs_behind_a_healthy_page_is_found_out(server: VllmServer) -> None:
    breaker = Breaker(failures=1, pause_seconds=0.5)
    with LanguageModel(
        server.url, MODEL, deadline_seconds=2, probe_seconds=2, max_tokens=8, breaker=breaker
    ) as model:
        server.freeze_engine()
        try:
            with pytest.raises(LanguageModelUnavailableError, match="in time"):
                model.ask(SHORT, answer_schema())
            assert server.health() == 200
            time.sleep(0.6)
            with pytest.raises(LanguageModelUnavailableError):  # the probe is not fooled
                model.ask(SHORT, answer_schema())
        finally:
            server.thaw_engine()
        _eventually_answers(model)


def test_a_server_that_is_started_anew_is_asked_again(server: VllmServer) -> None:
    breaker = Breaker(failures=1, pause_seconds=0.5, longest_seconds=1)
    with LanguageModel(server.url, MODEL, max_tokens=8, breaker=breaker) as model:
        model.ask(SHORT, answer_schema())
        server.kill()
        with pytest.raises(LanguageModelUnavailableError, match="does not answer"):
            model.ask(SHORT, answer_schema())
        assert not model.ready
        server.start()
        _eventually_answers(model)


def _eventually_answers(model: LanguageModel) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            model.ask(SHORT, answer_schema())
        except LanguageModelUnavailableError:
            assert time.monotonic() < until
            time.sleep(0.3)
        else:
            return
