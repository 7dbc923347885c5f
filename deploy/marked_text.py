"""A report's text with the words marked that findings stand on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.findings import Fracture, WristReport
from pipeline.quotation import quotes_in

__all__ = ["Evidence", "Piece", "evidence_of", "marked"]


@dataclass(frozen=True)
class Evidence:
    """Words that a finding stands on.

    Parameters
    ----------
    place
        ``<side>-<region>``, or ``other-<name>``: what they are the evidence of.
    subject
        The region, or ``other``: it gives them their colour.
    quotes
        As the miner gives them.
    denied
        True where they say that there is nothing.
    """

    place: str
    subject: str
    quotes: tuple[str, ...]
    denied: bool = False


@dataclass(frozen=True)
class Piece:
    """A piece of the text that the same findings stand on.

    ``unused`` is a word about bones that no finding stands on: maybe something was missed.
    """

    text: str
    places: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    denied: bool = False
    unused: bool = False


def evidence_of(report: WristReport) -> tuple[Evidence, ...]:
    """Return what stands behind each finding of a report, what is disputed included."""
    found = []
    for side, said in report.sides.items():
        for region, findings in said.regions.items():
            found += [
                Evidence(
                    f"{side}-{region}",
                    region.value,
                    quotes_in(finding.evidence),
                    finding.fracture is Fracture.ABSENT,
                )
                for finding in findings
            ]
        found += [Evidence(f"other-{o.name}", "other", quotes_in(o.evidence)) for o in said.other]
    for disputed in report.disputed:
        if disputed.region is not None:
            quotes = tuple(quote for words in disputed.evidence for quote in quotes_in(words))
            found.append(
                Evidence(f"{disputed.side}-{disputed.region}", disputed.region.value, quotes)
            )
    return tuple(found)


def marked(text: str, evidence: Sequence[Evidence]) -> tuple[Piece, ...]:
    """Cut a text where findings begin and end; the pieces joined are the text."""
    spans = [
        (first, last, one)
        for one in evidence
        for quote in one.quotes
        for first, last in _spans(quote, text)
    ]
    cuts = sorted({0, len(text), *(cut for first, last, _ in spans for cut in (first, last))})
    told = _stems(" ".join(text[first:last] for first, last, _ in spans))
    pieces: list[Piece] = []
    for first, last in pairwise(cuts):
        on = [one for begin, end, one in spans if begin <= first and last <= end]
        if on:
            pieces.append(_piece(text[first:last], on))
        else:
            pieces += _unused(text, first, last, told)
    return tuple(pieces)


def _spans(quote: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where a quote stands, case and white space aside."""
    words = r"\s+".join(re.escape(word) for word in quote.split())
    return (found.span() for found in re.finditer(words, text, re.IGNORECASE))


def _piece(text: str, on: Iterable[Evidence]) -> Piece:
    on = tuple(on)
    return Piece(
        text,
        tuple(dict.fromkeys(one.place for one in on)),
        tuple(dict.fromkeys(one.subject for one in on)),
        denied=all(one.denied for one in on),
    )


_TELLING = re.compile(
    r"\b(?:fract\w*|fx|buckl\w*|torus|greenstick|salter\w*|physeal|avuls\w*|displac\w*|angulat\w*"
    r"|callus|heal\w*|bowing|comminut\w*|plaster|cast|splint\w*|(?<!growth )plate|k-?wires?"
    r"|swelling|disloc\w*|osteopen\w*|lucen\w*|sclero\w*|\w*fra[ck]tur\w*|wulst\w*|grünholz\w*"
    r"|gips\w*)\b",
    re.IGNORECASE,
)
_BONE = re.compile(
    r"\b(?:radi\w*|ulna\w*|styloid\w*|scaphoid\w*|metacarp\w*|carp\w*)\b", re.IGNORECASE
)
_ASKED = re.compile(
    r"^[ \t]*(?:clinical|indication|history|reason|comparison|technique|exam|procedure|request)\w*"
    r"[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"[^.;\n]*(?:[.;\n]+|\Z)")
_STEM = 4


def _stems(words: str) -> frozenset[str]:
    found = (match[0] for of in (_TELLING, _BONE) for match in of.finditer(words))
    return frozenset(word[:_STEM].lower() for word in found)


def _unused(text: str, first: int, last: int, told: frozenset[str]) -> Iterator[Piece]:
    """Yield a stretch without evidence, the telling words by themselves that nobody used.

    A sentence that says nothing which evidence does not say too, since a finding is told again
    in the impression, is left in peace, and so is what was asked.
    """
    asked = [found.span() for found in _ASKED.finditer(text)]
    start = first
    for sentence in _SENTENCE.finditer(text, first, last):
        if _stems(sentence[0]) <= told:
            continue
        for word in _TELLING.finditer(text, *sentence.span()):
            if any(begin <= word.start() < end for begin, end in asked):
                continue
            if start < word.start():
                yield Piece(text[start : word.start()])
            yield Piece(word[0], unused=True)
            start = word.end()
    if start < last:
        yield Piece(text[start:last])
