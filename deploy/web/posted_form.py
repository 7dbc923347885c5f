"""What a browser sends with a form."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

__all__ = ["posted_form"]

_MOST_BYTES = 64 << 10


async def posted_form(request: Request) -> dict[str, str]:
    """Return the fields of a form by name; of one that comes twice the last.

    Raises
    ------
    HTTPException
        413 where it is larger than any form of these pages.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise HTTPException(413)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
