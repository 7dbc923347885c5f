"""The language that a report is written in."""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["has_english", "language_of"]


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a report's language, ``und`` where it cannot be told.

    A vote of frequent words; a report too short to vote is taken for English.
    """
    letters = "" if text.isascii() else [c for c in text if c.isalpha()]
    if letters and sum(c > "\u024f" for c in letters) > len(letters) / 2:
        return "und"
    words = Counter(_WORD.findall(text.lower()))
    votes = {code: sum(words[word] for word in common) for code, common in _COMMON.items()}
    best = max(votes, key=lambda code: (votes[code], code == "en"))
    return best if votes[best] >= 2 and votes[best] > votes["en"] else "en"


def has_english(text: str) -> bool:
    """Whether a text holds enough English to be read as such, whatever else it holds."""
    words = set(_WORD.findall(text.lower()))
    return len(words & _ONLY_ENGLISH) >= 3


_WORD = re.compile(r"(?<![.\w])[^\W\d_]+(?!\.\w)")
"""A word; the letters of an abbreviation are none: "o.k."."""
_FREQUENT = {
    "en": (
        "the of is are no and with there in to a seen left right fracture distal without wrist "
        "for at this has been normal view views "
        "intact displaced both bone bones"
    ),
    "de": (
        "der die das und mit ohne kein keine keinen nicht ist des im am dem den eine einer fraktur "
        "handgelenk links rechts befund beurteilung distale distalen distaler ebenen nachweis "
        "zustand knöcherne"
    ),
    "fr": (
        "le la les de du des et avec sans pas une un est au aux poignet gauche droit droite "
        "visible radiographie absence extrémité inférieure"
    ),
    "es": (
        "el la los las de del y con sin se no una un es en fractura muñeca izquierda derecha "
        "radio cúbito observa distal"
    ),
    "it": (
        "il la lo le di del della e con senza non una un è frattura polso sinistro destro radio "
        "distale evidenza"
    ),
    "pt": ("os de da e com sem não uma um é fratura punho esquerdo direito rádio observa distal"),
    "nl": (
        "de het een van en met geen zonder is in fractuur pols links rechts linker rechter distale "
        "aanwijzingen"
    ),
    "tr": (
        "ve ile bir yok izlenmedi izlendi kırık el bilek bileği sol sağ grafisi mevcut saptanmadı "
        "hattı"
    ),
    "pl": "i w z na bez nie jest złamanie nadgarstka lewego prawego kości cech",
}
_COMMON = {code: frozenset(words.split()) for code, words in _FREQUENT.items()}
_ONLY_ENGLISH = _COMMON["en"] - frozenset().union(
    *(words for code, words in _COMMON.items() if code != "en")
)
