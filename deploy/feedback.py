"""What radiologists said of matches: a summary for people, an export for training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.errors import InputError
from deploy.private_file import private_file
from deploy.settings import Settings
from deploy.state import check_owner, open_feedback
from pipeline.feedback import RELEVANCE, Judgement
from training.errors import DataError
from training.pseudonym import Pseudonyms, key_in

__all__ = ["FeedbackSummary", "export", "summary"]


@dataclass(frozen=True)
class FeedbackSummary:
    """Mean relevance by bundle, ranking and bone, as in the paper's Table 2."""

    rows: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"judgements": sum(row["judgements"] for row in self.rows), "rows": list(self.rows)}

    def as_table(self) -> Table:
        """Return it as a table."""
        table = Table(
            "bundle", "ranking", "asked", "judgements", "raters", "queries", "mean", "1 to 5"
        )
        for row in self.rows:
            points = " ".join(str(number) for number in row["points"])
            cells = (row[n] for n in ("bundle", "mode", "part", "judgements", "raters", "queries"))
            table.add_row(*map(str, cells), f"{row['mean']:.2f}", points)
        return table


def summary(settings: Settings) -> FeedbackSummary:
    """Return what was said, in figures."""
    groups: dict[tuple[str, str, str], list[Judgement]] = {}
    for one in _judgements(settings):
        groups.setdefault((one.bundle_id, one.mode, one.part), []).append(one)
    return FeedbackSummary(tuple(_row(*group, said) for group, said in sorted(groups.items())))


def export(settings: Settings, out: Path, key: Path) -> int:
    """Write every judgement as a line of JSON (mode 0600); return how many.

    ``query`` and ``prior`` are the names that the same key gives to exams in a table made by
    ``python -m training.exams hospital``, so that the two can be joined; nobody without the key can
    tell which images they are. ``rater`` is a pseudonym, too.

    Raises
    ------
    InputError
        Where the key cannot be used, or the file cannot be written.
    """
    judgements = _judgements(settings)
    try:
        names = Pseudonyms(key_in(key, out))
        with private_file(out) as stream:
            for line in _lines(judgements, names):
                stream.write(line.encode("ascii"))
    except DataError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        text = f"{out}: cannot be written ({error.strerror})"
        raise InputError(text) from None
    return len(judgements)


def _judgements(settings: Settings) -> Sequence[Judgement]:
    check_owner(settings.state_dir)
    with closing(open_feedback(settings)) as feedback:
        return feedback.all()


def _lines(judgements: Sequence[Judgement], names: Pseudonyms) -> Iterator[str]:
    for one in judgements:
        row = {
            "query": names.exam(one.query_uid),
            "prior": names.exam(one.prior_uid),
            "part": one.part,
            "relevance": one.relevance,
            "rater": names.rater(one.rater),
            "bundle": one.bundle_id,
            "mode": one.mode,
            "rank": one.rank,
            "global_similarity": one.global_similarity,
            "region_similarity": one.region_similarity,
        }
        yield json.dumps(row, allow_nan=False) + "\n"


def _row(bundle: str, mode: str, part: str, said: Sequence[Judgement]) -> dict[str, Any]:
    points = [sum(one.relevance == point for one in said) for point in RELEVANCE]
    return {
        "bundle": bundle,
        "mode": mode,
        "part": part,
        "judgements": len(said),
        "raters": len({one.rater for one in said}),
        "queries": len({one.query_uid for one in said}),
        "mean": round(sum(one.relevance for one in said) / len(said), 2),
        "points": points,
    }
