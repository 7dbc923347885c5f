"""The text of HL7 v2 fields: character sets (HL7 table 0211) and escape sequences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from listener.errors import UnusableReportError

__all__ = ["codec_of", "decoded", "unescaped"]

_UNDECLARED = "undeclared"
_CODECS = {
    "": _UNDECLARED,
    "ASCII": _UNDECLARED,  # many senders declare it and send something else
    "ISO IR6": _UNDECLARED,
    "8859/1": "cp1252",  # what is called Latin-1 mostly is Windows's, which contains it
    **{f"8859/{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",  # two bytes a character cannot be framed by MLLP
    "ISO IR14": "iso2022_jp_ext",
    "ISO IR87": "iso2022_jp_ext",
    "ISO IR159": "iso2022_jp_ext",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}


def codec_of(declared: Sequence[str]) -> str:
    """Return the codec for the character sets that MSH-18 declares, the default one first.

    Raises
    ------
    UnusableReportError
        If one of them is not known.
    """
    codecs = [_CODECS.get(name.strip().upper()) for name in declared] or [_UNDECLARED]
    if None in codecs:
        msg = "MSH-18 names a character set that is not known."
        raise UnusableReportError(msg, 103)
    # code extension: the sets that follow are reached by escape sequences of ISO 2022
    return next((c for c in codecs if c == "iso2022_jp_ext"), None) or str(codecs[0])


def decoded(data: bytes, codec: str) -> str:
    """Return a message as text; without a declared set it is UTF-8 where that fits, else Latin-1.

    Raises
    ------
    UnusableReportError
        If its bytes are none of its character set.
    """
    candidates = ("utf-8", "cp1252", "latin-1") if codec == _UNDECLARED else (codec,)
    for candidate in (*candidates, "latin-1") if codec == "cp1252" else candidates:
        with suppress(UnicodeDecodeError):
            return data.decode(candidate)
    msg = "Its characters are not of the set that MSH-18 names."
    raise UnusableReportError(msg, 102)


def unescaped(text: str, separators: str, codec: str = "utf-8") -> str:
    r"""Return text with its escape sequences replaced (HL7 v2.5 section 2.7).

    What is no sequence stays as it is: a lone backslash loses no words.

    Parameters
    ----------
    separators
        The message's own: field, component, repetition, escape, subcomponent.
    codec
        Of the bytes that ``\Xdd..\`` holds.
    """
    field, component, repetition, escape, subcomponent = tuple(separators)
    if escape not in text:
        return text
    plain = {"F": field, "S": component, "R": repetition, "E": escape, "T": subcomponent}
    pattern = rf"{re.escape(escape)}([^{re.escape(escape)}\r\n]{{1,400}}){re.escape(escape)}"

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name in plain:
            return plain[name]
        if hexadecimal := re.fullmatch(r"X((?:[0-9A-Fa-f]{2})+)", name):
            return _bytes(bytes.fromhex(hexadecimal[1]), codec)
        if re.fullmatch(r"[HN]|[CMZ][0-9A-Za-z]*", name):  # emphasis, other sets, local ones
            return ""
        command = re.fullmatch(r"\.(br|sp|sk|in|ti|ce|fi|nf)\s*([+-]?\d{1,3})?", name, re.I)
        return match[0] if command is None else _formatting(command)

    return re.sub(pattern, replaced, text)


_MOST_LINES = 4  # of empty ones that a formatting command makes


def _formatting(command: re.Match[str]) -> str:
    """Return what a formatting command of FT becomes in plain text (section 2.7.6)."""
    name, number = command[1].lower(), min(abs(int(command[2] or 1)), _MOST_LINES)
    if name in ("br", "ce"):
        return "\n"
    return {"sp": "\n" * number, "sk": " "}.get(name, "")


def _bytes(data: bytes, codec: str) -> str:
    """Return the characters of hexadecimal data; carriage returns in it are line ends."""
    with suppress(UnusableReportError):
        return decoded(data, codec).replace("\r\n", "\n").replace("\r", "\n")
    return data.decode("latin-1")
