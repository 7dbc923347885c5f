"""What a recipe lets the encoder learn from: some of a table's exams, with what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from training.baseline import whole_wrist
from training.curation import most_informative
from training.dataset import Pair
from training.exam_table import ExamRow, ExamTable
from training.settings import EncoderSettings

__all__ = ["Curriculum"]

_CHILD = {"F": "girl", "M": "boy"}


class Curriculum(Sequence[Pair]):
    """The exams of a table as a recipe wants them taught.

    Parameters
    ----------
    table
        Exams of the training split.
    settings
        ``informative_share`` says how many are taken, ``demographics`` whether captions tell age
        and sex, ``mirror_right`` whether right wrists are taught as left ones, ``regions``
        whether bones are taught at all.
    seed
        Of the draw among exams that are worth the same.
    """

    def __init__(self, table: ExamTable, settings: EncoderSettings, seed: int) -> None:
        self._demographics = settings.demographics
        self._regions = settings.regions
        if settings.mirror_right:
            table = table.one_sided()
        if settings.informative_share < 1:
            said = [Pair({}, row.captions, row.findings) for row in table.rows]
            chosen = most_informative(said, settings.informative_share, seed)
            wanted = {table.rows[int(number)].exam for number in chosen}
            table = table.where(lambda row: row.exam in wanted)
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, number: int) -> Pair:  # type: ignore[override]  # no slices
        pair = replace(self._table[number], captions=self._said(self._table.rows[number]))
        return pair if self._regions else whole_wrist(pair)

    def __iter__(self) -> Iterator[Pair]:
        return (self[number] for number in range(len(self)))

    @property
    def captions(self) -> list[str]:
        """Every caption as it is taught."""
        return [words for row in self._table.rows for words in self._said(row).values()]

    def _said(self, row: ExamRow) -> Mapping[str, str]:
        if not self._demographics:
            return row.captions
        who = _demographics(row)
        return {name: f"{who}{words}" for name, words in row.captions.items()}


def _demographics(row: ExamRow) -> str:
    """Return ``Girl of 6 to 8 years. ``, or what of it is known."""
    child = _CHILD.get(row.sex or "", "child")
    if row.age_years is None:
        return "" if child == "child" else f"{child.capitalize()}. "
    low = int(row.age_years // 3) * 3
    return f"{child.capitalize()} of {low} to {low + 2} years. "
