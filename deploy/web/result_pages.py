"""The pages of results: what was answered, its pictures, and what a radiologist thinks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.errors import PictureGoneError
from deploy.look_up import LookUp
from deploy.web.gate import checked_form, for_role, person_of, session_of
from deploy.web.page import Pages
from deploy.web.pictures import SIZES, Identity, Pictures, boxes_seen
from deploy.web.ranking import Finding, Ranked, Wish, ranked
from deploy.web.users import Role
from listener.audit import Audit
from listener.audit_event import End
from listener.audit_query import command_query
from listener.elements import is_uid
from listener.ledger import Ledger
from pipeline.answer_record import (
    IN_LIBRARY,
    AnswerRecord,
    AnswerRecords,
    CaseRecord,
    PartRecord,
    part_name,
)
from pipeline.deidentify import library_study_uid
from pipeline.dictionary import ENGLISH
from pipeline.exam import RegionFindings
from pipeline.feedback import RELEVANCE, Feedback, Judgement
from pipeline.outbox import Outbox
from pipeline.region import Laterality, Region
from pipeline.uid import KeyedUids
from pipeline.wording import finding_words

__all__ = ["ResultPages"]

_ON_A_PAGE: Final = 25
_SIDE_BY_SIDE: Final = 3  # priors that one link opens beside the query


@dataclass(frozen=True, eq=False)
class ResultPages:
    """``/results``, a page a result, a page a match, and their pictures: for radiologists.

    Parameters
    ----------
    pages
        Make the pages.
    records, feedback, outbox
        What was answered, what was said of it, what became of it.
    pictures
        Make pictures.
    ledger
        Knows whose images they are, for the audit trail.
    audit
        Is told of every view before it is shown.
    viewer_url
        Opens studies in the hospital's viewer (`deploy.web.settings.WebSettings`).
    uids
        Name the studies of library copies.
    """

    pages: Pages
    records: AnswerRecords
    feedback: Feedback
    outbox: Outbox
    pictures: Pictures
    ledger: Ledger
    audit: Audit
    viewer_url: str | None
    uids: KeyedUids

    def routes(self) -> list[Route]:
        """Return where they are."""
        within = "/results/{result_id}"
        pages = {
            "/results": self.latest,
            "/studies/{study_uid}": self.of_study,
            within: self.result,
            f"{within}/{{part}}/cases/{{case:int}}": self.case,
            f"{within}/pictures/{{case:int}}/{{what}}-{{size}}.png": self.picture,
        }
        gets = [
            Route(path, for_role(Role.RADIOLOGIST, page), methods=["GET"])
            for path, page in pages.items()
        ]
        judged = for_role(Role.RADIOLOGIST, self.judge)
        return [*gets, Route(f"{within}/{{part}}/cases/{{case:int}}", judged, methods=["POST"])]

    async def latest(self, request: Request) -> Response:
        """Show the latest results."""
        asked = request.query_params.get("page", "1")
        number = max(1, int(asked)) if asked.isdecimal() and len(asked) < 6 else 1
        rows, more = await run_in_threadpool(self._rows, request, number)
        return self.pages.page(
            request, "results.html", rows=rows, number=number, more=more, **_WORDS
        )

    async def of_study(self, request: Request) -> Response:
        """Go to the latest result about a study: for a link in a viewer or a PACS."""
        uid = request.path_params["study_uid"]
        found = await run_in_threadpool(self.records.of_study, uid) if is_uid(uid) else ()
        if not found:
            raise HTTPException(404)
        return RedirectResponse(f"/results/{found[0].result_id}", 303)

    async def result(self, request: Request) -> Response:
        """Show a result: the query, and the matches for one bone."""
        record = await self._record(request)
        wish = Wish.of(request.query_params)
        part = record.part(request.query_params.get("bone"))
        identity = await run_in_threadpool(self._told, request, record)
        given = await run_in_threadpool(self._given, request, record)
        matches = ranked(record, part, wish) if part else ()
        there = [one.case for one in matches if one.place and one.case.viewer_study_uid]
        first = there[:_SIDE_BY_SIDE]
        return self.pages.page(
            request,
            "result.html",
            record=record,
            part=part,
            bones_asked=[(part_name(one), _title(one)) for one in record.parts],
            name=part_name(part) if part else "",
            title=_title(part) if part else "",
            identity=identity,
            wish=wish,
            findings=Finding,
            cards=[self._card(record, part, one, given) for one in matches] if part else [],
            query_boxes=_boxes(record, part, record.query) if part else [],
            query_view=SIZES["small"]["wrist"],
            bones=tuple(Region),
            delivered=await run_in_threadpool(self._delivered, record),
            all_in_viewer=self._in_viewer(record, first),
            side_by_side=len(first),
            asked=request.url.query,
            **_WORDS,
        )

    async def case(self, request: Request) -> Response:
        """Show a match beside the query, large."""
        record = await self._record(request)
        part, match = self._match(record, request)
        wish = Wish.of(request.query_params)
        matches = ranked(record, part, wish)
        shown = next(one for one in matches if one.match is match)
        in_order = [one.case.number for one in matches if one.place]
        identity = await run_in_threadpool(self._told, request, record)
        given = await run_in_threadpool(self._given, request, record)
        before, after = _beside(in_order, shown.case.number)
        bone = part.region is not None and request.query_params.get("what") != "wrist"
        return self.pages.page(
            request,
            "case.html",
            record=record,
            part=part,
            name=part_name(part),
            title=_title(part),
            card=self._card(record, part, shown, given),
            what=part_name(part) if bone else "wrist",
            view=SIZES["large"]["bone" if bone else "wrist"],
            small=SIZES["small"]["wrist"],
            query_boxes=_boxes(record, part, record.query),
            bones=tuple(Region),
            identity=identity,
            before=before,
            after=after,
            asked=_without(request, "what"),
            **_WORDS,
        )

    async def picture(self, request: Request) -> Response:
        """Return a picture of a case."""
        record, wanted = await self._record(request), request.path_params
        session = session_of(request)
        if session is not None and record.result_id not in session.told:
            await run_in_threadpool(self._told, request, record)
        try:
            png = await run_in_threadpool(
                self.pictures.png, record, wanted["case"], wanted["what"], wanted["size"]
            )
        except PictureGoneError:
            raise HTTPException(404) from None
        return Response(png, media_type="image/png")

    async def judge(self, request: Request) -> Response:
        """Keep how relevant a match is, or take that back."""
        sent = await checked_form(request)
        record = await self._record(request)
        part, match = self._match(record, request)
        relevance = sent.get("relevance", "")
        if relevance not in {"0", *map(str, RELEVANCE)}:
            raise HTTPException(422)
        rater = person_of(request).account
        given = Judgement.of(record, part, match, rater, int(relevance), datetime.now(UTC))
        keep = self.feedback.give if given.relevance else self.feedback.take_back
        await run_in_threadpool(keep, given)
        if request.headers.get("accept") == "application/json":
            return JSONResponse({"relevance": given.relevance})
        back = sent.get("back", "") == "case"
        query = f"?{request.url.query}" if request.url.query else ""
        here = f"/results/{record.result_id}"
        there = f"{here}/{part_name(part)}/cases/{match.case}{query}" if back else f"{here}{query}"
        return RedirectResponse(there if back else f"{there}#case-{match.case}", 303)

    async def _record(self, request: Request) -> AnswerRecord:
        record = await run_in_threadpool(self.records.get, request.path_params["result_id"])
        if record is None:
            raise HTTPException(404)
        return record

    def _match(self, record: AnswerRecord, request: Request) -> tuple[PartRecord, Any]:
        name, case = request.path_params["part"], request.path_params["case"]
        for part in record.parts:
            for match in part.matches:
                if part_name(part) == name and match.case == case:
                    return part, match
        raise HTTPException(404)

    def _rows(self, request: Request, number: int) -> tuple[list[dict[str, Any]], bool]:
        found = self.records.latest(_ON_A_PAGE + 1, (number - 1) * _ON_A_PAGE)
        shown = found[:_ON_A_PAGE]
        person = person_of(request)
        self.audit.tell(partial(command_query, person=person, command="web results", end=End()))
        self._look_up(request, [one.query for one in shown])
        rows = [
            {
                "record": record,
                "identity": self.pictures.identity(record),
                "delivered": self._delivered(record),
                "best": _best(record),
            }
            for record in shown
        ]
        return rows, len(found) > _ON_A_PAGE

    def _told(self, request: Request, record: AnswerRecord) -> Identity | None:
        """Tell whose images are shown next, the query's and the priors'; return whose it is."""
        session = session_of(request)
        self._look_up(request, [record.query, *record.cases])
        if session is not None:
            session.told.add(record.result_id)
        return self.pictures.identity(record)

    def _look_up(self, request: Request, cases: Iterable[CaseRecord]) -> None:
        if self.audit.is_kept:
            look_up = LookUp(self.audit, person_of(request))
            look_up.shows([(one.study_uid, self._patient_key(one)) for one in cases])

    def _patient_key(self, case: CaseRecord) -> str:
        rows = self.ledger.receipt(case.sop_instance_uid)
        return rows[-1].patient_key if rows else ""

    def _given(self, request: Request, record: AnswerRecord) -> dict[tuple[str, str], int]:
        return self.feedback.of(record.result_id, person_of(request).account)

    def _delivered(self, record: AnswerRecord) -> datetime | None:
        about = self.outbox.about(record.query.sop_instance_uid)
        return next((one.delivered_at for one in about if one.result_id == record.result_id), None)

    def _card(
        self,
        record: AnswerRecord,
        part: PartRecord,
        one: Ranked,
        given: dict[tuple[str, str], int],
    ) -> dict[str, Any]:
        case, match = one.case, one.match
        return {
            "case": case,
            "match": match,
            "place": one.place,
            "finding": one.finding,
            "side": _SIDE[case.laterality],
            "words": _findings(case, part),
            "boxes": _boxes(record, part, case),
            "has_bone": part.region is not None and part.region.value in case.boxes,
            "in_viewer": self._in_viewer(record, [case]),
            "relevance": given.get((part_name(part), case.sop_instance_uid), 0),
        }

    def _in_viewer(self, record: AnswerRecord, cases: Sequence[CaseRecord]) -> str:
        """Return the address that opens the query and priors; empty where there is none."""
        studies = [self._study_in_viewer(one) for one in (record.query, *cases)]
        if self.viewer_url is None or len(studies) < 2 or not all(studies):
            return ""
        named = quote(",".join(dict.fromkeys(studies)), safe=",")
        return self.viewer_url.replace("{studies}", named)

    def _study_in_viewer(self, case: CaseRecord) -> str:
        if case.viewer_study_uid == IN_LIBRARY:
            return library_study_uid(self.uids, case.study_uid)
        return case.viewer_study_uid


_SIDE: Final = {Laterality.LEFT: "left", Laterality.RIGHT: "right", Laterality.UNKNOWN: "side ?"}
_WORDS: Final[Mapping[str, Any]] = {
    "demonstration": ENGLISH.say("demonstration"),
    "score_words": ENGLISH.say("index.meaning"),
    "relevance": RELEVANCE,
    "sides": _SIDE,
}


def _title(part: PartRecord) -> str:
    return part.region.words if part.region else "wrist as a whole"


def _boxes(
    record: AnswerRecord, part: PartRecord, case: CaseRecord
) -> list[tuple[Region, list[float]]]:
    """Return corner, width and height of each bone's box in the small picture of the wrist."""
    return [
        (region, [round(value, 1) for value in (x0, y0, x1 - x0, y1 - y0)])
        for region, (x0, y0, x1, y1) in boxes_seen(record, part, case)
    ]


