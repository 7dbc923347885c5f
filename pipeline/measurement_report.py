"""The TID 1500 companion: the boxes and scores of an answer, for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    ComprehensiveSR,
    CoordinatesForMeasurement,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline import terms
from pipeline.device_report import ReportSeries, device_report
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.region import Laterality, Region
from pipeline.request import Answer, Match
from pipeline.subject import another_patient, device_observer
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords, bone_words, case_labels

__all__ = ["measurement_report"]

_SIDES: Final[Mapping[Laterality, Code]] = {
    Laterality.LEFT: codes.SCT.Left,
    Laterality.RIGHT: codes.SCT.Right,
}
_WRIST: Final = "wrist"


def measurement_report(
    answer: Answer,
    query_header: Dataset,
    references: Mapping[str, PriorReference],
    *,
    bundle: BundleWords,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    predecessor: PriorResult | None = None,
    three_dimensional: bool = False,
    words: Dictionary = ENGLISH,
) -> Dataset | None:
    """Build the companion: an Imaging Measurement Report (PS3.16 TID 1500).

    First a group for each box in the query, as a closed polyline on its image (TID 1410); then a
    group for each match (TID 1501) with its rank, its similarity indices in percent, the image of
    the prior, and the boxes in it that were compared (TID 320). Viewers go blank where the two
    kinds are mixed, and OHIF where a group has no coordinates at all: a match whose image is not
    shared stands in the readable report alone. A match is no finding of this patient: its group's
    subject is another patient, and no finding is coded in it.

    Parameters
    ----------
    answer, query_header, references, bundle, uids, result_id, created_at, words
        As in `pipeline.match_report.match_report`.
    predecessor
        The companion that this one replaces.
    three_dimensional
        Whether it is a Comprehensive 3D SR (PS3.3 A.35.13), as IHE AI Results asks, instead of a
        Comprehensive SR. The coordinates are those of the image in both.

    Returns
    -------
    Dataset or None
        With file meta information, Explicit VR Little Endian; None where there is neither a box
        nor a match to tell of.

    Raises
    ------
    ResultError
        Where evidence and content disagree.
    """
    make = _Groups(answer, bundle, uids, result_id, words)
    groups = [*make.boxes(query_header), *make.matches(references)]
    if not groups:
        return None
    context = ObservationContext(observer_device_context=device_observer(bundle, uids))
    content = MeasurementReport(
        observation_context=context,
        procedure_reported=terms.PROCEDURE,
        imaging_measurements=groups[:1],
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(words.code),
    )

    def add_rest(report: Dataset) -> None:
        for group in groups[1:]:
            report.ContentSequence[-1].ContentSequence.extend(group)

    return device_report(
        Comprehensive3DSR if three_dimensional else ComprehensiveSR,
        content,
        ReportSeries(
            series_instance_uid=uids.make("measurement series", result_id),
            series_number=9003,
            sop_instance_uid=uids.make("measurements", result_id),
            description=words.say("measurements.series"),
        ),
        answer,
        query_header,
        references,
        bundle_id=bundle.id,
        created_at=created_at,
        predecessor=predecessor,
        words=words,
        add_rest=add_rest,
    )


class _Groups:
    """Makes the measurement groups of one answer.

    What they have in common stands once in memory, however often in the file.
    """

    def __init__(
        self,
        answer: Answer,
        bundle: BundleWords,
        uids: KeyedUids,
        result_id: str,
        words: Dictionary,
    ) -> None:
        self._answer = answer
        self._uids = uids
        self._result_id = result_id
        self._words = words
        self._algorithm = AlgorithmIdentification(
            name=words.say(f"mode.{answer.request.mode.value}"),
            version=f"{version('wristmir')}, {bundle.id}",
            family=terms.ARTIFICIAL_INTELLIGENCE,
        )
        self._another_patient = another_patient(words)
        self._site = cache(_site)

    def boxes(self, header: Dataset) -> Iterator[Any]:
        """Yield a group for the wrist and each bone that was found in the query."""
        query, edge = self._answer.query, [int(header.Columns), int(header.Rows)]
        for name in (_WRIST, *(region.value for region in Region)):
            if name not in query.boxes:
                continue
            region = None if name == _WRIST else Region(name)
            bone = self._words.capital(bone_words(region, self._words))
            yield PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=self._tracked(
                    self._words.say("measurements.query_box", bone=bone), "box", name
                ),
                referenced_region=ImageRegion(
                    graphic_type=GraphicTypeValues.POLYLINE,
                    graphic_data=np.minimum(_outline(query.boxes[name]), edge),
                    source_image=SourceImageForRegion(query.sop_class_uid, query.sop_instance_uid),
                ),
                finding_type=terms.BONES[region],
                finding_sites=[self._site(region, query.laterality)],
                algorithm_id=self._algorithm,
            )

    def matches(self, references: Mapping[str, PriorReference]) -> Iterator[Any]:
        """Yield a group for each match that can be pointed at, bone by bone, in their order."""
        labels = case_labels(self._answer, self._words)
        for part in self._answer.regions:
            for match in part.matches:
                uid = match.exam.sop_instance_uid
                reference = references.get(uid)
                if reference is None or not match.exam.boxes:
                    continue
                told = self._words.say(
                    "measurements.match",
                    bone=self._words.capital(bone_words(part.region, self._words)),
                    rank=match.rank,
                    case=labels[uid],
                )
                group = MeasurementsAndQualitativeEvaluations(
                    tracking_identifier=self._tracked(told, "match", str(part.region), uid),
                    finding_sites=[self._site(part.region, match.exam.laterality)],
                    algorithm_id=self._algorithm,
                    measurements=list(self._scores(part.region, match, reference)),
                    source_images=[
                        SourceImageForMeasurementGroup(
                            reference.sop_class_uid, reference.sop_instance_uid
                        )
                    ],
                )
                group[0].ContentSequence[:0] = self._another_patient
                yield group

    def _scores(
        self, region: Region | None, match: Match, reference: PriorReference
    ) -> Iterator[Measurement]:
        named = self._words.named
        yield Measurement(name=named(terms.RANK), value=match.rank, unit=terms.RANKS)
        boxes = match.exam.boxes
        wrist = boxes.get(_WRIST, next(iter(boxes.values())))
        bone = boxes.get(str(region), wrist)
        for name, index, box in (
            (terms.REGION_INDEX, match.region_index, bone),
            (terms.GLOBAL_INDEX, match.global_index, wrist),
        ):
            if index is not None:
                yield _percent(named(name), index, box, reference)

    def _tracked(self, told: str, *parts: str) -> TrackingIdentifier:
        uid = self._uids.make("tracked", self._result_id, *parts)
        return TrackingIdentifier(uid=uid, identifier=told)


def _outline(box: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a box as a closed polyline of (column, row), PS3.3 C.18.6.1.2."""
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], dtype=np.float64)
    return np.maximum(corners.round(2), 0)


def _site(region: Region | None, side: Laterality) -> FindingSite:
    return FindingSite(anatomic_location=terms.BONES[region], laterality=_SIDES.get(side))


def _percent(
    name: Code, index: float, box: Sequence[float], reference: PriorReference
) -> Measurement:
    """Return a similarity index, inferred from a box in the prior (TID 320).

    In percent, for viewers print a number of unit 1 as "0.97 1".
    """
    compared = CoordinatesForMeasurement(
        GraphicTypeValues.POLYLINE,
        _outline(box),
        SourceImageForRegion(reference.sop_class_uid, reference.sop_instance_uid),
    )
    return Measurement(
        name=name,
        value=round(float(index), 1),
        unit=terms.PERCENT,
        referenced_coordinates=[compared],
    )
