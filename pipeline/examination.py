"""One image looked at: view, wrist, bones, vectors."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from pydicom import Dataset

from pipeline.anatomy import Anatomy, AnatomyDetector, as_left, crops
from pipeline.bundle import Bundle
from pipeline.decoder import Decoder
from pipeline.encoder import ImageEncoder
from pipeline.errors import RequestError
from pipeline.exam import SIDE_FROM_IMAGE, Exam
from pipeline.radiograph import (
    BOTH_SIDES,
    LATERALITY_CONFLICT,
    Radiograph,
    from_picture,
    radiograph,
)
from pipeline.region import Laterality
from pipeline.stage_clock import StageClock
from pipeline.view import ViewDecision, decide_view, is_stated
from pipeline.view_model import ViewModel

__all__ = ["Examination", "Examiner", "patient_key"]


@dataclass(frozen=True, eq=False)
class Examination:
    """What was seen in one image.

    ``reason`` says why it is not accepted as a PA wrist, or is empty. ``seconds`` tells how long
    each stage took.
    """

    radiograph: Radiograph
    view: ViewDecision
    anatomy: Anatomy
    reason: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the image can be indexed and asked about."""
        return not self.reason

    @property
    def side_from_image(self) -> bool:
        """Whether nothing but the picture tells the side: no attribute and no description does."""
        stated = self.radiograph.laterality is not Laterality.UNKNOWN
        if stated or {LATERALITY_CONFLICT, BOTH_SIDES} & set(self.radiograph.flags):
            return False
        return self.anatomy.side is not Laterality.UNKNOWN

    @property
    def laterality(self) -> Laterality:
        """The side that the header states, else the one that the picture shows."""
        return self.anatomy.side if self.side_from_image else self.radiograph.laterality


class Examiner:
    """Looks at images with the models of one bundle.

    Parameters
    ----------
    bundle
        The models.
    decoder
        Reads DICOM files in its child process.
    site_key
        Makes patient keys; None where nobody is to be recognised again (`wristmir inspect`).
    """

    def __init__(self, bundle: Bundle, decoder: Decoder, site_key: bytes | None = None) -> None:
        self._bundle = bundle
        self._decoder = decoder
        self._site_key = site_key
        self._view_model = ViewModel(bundle)
        self._detector = AnatomyDetector(bundle)
        self._encoder = ImageEncoder(bundle)

    @property
    def bundle(self) -> Bundle:
        """The models in use."""
        return self._bundle

    def examine(self, path: Path, header: Dataset | None = None) -> Examination:
        """Read a file and look at it.

        Parameters
        ----------
        path
            A DICOM file, or a PNG or JPEG picture.
        header
            Its header, where the caller has read it already.

        Raises
        ------
        DecodeError
            Where the file cannot be read within its limits.
        """
        clock = StageClock()
        seen = self._read(path, header)
        clock.lap("decode")
        scores = self._view_model.classify(seen.pixels)
        clock.lap("view")
        manifest, anatomy = self._bundle.manifest, None
        if manifest.witness is not None and not is_stated(seen.header):
            anatomy = self._detector.locate(seen.pixels)
            scores = manifest.witness.weighed(scores, anatomy.scores)
        view = decide_view(seen.header, scores, accept_at=manifest.thresholds.view)
        if not view.accepted:
            return Examination(seen, view, Anatomy(None), view.reason, clock.seconds)
        anatomy = anatomy or self._detector.locate(seen.pixels)
        clock.lap("anatomy")
        reason = "" if anatomy.wrist else "no wrist was found in the image"
        return Examination(seen, view, anatomy, reason, clock.seconds)

    def exam(
        self, seen: Examination, sop_instance_uid: str, received_at: datetime, now: datetime
    ) -> tuple[Exam, Mapping[str, float]]:
        """Encode an accepted image; return its exam, still without findings, and the seconds taken.

        Raises
        ------
        RequestError
            Where the image was not accepted.
        """
        if not seen.accepted:
            raise RequestError(seen.reason)
        clock = StageClock()
        preprocessing = self._bundle.manifest.preprocessing
        cuts = crops(seen.radiograph.pixels, seen.anatomy, preprocessing)
        if preprocessing.mirror_right:
            cuts = as_left(cuts, seen.laterality)
        clock.lap("crops")
        vectors = self._encoder.encode(list(cuts.values()))
        clock.lap("encode")
        header = seen.radiograph.header or Dataset()
        exam = Exam(
            sop_instance_uid=sop_instance_uid,
            series_instance_uid=str(header.get("SeriesInstanceUID", "")),
            study_instance_uid=str(header.get("StudyInstanceUID", "")),
            sop_class_uid=str(header.get("SOPClassUID", "")),
            patient_key="" if self._site_key is None else patient_key(header, self._site_key),
            laterality=seen.laterality,
            view=seen.view.view,
            age_years=seen.radiograph.age_years,
            sex=seen.radiograph.sex,
            vectors=dict(zip(cuts, vectors, strict=True)),
            boxes=seen.anatomy.boxes,
            bundle_id=self._bundle.id,
            runtime=self._bundle.runtime,
            received_at=received_at,
            indexed_at=now,
            spacing_mm=seen.radiograph.spacing_mm,
            flags=_flags(seen),
        )
        return exam, clock.seconds

    def _read(self, path: Path, header: Dataset | None) -> Radiograph:
        if _is_picture(path):
            return from_picture(path)
        return radiograph(self._decoder, path, header)


def patient_key(header: Dataset, key: bytes) -> str:
    """Return the keyed hash of PatientID: 32 hexadecimal digits.

    Its issuer is left out: one modality writes it and the next does not. Taking two patients
    for one costs a candidate; taking one for two would show a child its own wrist as another's.
    A study that names no patient is its own patient: nobody may be taken for another.
    """
    patient = str(header.get("PatientID", "")).strip()
    study = str(header.get("StudyInstanceUID", ""))
    named = ("patient", patient) if patient else ("study", study)
    message = b"\0".join(part.encode() for part in named)
    return hmac.new(key, b"wristmir patient\0" + message, sha256).hexdigest()[:32]


def _flags(seen: Examination) -> tuple[str, ...]:
    guessed = (SIDE_FROM_IMAGE,) if seen.side_from_image else ()
    return tuple(dict.fromkeys((*seen.radiograph.flags, *seen.view.flags, *guessed)))


def _is_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(8)
    return start == b"\x89PNG\r\n\x1a\n" or start[:3] == b"\xff\xd8\xff"
