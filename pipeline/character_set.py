"""In which character set a result is written: its own words and its patient's name in one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydicom import Dataset, config
from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement

from pipeline.dictionary import Dictionary
from pipeline.identity import IDENTITY
from pipeline.result_language import Language

__all__ = ["fit_character_set", "plain"]

_UTF_8: Final = "ISO_IR 192"
_TEXT: Final = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "PN"})
_SIGNS: Final = str.maketrans(
    {"–": "-", "—": "-", "‑": "-", "−": "-", "≥": ">=", "≤": "<=", "×": "x", "…": "...", "’": "'"}
)
_LETTERS: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ı": "i"}
)


def plain(words: str) -> str:
    """Return the words in signs that stand in every DICOM character set; letters stay."""
    return words.translate(_SIGNS)


def fit_character_set(result: Dataset, words: Dictionary) -> None:
    """Choose the character set of a result that has its query's identity already.

    English is written in ASCII. For other languages it is the query's own set (PS3.3 C.12.1.1.2)
    where that has every letter: then the identity is the query's byte for byte. Else it is UTF-8,
    the identity written anew with the same characters. Where these cannot be told for sure, since
    the query's text is not of the set that it names, the words lose their accents instead.

    Parameters
    ----------
    result
        Changed in place, after `pipeline.identity.adopt_identity`.
    words
        The result's language: English loses its accents at once, German writes umlauts with an e.
    """
    with config.disable_value_validation():  # its warnings would print values
        named = result.get("SpecificCharacterSet") or ""
        if words.language is not Language.ENGLISH:
            if _has(named, "".join(_words(_own(result)))):
                return
            if _is_certain(named, "".join(_words(_adopted(result)))):
                result.SpecificCharacterSet = _UTF_8
                return
        german = words.language is Language.GERMAN
        for element in _texts(_own(result)):
            if element.VR == "PN":  # results name nobody but their patient
                continue
            told = _each(element.value, german=german)
            if told != element.value:
                element.value = told


def _own(result: Dataset) -> Iterator[DataElement]:
    return (element for element in result if element.keyword not in IDENTITY)


def _adopted(result: Dataset) -> Iterator[DataElement]:
    return (element for element in result if element.keyword in IDENTITY)


def _texts(elements: Iterable[DataElement]) -> Iterator[DataElement]:
    """Yield every element with text, at any depth; reading them decodes what came as bytes."""
    for element in elements:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _texts(item)
        elif element.VR in _TEXT:
            yield element


def _words(elements: Iterable[DataElement]) -> Iterator[str]:
    for element in _texts(elements):
        value = element.value
        yield from map(str, value) if element.VM > 1 else [str(value or "")]


def _has(named: Any, words: str) -> bool:
    """Whether a character set has every letter; of several sets at once only ASCII is certain."""
    if words.isascii():
        return True
    if not named or not isinstance(named, str) or named not in python_encoding:
        return False
    try:
        words.encode(python_encoding[named])
    except UnicodeEncodeError:
        return False
    return True


def _is_certain(named: Any, identity: str) -> bool:
    """Whether what the identity says is known letter by letter."""
    if identity.isascii():
        return True
    sets = [named] if isinstance(named, str) else [*named]
    known = bool(named) and all(one in python_encoding for one in sets)
    return known and "\N{REPLACEMENT CHARACTER}" not in identity


def _each(value: Any, *, german: bool) -> Any:
    if isinstance(value, str):
        return _ascii(value, german=german)
    return [_ascii(str(one), german=german) for one in value or ()]


def _ascii(words: str, *, german: bool) -> str:
    if words.isascii():
        return words
    words = plain(words)
    words = words.translate(_LETTERS) if german else words.replace("ı", "i")
    decomposed = unicodedata.normalize("NFKD", words)
    kept = (character for character in decomposed if not unicodedata.combining(character))
    return "".join(kept).encode("ascii", "replace").decode("ascii")
