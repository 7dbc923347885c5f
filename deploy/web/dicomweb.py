"""QIDO-RS and WADO-RS of results that are kept (DICOM PS3.18 sections 10.4 and 10.6)."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.web.bearer import BearerTokens
from deploy.web.frames import NoFramesError, frames
from listener.audit import Audit
from listener.audit_event import End
from listener.audit_query import Person, command_query, records_accessed
from listener.elements import is_uid
from listener.errors import ListenerError
from listener.holding_answers import answers
from listener.holdings import Holding, Holdings, Wanted
from listener.retrieval_settings import RetrievalSettings
from listener.study_root import CHARACTER_SET, KEYS, Level, Question, text

__all__ = ["dicomweb_app"]

_log = logging.getLogger("wristmir.web")

_MOST_HELD = 50_000  # objects that are gone through for one question
_PIECE = 1 << 20
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_JSON = "application/dicom+json"
_BYTES = "application/octet-stream"
_RETRIEVE_URL = "00081190"


def dicomweb_app(
    holdings: Holdings, tokens: BearerTokens, audit: Audit, bounds: RetrievalSettings | None = None
) -> Starlette:
    """Return an application to be mounted where it shall answer; a bearer token is needed.

    ``GET /studies``, ``/studies/{study}/series`` and ``…/series/{series}/instances`` search, by the
    keys of `listener.study_root`; ``/studies/{study}`` and what lies below retrieve, as DICOM files
    or, with ``/metadata``, as JSON. An instance's ``/frames/1`` sends the pixels of an image, by
    which viewers show it.

    Parameters
    ----------
    holdings
        Finds what is kept.
    tokens
        Who may ask.
    audit
        Is told who has asked for what, and was sent what; stays the caller's to start and stop.
    bounds
        How much is answered; None for the defaults.
    """
    service = _DicomWeb(holdings, tokens, audit, bounds or RetrievalSettings())
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = series + "/instances/{instance}"
    searches = [
        ("/studies", Level.STUDY),
        (study + "/series", Level.SERIES),
        (series + "/instances", Level.IMAGE),
    ]
    return Starlette(
        routes=[
            *(Route(path, service.searching(level)) for path, level in searches),
            *(Route(path, service.retrieving()) for path in (study, series, instance)),
            *(
                Route(f"{path}/metadata", service.describing())
                for path in (study, series, instance)
            ),
            Route(f"{instance}/frames/{{frames}}", service.framing()),
        ]
    )


class _RefusedError(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


_Step = Callable[[Request, str], Response]
_Endpoint = Callable[[Request], Any]


class _DicomWeb:
    def __init__(
        self, holdings: Holdings, tokens: BearerTokens, audit: Audit, bounds: RetrievalSettings
    ) -> None:
        self._holdings = holdings
        self._tokens = tokens
        self._audit = audit
        self._bounds = bounds

    def searching(self, level: Level) -> _Endpoint:
        """Return what answers searches at a level."""
        return self._answering(partial(self._found, level=level))

    def retrieving(self) -> _Endpoint:
        """Return what sends DICOM files."""
        return self._answering(self._sent)

    def describing(self) -> _Endpoint:
        """Return what sends everything of objects but their bulk data."""
        return self._answering(self._described)

    def framing(self) -> _Endpoint:
        """Return what sends the pixels of an image, without the rest of it."""
        return self._answering(self._framed)

    def _answering(self, step: _Step) -> _Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                return await run_in_threadpool(self._admitted, request, step)
            except _RefusedError as refused:
                known = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
                return JSONResponse({"error": str(refused)}, refused.status, _HEADERS | known)

        return endpoint

    def _admitted(self, request: Request, step: _Step) -> Response:
        holder = self._tokens.admit(request, self._audit)
        if holder is None:
            raise _RefusedError(401, "a bearer token of the token file is needed")
        if not all(is_uid(uid) for uid in _uids(request).values()):
            raise _RefusedError(404, "no such study, series or instance")
        try:
            return step(request, holder)
        except ListenerError as error:
            _log.error("%s", error)
            raise _RefusedError(503, "what is kept cannot be looked at just now") from None

    def _found(self, request: Request, holder: str, *, level: Level) -> Response:
        question, first, most = _question(request, level, self._bounds.max_answers)
        self._tell(holder, "http-search", request)
        held = self._holdings.find(question.wanted(), _MOST_HELD + 1)
        if len(held) > _MOST_HELD:
            raise _RefusedError(413, "there is too much to go through: ask for less")
        base = str(request.base_url).rstrip("/")
        found: list[dict[str, Any]] = []
        for values in answers(question, held):
            if len(found) >= most:
                break
            if question.matches(values):
                first -= 1
                if first < 0:
                    found.append(_as_json(question, values, base))
        return Response(json.dumps(found), headers=_HEADERS, media_type=_JSON)

    def _sent(self, request: Request, holder: str) -> Response:
        accepted = request.headers.get("accept", "*/*")
        if not any(kind in accepted for kind in ("application/dicom", "multipart/related", "*/*")):
            raise _RefusedError(406, 'only multipart/related; type="application/dicom" is sent')
        held = self._wanted(request, holder)
        return _multipart("application/dicom", _files(held))

    def _described(self, request: Request, holder: str) -> Response:
        described = []
        for one in self._wanted(request, holder):
            dataset = dcmread(one.path, stop_before_pixels=True)
            described.append(dataset.to_json_dict(suppress_invalid_tags=True))
        return Response(json.dumps(described), headers=_HEADERS, media_type=_JSON)

    def _framed(self, request: Request, holder: str) -> Response:
        accepted = request.headers.get("accept", "*/*")
        if not any(kind in accepted for kind in (_BYTES, "*/*")):
            raise _RefusedError(406, f'only multipart/related; type="{_BYTES}" is sent')
        listed = request.path_params["frames"].split(",")
        if not all(one.isdecimal() and len(one) < 6 for one in listed):
            raise _RefusedError(400, "frames are numbers, by commas")
        (held,) = self._wanted(request, holder)
        try:
            syntax, pixels = frames(held.path, [int(one) for one in listed])
        except NoFramesError as error:
            raise _RefusedError(404, str(error)) from None
        parts = ([one] for one in pixels)
        return _multipart(_BYTES, parts, f"{_BYTES}; transfer-syntax={syntax}")

    def _wanted(self, request: Request, holder: str) -> Sequence[Holding]:
        self._tell(holder, "http-retrieve", request)
        named = (request.path_params.get(name, "") for name in ("study", "series", "instance"))
        wanted = Wanted(*(frozenset({uid} if uid else ()) for uid in named))
        most = self._bounds.max_objects
        held = [one for one in self._holdings.find(wanted, most + 1) if one.path.exists()]
        if not held:
            raise _RefusedError(404, "no such study, series or instance")
        if len(held) > most:
            raise _RefusedError(413, "that is more than is sent at once")
        parts = self._audit.parts([one.path for one in held])
        if parts:
            person = Person(f"token {holder}")
            self._audit.tell(partial(records_accessed, person=person, parts=parts))
        return held

    def _tell(self, holder: str, what: str, request: Request) -> None:
        named = " ".join([what, *request.path_params.values()])
        person = Person(f"token {holder}")
        self._audit.tell(partial(command_query, person=person, command=named, end=End()))


def _uids(request: Request) -> dict[str, str]:
    """Return the UIDs that an address names, by their level."""
    return {name: uid for name, uid in request.path_params.items() if name != "frames"}


def _question(request: Request, level: Level, most: int) -> tuple[Question, int, int]:
    """Return what a search asks, and which of its answers: from where, how many."""
    keys = {tag: b"" for tag, key in KEYS.items() if key.is_answered_at(level)}
    numbers = {"offset": 0, "limit": most}
    for name, value in request.query_params.multi_items():
        if name in numbers:
            if not value.isdecimal() or len(value) > 9:
                raise _RefusedError(400, "limit and offset are numbers")
            numbers[name] = int(value)
        elif name not in _PASSED_OVER:
            tag = _key(name, level)
            listed = KEYS[tag].vr == b"UI"
            keys[tag] = (value.replace(",", "\\") if listed else value).encode()
    for name, uid in request.path_params.items():
        keys[_UIDS[name]] = uid.encode()
    keys[CHARACTER_SET] = b"ISO_IR 192"
    return Question(level, keys), numbers["offset"], min(numbers["limit"], most)


_PASSED_OVER = frozenset({"includefield", "fuzzymatching"})
_UIDS = {"study": 0x0020000D, "series": 0x0020000E}


def _key(name: str, level: Level) -> int:
    tag = int(name, 16) if len(name) == 8 and _is_hexadecimal(name) else tag_for_keyword(name)
    if tag is None or tag not in KEYS or not KEYS[tag].is_answered_at(level):
        raise _RefusedError(400, "one of the keys is not matched here")
    return int(tag)


def _is_hexadecimal(name: str) -> bool:
    return all(one in "0123456789abcdefABCDEF" for one in name)


def _as_json(question: Question, values: dict[int, bytes], base: str) -> dict[str, Any]:
    """Return an answer in the DICOM JSON model (PS3.18 annex F)."""
    charset = text(values.get(CHARACTER_SET, b""))
    told: dict[str, Any] = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}
    for tag, key in sorted(question.asked.items()):
        vr = key.vr.decode()
        value = text(values.get(tag, b""), charset)
        element: dict[str, Any] = {"vr": vr}
        if value:
            element["Value"] = [_value(vr, one) for one in value.split("\\")]
        told[f"{tag:08X}"] = element
    place = f"{base}/studies/{text(values[_UIDS['study']])}"
    if question.level:
        place += f"/series/{text(values[_UIDS['series']])}"
    if question.level is Level.IMAGE:
        place += f"/instances/{text(values[0x00080018])}"
    told[_RETRIEVE_URL] = {"vr": "UR", "Value": [place]}
    return told


def _value(vr: str, value: str) -> Any:
    if vr == "PN":
        return dict(zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("="), strict=False))
    if vr == "IS" and value.strip().lstrip("+-").isdecimal():
        return int(value)
    return value.strip()


def _multipart(kind: str, bodies: Iterable[Iterable[bytes]], each: str = "") -> Response:
    """Send each body as a part of a message (PS3.18 section 8.6.1.2)."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {each or kind}\r\n\r\n".encode()

    def parts() -> Iterator[bytes]:
        for body in bodies:
            yield head
            yield from body
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    whole = f'multipart/related; type="{kind}"; boundary={boundary}'
    return StreamingResponse(parts(), headers=_HEADERS | {"Content-Type": whole})


def _files(held: Sequence[Holding]) -> Iterator[Iterator[bytes]]:
    """Yield the files in pieces; one that has gone meanwhile is left out."""
    for one in held:
        try:
            stream = one.path.open("rb")
        except OSError:
            continue
        with stream:
            yield iter(partial(stream.read, _PIECE), b"")
