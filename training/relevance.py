"""How relevant radiologists found the matches: mean relevance and nDCG of an exported feedback.

The export is that of ``wristmir feedback --export FILE --key KEY``: one judgement a line. The paper
has one radiologist rate the results on five points (Table 2, "radiologist assessment"); it says no
more of how, so what is counted here is said in full. Needs no torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from training.bootstrap import Estimate, Resamples
from training.errors import DataError, TrainingError
from training.statistic import mean_of

__all__ = ["GroupRelevance", "Judged", "judgements_in", "main", "ndcg", "relevance"]


class Judged(BaseModel):
    """One line of the export: what a rater said of one match, all of them under pseudonyms.

    ``part`` is the bone that was asked about, or ``global``; ``mode`` the way of retrieval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(min_length=1)
    prior: str = Field(min_length=1)
    part: Literal["global", "distal_radius", "distal_ulna", "ulnar_styloid"]
    relevance: int = Field(ge=1, le=5)
    rater: str = Field(min_length=1)
    bundle: str
    mode: str
    rank: int = Field(ge=1)
    global_similarity: float
    region_similarity: float | None


@dataclass(frozen=True)
class GroupRelevance:
    """The figures of one bundle, way of retrieval and bone.

    Parameters
    ----------
    by_rank
        Mean relevance of the matches at each rank, 1 to 5.
    mean
        Of all judged matches up to ``k``.
    ndcg
        See `ndcg`; of the lists that have an order to be right about.
    lists, lists_without_order
        A list is what one rater judged of one answer. One in which every match is "not relevant"
        has no order; it counts in the means alone.
    """

    bundle: str
    mode: str
    part: str
    k: int
    judgements: int
    queries: int
    raters: int
    lists: int
    lists_without_order: int
    by_rank: Mapping[int, Estimate]
    mean: Estimate
    ndcg: Estimate

    def as_json(self) -> dict[str, Any]:
        """Return the figures for programs."""
        by_rank = {str(rank): asdict(one) for rank, one in self.by_rank.items()}
        return {**asdict(self), "by_rank": by_rank}


def judgements_in(path: Path) -> tuple[Judged, ...]:
    """Read an exported feedback.

    Raises
    ------
    DataError
        Where the file cannot be read, or a line is none of the export's; names its number only.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        detail = f"The feedback {path} cannot be read ({type(error).__name__})."
        raise DataError(detail) from None
    return tuple(_judged(number, line) for number, line in enumerate(lines, 1) if line.strip())


def ndcg(points: Sequence[int], k: int) -> float | None:
    """Return the normalised discounted cumulative gain at ``k`` of the judged matches of a list.

    The gain of relevance r is 2^(r - 1) - 1: nothing for "not relevant", 15 for "highly relevant".
    It is discounted by log2(1 + position), and divided by that of the best order of the same
    matches (Järvelin and Kekäläinen, 2002; Burges et al., 2005). Matches that nobody judged are
    left out, and those after them move up (Sakai, 2007).

    Parameters
    ----------
    points
        Relevance, 1 to 5, in the order of the ranks.

    Returns
    -------
    float or None
        1 for the best order; None where no match is relevant at all.
    """
    gains = np.exp2(np.asarray(points, np.float64) - 1) - 1
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))
    best = float((np.sort(gains)[::-1] * discounts)[:k].sum())
    return float((gains * discounts)[:k].sum()) / best if best > 0 else None


def relevance(
    judged: Iterable[Judged], k: int = 10, draws: int = 1000
) -> tuple[GroupRelevance, ...]:
    """Return the figures of every bundle, way of retrieval and bone that was judged.

    Intervals are of 95 %, by drawing queries: what several raters say of one query is not new
    evidence. The same match of the same query may have been judged in several answers, and by one
    rater in each: the last line of the file counts.

    Parameters
    ----------
    k
        Ranks that are counted.
    draws
        Of the bootstrap.
    """
    latest = {(o.bundle, o.mode, o.part, o.query, o.rater, o.prior): o for o in judged}
    groups: dict[tuple[str, str, str], list[Judged]] = {}
    for one in latest.values():
        if one.rank <= k:
            groups.setdefault((one.bundle, one.mode, one.part), []).append(one)
    return tuple(_group(*name, said, k, draws) for name, said in sorted(groups.items()))


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command; an expected refusal is one line on stderr and exit status 1."""
    try:
        app()
    except TrainingError as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error


@app.command()
def _show(
    feedback: Annotated[Path, typer.Argument(help="The export of `wristmir feedback`.")],
    k: Annotated[int, typer.Option(min=1, max=50, help="Ranks that are counted.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print mean relevance by rank and nDCG, by bundle, way of retrieval and bone."""
    found = relevance(judgements_in(feedback), k)
    if as_json:
        for one in found:
            sys.stdout.write(json.dumps(one.as_json(), allow_nan=False) + "\n")
        return
    console = Console()
    for one in found:
        console.print(_table(one))


def _judged(number: int, line: str) -> Judged:
    try:
        return Judged.model_validate_json(line)
    except ValidationError:  # its message would print the line
        detail = f"Line {number} of the feedback is none that `wristmir feedback` has exported."
        raise DataError(detail) from None


def _group(
    bundle: str, mode: str, part: str, said: Sequence[Judged], k: int, draws: int
) -> GroupRelevance:
    lists = dict(_lists(said))
    ordered = {name: ndcg([one.relevance for one in given], k) for name, given in lists.items()}
    with_order = {name: value for name, value in ordered.items() if value is not None}
    ranks = sorted({one.rank for one in said})
    return GroupRelevance(
        bundle=bundle,
        mode=mode,
        part=part,
        k=k,
        judgements=len(said),
        queries=len({one.query for one in said}),
        raters=len({one.rater for one in said}),
        lists=len(lists),
        lists_without_order=len(lists) - len(with_order),
        by_rank={rank: _mean([o for o in said if o.rank == rank], draws) for rank in ranks},
        mean=_mean(said, draws),
        ndcg=_estimate(list(with_order.values()), [query for query, _ in with_order], draws),
    )


def _lists(said: Sequence[Judged]) -> Iterator[tuple[tuple[str, str], list[Judged]]]:
    lists: dict[tuple[str, str], list[Judged]] = {}
    for one in said:
        lists.setdefault((one.query, one.rater), []).append(one)
    for name, given in lists.items():
        yield name, sorted(given, key=lambda one: one.rank)


def _mean(said: Sequence[Judged], draws: int) -> Estimate:
    return _estimate([float(o.relevance) for o in said], [o.query for o in said], draws)


def _estimate(values: Sequence[float], queries: Sequence[str], draws: int) -> Estimate:
    if not values:
        return Estimate(None)
    return Resamples(queries, draws).estimate(mean_of(np.asarray(values, np.float64)))


def _table(one: GroupRelevance) -> Table:
    title = (
        f"{one.bundle}, {one.mode}, {one.part.replace('_', ' ')}: {one.judgements} judgements of "
        f"{one.queries} queries by {one.raters} raters"
    )
    table = Table("rank", "relevance", "95 %", title=title, title_justify="left")
    for rank, figure in one.by_rank.items():
        table.add_row(str(rank), *_cells(figure))
    table.add_row(f"1 to {one.k}", *_cells(one.mean))
    table.add_row(f"nDCG@{one.k}", *_cells(one.ndcg))
    return table


def _cells(figure: Estimate) -> tuple[str, str]:
    if figure.value is None:
        return "–", "–"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}", "–"
    return f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}"


if __name__ == "__main__":
    main()
