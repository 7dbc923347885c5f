"""What each addition to the paper's method is worth: one encoder a row, everything else equal.

``python -m training.ablation --table TABLE --out OUT --steps 300``

Every row is trained for the same number of steps from the same seed, on the training split, and
measured on the validation split, so that the test split stays unseen until the choice is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from pipeline.region import Region
from training.bootstrap import Estimate, Resamples
from training.contrastive import fit_encoder
from training.curriculum import Curriculum
from training.dataset import Pair
from training.exam_table import ExamRow, ExamTable, Split
from training.matching import NO_FRACTURE, allowed, fracture_class
from training.nearest import Way, nearest
from training.pseudo_caption import WithLent
from training.ranking import CaptionRanking, Positives
from training.settings import Device, EncoderSettings, TrainingSettings
from training.statistic import Statistic, mean_of
from training.towers import Towers, encoder_of, new_towers
from training.vectors import ExamVectors, exam_vectors

__all__ = ["ROWS", "Ablation", "Row", "ablate"]

PAPER = "the paper's loss"
HALF, LENT = "half of the reports", "half of the reports, captions lent to the rest"
MIRRORED, WHO = "right wrists mirrored", "age and sex in captions"

ROWS: Mapping[str, Mapping[str, object]] = {
    PAPER: {},
    "whole wrists alone": {"regions": False},
    MIRRORED: {"mirror_right": True},
    "soft positives": {"soft_positives": 0.5},
    "hard negatives": {"hard_negatives": 1.0},
    WHO: {"demographics": True},
    "modality gap": {"gap_weight": 1.0},
    "most informative quarter": {"informative_share": 0.25},
    HALF: {},
    LENT: {},
}
"""What each row adds to the recipe; the rows of half the reports hide those of other patients."""

_COMPARED_WITH = {LENT: HALF}  # every other row with the paper's loss
_OTHER_CAPTIONS = (MIRRORED, WHO)  # whose captions are told otherwise: their ranks do not compare

_NOTHING_ADDED: Mapping[str, object] = {
    "regions": True,
    "mirror_right": False,
    "soft_positives": 0.0,
    "hard_negatives": 0.0,
    "demographics": False,
    "gap_weight": 0.0,
    "informative_share": 1.0,
}


@dataclass(frozen=True)
class Row:
    """One encoder's figures on the validation split.

    Parameters
    ----------
    name
        Of `ROWS`.
    figures
        Measure (see `Ablation.measures`) to its value with interval.
    against
        The row that it is compared with; empty for the first.
    gains
        The figures less those of that row, over the same queries and draws.
    """

    name: str
    figures: Mapping[str, Estimate]
    against: str
    gains: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class _Measured:
    """What the vectors of one encoder give, before it is resampled."""

    statistics: Mapping[str, Statistic]
    caption_rank: Estimate | None


class Ablation:
    """Trains and measures rows, one after another.

    Parameters
    ----------
    table
        The exams; the test split is not looked at.
    recipe
        What the rows have in common; none of the additions of `ROWS` is taken from it.
    work
        Where each row's training leaves its state; one that is done is not done again.
    seed, device
        Of every training.
    """

    def __init__(
        self, table: ExamTable, recipe: EncoderSettings, work: Path, seed: int, device: Device
    ) -> None:
        self._table = table
        self._recipe = recipe
        self._work = work
        self._seed = seed
        self._device = device
        self._asked = table.where(lambda row: row.split is Split.VALIDATION and bool(row.findings))
        self._patients = [f"{row.source}/{row.patient}" for row in self._asked.rows]
        self._resamples = Resamples(self._patients)
        self._measured_rows: dict[str, _Measured] = {}

    def row(self, name: str) -> Row:
        """Train and measure one row, and what it is compared with."""
        measured = self._measured(name)
        against = "" if name == PAPER else _COMPARED_WITH.get(name, PAPER)
        other = self._measured(against) if against else None
        estimates = {m: self._resamples.estimate(s) for m, s in measured.statistics.items()}
        gains = {
            m: self._resamples.difference(s, other.statistics[m])
            for m, s in measured.statistics.items()
            if other is not None
        }
        if measured.caption_rank is not None:
            estimates[CAPTION_RANK] = measured.caption_rank
        return Row(name, estimates, against, gains)

    def _fitted(self, name: str) -> Towers:
        settings = _settings(self._recipe, name)
        table = self._table.part(Split.TRAIN)
        taught = Curriculum(table, settings, self._seed)
        pairs: Sequence[Pair] = taught
        if name in (HALF, LENT):
            pairs = _half_told(taught, table.rows)
        if name == LENT:
            pairs = WithLent(pairs, encoder_of(self._fitted(HALF)))
        side = next(iter(taught[0].crops.values())).shape[0]
        towers = new_towers(settings, taught.captions, self._seed, side)
        state = self._work / f"{name.replace(' ', '-').replace(',', '')}.pt"
        fit_encoder(pairs, towers, settings, self._seed, checkpoint=state, device=self._device)
        towers.model.cpu()
        return towers

    def _measured(self, name: str) -> _Measured:
        if name in self._measured_rows:
            return self._measured_rows[name]
        # captions as they are taught, but of every exam and with its bones
        every = {"informative_share": 1.0, "regions": True}
        asked = _settings(self._recipe, name).model_copy(update=every)
        shown = Curriculum(self._asked, asked, self._seed)
        vectors = exam_vectors(shown, encoder_of(self._fitted(name)))
        statistics: dict[str, Statistic] = {}
        for way in (Way.GLOBAL_ONLY, Way.TWO_STAGE, Way.REGION_ONLY):
            bones = {r: _matched(self._asked.rows, vectors, r, way) for r in Region}
            statistics |= {f"{way}, {region}": bone for region, bone in bones.items()}
            statistics[way] = _mean(tuple(bones.values()))
        rank = None
        if name not in _OTHER_CAPTIONS:
            ranking = CaptionRanking.of(vectors, "pairs", Positives.SHARED, self._patients, 200)
            rank = ranking.median_rank
        measured = self._measured_rows[name] = _Measured(statistics, rank)
        return measured


CAPTION_RANK = "median rank of the caption"


def ablate(ablation: Ablation, names: Sequence[str], out: Path) -> tuple[Row, ...]:
    """Return the rows of these names, and keep each in ``ablation.json`` as soon as it is there."""
    rows: list[Row] = []
    for name in names:
        rows.append(ablation.row(name))
        text = json.dumps([asdict(row) for row in rows], indent=1)
        (out / "ablation.json").write_text(text + "\n", encoding="utf-8")
    return tuple(rows)


def _matched(rows: Sequence[ExamRow], vectors: ExamVectors, region: Region, way: Way) -> Statistic:
    """Return the share of the ten nearest that agree with the query on fracture or none.

    Queries with and without a fracture of the bone weigh the same, so one half is chance.
    """
    may = allowed(rows, rows, same_side=False)
    ten = nearest(vectors.images, vectors.images, may, region=region, way=way)
    broken = np.array([fracture_class(row.findings.get(region)) != NO_FRACTURE for row in rows])
    agreed = np.where(ten >= 0, broken[ten] == broken[:, None], np.nan)
    shares = np.nanmean(agreed, axis=1)
    fractured = mean_of(np.where(broken, shares, np.nan))
    intact = mean_of(np.where(broken, np.nan, shares))
    return lambda weights: (fractured(weights) + intact(weights)) / 2


def _mean(statistics: Sequence[Statistic]) -> Statistic:
    return lambda weights: np.mean([one(weights) for one in statistics], axis=0)


def _settings(recipe: EncoderSettings, name: str) -> EncoderSettings:
    return recipe.model_copy(update={**_NOTHING_ADDED, **ROWS[name]})


def _half_told(pairs: Sequence[Pair], rows: Sequence[ExamRow]) -> Sequence[Pair]:
    """Return exams of which every other patient's have neither captions nor findings."""
    whose = {who: n for n, who in enumerate(dict.fromkeys((r.source, r.patient) for r in rows))}
    silent = {n for n, row in enumerate(rows) if whose[row.source, row.patient] % 2}
    return [
        Pair(pair.crops, {}, {}) if number in silent else pair for number, pair in enumerate(pairs)
    ]


