"""The answer as a document to print or to send on: the board, and its reasons in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, PageBreak, Paragraph, SimpleDocTemplate

from pipeline import terms
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.region import Region
from pipeline.request import Answer, RegionAnswer
from pipeline.wording import (
    BundleWords,
    bone_words,
    case_labels,
    exam_words,
    in_language,
    match_words,
    use_words,
    wanted_words,
)

__all__ = ["board_document"]

_MARGIN: Final = 15 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_HEIGHT: Final = A4[1] - 2 * _MARGIN
_HEAD: Final = 80 * mm
"""What stands above the board at the most: the board is scaled to the rest of its page."""

_FONT: Final = "WristMIR"
_BOLD: Final = "WristMIR-Bold"
_FILES: Final = {_FONT: "NotoSans-Regular.ttf", _BOLD: "NotoSans-Bold.ttf"}


def board_document(
    answer: Answer,
    board: NDArray[np.uint8],
    *,
    bundle: BundleWords,
    words: Dictionary = ENGLISH,
) -> bytes:
    """Write the answer as a PDF: the board on the first page, then every match in words.

    The text is text, in fonts that are embedded: it can be searched, and read aloud. Nothing of
    any patient stands in it but what the board shows: sides, and of priors the age band and what
    their reports say in codes.

    Parameters
    ----------
    answer
        What was found.
    board
        As drawn by `pipeline.match_board`: uint8, shape (rows, columns, 3), RGB.
    bundle
        The models behind the answer.
    words
        The language.

    Returns
    -------
    bytes
        A PDF 1.4 file; the same arguments give the same bytes.
    """
    _register_fonts()
    answer = in_language(answer, words)
    stream = BytesIO()
    document = SimpleDocTemplate(
        stream,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=words.say("document.title"),
        author="WristMIR",
        creator=f"WristMIR {version('wristmir')}",
        lang=words.language.value,
        invariant=1,  # no time and no random identifier: the same answer is the same file
    )
    footer = _Footer(bundle, words)
    story = [*_first_page(answer, board, bundle, words), PageBreak()]
    story += [*_in_words(answer, words), *_provenance(answer, bundle, words)]
    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return stream.getvalue()


def _first_page(
    answer: Answer, board: NDArray[np.uint8], bundle: BundleWords, words: Dictionary
) -> Iterator[Flowable]:
    yield _line(words.named(terms.TITLE).meaning, _TITLE)
    if bundle.demonstration:
        yield _line(f"{words.say('demonstration')}.", _CAUTION)
    yield _line(use_words(bundle, words))
    for warning in answer.warnings:
        yield _line(warning, _CAUTION)
    query = answer.query
    told = words.capital(exam_words(query, words))
    yield _named(words, terms.QUERY_IMAGE.value, f"{told}.")
    found = [bone_words(region, words) for region in Region if region.value in query.boxes]
    missing = [bone_words(region, words) for region in Region if region.value not in query.boxes]
    bones = words.capital(", ".join(found) or words.say("report.none_located"))
    located = words.say("report.located", bones=bones)
    if missing:
        located = words.say("report.located_in_part", bones=bones, missing=", ".join(missing))
    yield _named(words, terms.LOCATED_BONES.value, located)
    yield _picture(board)


def _in_words(answer: Answer, words: Dictionary) -> Iterator[Flowable]:
    labels = case_labels(answer, words)
    yield _line(words.say("document.matches"), _TITLE)
    yield _line(words.say("document.others"), _CAUTION)
    for part in answer.regions:
        yield _line(words.named(terms.SIMILAR_CASES[part.region]).meaning, _HEADING)
        yield from _matches(part, labels, words)


def _matches(part: RegionAnswer, labels: Any, words: Dictionary) -> Iterator[Flowable]:
    if part.nothing_similar or not part.matches:
        key = "report.nothing_similar_listed" if part.matches else "report.nothing_similar"
        yield _line(words.say(key), _CAUTION)
    for fallback in part.fallbacks:
        yield _line(fallback)
    for match in part.matches:
        label = labels[match.exam.sop_instance_uid]
        yield _line(" ".join(match_words(part.region, match, label, words)))


def _provenance(answer: Answer, bundle: BundleWords, words: Dictionary) -> Iterator[Flowable]:
    request = answer.request
    bones = ", ".join(bone_words(region, words) for region in request.regions or (None,))
    asked = words.say("report.asked", bones=bones, k=request.k)
    if wanted := wanted_words(request, words):
        asked = words.say("report.asked_with_wishes", bones=bones, k=request.k, wanted=wanted)
    at = f"{answer.answered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    yield _line(words.named(terms.PROVENANCE).meaning, _HEADING)
    yield _line(words.say("index.meaning"))
    yield _line(f"{words.say('report.compared', count=answer.pool_size)} {asked}")
    yield _line(f"{words.say(f'mode.{request.mode.value}')}.")
    software = words.say("report.version", bundle=bundle.id, software=version("wristmir"))
    yield _line(f"{words.capital(software)}. {words.say('answered_at', time=at)}.")


class _Footer:
    """Writes under every page what it must not be taken for, and its number."""

    def __init__(self, bundle: BundleWords, words: Dictionary) -> None:
        self._notice = words.say("demonstration") if bundle.demonstration else ""
        self._words = words

    def __call__(self, canvas: Any, document: Any) -> None:
        """Draw it, as reportlab asks for each page."""
        canvas.saveState()
        canvas.setFont(_FONT, 7)
        canvas.setFillColor(HexColor("#444444"))
        canvas.drawString(_MARGIN, _MARGIN - 6 * mm, self._notice)
        number = self._words.say("document.page", page=document.page)
        canvas.drawRightString(A4[0] - _MARGIN, _MARGIN - 6 * mm, number)
        canvas.restoreState()


def _picture(board: NDArray[np.uint8]) -> Image:
    """Return the board, as wide as the page or as high as what the head leaves of it."""
    stream = BytesIO()
    Picture.fromarray(board).save(stream, "PNG", compress_level=1)
    rows, columns = board.shape[:2]
    scale = min(_WIDTH / columns, (_HEIGHT - _HEAD) / rows)
    stream.seek(0)
    return Image(stream, width=columns * scale, height=rows * scale)


def _line(words: str, style: ParagraphStyle | None = None) -> Paragraph:
    return Paragraph(escape(words), style or _BODY)


def _named(words: Dictionary, code: str, sentence: str) -> Paragraph:
    return _line(f"{words.say(f'code.{code}')}: {sentence}")


@cache
def _register_fonts() -> None:
    """Register the fonts that come with the package: they have the letters of every language."""
    for name, file in _FILES.items():
        registerFont(TTFont(name, str(Path(__file__).parent / "fonts" / file)))


_BODY: Final = ParagraphStyle("body", fontName=_FONT, fontSize=8.5, leading=11.5, spaceAfter=4)
_CAUTION: Final = ParagraphStyle("caution", parent=_BODY, fontName=_BOLD)
_HEADING: Final = ParagraphStyle(
    "heading", parent=_BODY, fontName=_BOLD, fontSize=10.5, leading=14, spaceBefore=8
)
_TITLE: Final = ParagraphStyle("title", parent=_HEADING, fontSize=14, leading=18)
