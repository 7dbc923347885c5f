from __future__ import annotations

import pytest
from oru import oru

from listener.hl7 import read_oru
from listener.hl7_text import codec_of, decoded, unescaped

SEPARATORS = "|^~\\&"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("8859/1", "latin-1"),
        ("8859/2", "iso8859-2"),
        ("8859/15", "iso8859-15"),
        ("UNICODE UTF-8", "utf-8"),
        ("", "utf-8"),
        ("", "latin-1"),
        ("ASCII", "utf-8"),
    ],
)
def test_umlauts_come_through_in_every_character_set(declared: str, codec: str) -> None:
    message = oru("Übergröße des Daumens", character_set=declared).decode().encode(codec)
    assert read_oru(message)[0].text.endswith("Übergröße des Daumens")


def test_what_windows_calls_latin_1_is_read_as_such() -> None:
    message = oru("the patient\u2019s wrist", character_set="8859/1").decode().encode("cp1252")
    assert read_oru(message)[0].text.endswith("the patient\u2019s wrist")
    assert decoded(b"\x81", codec_of(["8859/1"])) == "\x81"


def test_japanese_text_comes_by_code_extension() -> None:
    text = "橈骨遠位端骨折"
    message = oru("WORDS", character_set="ASCII~ISO IR87")
    encoded = message.replace(b"WORDS", text.encode("iso2022_jp"))
    assert read_oru(encoded)[0].text.endswith(text)


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        ("a\\.br\\b", "a\nb"),
        ("a\\.BR\\b", "a\nb"),
        ("a\\.sp\\b", "a\nb"),
        ("a\\.sp2\\b", "a\n\nb"),
        ("a\\.sp999\\b", "a\n\n\n\nb"),
        ("a\\.sk 3\\b", "a b"),
        ("\\.in+4\\a\\.ti-2\\\\.fi\\\\.nf\\", "a"),
        ("a\\.ce\\b", "a\nb"),
        ("\\H\\broken\\N\\", "broken"),
        ("\\X41\\", "A"),
        ("\\XC3A9\\", "é"),
        ("a\\X0D0A\\b", "a\nb"),
        ("\\X4\\", "\\X4\\"),  # half a byte is no sequence
        ("\\Zlocal\\a", "a"),
        ("\\E\\F\\E\\", "\\F\\"),
        ("C:\\films\\old", "C:\\films\\old"),
        ("a\\", "a\\"),
        ("\\\\", "\\\\"),
    ],
)
def test_escape_sequences_become_plain_text(escaped: str, plain: str) -> None:
    assert unescaped(escaped, SEPARATORS) == plain
