"""What a manifest says of its bundle: how it is calibrated, what it does, how it ranks best.

Whatever is chosen is chosen on the validation split; the test split only measures.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import VECTOR_NAMES, Bundle, Manifest, Quality, RetrievalQuality, ViewQuality
from pipeline.encoder import ImageEncoder, TextEncoder
from training.agreement import abstaining, agreement
from training.curriculum import Curriculum
from training.dataset import other_pictures
from training.exam_table import ExamTable, Split
from training.matching import Matching, Measure
from training.nearest import Way
from training.quality import box_quality, retrieval_quality, view_quality, views_told
from training.stages import Stages
from training.towers import encoder_of, new_towers
from training.vectors import Encoder, exam_vectors

__all__ = ["appraised", "best_mode", "retrieval_of"]


def appraised(
    bundle: Bundle,
    stages: Stages,
    parity: Mapping[str, float],
    view: ViewQuality | None = None,
) -> Manifest:
    """Return a bundle's manifest with calibration, quality and ranking.

    Parameters
    ----------
    bundle
        Whole, with a manifest that claims nothing yet.
    stages
        What it was made of: its exams and held-out pictures measure it.
    parity
        Least cosine of each exported network to the trained one, by file.
    view
        How well views are told, where the held-out pictures taught that too; measured by default.
    """
    validation, test = (stages.seen.part(split) for split in (Split.VALIDATION, Split.TEST))
    towers = _towers(bundle)
    known, vectors = (exam_vectors(part, towers).images for part in (validation, test))
    drawn = {n: agreement(validation, _patients(validation), known[n], n) for n in VECTOR_NAMES}
    matching = Matching.of((validation.rows, known), (validation.rows, known), calibration=drawn)
    calibration = {n: abstaining(drawn[n], _patients(test), vectors[n]) for n in VECTOR_NAMES}
    others = other_pictures(stages.data, held_out=True)
    quality = Quality(
        measured_on="Boxes and views: real images of the held-out patients of GRAZPEDWRI-DX, "
        "and public DICOM samples of other things, none of them trained on. Retrieval: phantoms "
        "that were not trained on, which says nothing about real fractures.",
        boxes=box_quality(AnatomyDetector(bundle), [p for p in stages.held_out if p.boxes]),
        view=view or view_quality(views_told(bundle, (*stages.held_out, *others))),
        retrieval=retrieval_quality(
            test,
            _patients(test),
            vectors,
            exam_vectors(test, _untrained(stages)).images,
            calibration=calibration,
        ),
        parity=parity,
    )
    return bundle.manifest.model_copy(
        update={"quality": quality, "calibration": calibration, "mode": best_mode(matching)}
    )


def best_mode(matching: Matching) -> Literal["two_stage", "fused"]:
    """Return ``fused`` where it is better than two stages for every bone, beyond chance.

    Better means that more of the ten share a fractured query's fracture, and that neither the
    fracture's class nor all queries together lose by it (`Measure`), each with the interval of
    the difference, by patient.
    """
    pair = f"{Way.FUSED} - {Way.TWO_STAGE}"
    gains = matching.differences[Measure.BINARY_OF_FRACTURED][pair].values()
    won = all(gain.low is not None and gain.low > 0 for gain in gains)
    lost = any(
        gain.high is not None and gain.high < 0
        for measure in (Measure.BINARY_OF_ALL, Measure.CLASS_OF_FRACTURED)
        for gain in matching.differences[measure][pair].values()
    )
    return "fused" if won and not lost else "two_stage"


def retrieval_of(bundle: Bundle, exams: ExamTable) -> RetrievalQuality:
    """Return what a bundle retrieves among some exams, which it sees as they are."""
    vectors = exam_vectors(exams, _towers(bundle)).images
    return retrieval_quality(exams, _patients(exams), vectors, vectors)


def _untrained(stages: Stages) -> Encoder:
    s = stages.settings
    taught = Curriculum(stages.exams.part(Split.TRAIN), s.encoder, s.seed).captions
    return encoder_of(new_towers(s.encoder, taught, s.seed, s.preprocessing.size))


def _patients(exams: ExamTable) -> Sequence[Hashable]:
    return [(row.source, row.patient) for row in exams.rows]


def _towers(bundle: Bundle) -> Encoder:
    return Encoder(ImageEncoder(bundle).encode, TextEncoder(bundle).encode)
