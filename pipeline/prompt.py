"""What a language model is told before it reads a report: instructions and curated examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.answer import Answer
from pipeline.errors import PromptError

__all__ = ["SHIPPED", "Example", "Message", "Prompt"]

Message = Mapping[str, str]
"""One turn, ``role`` and ``content``, as the OpenAI interface has it."""

SHIPPED = Path(__file__).parent / "prompts" / "1"
"""The prompt that comes with the plugin."""
MAX_CHARACTERS = 12_000
"""Of a longer report the middle is left out, so that prompt and answer fit into 8,192 tokens:
impression and addenda stand at its end."""


class Example(BaseModel):
    """A report, and how it is to be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    age_years: float | None
    answer: Answer


@dataclass(frozen=True)
class Prompt:
    """Instructions and examples, always the same and first, so that the server caches them.

    Parameters
    ----------
    version
        Name of the folder and the start of its content's SHA-256: an edit shows in every record.
    instructions
        The system message.
    examples
        Reports with their answers, shown as earlier turns.
    """

    version: str
    instructions: str
    examples: tuple[Example, ...]

    @classmethod
    def read(cls, folder: Path = SHIPPED) -> Prompt:
        """Read a prompt: ``instructions.md``, and ``examples.jsonl`` with one example a line.

        Raises
        ------
        PromptError
            Where a file is missing or an example is none; it names the line.
        """
        instructions, lines = (_text(folder / name) for name in _FILES)
        digest = sha256("\0".join((instructions, lines)).encode()).hexdigest()
        examples = tuple(
            _example(folder, number, line)
            for number, line in enumerate(lines.splitlines(), start=1)
            if line.strip()
        )
        return cls(f"{folder.name}-{digest[:8]}", instructions.strip(), examples)

    def messages(self, text: str, age_years: float | None) -> tuple[Message, ...]:
        """Return the turns that ask for one report; everything but the last is always the same."""
        turns: list[Message] = [{"role": "system", "content": self.instructions}]
        for example in self.examples:
            answer = json.dumps(
                example.answer.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")
            )
            turns.append({"role": "user", "content": _question(example.text, example.age_years)})
            turns.append({"role": "assistant", "content": answer})
        return (*turns, {"role": "user", "content": _question(text, age_years)})


_FILES = ("instructions.md", "examples.jsonl")
_MARK = re.compile(r"<\s*[/|]?\s*\w+\s*[/|]?\s*>|<<<|>>>")
"""What steers a chat template, or ends a report, where it stands in one."""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{path} cannot be read ({type(error).__name__})."
        raise PromptError(detail) from error


def _example(folder: Path, number: int, line: str) -> Example:
    try:
        return Example.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        detail = f"{folder / _FILES[1]}, line {number}: {where}: {first['msg']}."
        raise PromptError(detail) from error


def _question(text: str, age_years: float | None) -> str:
    """Return a report as a question; marks that steer a chat template are taken out of it."""
    age = "unknown" if age_years is None else f"{age_years:g} years"
    plain = _MARK.sub(" ", text)
    if len(plain) > MAX_CHARACTERS:
        plain = f"{plain[: MAX_CHARACTERS // 3]}\n[…]\n{plain[-2 * MAX_CHARACTERS // 3 :]}"
    return f"Age: {age}\nReport:\n<<<\n{plain}\n>>>"
