"""The evidence of a structured report: what it refers to, and in which sequence that stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom import Dataset
from pydicom.sequence import Sequence

from pipeline.errors import ResultError
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.request import Answer

__all__ = ["assert_evidence", "document_of", "evidence_of", "instance_of", "predecessor_documents"]


def evidence_of(answer: Answer, references: Mapping[str, PriorReference]) -> list[Dataset]:
    """List the instances that the content mentions, the query first: the SR takes its study.

    They carry no patient: highdicom would log a name it finds odd. `pipeline.identity` fills it in.
    """
    uids = (prior.sop_instance_uid for prior in answer.priors)
    used = [references[uid] for uid in uids if uid in references]
    return [instance_of(one) for one in (PriorReference.to_original(answer.query), *used)]


def instance_of(reference: PriorReference) -> Dataset:
    """Return what highdicom wants to know of an instance that is referred to, without a patient."""
    return _instance(
        reference.sop_class_uid,
        reference.sop_instance_uid,
        reference.series_instance_uid,
        reference.study_instance_uid,
    )


def document_of(report: PriorResult) -> Dataset:
    """Return the same of a report that is referred to."""
    return _instance(
        report.sop_class_uid, report.sop_instance_uid, report.series_uid, report.study_uid
    )


def _instance(sop_class: str, uid: str, series: str, study: str) -> Dataset:
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = sop_class, uid
    instance.SeriesInstanceUID, instance.StudyInstanceUID = series, study
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(instance, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(instance, keyword, "")
    return instance


def predecessor_documents(predecessor: PriorResult) -> Sequence:
    """Build the reference to the replaced document (PS3.3 C.17.2.1)."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = predecessor.sop_class_uid
    instance.ReferencedSOPInstanceUID = predecessor.sop_instance_uid
    series.SeriesInstanceUID = predecessor.series_uid
    series.ReferencedSOPSequence = Sequence([instance])
    study.StudyInstanceUID = predecessor.study_uid
    study.ReferencedSeriesSequence = Sequence([series])
    return Sequence([study])


def assert_evidence(report: Dataset) -> None:
    """Check what validators overlook: which evidence sequence an instance stands in.

    The report's own study belongs in CurrentRequestedProcedureEvidenceSequence, every other in
    PertinentOtherEvidenceSequence, no instance in both, and no image of the content in neither
    (PS3.3 C.17.2.3).

    Raises
    ------
    ResultError
        Saying which rule is broken.
    """
    own, current = _listed(report, "CurrentRequestedProcedureEvidenceSequence")
    others, pertinent = _listed(report, "PertinentOtherEvidenceSequence")
    mentioned = {
        str(reference.ReferencedSOPInstanceUID)
        for item in _items(report)
        for reference in item.get("ReferencedSOPSequence", [])
    }
    study = str(report.StudyInstanceUID)
    for broken, detail in (
        (own - {study}, "Another study stands in the current procedure's evidence."),
        (others & {study}, "The query's own study stands in the other evidence."),
        (current & pertinent, "An instance stands in both evidence sequences."),
        (mentioned - current - pertinent, "An image of the content stands in no evidence."),
    ):
        if broken:
            raise ResultError(detail)


def _listed(report: Dataset, keyword: str) -> tuple[set[str], set[str]]:
    """Return the studies and the instances of an evidence sequence."""
    studies: set[str] = set()
    instances: set[str] = set()
    for study in report.get(keyword, []):
        studies.add(str(study.StudyInstanceUID))
        for series in study.ReferencedSeriesSequence:
            instances |= {str(i.ReferencedSOPInstanceUID) for i in series.ReferencedSOPSequence}
    return studies, instances


def _items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _items(child)
