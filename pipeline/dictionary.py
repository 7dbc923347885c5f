"""The words of one language, out of a file that a translator can work with."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydicom.sr.coding import Code

from pipeline.region import Laterality, Region
from pipeline.result_language import Language

__all__ = ["ENGLISH", "Dictionary", "dictionary"]


class Dictionary:
    """Sentences by key (``reason.same_side``), whole, so that each language has its own order.

    Parameters
    ----------
    language
        Whose words these are.
    sentences
        By key, with names in braces where values stand.
    """

    def __init__(self, language: Language, sentences: Mapping[str, str]) -> None:
        self.language = language
        self._sentences = sentences

    def __contains__(self, key: str) -> bool:
        return key in self._sentences

    @property
    def sentences(self) -> Mapping[str, str]:
        """Every sentence by its key, as it stands in the file."""
        return self._sentences

    def say(self, key: str, **values: Any) -> str:
        """Return a sentence with its values.

        Parameters
        ----------
        key
            Where the sentence has a form for one and a form for more, the key before ``.one`` and
            ``.other``: `count` among the values chooses.
        values
            Bones and sides are named in the language; numbers get its decimal sign and lose zeros
            behind it.

        Raises
        ------
        KeyError
            Where the key, or a value that the sentence names, is missing: a slip of the program,
            which the tests of the dictionaries find.
        """
        if key not in self._sentences and "count" in values:
            key = f"{key}.{'one' if values['count'] == 1 else 'other'}"
        told = {name: self._told(value) for name, value in values.items()}
        return self._sentences[key].format_map(told)

    def named(self, code: Code) -> Code:
        """Return a code with its meaning in the language, where there is one.

        A meaning is for people and may be in any language (PS3.3 section 8.3); the value tells
        programs what it is.
        """
        meaning = self._sentences.get(f"code.{code.value}", code.meaning)
        return Code(code.value, code.scheme_designator, meaning)

    def coded(self, table: str, value: str) -> str:
        """Return the name of a code; one that the dictionary does not know is spelt out."""
        return self._sentences.get(f"{table}.{value}", value.replace("_", " "))

    def capital(self, sentence: str) -> str:
        """Return the sentence with a capital: Turkish has a dot on that of i."""
        first = sentence[:1]
        if self.language is Language.TURKISH and first == "i":
            return f"İ{sentence[1:]}"
        return first.upper() + sentence[1:]

    @property
    def code(self) -> Code:
        """The language as a code (PS3.16 TID 1204)."""
        return Code(self.language.value, "RFC5646", self._sentences["language"])

    def _told(self, value: Any) -> str:
        if isinstance(value, Region):
            return self._sentences[f"bone.{value.value}"]
        if isinstance(value, Laterality):
            return self._sentences[f"side_name.{value.value}"]
        if isinstance(value, float):
            return f"{value:g}".replace(".", self._sentences["decimal"])
        return str(value)


@cache
def dictionary(language: Language) -> Dictionary:
    """Return the words of a language."""
    file = Path(__file__).parent / "languages" / f"{language.value}.toml"
    return Dictionary(language, dict(_flat(tomllib.loads(file.read_text(encoding="utf-8")))))


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value)


ENGLISH: Final = dictionary(Language.ENGLISH)
"""The words that logs, programs and the command line see."""