def as_table(rows: Sequence[Row]) -> Table:
    """Return the rows for a terminal: means over the bones, and what each row gains on its like.

    A gain whose interval leaves out zero is in bold.
    """
    table = Table("", *_SHOWN.values(), title="Ablation, validation split", title_justify="left")
    for row in rows:
        table.add_row(row.name, *(_cell(row, measure) for measure in _SHOWN))
    return table


_SHOWN = {
    Way.GLOBAL_ONLY: "global only",
    Way.TWO_STAGE: "two-stage",
    Way.REGION_ONLY: "region only",
    CAPTION_RANK: "caption's median rank",
}


def _cell(row: Row, measure: str) -> str:
    if measure not in row.figures or row.figures[measure].value is None:
        return "–"
    value, gain = row.figures[measure].value, row.gains.get(measure)
    digits = 0 if measure == CAPTION_RANK else 3
    if gain is None or gain.value is None:
        return f"{value:.{digits}f}"
    change = f"{gain.value:+.3f}"
    return f"{value:.{digits}f} ({f'[bold]{change}[/]' if gain.certain else change})"


def main(
    table: Annotated[Path, typer.Option(help="folder of an exam table")],
    out: Annotated[Path, typer.Option(help="folder for ablation.json and the trainings' states")],
    steps: Annotated[int, typer.Option(min=1, help="of each row's training")] = 300,
    recipe: Annotated[Path | None, typer.Option(help="what the rows have in common")] = None,
    row: Annotated[list[str] | None, typer.Option(help="only these rows, the first first")] = None,
    device: Annotated[Device, typer.Option(help="where to train")] = Device.CPU,
) -> None:
    """Train an encoder a row and print what each addition is worth."""
    settings = EncoderSettings.read(recipe) if recipe else EncoderSettings()
    settings = settings.model_copy(update={"steps": steps})
    out.mkdir(parents=True, exist_ok=True)
    names = row or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        message = f"no row is called {unknown[0]!r}; there are {', '.join(ROWS)}"
        raise typer.BadParameter(message)
    ablation = Ablation(ExamTable.open(table), settings, out, TrainingSettings().seed, device)
    Console().print(as_table(ablate(ablation, names, out)))


if __name__ == "__main__":
    typer.run(main)
