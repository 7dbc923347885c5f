"""The client of the language model, against a server that is told how to behave."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from scripted_model import Said, Says, scripted_model

from pipeline.breaker import Breaker
from pipeline.errors import AnswerError, LanguageModelUnavailableError
from pipeline.language_model import LanguageModel

SCHEMA = {"type": "object"}
QUESTION = ({"role": "user", "content": "?"},)


def nobody() -> str:
    """Return the address of a port where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_it_asks_at_temperature_zero_under_the_schema() -> None:
    with scripted_model(lambda _: Says('{"a": 1}')) as served, LanguageModel(served.url, "m") as m:
        reply = m.ask(QUESTION, SCHEMA)
    assert (reply.text, reply.whole) == ('{"a": 1}', True)
    (asked,) = served.asked
    assert asked["temperature"] == 0
    assert asked["model"] == "m"
    assert asked["response_format"]["json_schema"]["schema"] == SCHEMA


def test_an_answer_that_was_cut_off_is_not_whole() -> None:
    cut = Says('{"a', finish_reason="length")
    with scripted_model(lambda _: cut) as served, LanguageModel(served.url, "m") as model:
        assert not model.ask(QUESTION, SCHEMA).whole


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        LanguageModel(nobody(), "m") as model,
        pytest.raises(LanguageModelUnavailableError, match=r"127\.0\.0\.1 does not answer"),
    ):
        model.ask(QUESTION, SCHEMA)


def test_a_server_that_hangs_is_given_up_at_the_deadline() -> None:
    stop = threading.Event()

    def hang(_: Said) -> Says:
        stop.wait(20)
        return Says()

    with scripted_model(hang) as served:
        with LanguageModel(served.url, "m", deadline_seconds=0.3) as model:
            began = time.monotonic()
            with pytest.raises(LanguageModelUnavailableError, match="in time"):
                model.ask(QUESTION, SCHEMA)
            assert time.monotonic() - began < 5
        stop.set()


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        (401, "api_key"),
        (404, "pipeline.mining.model"),
        (429, "more to do"),
        (500, "answers 500"),
        (503, "more to do"),
    ],
)
def test_a_failing_server_says_what_to_look_at(status: int, way_out: str) -> None:
    with (
        scripted_model(lambda _: Says(status=status)) as served,
        LanguageModel(served.url, "m") as model,
        pytest.raises(LanguageModelUnavailableError, match=way_out),
    ):
        model.ask(QUESTION, SCHEMA)


def test_a_refused_request_is_no_outage() -> None:
    with scripted_model(lambda _: Says(status=400)) as served, LanguageModel(served.url, "m") as m:
        for _ in range(5):
            with pytest.raises(AnswerError, match="400"):
                m.ask(QUESTION, SCHEMA)
        assert m.ready


def test_after_failures_it_is_left_alone_until_a_probe_of_one_token_succeeds() -> None:
    healthy = threading.Event()

    def script(_: Said) -> Says:
        return Says() if healthy.is_set() else Says(status=500)

    breaker = Breaker(failures=2, pause_seconds=0.2)
    with scripted_model(script) as served, LanguageModel(served.url, "m", breaker=breaker) as model:
        for _ in range(2):
            with pytest.raises(LanguageModelUnavailableError):
                model.ask(QUESTION, SCHEMA)
        with pytest.raises(LanguageModelUnavailableError, match="left alone"):
            model.ask(QUESTION, SCHEMA)
        assert (len(served.asked), model.ready) == (2, False)
        time.sleep(0.25)
        healthy.set()
        assert model.ask(QUESTION, SCHEMA).whole
        probe, question = served.asked[2:]
    assert probe["max_tokens"] == 1
    assert question["messages"] == list(QUESTION)


def test_a_dead_engine_behind_a_healthy_page_fails_the_probe() -> None:
    stop = threading.Event()

    def hang(_: Said) -> Says:
        stop.wait(20)
        return Says()

    with scripted_model(hang) as served:
        with (
            LanguageModel(served.url, "m", probe_seconds=0.3) as model,
            pytest.raises(LanguageModelUnavailableError),
        ):
            model.probe()
        stop.set()


@pytest.mark.slow
def test_a_server_that_sends_no_completion_is_unavailable_and_probed_again() -> None:
    healthy = threading.Event()

    def script(_: Said) -> Says:
        return Says() if healthy.is_set() else Says(raw=b"<html>gateway</html>")

    breaker = Breaker(failures=1, pause_seconds=0.1)
    with scripted_model(script) as served, LanguageModel(served.url, "m", breaker=breaker) as model:
        for _ in range(2):  # once asked, once probed
            with pytest.raises(LanguageModelUnavailableError, match="does not answer"):
                model.ask(QUESTION, SCHEMA)
            time.sleep(0.25)
        healthy.set()
        assert model.ask(QUESTION, SCHEMA).whole


def test_as_many_requests_are_under_way_as_there_are_callers() -> None:
    together = threading.Barrier(64)

    def wait_for_all(_: Said) -> Says:
        together.wait(20)
        return Says()

    with scripted_model(wait_for_all) as served, LanguageModel(served.url, "m") as model:
        threads = [threading.Thread(target=model.ask, args=(QUESTION, SCHEMA)) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert served.most_at_once == 64


def test_no_word_of_the_question_or_the_server_is_in_an_error() -> None:
    secret = ({"role": "user", "content": "Doe^Jane"},)
    with (
        scripted_model(lambda _: Says("Doe^Jane", status=500)) as served,
        LanguageModel(served.url, "m") as model,
        pytest.raises(LanguageModelUnavailableError) as raised,
    ):
        model.ask(secret, SCHEMA)
    assert "Doe" not in str(raised.value)
    assert raised.value.__cause__ is None
