"""The paper's tables for a bundle and an exam table.

``python -m training.evaluation --bundle BUNDLE --table TABLE --out OUT``

Measured are the exams of the test split, which no training saw. Fitted on, and returned as
matches, are those of the training split; matching is also measured inside the test split alone,
because the paper does not say where its 876 images were searched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import IMAGE_FILE, TEXT_FILE, VECTOR_NAMES, Bundle
from pipeline.calibration import Calibration
from pipeline.encoder import ImageEncoder, TextEncoder
from pipeline.region import Region, View
from training.attention import attention_maps
from training.baseline import untrained
from training.consistency import Consistency
from training.dataset import Picture
from training.detection import Detection, as_served, every_box
from training.errors import DataError
from training.evaluation_page import Exhibits, evaluation_page, terminal_table
from training.evaluation_record import (
    CHANCE,
    UNTRAINED,
    Composition,
    EncoderFigures,
    Evaluation,
)
from training.exam_picture import exam_picture
from training.exam_table import ExamRow, ExamTable, Split
from training.latency import Latency, exam_seconds
from training.match_sheet import match_sheets
from training.matching import Matching
from training.nearest import Way
from training.paper_tables import sheets
from training.probing import LinearProbe
from training.ranking import POOLS, CaptionRanking, Positives
from training.vectors import Advance, Encoder, ExamVectors, chance_vectors, exam_vectors

__all__ = ["Contender", "Evaluator", "main"]

_BOXES_ARE_TRUE = ("phantom", "grazpedwri")  # a hospital's boxes are a detector's own
_TIMED_QUERIES, _TIMED_PICTURES = 50, 20


@dataclass(frozen=True, eq=False)
class Contender:
    """An encoder to measure, with the vectors that it makes of each split.

    ``calibration`` is None for an encoder without one of its own; it is not fused.
    """

    name: str
    vectors: Mapping[Split, ExamVectors]
    calibration: Mapping[str, Calibration] | None


class Evaluator:
    """Measures encoders on the exams of a table, all by the same code.

    Parameters
    ----------
    table
        The exam table; only PA views take part.
    folder
        Where it is.
    draws
        Resamples of an interval.
    candidates
        Size of the first stage's pool.
    progress
        Shows what is under way.

    Raises
    ------
    DataError
        Where the table has no test exams.
    """

    def __init__(
        self,
        table: ExamTable,
        folder: Path,
        *,
        draws: int = 1000,
        candidates: int = 100,
        progress: Progress | None = None,
    ) -> None:
        shown = table.where(lambda row: row.view is View.PA)
        self.parts = {split: shown.part(split) for split in Split}
        if not self.parts[Split.TEST]:
            detail = f"{folder} has no PA exams in the split {Split.TEST.value!r}."
            raise DataError(detail)
        self._folder = folder
        self._draws = draws
        self._candidates = candidates
        self._progress = progress

    def contender(
        self, name: str, bundle: Bundle, calibration: Mapping[str, Calibration] | None, cache: Path
    ) -> Contender:
        """Encode the table with a bundle's towers, or take the vectors kept in ``cache``."""
        encoder = Encoder(ImageEncoder(bundle).encode, TextEncoder(bundle).encode)
        towers = [bundle.manifest.files[file] for file in (IMAGE_FILE, TEXT_FILE)]
        vectors = {}
        for split, shown in self.parts.items():
            part = _as_seen(shown, bundle)
            ids = [name, *towers, *(row.exam for row in part.rows)]
            key = hashlib.sha256("\n".join(ids).encode()).hexdigest()
            path = cache / f"{name}-{split.value}.npz"
            held = ExamVectors.load(path, key)
            if held is None:
                with self._task(f"encoding, {name}, {split.value}", len(part)) as advance:
                    held = exam_vectors(part, encoder, advance)
                held.save(path, key)
            vectors[split] = held
        return Contender(name, vectors, calibration)

    def encoder_figures(self, contender: Contender) -> EncoderFigures:
        """Measure one encoder."""
        test, vectors = self.parts[Split.TEST].rows, contender.vectors
        patients = [f"{row.source}/{row.patient}" for row in test]
        settings = self._stored()
        steps = len(POOLS) * len(Positives) + len(VECTOR_NAMES) + len(Way)
        steps += len(settings) * len(Region) * len(Way)
        with self._task(f"measuring, {contender.name}", steps) as advance:
            captions = []
            for pool in POOLS:
                for positives in Positives:
                    ranking = CaptionRanking.of(
                        vectors[Split.TEST], pool, positives, patients, self._draws
                    )
                    captions.append(ranking)
                    advance(1)
            return EncoderFigures(
                contender.name,
                tuple(ranking for ranking in captions if ranking.queries),
                tuple(self._probes(contender, advance)),
                tuple(self._matching(contender, s, side, advance) for s, side in settings),
                self._consistency(contender, advance),
            )

    def detection(self, bundle: Bundle, most: int) -> Detection | None:
        """Measure the bundle's detectors on at most so many test pictures with true boxes."""
        rows = self._boxed()[:most]
        if not rows:
            return None
        with self._task("reading pictures", len(rows)) as advance:
            pictures = [self._picture(row) for row in rows if not advance(1)]
        patients = [f"{row.source}/{row.patient}" for row in rows]
        with self._task("locating wrists and bones", len(rows)) as advance:
            served, scored = as_served(bundle), every_box(bundle)
            return Detection.of(served, scored, pictures, patients, self._draws, advance)

    def latency(self, bundle: Bundle, contender: Contender) -> Latency:
        """Time the bundle's answers."""
        rows = self._boxed()[:_TIMED_PICTURES]
        pictures = [exam_picture(self._folder, row) for row in rows]
        locate, encode = AnatomyDetector(bundle).locate, ImageEncoder(bundle).encode
        preprocessing = bundle.manifest.preprocessing
        exam = exam_seconds(pictures, locate, encode, preprocessing)
        split = Split.TRAIN if self.parts[Split.TRAIN] else Split.TEST
        asking = self.parts[Split.TEST].rows[:_TIMED_QUERIES], contender.vectors[Split.TEST].images
        stored = self.parts[split].rows, contender.vectors[split].images
        with self._task("timing answers", 1) as advance:
            found = Latency.of(asking, stored, bundle.manifest.calibration, exam)
            advance(1)
        return found

    def exhibits(
        self, bundle: Bundle, forgetful: Bundle, contender: Contender, maps: int
    ) -> Exhibits:
        """Return matches and attention maps to look at.

        Parameters
        ----------
        bundle, forgetful
            The bundle, and itself untrained: a map is worth as much as it differs from the
            untrained one's.
        contender
            The bundle's vectors.
        maps
            Attention maps of each kind of crop.
        """
        split = Split.TRAIN if self.parts[Split.TRAIN] else Split.TEST
        asking = self.parts[Split.TEST], contender.vectors[Split.TEST]
        stored = self.parts[split], contender.vectors[split]
        calibration = contender.calibration
        with self._task("laying out contact sheets", len(Region)) as advance:
            found = match_sheets(asking, stored, calibration, self._candidates, advance)
        towers = [
            Encoder(ImageEncoder(b).encode, TextEncoder(b).encode) for b in (bundle, forgetful)
        ]
        with self._task("mapping attention", maps * len(VECTOR_NAMES)) as advance:
            test = _as_seen(self.parts[Split.TEST], bundle)
            seen = attention_maps(test, towers[0], towers[1], maps, advance)
        return Exhibits(found, seen)

    def _boxed(self) -> list[ExamRow]:
        rows = self.parts[Split.TEST].rows
        return [row for row in rows if row.boxes and row.source in _BOXES_ARE_TRUE]

    def _stored(self) -> list[tuple[Split, bool]]:
        """Return which exams are searched: a split, and whether only of the query's side."""
        settings = [(Split.TRAIN, False), (Split.TRAIN, True), (Split.TEST, False)]
        asking = any(row.findings for row in self.parts[Split.TEST].rows)
        return [
            (split, side)
            for split, side in settings
            if asking and sum(bool(row.findings) for row in self.parts[split].rows) > 1
        ]

    def _matching(
        self, contender: Contender, split: Split, same_side: bool, advance: Advance
    ) -> Matching:
        return Matching.of(
            (self.parts[Split.TEST].rows, contender.vectors[Split.TEST].images),
            (self.parts[split].rows, contender.vectors[split].images),
            calibration=contender.calibration,
            same_side=same_side,
            candidates=self._candidates,
            draws=self._draws,
            advance=advance,
        )

    def _probes(self, contender: Contender, advance: Advance) -> Iterator[LinearProbe]:
        parts = {s: (p.rows, contender.vectors[s].images) for s, p in self.parts.items()}
        for name in VECTOR_NAMES:
            probe = LinearProbe.of(
                name, parts[Split.TRAIN], parts[Split.VALIDATION], parts[Split.TEST], self._draws
            )
            advance(1)
            if probe is not None:
                yield probe

    def _consistency(self, contender: Contender, advance: Advance) -> Consistency:
        split = Split.TRAIN if self.parts[Split.TRAIN] else Split.TEST
        return Consistency.of(
            (self.parts[Split.TEST].rows, contender.vectors[Split.TEST].images),
            (self.parts[split].rows, contender.vectors[split].images),
            calibration=contender.calibration,
            candidates=self._candidates,
            draws=self._draws,
            advance=advance,
        )

    def _picture(self, row: ExamRow) -> Picture:
        pixels = exam_picture(self._folder, row)
        return Picture(row.exam, pixels, row.view, None, row.boxes)

    @contextmanager
    def _task(self, words: str, total: int) -> Iterator[Advance]:
        if self._progress is None:
            yield lambda _: None
            return
        progress, task = self._progress, self._progress.add_task(words, total=total)
        yield lambda count: progress.advance(task, count)
        progress.update(task, completed=total)


