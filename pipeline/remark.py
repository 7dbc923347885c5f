"""What an answer says of itself: an English sentence that can be said in other languages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from pipeline.dictionary import ENGLISH, Dictionary

__all__ = ["Remark", "told"]


class Remark(str):
    """A reason, a fallback or a warning: text in English, and its key for the others.

    Programs and the command line read it as the text that it is; results are written in the
    hospital's language by `told`.
    """

    __slots__ = ("_key", "_values")
    _key: str
    _values: Mapping[str, Any]

    def __new__(cls, key: str, **values: Any) -> Self:
        """Say a sentence of the dictionary (`pipeline.dictionary.Dictionary.say`)."""
        remark = super().__new__(cls, ENGLISH.say(key, **values))
        remark._key, remark._values = key, MappingProxyType(values)
        return remark

    def in_words_of(self, words: Dictionary) -> str:
        """Return the same in another language."""
        return words.say(self._key, **self._values)


def told(remark: str, words: Dictionary) -> str:
    """Return a remark in a language; text that is no remark stays as it is."""
    return remark.in_words_of(words) if isinstance(remark, Remark) else remark
