"""How the site's pages are made: templates that escape what they show."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from deploy.web.gate import session_of
from deploy.web.users import Role
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.region import Laterality

__all__ = ["STATIC", "Pages", "side_name"]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
"""Folder of style sheets and scripts."""


class Pages:
    """Fills templates.

    Parameters
    ----------
    words
        The language of the pages.
    """

    def __init__(self, words: Dictionary = ENGLISH) -> None:
        self.words = words
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            lang=words.language.value,
            say=words.say,
            capital=words.capital,
            name_of=lambda bone: words.say(f"bone.{bone.value}"),
            side_of=lambda side: side_name(side, words),
        )
        self._templates.filters["moment"] = _moment
        self._templates.filters["ago"] = lambda at: _ago(at, words)
        self._templates.filters["words"] = lambda value: str(value).replace("_", " ")

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page; templates know also who is signed in, and which role there is."""
        session = session_of(request)
        words = self._templates.get_template(template).render(
            session=session,
            may_see_results=session is not None and session.may(Role.RADIOLOGIST),
            may_see_status=session is not None and session.may(Role.IT),
            path=request.url.path,
            **values,
        )
        return HTMLResponse(words, status)


def side_name(side: Laterality, words: Dictionary) -> str:
    """Return ``left``, ``right``, or that the side is not known."""
    known = side is not Laterality.UNKNOWN
    return words.say(f"side_name.{side.value}" if known else "board.side_unknown")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _ago(at: datetime, words: Dictionary) -> str:
    """Return how long ago a time was, or how long it is until then."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    amount = abs(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if amount >= 2 * size or size == 1:
            told = f"{amount / size:.0f} {unit}"
            # what lies ahead stands on the status page alone, which is in English
            return words.say("pages.ago", amount=told) if seconds >= 0 else f"in {told}"
    return "now"
