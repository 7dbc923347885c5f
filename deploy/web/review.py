"""The review pages: reports beside what was read in them, to be corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deploy.marked_text import Evidence, evidence_of
from deploy.web.posted_form import posted_form
from deploy.web.review_form import DETAILS, GROUPS, ReviewForm
from deploy.worklist import Show, Worklist, WorklistEntry
from pipeline.errors import GoldError
from pipeline.findings import Displacement, Fracture, FractureType, Healing, Other
from pipeline.gold import GoldReport
from pipeline.region import Region

__all__ = ["review_app"]

_HERE = Path(__file__).parent


def review_app(worklist: Worklist) -> Starlette:
    """Return the pages on a worklist; links in them are relative, so they may live anywhere.

    ``/`` lists the reports, ``/report/<id>`` shows one and takes its correction, ``/static`` has
    one style sheet and one script. To be served behind a `deploy.web.door.Door`.
    """
    pages = _Pages(worklist)
    return Starlette(
        routes=[
            Route("/", pages.list),
            Route("/report/{entry_id}", pages.report, methods=["GET"]),
            Route("/report/{entry_id}", pages.save, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]
    )


class _Pages:
    """Answers requests; one person asks, so writing a gold file may hold the next one up."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,  # a report is untrusted: its words are text, never markup
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["words"] = lambda value: str(value).replace("_", " ")
        self._templates.filters["bone"] = _shortened
        self._templates.filters["duration"] = _duration

    async def list(self, request: Request) -> Response:
        """Show every report that a filter lets through."""
        show = _show(request)
        entries = self._worklist.shown(show)
        counts = {one: len(self._worklist.shown(one)) for one in Show}
        rows = [
            (entry, self._worklist.correction(entry), self._changes(entry)) for entry in entries
        ]
        done = self._worklist.done
        score = self._worklist.score() if done else None
        return self._page(
            "list.html",
            up="",
            show=show,
            shows=Show,
            counts=counts,
            rows=rows,
            done=done,
            score=score,
        )

    async def report(self, request: Request) -> Response:
        """Show one report beside its form."""
        entry = self._entry(request)
        correction = self._worklist.correction(entry)
        form = ReviewForm.of(correction or entry.read)
        return self._report_page(request, entry, form)

    async def save(self, request: Request) -> Response:
        """Keep a correction, or take it back, and go on; say at the field what cannot be."""
        entry, show = self._entry(request), _show(request)
        sent = await posted_form(request)
        action = sent.get("action", "go_on")
        try:
            if action == "take_back":
                self._worklist.take_back(entry)
                return RedirectResponse(f"{entry.id}?show={show}", 303)
            form = ReviewForm.posted(sent)
            report = form.report(entry)
            if isinstance(report, ReviewForm):
                return self._report_page(request, entry, report, status=422)
            self._worklist.save(report, entry)
        except (GoldError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            problem = f"Nothing was saved: {said}"
            form = ReviewForm.posted(sent)
            return self._report_page(request, entry, form, status=507, problem=problem)
        following = self._worklist.after(entry, show) if action == "go_on" else entry
        if following is None or (action == "go_on" and self._worklist.done == len(self._worklist)):
            return RedirectResponse(f"../?show={Show.ALL}", 303)
        return RedirectResponse(f"{following.id}?show={show}&saved={entry.id}", 303)

    def _report_page(
        self,
        request: Request,
        entry: WorklistEntry,
        form: ReviewForm,
        *,
        status: int = 200,
        problem: str = "",
    ) -> Response:
        show, worklist = _show(request), self._worklist
        saved = worklist.entry(request.query_params.get("saved", ""))
        read, evidence = ReviewForm.of(entry.read), evidence_of(entry.report)
        return self._page(
            "report.html",
            status,
            up="../",
            show=show,
            entry=entry,
            form=form,
            read=read,
            changed=form.differing(read),
            correction=worklist.correction(entry),
            saved=saved,
            saved_changes=None if saved is None else self._changes(saved),
            problem=problem,
            pieces=entry.pieces,
            quotes=_quotes_by_place(evidence),
            doubted={
                o.name for side in entry.report.sides.values() for o in side.other if o.possible
            },
            before=worklist.before(entry, show),
            after=worklist.after(entry, show),
            done=worklist.done,
            seconds_left=worklist.seconds_left(),
        )

    def _changes(self, entry: WorklistEntry) -> int | None:
        correction = self._worklist.correction(entry)
        return None if correction is None else _changes(correction, entry)

    def _entry(self, request: Request) -> WorklistEntry:
        entry = self._worklist.entry(request.path_params["entry_id"])
        if entry is None:
            raise HTTPException(404)
        return entry

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        words = self._templates.get_template(template).render(
            worklist=self._worklist, **_CHOICES, **values
        )
        return HTMLResponse(words, status)


_CHOICES: Mapping[str, Any] = {
    "bones": tuple(Region),
    "lateralities": tuple(GROUPS),
    "fractures": tuple(Fracture),
    "types": tuple(FractureType),
    "healings": tuple(Healing),
    "displacements": tuple(Displacement),
    "others": tuple(Other),
    "details": DETAILS,
}


def _show(request: Request) -> Show:
    try:
        return Show(request.query_params.get("show", Show.ALL))
    except ValueError:
        return Show.ALL


def _changes(correction: GoldReport, entry: WorklistEntry) -> int:
    return len(ReviewForm.of(correction).differing(ReviewForm.of(entry.read)))


def _quotes_by_place(evidence: Sequence[Evidence]) -> dict[str, tuple[str, ...]]:
    """Return the quotes that stand at each card of the form: `one` has those of every side."""
    found: dict[str, dict[str, None]] = {}
    for one in evidence:
        side, _, subject = one.place.partition("-")
        for place in {one.place, f"one-{subject}" if side != "other" else one.place}:
            found.setdefault(place, {}).update(dict.fromkeys(one.quotes))
    return {place: tuple(quotes) for place, quotes in found.items()}


def _shortened(region: str) -> str:
    return {"distal_radius": "radius", "distal_ulna": "ulna"}.get(region, "styloid")


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
