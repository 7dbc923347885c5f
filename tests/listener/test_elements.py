from __future__ import annotations

import pytest

from listener.elements import is_uid


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("1.2.840.10008.1.2", True),
        ("1.2.05", True),  # breaks the standard, stands in archives, harms nobody
        ("1." + "2" * 62, True),
        ("1." + "2" * 63, False),
        ("", False),
        ("1..2", False),
        (".1", False),
        ("1.2\n", False),
        ("../../../../etc/x", False),
        ("1.2/3", False),
        ("١.٢", False),
    ],
)
def test_a_uid_is_checked_by_characters_and_length(value: str, good: bool) -> None:
    assert is_uid(value) is good
