"""Where in a report the words stand that a finding quotes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.entry import JOIN
from pipeline.passage import UNSEEN, Passage

__all__ = ["Quotations", "quotes_in"]


def quotes_in(evidence: str) -> tuple[str, ...]:
    """Return the quotes of some evidence, as they are written, each once."""
    pieces = evidence.replace("...", JOIN).split(JOIN.strip())
    return tuple(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


class Quotations:
    """A report that is searched for quotes, case and white space aside.

    Parameters
    ----------
    text
        The report.
    passages
        Its sentences, with offsets into ``text``; none where only `stand` is asked.
    """

    def __init__(self, text: str, passages: Sequence[Passage] = ()) -> None:
        self._passages = passages
        folded: list[str] = []
        self._origin: list[int] = []  # of each folded character in the text
        for place, character in enumerate(text):
            if character in UNSEEN:
                continue
            white = character.isspace()
            if white and (not folded or folded[-1] == " "):
                continue
            for one in " " if white else character.casefold():
                folded.append(one)
                self._origin.append(place)
        self._folded = "".join(folded)

    def stand(self, evidence: str) -> bool:
        """Whether every quote of the evidence stands in the report, as whole words."""
        quotes = _plain(evidence)
        return bool(quotes) and all(any(self._spans(quote)) for quote in quotes)

    def each(self, evidence: str) -> tuple[tuple[Passage, ...], ...]:
        """Return, for each quote of the evidence, the sentences in which it stands."""
        return tuple(self._within(quote) for quote in _plain(evidence))

    def _within(self, quote: str) -> tuple[Passage, ...]:
        spans = list(self._spans(quote))
        return tuple(
            passage
            for passage in self._passages
            if any(_overlap(passage, first, last) for first, last in spans)
        )

    def _spans(self, quote: str) -> Iterator[tuple[int, int]]:
        place = self._folded.find(quote)
        while place >= 0:
            end = place + len(quote)
            if not (_cuts_word(self._folded, place) or _cuts_word(self._folded, end)):
                yield self._origin[place], self._origin[end - 1]
            place = self._folded.find(quote, place + 1)


def _plain(evidence: str) -> tuple[str, ...]:
    return tuple(" ".join(quote.casefold().split()) for quote in quotes_in(evidence))


def _cuts_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


def _overlap(passage: Passage, first: int, last: int) -> bool:
    return passage.start <= last and first < passage.start + len(passage.words)
