"""Report text to findings, by MedGemma behind vLLM, checked word by word."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from pipeline.answer import Answer, StatedFracture, StatedOther, answer_schema
from pipeline.corroboration import corroborated
from pipeline.errors import AnswerError
from pipeline.findings import WristReport
from pipeline.language import language_of
from pipeline.language_model import LanguageModel, Reply
from pipeline.own_words import without_own_words
from pipeline.passage import Passage, Section, passages, tidied
from pipeline.prompt import Message, Prompt

__all__ = ["MedGemmaMiner"]


class MedGemmaMiner:
    """Reads reports in any language that the model knows (WristMIR, section 2.3).

    What it answers is believed only as far as the report bears it out
    (`pipeline.corroboration`). Sentences that give orders to a program are not shown to it.

    Parameters
    ----------
    model
        The language model.
    prompt
        What it is told before the report.
    """

    def __init__(self, model: LanguageModel, prompt: Prompt | None = None) -> None:
        self._model = model
        self._prompt = prompt or Prompt.read()
        self._schema = answer_schema()
        self.name = model.model
        self.version = f"prompt {self._prompt.version}"

    @property
    def ready(self) -> bool:
        """Whether the model can be asked now."""
        return self._model.ready

    def probe(self) -> None:
        """Let the model write one token.

        Raises
        ------
        LanguageModelUnavailableError
            Where it does not.
        """
        self._model.probe()

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        """Return the findings of one report, each with evidence that stands in the text.

        Raises
        ------
        LanguageModelUnavailableError
            Where the model does not answer; try again later.
        AnswerError
            Where its answer is no use, also when it is asked once more.
        """
        tidy = tidied(without_own_words(text))
        sentences = passages(tidy)
        messages = self._prompt.messages(_without_directives(tidy, sentences), age_years)
        answer = self._answer(messages)
        return corroborated(answer.report(language_of(text)), tidy, sentences)

    def _answer(self, messages: Sequence[Message]) -> Answer:
        reply = self._model.ask(messages, self._schema)
        answer, fault = _parsed(reply)
        if answer is None:
            said = {"role": "assistant", "content": reply.text[:_SHOWN]}
            repair = {"role": "user", "content": _REPAIR.format(fault=fault)}
            answer, fault = _parsed(self._model.ask((*messages, said, repair), self._schema))
        if answer is None:
            raise AnswerError(fault)
        return answer


# a key that the model invents may be a word of the report
_KEYS = {*Answer.model_fields, *StatedFracture.model_fields, *StatedOther.model_fields}
_SHOWN = 2000  # of an answer that is no use; a loop may be as long as answers get
_REPAIR = "That answer cannot be used: {fault} Answer again, shorter, in the same form."


def _without_directives(tidy: str, sentences: Sequence[Passage]) -> str:
    """Return a report without the sentences that give orders to a program."""
    kept, end = [], 0
    for passage in sentences:
        if passage.section is Section.DIRECTIVE:
            kept.append(tidy[end : passage.start])
            end = passage.start + len(passage.words)
    return "".join((*kept, tidy[end:]))


def _parsed(reply: Reply) -> tuple[Answer | None, str]:
    """Return the answer, or None and what is wrong with it, without any word of the report."""
    if not reply.whole:
        return None, "It was cut off at its longest."
    try:
        return Answer.model_validate_json(reply.text), ""
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"] if step in _KEYS or step in range(99))
        return None, f"{place or 'the whole'}: {first['type']}."