def main(
    bundle: Annotated[Path, typer.Option(help="folder of the bundle to measure")],
    table: Annotated[Path, typer.Option(help="folder of the exam table")],
    out: Annotated[Path, typer.Option(help="folder for evaluation.json and evaluation.html")],
    compare: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER of another bundle, e.g. one of whole wrists alone"),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="only exams of this source, e.g. grazpedwri")
    ] = None,
    draws: Annotated[int, typer.Option(min=20, help="resamples of an interval")] = 1000,
    candidates: Annotated[int, typer.Option(min=10, help="pool of the first stage")] = 100,
    pictures: Annotated[int, typer.Option(min=0, help="most pictures for the detectors")] = 200,
    maps: Annotated[int, typer.Option(min=0, help="attention maps of each kind of crop")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="processor cores to use")] = 2,
) -> None:
    """Measure a bundle on an exam table: the paper's tables, as text, JSON and one HTML page."""
    console = Console()
    exams = ExamTable.open(table)
    if source:
        exams = exams.where(lambda row: row.source in source)
    out.mkdir(parents=True, exist_ok=True)
    with _progress(console) as progress:
        evaluator = Evaluator(exams, table, draws=draws, candidates=candidates, progress=progress)
        loaded = Bundle.load(bundle, threads)
        contenders = _contenders(evaluator, loaded, bundle, compare or [], out, threads)
        evaluation = Evaluation(
            bundle=loaded.id,
            measured_at=datetime.now(UTC).replace(microsecond=0),
            splits={s.value: Composition.of(part.rows) for s, part in evaluator.parts.items()},
            draws=draws,
            candidates=candidates,
            encoders=tuple(evaluator.encoder_figures(c) for c in contenders),
            detection=evaluator.detection(loaded, pictures),
            latency=evaluator.latency(loaded, contenders[0]),
        )
        exhibits = evaluator.exhibits(loaded, untrained(loaded, bundle), contenders[0], maps)
    (out / "evaluation.json").write_bytes(evaluation.to_json())
    page = out / "evaluation.html"
    page.write_text(evaluation_page(evaluation, exhibits), encoding="utf-8")
    for sheet in sheets(evaluation):
        if sheet.main:
            console.print(terminal_table(sheet, console.width))
    console.print(f"{page} holds these tables, the other readings, curves and pictures.")


def _as_seen(part: ExamTable, bundle: Bundle) -> ExamTable:
    return part.one_sided() if bundle.manifest.preprocessing.mirror_right else part


def _contenders(
    evaluator: Evaluator,
    bundle: Bundle,
    folder: Path,
    compare: Sequence[str],
    out: Path,
    threads: int,
) -> list[Contender]:
    """Return the bundle's encoder, those compared with it, the untrained one, and chance."""
    cache = out / "vectors"
    ours = evaluator.contender(bundle.id, bundle, bundle.manifest.calibration, cache)
    others = []
    for named in compare:
        name, _, place = named.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not place or name in (UNTRAINED, CHANCE):
            message = f"{named!r} is not NAME=FOLDER with a name of letters, digits, '.', '_', '-'"
            raise typer.BadParameter(message)
        other = Bundle.load(Path(place), threads)
        others.append(evaluator.contender(name, other, other.manifest.calibration, cache))
    blank = evaluator.contender(UNTRAINED, untrained(bundle, folder), None, cache)
    nothing = {split: chance_vectors(vectors) for split, vectors in ours.vectors.items()}
    return [ours, *others, blank, Contender(CHANCE, nothing, None)]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    typer.run(main)
