from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import RequestError
from pipeline.region import Region
from pipeline.request import Mode, Request

DEFAULTS = Request(k=4, same_side=False, mode=Mode.REGION)


def test_an_argument_overrules_what_it_names_and_nothing_else() -> None:
    asked = DEFAULTS.asked({"regions": ["distal_ulna"], "mode": "fused", "upload": "a.dcm"})
    assert asked == Request((Region.DISTAL_ULNA,), 4, Mode.FUSED, same_side=False)
    assert DEFAULTS.asked({"k": "7"}).k == 7


@pytest.mark.parametrize("argument", [{}, {"regions": []}])
def test_an_argument_that_names_nothing_asks_for_the_defaults(argument: dict[str, Any]) -> None:
    assert DEFAULTS.asked(argument) == DEFAULTS


@pytest.mark.parametrize(
    "argument",
    [{"regions": ["scaphoid"]}, {"regions": 7}, {"mode": "magic"}, {"k": "many"}, {"k": None}],
    ids=str,
)
def test_what_does_not_exist_cannot_be_asked_for(argument: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="region, mode or number"):
        DEFAULTS.asked(argument)
