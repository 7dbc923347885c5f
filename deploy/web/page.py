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

__all__ = ["STATIC", "Pages"]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
"""Folder of style sheets and scripts."""


class Pages:
    """Fills templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["moment"] = _moment
        self._templates.filters["ago"] = _ago
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


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _ago(at: datetime) -> str:
    """Return how long ago a time was, or how long it is until then."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    amount = abs(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if amount >= 2 * size or size == 1:
            words = f"{amount / size:.0f} {unit}"
            return f"{words} ago" if seconds >= 0 else f"in {words}"
    return "now"
