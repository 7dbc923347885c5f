"""The pages of results: what was answered, its pictures, and what a radiologist thinks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.errors import PictureGoneError
from deploy.look_up import LookUp
from deploy.web.card import Card, boxes_of, card_of
from deploy.web.gate import checked_form, for_role, person_of, session_of
from deploy.web.page import Pages
from deploy.web.pictures import SIZES, Identity, Pictures
from deploy.web.ranking import Finding, Ranked, Wish, finding_of, ranked
from deploy.web.users import Role
from deploy.web.viewer_links import ViewerLinks
from listener.audit import Audit
from listener.audit_event import End
from listener.audit_query import command_query
from listener.elements import is_uid
from listener.ledger import Ledger
from pipeline.answer_record import (
    AnswerRecord,
    AnswerRecords,
    CaseRecord,
    MatchRecord,
    PartRecord,
    part_name,
)
from pipeline.feedback import RELEVANCE, Feedback, Judgement
from pipeline.outbox import Outbox
from pipeline.region import Region

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
    viewer
        Knows where the hospital's viewer finds priors.
    """

    pages: Pages
    records: AnswerRecords
    feedback: Feedback
    outbox: Outbox
    pictures: Pictures
    ledger: Ledger
    audit: Audit
    viewer: ViewerLinks

    def routes(self) -> list[Route]:
        """Return where they are."""
        within = "/results/{result_id}"
        pages = {
            "/results": self.latest,
            "/studies/{study_uid}": self.of_study,
            within: self.result,
            f"{within}/matches": self.matches,
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
        return self.pages.page(request, "results.html", rows=rows, number=number, more=more)

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
        found = await run_in_threadpool(self._matches, request, record)
        part = found["part"]
        identity = await run_in_threadpool(self._identity, request, record, found["cards"])
        return self.pages.page(
            request,
            "result.html",
            bones_asked=[(part_name(one), self._title(one)) for one in record.parts],
            identity=identity,
            findings=Finding,
            query_boxes=boxes_of(record, part, record.query) if part else [],
            query_lack=await run_in_threadpool(self.pictures.lack, record, record.query),
            bones=tuple(Region),
            delivered=await run_in_threadpool(self._delivered, record),
            **found,
        )

    async def matches(self, request: Request) -> Response:
        """Return the list of a result's matches alone, for a page that weighs and chooses anew."""
        record = await self._record(request)
        found = await run_in_threadpool(self._matches, request, record)
        if found["part"] is None:
            raise HTTPException(404)
        await run_in_threadpool(self._tell_new, request, record, [c.case for c in found["cards"]])
        return self.pages.page(request, "matches.html", **found)

    async def case(self, request: Request) -> Response:
        """Show a match beside the query, large."""
        record = await self._record(request)
        part, match = self._match(record, request)
        wish = Wish.of(request.query_params)
        in_order = await run_in_threadpool(self._ranked, record, part, wish)
        shown = next((one for one in in_order if one.match is match), None)
        shown = shown or _unplaced(record, part, match)
        given = await run_in_threadpool(self._given, request, record)
        card = await run_in_threadpool(self._card, record, part, shown, given)
        identity = await run_in_threadpool(self._identity, request, record, [card])
        before, after = _beside([one.case.number for one in in_order], shown.case.number)
        bone = part.region is not None and request.query_params.get("what") != "wrist"
        return self.pages.page(
            request,
            "case.html",
            record=record,
            part=part,
            name=part_name(part),
            title=self._title(part),
            card=card,
            query_lack=await run_in_threadpool(self.pictures.lack, record, record.query),
            what=part_name(part) if bone else "wrist",
            view=SIZES["large"]["bone" if bone else "wrist"],
            small=SIZES["small"]["wrist"],
            query_boxes=boxes_of(record, part, record.query),
            bones=tuple(Region),
            identity=identity,
            before=before,
            after=after,
            asked=_without(request, "what"),
            relevance=tuple(RELEVANCE),
        )

    async def picture(self, request: Request) -> Response:
        """Return a picture of a case; where there is none, the words that say why."""
        record, wanted = await self._record(request), request.path_params
        case = record.case(wanted["case"])
        if case is None:
            raise HTTPException(404)
        await run_in_threadpool(self._tell_new, request, record, [case])
        try:
            png = await run_in_threadpool(
                self.pictures.png, record, wanted["case"], wanted["what"], wanted["size"]
            )
        except PictureGoneError:
            # what is found out only now, such as text in it, the page could not say
            lack = await run_in_threadpool(self.pictures.lack, record, case)
            return PlainTextResponse(self.pages.words.say(lack or "pages.not_shared"), 404)
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

    def _match(self, record: AnswerRecord, request: Request) -> tuple[PartRecord, MatchRecord]:
        name, case = request.path_params["part"], request.path_params["case"]
        for part in record.parts:
            for match in part.ranked:
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
                "best": [(self._title(part), index) for part, index in _best(record)],
            }
            for record in shown
        ]
        return rows, len(found) > _ON_A_PAGE

    def _matches(self, request: Request, record: AnswerRecord) -> dict[str, Any]:
        """Return what the list of matches for one bone is filled with."""
        wish = Wish.of(request.query_params)
        part = record.part(request.query_params.get("bone"))
        in_order = self._ranked(record, part, wish) if part else ()
        given = self._given(request, record)
        there = [one.case for one in in_order if self.viewer.study_uid(one.case)]
        first = there[:_SIDE_BY_SIDE]
        return {
            "record": record,
            "part": part,
            "name": part_name(part) if part else "",
            "title": self._title(part) if part else "",
            "wish": wish,
            "cards": [self._card(record, part, one, given) for one in in_order] if part else [],
            "query_view": SIZES["small"]["wrist"],
            "all_in_viewer": self.viewer.address(record, first),
            "side_by_side": len(first),
            "asked": request.url.query,
            "beyond": sum(one.match.rank > len(part.matches) for one in in_order) if part else 0,
            "relevance": tuple(RELEVANCE),
        }

    def _ranked(self, record: AnswerRecord, part: PartRecord, wish: Wish) -> tuple[Ranked, ...]:
        return ranked(record, part, wish, lambda case: not self.pictures.lack(record, case))

    def _identity(
        self, request: Request, record: AnswerRecord, cards: Sequence[Card]
    ) -> Identity | None:
        """Tell whose images a page shows, the query's and the priors'; return whose it is."""
        self._tell(request, record, [record.query, *(card.case for card in cards)])
        return self.pictures.identity(record)

    def _tell_new(
        self, request: Request, record: AnswerRecord, cases: Sequence[CaseRecord]
    ) -> None:
        """Tell of those whose view in this session the audit trail does not know of yet."""
        session = session_of(request)
        told = session.told if session else set()
        new = [one for one in cases if (record.result_id, one.number) not in told]
        if new:
            self._tell(request, record, new)

    def _tell(self, request: Request, record: AnswerRecord, cases: Sequence[CaseRecord]) -> None:
        self._look_up(request, cases)
        session = session_of(request)
        if session is not None:
            session.told.update((record.result_id, one.number) for one in cases)

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
        given: Mapping[tuple[str, str], int],
    ) -> Card:
        words = self.pages.words
        return card_of(record, part, one, self.pictures, self.viewer, given, words)

    def _title(self, part: PartRecord) -> str:
        say = self.pages.words.say
        return say(f"bone.{part.region.value}") if part.region else say("board.whole_wrist")


def _unplaced(record: AnswerRecord, part: PartRecord, match: MatchRecord) -> Ranked:
    """Return a match that the reader's choices leave out, but whose page was asked for."""
    case = record.case(match.case)
    if case is None:
        raise HTTPException(404)
    return Ranked(match, case, None, finding_of(case, part))


def _best(record: AnswerRecord) -> list[tuple[PartRecord, float | None]]:
    """Return the highest index for each bone; None where nothing similar was found."""
    best: list[tuple[PartRecord, float | None]] = []
    for part in record.parts:
        indices = [
            one.global_index if one.region_index is None else one.region_index
            for one in part.matches
        ]
        similar = bool(indices) and not part.nothing_similar
        best.append((part, max(indices) if similar else None))
    return best


def _beside(numbers: Sequence[int], number: int) -> tuple[int | None, int | None]:
    if number not in numbers:
        return None, numbers[0] if numbers else None
    at = numbers.index(number)
    return numbers[at - 1] if at else None, numbers[at + 1] if at + 1 < len(numbers) else None


def _without(request: Request, name: str) -> str:
    return urlencode([(k, v) for k, v in request.query_params.multi_items() if k != name])