def _findings(case: CaseRecord, part: PartRecord) -> list[tuple[str, str]]:
    """Return what the report of a match says, the asked bone first; empty without a report."""
    if not case.findings_known:
        return []
    asked = [part.region] if part.region else []
    said = [
        region
        for region in Region
        if region not in asked
        and case.findings.get(region, RegionFindings()).fracture != "not_mentioned"
    ]
    words = [
        (region.words, finding_words(case.findings.get(region, RegionFindings())))
        for region in (*asked, *said)
    ]
    if case.other:
        words.append(("also", ", ".join(one.replace("_", " ") for one in case.other)))
    return words or [("", "describes none of the three bones")]


def _best(record: AnswerRecord) -> list[tuple[str, float | None]]:
    """Return the highest index for each bone; None where nothing similar was found."""
    best = []
    for part in record.parts:
        indices = [
            one.global_index if one.region_index is None else one.region_index
            for one in part.matches
        ]
        similar = bool(indices) and not part.nothing_similar
        best.append((_title(part), max(indices) if similar else None))
    return best


def _beside(numbers: Sequence[int], number: int) -> tuple[int | None, int | None]:
    if number not in numbers:
        return None, numbers[0] if numbers else None
    at = numbers.index(number)
    return numbers[at - 1] if at else None, numbers[at + 1] if at + 1 < len(numbers) else None


def _without(request: Request, name: str) -> str:
    return urlencode([(k, v) for k, v in request.query_params.multi_items() if k != name])
