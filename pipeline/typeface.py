"""The typeface that pictures are written in; it comes with the package, so all hosts draw alike."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from typing import Final

from PIL import ImageFont

__all__ = ["letters_missing", "measured", "typeface"]

_FILES: Final = {False: "NotoSans-Regular.ttf", True: "NotoSans-Bold.ttf"}


@lru_cache(maxsize=64)
def typeface(size: float, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return Noto Sans (`pipeline/fonts/LICENCE.txt`): Latin letters, figures of one width.

    Laid out letter by letter: another layout engine, where a host has one, would move pixels.

    Parameters
    ----------
    size
        In pixels.
    bold
        Whether the bold cut is wanted.
    """
    return ImageFont.truetype(
        BytesIO(_content(_FILES[bold])), size, layout_engine=ImageFont.Layout.BASIC
    )


def measured(words: str, size: float, *, bold: bool = False) -> float:
    """Return how long a line of text is at a size, whatever the pixels it will be drawn with."""
    return sum(_advance(letter, size, bold) for letter in words)


def letters_missing(words: str) -> frozenset[str]:
    """Return the letters that would be drawn as an empty box."""
    font = typeface(40)
    empty = bytes(font.getmask("\uffff"))
    return frozenset(
        letter for letter in words if not letter.isspace() and bytes(font.getmask(letter)) == empty
    )


@lru_cache(maxsize=4096)
def _advance(letter: str, size: float, bold: bool) -> float:
    return typeface(4 * size, bold=bold).getlength(letter) / 4


@cache
def _content(name: str) -> bytes:
    return (files("pipeline") / "fonts" / name).read_bytes()
