"""What a table of exams is made of: the paper's Table 3, beside the paper's own figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from pipeline.exam import RegionFindings
from pipeline.findings import Fracture, Healing
from pipeline.region import Region
from training.exam_table import ExamRow, Split

__all__ = ["SummaryLine", "markdown", "summary", "summary_table"]


@dataclass(frozen=True)
class SummaryLine:
    """One line of the summary.

    Parameters
    ----------
    words
        What is counted; of a heading, everything.
    number, share
        Of the table, and as a share of what ``of`` says; None where it cannot be counted.
    paper, paper_share
        The same in the paper's Table 3, None where it does not say.
    of
        ``exams`` or ``fractures``; empty for counts that are no share of anything.
    """

    words: str
    number: int | None = None
    share: float | None = None
    paper: int | None = None
    paper_share: float | None = None
    of: str = ""

    @property
    def heading(self) -> bool:
        """Whether it heads the lines below."""
        return self.number is None and self.paper is None


def summary(rows: Sequence[ExamRow]) -> tuple[SummaryLine, ...]:
    """Count a table as the paper's Table 3 does.

    A fracture is what a report calls present; a possible one is none, and is counted apart. A table
    holds one value for each bone, so there are at most three in an exam, where the paper counts
    several in one bone. Exams without findings are neither normal nor broken.
    """
    known = [row for row in rows if row.findings]
    broken = [[f for f in row.findings.values() if _is(f, Fracture.PRESENT)] for row in known]
    return (*_composition(rows, known, broken), *_fractures(known, broken), *_uses(rows))


def summary_table(lines: Sequence[SummaryLine], title: str) -> Table:
    """Return the summary for printing."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("table", "%", "paper", "%"):
        table.add_column(column, justify="right")
    for number, line in enumerate(lines):
        if line.heading:
            if number:
                table.add_section()
            table.add_row(line.words, style="italic")
        else:
            table.add_row(line.words, *_cells(line))
    return table


def markdown(lines: Sequence[SummaryLine], title: str) -> str:
    """Return the summary as a Markdown table."""
    text = [f"# {title}", "", "| | table | % | paper | % |", "|---|--:|--:|--:|--:|"]
    for line in lines:
        words = f"*{line.words}*" if line.heading else line.words
        text.append(f"| {words} | {' | '.join(_cells(line))} |")
    note = (
        "Shares of location and morphology are of the fractures, all others of the exams. The "
        "paper: Sonmezer et al., WristMIR (MIDL 2026), Table 3; its shares are computed from it."
    )
    return "\n".join([*text, "", note, ""])


# Table 3 of the paper
_EXAMS, _ALL_FRACTURES = 7540, 8637
_BY_NUMBER = (2209, 2264, 2869, 159, 37, 2)
_BY_REGION = {
    Region.DISTAL_RADIUS: 5369,
    Region.DISTAL_ULNA: 2030,
    Region.ULNAR_STYLOID: 1238,
}
_OTHER_TYPES = ("oblique", "comminuted", "avulsion", "plastic_bowing")
_MORPHOLOGY: tuple[tuple[str, int | None, Callable[[RegionFindings], bool]], ...] = (
    ("Salter–Harris", 1621, lambda f: (f.type or "").startswith("salter_harris")),
    ("buckle", 1007, lambda f: f.type == "buckle"),
    ("transverse", 1924, lambda f: f.type == "transverse"),
    ("greenstick", None, lambda f: f.type == "greenstick"),
    ("other types", None, lambda f: f.type in _OTHER_TYPES),
    ("type not stated", None, lambda f: f.type in (None, "unspecified")),
    ("healing", 3955, lambda f: f.healing == Healing.HEALING),
    ("healed", None, lambda f: f.healing == Healing.HEALED),
)


def _composition(
    rows: Sequence[ExamRow],
    known: Sequence[ExamRow],
    broken: Sequence[Sequence[RegionFindings]],
) -> Iterator[SummaryLine]:
    count = _of("exams", len(rows), _EXAMS)
    normal = sum(not found for found in broken)
    yield SummaryLine("Composition")
    yield count("exams", len(rows), _EXAMS)
    yield SummaryLine("patients", len({(row.source, row.patient) for row in rows}))
    yield SummaryLine("fractures of a bone", sum(map(len, broken)), paper=_ALL_FRACTURES)
    yield count("normal (no fracture)", normal, _BY_NUMBER[0])
    yield count("with a fracture", len(known) - normal, _EXAMS - _BY_NUMBER[0])
    yield count("findings not known", len(rows) - len(known))


def _fractures(
    known: Sequence[ExamRow], broken: Sequence[Sequence[RegionFindings]]
) -> Iterator[SummaryLine]:
    numbers = Counter(map(len, broken))
    count = _of("exams", len(known), _EXAMS)
    yield SummaryLine("Fractures in an exam")
    for number, paper in enumerate(_BY_NUMBER):
        if number <= len(Region):
            yield count(str(number), numbers[number], paper)
        else:
            yield SummaryLine(str(number), paper=paper, paper_share=paper / _EXAMS)
    fractures = [found for one in broken for found in one]
    count = _of("fractures", len(fractures), _ALL_FRACTURES)
    yield SummaryLine("Location")
    for region, paper in _BY_REGION.items():
        here = sum(_is(row.findings.get(region), Fracture.PRESENT) for row in known)
        yield count(region.words, here, paper)
    yield SummaryLine("Morphology")
    for words, paper_number, fits in _MORPHOLOGY:
        yield count(words, sum(map(fits, fractures)), paper_number)


def _uses(rows: Sequence[ExamRow]) -> Iterator[SummaryLine]:
    count = _of("exams", len(rows), _EXAMS)
    possible = sum(
        any(_is(found, Fracture.POSSIBLE) for found in row.findings.values()) for row in rows
    )
    yield SummaryLine("Beside Table 3")
    yield count("with a report", sum(row.report is not None for row in rows))
    yield count("with a possible fracture", possible)
    for name in ("cast_or_splint", "hardware"):
        number = sum(name in row.other for row in rows)
        yield count(name.replace("_", " "), number)
    for name in Region:
        yield count(f"{name.words} found", sum(name.value in row.boxes for row in rows))
    yield SummaryLine("Splits")
    for split in Split:
        exams = [row for row in rows if row.split is split]
        patients = len({(row.source, row.patient) for row in exams})
        yield count(f"{split.value} ({patients:,} patients)", len(exams))


def _of(of: str, whole: int, paper_whole: int) -> Callable[..., SummaryLine]:
    def line(words: str, number: int, paper: int | None = None) -> SummaryLine:
        share = number / whole if whole else None
        return SummaryLine(words, number, share, paper, paper and paper / paper_whole, of)

    return line


def _is(found: RegionFindings | None, fracture: Fracture) -> bool:
    return found is not None and found.fracture == fracture


def _cells(line: SummaryLine) -> tuple[str, str, str, str]:
    def number(value: int | None) -> str:
        return "" if value is None else f"{value:,}"

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}"

    return number(line.number), share(line.share), number(line.paper), share(line.paper_share)
