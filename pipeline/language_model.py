"""Asks a language model behind an OpenAI-compatible interface, as vLLM has it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Any, Self

import openai
from pydantic import BaseModel, Field

from pipeline.breaker import Admission, Breaker
from pipeline.errors import AnswerError, LanguageModelUnavailableError
from pipeline.prompt import Message

__all__ = ["LanguageModel", "Reply"]

# its debug log would hold the requests, and those hold reports
logging.getLogger("openai").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Reply:
    """What the model wrote; ``whole`` is False where it was cut off at its longest."""

    text: str
    whole: bool


class LanguageModel:
    """A client that waits so long and no longer, and stops asking a server that is down.

    Threads may share one: as many requests are under way as there are callers.

    vLLM's health page can say that all is well while its engine is dead, so the breaker's probe
    generates one token.

    Parameters
    ----------
    url
        Of the interface, ending in ``/v1``.
    model
        Name under which the server serves the model.
    api_key
        Where the server asks for one.
    deadline_seconds
        How long one request may take; of a server that sends nothing.
    probe_seconds
        How long the probe may take.
    max_tokens
        Longest answer.
    breaker
        Shared by everything that asks this server.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        deadline_seconds: float = 120.0,
        probe_seconds: float = 10.0,
        max_tokens: int = 1500,
        breaker: Breaker | None = None,
    ) -> None:
        self.model = model
        self._breaker = breaker or Breaker()
        self._max_tokens = max_tokens
        self._probe_seconds = probe_seconds
        self._client = openai.OpenAI(
            base_url=url,
            api_key=api_key or "none",
            max_retries=0,  # the ledger tries again, and knows when
            timeout=openai.Timeout(deadline_seconds, connect=5.0),
            # a proxy of the environment has no business with a report
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )

    @property
    def ready(self) -> bool:
        """Whether it is worth asking now."""
        return self._breaker.ready

    def ask(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> Reply:
        """Return the model's answer under a JSON schema, at temperature 0.

        Raises
        ------
        LanguageModelUnavailableError
            Where there is no answer in time, the server is failing, or the breaker is open.
        AnswerError
            Where the server refuses the request itself.
        """
        admission = self._breaker.enter()
        if admission is Admission.WAIT:
            detail = "It did not answer before and is left alone for a while."
            raise LanguageModelUnavailableError(detail)
        if admission is Admission.PROBE:
            self._probe(admitted=True)
        return self._completed(
            messages=list(messages),
            max_tokens=self._max_tokens,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": dict(schema), "strict": True},
            },
        )

    def probe(self) -> None:
        """Let the model write one token.

        Raises
        ------
        LanguageModelUnavailableError
            Where it does not.
        """
        self._probe(admitted=False)

    def close(self) -> None:
        """Hang up; requests under way fail as if the server had gone."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _probe(self, *, admitted: bool) -> None:
        messages = [{"role": "user", "content": "OK"}]
        try:
            self._completed(self._probe_seconds, admitted, messages=messages, max_tokens=1)
        except AnswerError as error:
            raise LanguageModelUnavailableError(error.detail) from None

    def _completed(
        self, seconds: float | None = None, probing: bool = False, **request: Any
    ) -> Reply:
        """Ask, and tell the breaker how it went; messages of the server are not passed on."""
        body = {"model": self.model, "temperature": 0.0, **request}
        options: Any = {} if seconds is None else {"timeout": seconds}
        try:
            # the client's typed call takes twice as long, for types that are not looked at here
            done = self._client.post(
                "/chat/completions", body=body, options=options, cast_to=object
            )
            choice = _Completion.model_validate(done).choices[0]
        except openai.APIStatusError as error:
            raise self._refused(error.status_code, probing) from None
        except openai.APITimeoutError:
            self._breaker.failed(probing=probing)
            detail = "It did not answer in time."
            raise LanguageModelUnavailableError(detail) from None
        except (openai.OpenAIError, ValueError, RuntimeError) as error:
            # ValueError: what it sent is no JSON, or none of a completion; RuntimeError: the
            # client was closed while it waited
            self._breaker.failed(probing=probing)
            detail = f"{self._client.base_url.host} does not answer ({type(error).__name__})."
            raise LanguageModelUnavailableError(detail) from None
        self._breaker.succeeded()
        return Reply(choice.message.content or "", choice.finish_reason == "stop")

    def _refused(self, status: int, probing: bool) -> LanguageModelUnavailableError | AnswerError:
        if status in _REQUEST_ITSELF:
            self._breaker.succeeded()  # the server is there
            return AnswerError(f"The server refuses the request ({status}).")
        self._breaker.failed(probing=probing)
        return LanguageModelUnavailableError(_REASONS.get(status, f"It answers {status}."))


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    """What is needed of a chat completion."""

    choices: Annotated[tuple[_Choice, ...], Field(min_length=1)]


_REQUEST_ITSELF = (400, 413, 422)
_REASONS = {
    401: "It asks for a key: set pipeline.mining.api_key.",
    403: "It refuses the key: look at pipeline.mining.api_key.",
    404: "It serves no model of that name: look at pipeline.mining.model.",
    429: "It has more to do than it can.",
    503: "It has more to do than it can.",
}
