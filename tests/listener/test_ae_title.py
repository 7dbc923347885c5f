from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from listener.ae_title import AETitle

TITLE = TypeAdapter(AETitle)


@pytest.mark.parametrize("written", ["PACS", " PACS", "PACS            ", "A B", "A" * 16])
def test_spaces_around_a_title_are_none_of_it(written: str) -> None:
    assert TITLE.validate_python(written) == written.strip(" ")


@pytest.mark.parametrize("wrong", ["", "   ", "A" * 17, "A\\B", "Ä", "A\nB"])
def test_what_is_no_title_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="an AE title"):
        TITLE.validate_python(wrong)
